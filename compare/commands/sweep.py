"""gradtwin sweep: hyperparameters chosen on the validation part, the winner confirmed in lockstep and tested once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compare import options
from compare.records import Refusal

if TYPE_CHECKING:
    from optuna import Study
    from rich.console import Console

    from compare.alone import Material
    from compare.data import Dataset
    from compare.parties import Plan
    from compare.space import Space

INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended
TRIALS = 20


def sweep(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="softmax, svm or two-layer.")],
    searched: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUES]...",
            help="What to search: lists such as rule=sgd,adam; ranges such as lr=1e-4..1e-1 (log-uniform; 0.1x..10x: "
            "times the rule's own rate). Names: lr, reg, rule, schedule, penalty, augment, batch-size, epochs, hidden, "
            "init.  [default: lr=0.1x..10x reg=1e-5..1e-1]",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials in all.  [default: 20; of a grid, lists alone, all]")
    ] = None,
    processes: Annotated[int, typer.Option(help="Trials at a time, each in a process with one thread.")] = 1,
    sampler: Annotated[str, typer.Option(help="random, or tpe: learns from the trials before.")] = "random",
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="Begin a study of this name, or go on with it.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Optuna's store, for other machines too.  [default: SQLite in --runs]"),
    ] = None,
    validation: Annotated[
        int | None, typer.Option(help="Images to choose by.  [default: a tenth of those not for testing]")
    ] = None,
    seed: options.Seed = 0,
    data: options.Data = "auto",
    data_root: options.DataRoot = None,
    runs: options.RunsDir = Path("runs"),
    log: Annotated[bool, typer.Option("--log/--no-log", help="Keep the study and its runs in --runs, or not.")] = True,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Search settings of a training; choose on the validation part, test once at the end.

    Trials train scratch alone. The best setting is then trained in lockstep with the ref on all training images, and
    both sides are tested. Several machines may call this on one study; an interrupted study goes on with --study.

    Exit status: 0 both sides of the winner agree, 1 they do not, 2 wrong usage, 130 ended by Ctrl-C (what was done so
    far is reported, nothing is tested).
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would chat on standard error
    from dataclasses import replace

    from compare import alone, models, report, space
    from compare import sweep as sweeping
    from compare.data import load
    from compare.timing import equal_threads

    chosen = models.model(model)
    for option, number in (("--processes", processes), ("--trials", trials)):
        if number is not None and number < 1:
            raise Refusal(f"{option} {number}: at least 1")
    models.named("sampler (--sampler)", sampler, sweeping.SAMPLERS)
    wanted: Space = space.parse(chosen, searched or ())
    if not log and (study or store):
        raise Refusal("--no-log keeps no study: leave --study and --store away, or --no-log")
    out = report.console(quiet, json_to)
    images = load(data, data_root, seed)
    out.print(images.note, soft_wrap=True, markup=False)
    material = alone.withhold(images, alone.enough(images) if validation is None else validation)
    base = sweeping.base(model, seed, material)
    alone.batch_of(replace(base, batch_size=space.largest(wanted, "batch_size")), material)
    folder = _folder(runs, model, study) if log else None
    url = store or f"sqlite:///{runs / 'studies.db'}" if log else None
    asked = {"model": model, "seed": seed, "data": images.name, "validation": len(material.validation.labels)}
    try:
        opened, wanted = sweeping.open_study(folder.name if folder else "sweep", url, asked, wanted)
    except Refusal:
        if folder is not None and not any(folder.iterdir()):
            folder.rmdir()
        raise
    if folder is not None and not opened.trials and any(folder.glob("trial-*")):
        raise Refusal(f"--study {folder.name}: {folder} holds trials of another study; take another name")
    whole = space.size(wanted)
    count: int = trials or opened.user_attrs.get("trials") or whole or TRIALS
    count = min(count, whole or count)
    opened.set_user_attr("trials", count)
    job = Job(opened, url, folder, wanted, base, material, images, count, processes, sampler)
    with equal_threads(1):
        return _run(job, out, json_to)


@dataclass(frozen=True)
class Job:
    """All that a sweep needs."""

    study: Study
    store: str | None
    folder: Path | None
    wanted: Space
    base: Plan
    material: Material
    images: Dataset
    trials: int
    processes: int
    sampler: str


def _run(job: Job, out: Console, json_to: str | None) -> int:
    """Search, report, and unless interrupted confirm and test the winner; return the exit status."""
    from compare import report, sweep, sweep_outcome

    check = len(job.material.validation.labels)
    space = {name: str(values) for name, values in job.wanted.items()}
    named = " ".join(f"{name}={values}" for name, values in space.items())
    here = f"{len(job.material.train.labels):,} images, {check:,} to choose by"
    out.print(f"{job.base.model}: {named}; {job.trials} trials on {here}", soft_wrap=True, markup=False)
    complete, tested = _search(job, out), None
    done = sweep.results(job.study)
    winner, away = sweep.best(done), sweep.elsewhere(job.study) if complete else 0
    if done:
        out.print(sweep_outcome.table(done, list(space)))
    if winner is not None:
        out.print(f"best: trial {winner.number}: {sweep_outcome.words(winner.settings)}", soft_wrap=True)
    if away:
        out.print(f"{away} trials run elsewhere: whoever ends last tests the best one; or call again", soft_wrap=True)
    elif winner is not None and complete:
        try:
            tested = _confirm(job, sweep.plan_of(job.base, winner.settings), winner.number, out)
        except KeyboardInterrupt:
            complete = False
    if not complete:
        again = f"; to go on: the same command with --study {job.study.study_name}" if job.store else ""
        out.print(f"interrupted after {len(done)} of {job.trials} trials: nothing was tested{again}", soft_wrap=True)
    swept = sweep_outcome.Swept(
        job.study.study_name, job.store, space, job.base, job.trials, check, done, winner, tested, complete
    )
    report.write_json(json_to, "sweep", job.base.seed, job.images.name, sweep_outcome.as_json(swept))
    if winner is None and complete and not away:
        raise Refusal("no trial came to an end: every loss became infinite; try smaller learning rates")
    return INTERRUPTED if not complete else int(tested is not None and tested["verdict"] != "agree")


def _search(job: Job, out: Console) -> bool:
    """Do the trials, each told and logged when it is done; return whether nobody interrupted."""
    from concurrent.futures.process import BrokenProcessPool
    from contextlib import closing

    from compare import report, sweep, sweep_outcome
    from compare.board_trials import log_trial
    from compare.interrupts import interruptible

    try:
        with (
            interruptible() as pressed,
            report.progress(out, job.trials) as track,
            closing(sweep.sweep(job.study, job.base, job.wanted, job.material, job.trials, job.processes, job.sampler,
                                pressed)) as running,
        ):  # fmt: skip
            for trial in running:
                out.print(sweep_outcome.line(trial), soft_wrap=True, markup=False, highlight=False)
                track(f"{sweep.started(job.study)} of {job.trials} trials begun")
                if job.folder is not None and trial.trace is not None and trial.accuracy is not None:
                    final = {"validation accuracy": trial.accuracy, "validation loss": trial.loss or 0.0}
                    log_trial(job.folder / f"trial-{trial.number:04d}", trial.settings, trial.trace.points, final)
    except KeyboardInterrupt:
        return False
    except BrokenProcessPool as error:
        again = f"; go on with --study {job.study.study_name} and fewer --processes" if job.store else ""
        raise Refusal(f"a process of the sweep was killed, perhaps for memory{again}") from error
    return True


def _confirm(job: Job, plan: Plan, number: int, out: Console) -> Any:
    """Train the winner in lockstep and test it, unless this study has tested it before."""
    from compare import confirm, outcome, report
    from compare.lockstep import steps_of

    tests: list[Any] = job.study.user_attrs.get("tests", [])
    if tests and tests[-1]["trial"] == number:
        told = ", ".join(f"{name} {share:.2%}" for name, share in tests[-1]["test_accuracy"].items())
        out.print(f"trial {number} was tested before: {told}; {tests[-1]['verdict']}", soft_wrap=True)
        return tests[-1]
    steps, place = steps_of(plan, job.images), None
    if job.folder is not None:
        names = ("winner", *(f"winner-{k}" for k in range(2, 1000)))  # one that was interrupted keeps its place
        place = next(job.folder / name for name in names if not (job.folder / name).exists())
    with report.progress(out, steps) as track:
        result = confirm.confirm(
            plan, job.images, place, lambda step: track(f"winner in lockstep: step {step:,} of {steps:,}")
        )
    found = outcome.as_json(plan, result, str(place) if place else None)
    kept = {"trial": number} | {key: report.plain(found[key]) for key in ("test_accuracy", "verdict", "flagged", "run")}
    job.study.set_user_attr("tests", [*tests, kept])
    out.print(outcome.table(result))
    for text in outcome.remarks(result, None):
        out.print(text, soft_wrap=True, markup=False)
    if job.folder is not None:
        out.print(f"logged in {job.folder}: gradtwin board", soft_wrap=True, markup=False)
    return kept


def _folder(runs: Path, model: str, study: str | None) -> Path:
    """The folder of a study's runs: that of its name, or a new one."""
    from compare.events import new_folder

    if study is None:
        return new_folder(runs, model, "sweep")
    if not study.strip(".") or not all(c.isalnum() or c in "._-" for c in study):
        raise Refusal(f"--study {study}: letters, digits, dots, dashes and underscores")
    folder = runs / study
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"--runs {runs}: cannot be written ({error.strerror}); name another, or use --no-log") from error
    return folder
