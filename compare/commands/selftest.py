"""gradtwin selftest: the checker checked, with known bugs planted one by one and with correct implementations."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compare import options
from compare.records import Refusal

if TYPE_CHECKING:
    from rich.console import Console

    from compare.trials import Clean, Score, Trial

PROCESSES = 8  # more gain little: the longest job is then the whole time


def selftest(
    short: Annotated[bool, typer.Option("--short", help="One scale, float32, few cases: seconds.")] = False,
    scale: Annotated[
        list[float] | None, typer.Option(help="Multiply the inputs by this; may be repeated.  [default: 0.01, 1, 100]")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Instead: false alarms of correct implementations, over many draws.")
    ] = False,
    dose: Annotated[
        Path | None,
        typer.Option(
            "--dose",
            metavar="PNG",
            help="Instead: plant errors of known size, draw how many are found, write the curve.",
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, help="Draws of --calibrate or --dose.  [default: 10,000; 400 for --dose]"),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Also log the curve of --dose for TensorBoard.")] = False,
    runs: options.RunsDir = Path("runs"),
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side.  [default: the cores, up to 8]")
    ] = None,
    seed: options.Seed = 0,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Plant known bugs one by one and see which are caught and named; see that no correct implementation is accused.

    Exit status: 0 every bug is caught and no correct implementation fails, 1 otherwise, 2 wrong usage.
    """
    from compare import report

    for s in scale or ():
        if not 1e-6 <= s <= 1e6:
            raise Refusal(f"--scale {s:g}: choose one between 1e-6 and 1e6")
    out = report.console(quiet, json_to)
    workers = processes or min(os.cpu_count() or 1, PROCESSES)
    if calibrate and dose:
        raise Refusal("--calibrate and --dose are two tests: ask for one")
    if calibrate:
        return _calibrate(out, draws or 10_000, seed, workers, json_to)
    if dose:
        options.check_file("--dose", dose)
        if log:
            options.check_runs(runs, "leave out --log")
        return _dose(out, dose, draws or 400, seed, workers, runs if log else None, json_to)
    from compare import selftest as checker
    from compare.trials import score

    scales = tuple(dict.fromkeys(scale or ((1.0,) if short else checker.SCALES)))
    jobs = checker.jobs(scales, seed, short)
    trials: list[Trial] = []
    cleans: list[Clean] = []
    with report.progress(out, len(jobs)) as track:
        for job, (tried, answered) in zip(jobs, checker.selftest(jobs, workers), strict=True):
            trials += tried
            cleans += answered
            track(f"{job.pair or 'numerical gradient'}, scale {job.scale:g}")
    order = {plant.name: i for i, plant in enumerate(checker.CATALOGUE)}
    trials.sort(key=lambda t: (order[t.bug], t.scale))
    result = score(trials, cleans)
    _print(out, trials, cleans, result)
    body = {**report.plain(result), "trials": trials, "clean": cleans}
    report.write_json(json_to, "selftest", seed, None, body)
    return 0 if result.passes else 1


def _print(out: "Console", trials: "list[Trial]", cleans: "list[Clean]", result: "Score") -> None:
    from rich.markup import escape

    from compare.selftest_tables import LEGEND, bug_table, clean_table, score_table

    out.print(bug_table(trials))
    out.print(LEGEND.format(scales=", ".join(f"{at.scale:g}" for at in result.scales)), style="dim")
    out.print()
    out.print(clean_table(cleans))
    out.print("forms: implementations times scales; the rest: how many of them each calls wrong", style="dim")
    for c in cleans:
        for told in c.told:
            out.print(f"[bold red]false alarm[/] {escape(f'{c.pair}, {c.variant}, scale {c.scale:g}: {told}')}")
    out.print()
    out.print(score_table(result))
    for word, style, lines in (("survived", "bold red", result.survivors), ("misnamed", "bold red", result.misnamed),
                               ("not named", "yellow", result.unnamed)):  # fmt: skip
        for line in lines:
            told = "; ".join(f"{name} {line[name]}" for name in line)
            out.print(f"[{style}]{word}[/] {escape(told)}", soft_wrap=True)
    word = "[bold green]the checker holds[/]" if result.passes else "[bold red]the checker fails[/]"
    out.print(
        f"{word}: {result.caught} of {result.planted} bugs caught and {result.named} named at every scale, "
        f"{len(result.misnamed)} times misnamed; {result.false_alarms} false alarms in {result.draws:,} judgements",
        soft_wrap=True,
    )


def _calibrate(out: "Console", draws: int, seed: int, workers: int, json_to: str | None) -> int:
    from compare import calibrate, report
    from compare.selftest_tables import calibration_table

    samples = []
    with report.progress(out, draws) as track:
        for i, found in enumerate(calibrate.calibrate(draws, seed, workers), start=1):
            samples += found
            track(f"draw {i:,} of {draws:,}")
    rows = calibrate.rows(samples)
    alarms = sum(r.false_alarms for r in rows)
    out.print(calibration_table(rows))
    out.print(
        "noise units of correct implementations, the larger of tensor and worst entry, by share of judgements",
        style="dim",
    )
    judged = sum(r.judged for r in rows)
    style = "bold red" if alarms else "bold green"
    out.print(f"[{style}]{alarms} false alarms[/] in {draws:,} draws, {judged:,} judgements", soft_wrap=True)
    report.write_json(json_to, "selftest", seed, None, {"draws": draws, "false_alarms": alarms, "rows": rows})
    return 1 if alarms else 0


def _dose(
    out: "Console", png: Path, draws: int, seed: int, workers: int, runs: Path | None, json_to: str | None
) -> int:
    from compare import dose, pictures, report
    from compare.commands.data import save
    from compare.selftest_tables import dose_table

    found = []
    with report.progress(out) as track:
        for planted in dose.doses(range(seed * draws, (seed + 1) * draws), workers):
            found.append(planted)
            track(f"case {planted.seed - seed * draws + 1:,} of {draws:,}")
    rows = dose.responses(found)
    if not rows:
        raise Refusal(f"--draws {draws}: no case had a gradient to spoil; ask for more")
    curve = pictures.dose_curve(rows)
    save(curve, png, "--dose")
    out.print(dose_table(rows))
    out.print(dose.READING, style="dim")
    missed = sum(r.planted - r.found for r in rows if r.units >= dose.SURE)
    style = "bold red" if missed else "bold green"
    total = sum(r.planted for r in rows if r.units >= dose.SURE)
    out.print(
        f"[{style}]{missed} missed[/] of {total:,} errors of {dose.SURE:g} noise units or more; drew {png}",
        soft_wrap=True,
    )
    if runs:
        from compare import board_dose, events

        folder = events.new_folder(runs, "selftest", "dose")
        board_dose.log(folder, rows, curve)
        out.print(f"logged to {folder}; gradtwin board opens it", soft_wrap=True)
    report.write_json(json_to, "selftest", seed, None, {"draws": draws, "missed": missed, "doses": rows})
    return 1 if missed else 0
