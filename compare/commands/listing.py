"""gradtwin list: what there is."""

from compare import options


def listing(json_to: options.Json = None, quiet: options.Quiet = False) -> None:
    """List every pair, its family, its kind, and the convention it follows."""
    from rich.table import Table

    from compare import report
    from compare.pairs import TABLE

    out = report.console(quiet, json_to)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("pair", "family", "kind", "scratch and ref", "convention"):
        table.add_column(name, no_wrap=name != "convention")
    for pair in TABLE:
        table.add_row(pair.name, pair.family, pair.kind, pair.at, pair.convention)
    out.print(table)
    rows = [{k: getattr(p, k) for k in ("name", "family", "kind", "at", "convention")} for p in TABLE]
    report.write_json(json_to, "list", 0, None, {"pairs": rows})
