"""gradtwin verify: the main job. Every pair, every case, both dtypes, three witnesses; one table."""

from pathlib import Path
from typing import Annotated

import typer

from compare import options


def verify(
    pairs: Annotated[
        list[str] | None, typer.Argument(help="Pairs or families; all without. See `gradtwin list`.")
    ] = None,
    seed: options.Seed = 0,
    data: options.Data = "auto",
    data_root: options.DataRoot = None,
    images_asked: Annotated[
        int | None,
        typer.Option("--images", min=1, help="How many images the cases with images have.  [default: 128]"),
    ] = None,
    dtype: Annotated[options.Dtype | None, typer.Option(help="One precision only.  [default: both]")] = None,
    device: options.Device = "cpu",
    strict: Annotated[bool, typer.Option("--strict", help="Imprecise counts as a failure too.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Also log the verdict table, as text, for TensorBoard.")] = False,
    runs: options.RunsDir = Path("runs"),
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Hold every pair against its twin: values, gradients, and the numerical gradient as third witness.

    Exit status: 0 every pair agrees, 1 something differs, 2 wrong usage or input, 3 something could not be judged.
    """
    from compare import check, report, sanity, tables
    from compare import data as images
    from compare.bridge import device_named
    from compare.pairs import select
    from compare.timing import equal_threads

    chosen = select(pairs or ())
    where = device_named(device)
    if log:
        options.check_runs(runs, "leave out --log")
    source = images.load(data, data_root, seed)
    batch = sanity.batch_of(source, seed, images_asked or sanity.IMAGES)
    out = report.console(quiet, json_to)
    out.print(source.note, soft_wrap=True, markup=False)
    if where.type == "cuda":
        out.print(f"the ref computes on {sanity.device_title(where)}, scratch on the CPU", soft_wrap=True)
    findings = []
    dtypes = [dtype.value] if dtype else list(check.DTYPES)
    # one thread: the arrays are small, and sums then run in one order on every machine
    with equal_threads(1), report.progress(out) as track:
        for finding in check.verify(chosen, batch, seed, dtypes, str(where)):
            findings.append(finding)
            track(f"{finding.pair}, {finding.case}")
    figures = sanity.figures(chosen, batch)
    if figures:
        out.print(tables.sanity_table(figures))
    report.print_verdicts(out, findings, strict)
    for figure in figures:
        if not figure.holds:
            out.print(f"[bold red]but not as expected[/]: {figure.name}", soft_wrap=True)
    body = {"findings": findings, "summary": report.summary(findings), "sanity": figures}
    report.write_json(json_to, "verify", seed, source.name, body)
    if log:
        from compare import board, events

        folder = events.new_folder(runs, "verify", "-".join(pairs or ["all"]))
        board.log_text(folder / "verdicts", "verdicts", tables.verdict_markdown(findings))
        out.print(f"logged to {folder}; gradtwin board opens it", soft_wrap=True)
    return report.exit_status(findings, strict) if all(f.holds for f in figures) else 1
