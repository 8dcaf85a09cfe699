"""gradtwin list: what there is."""

from compare import options

PLACES = 120  # columns from which on a terminal also shows where a pair lies


def listing(json_to: options.Json = None, quiet: options.Quiet = False) -> None:
    """List every pair, its family, its kind, and the convention it follows; where there is room, where it lies."""
    from compare import report
    from compare.pairs import TABLE
    from compare.tables import plain_table

    out = report.console(quiet, json_to)
    table = plain_table()
    columns = {"pair": "name", "family": "family", "kind": "kind", "scratch and ref": "at", "convention": "convention"}
    if out.width < PLACES:
        del columns["scratch and ref"]
    for name in columns:
        table.add_column(name, no_wrap=name != "convention", overflow="fold")
    for pair in TABLE:
        table.add_row(*(getattr(pair, field) for field in columns.values()))
    out.print(table)
    rows = [{k: getattr(p, k) for k in ("name", "family", "kind", "at", "convention")} for p in TABLE]
    report.write_json(json_to, "list", 0, None, {"pairs": rows})
