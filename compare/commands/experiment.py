"""gradtwin experiment: a claim of the lecture, measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compare import options
from compare.records import Refusal

if TYPE_CHECKING:
    from rich.console import Console

    from compare.data import Dataset
    from compare.experiments.claims import Result

STATUS = {True: 0, False: 1, None: 3}


def experiment(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="search, batch-size, decay, rules; none lists them.")
    ] = None,
    model: Annotated[str, typer.Option(help="softmax, svm or two-layer; search takes a linear SVM.")] = "softmax",
    seeds: Annotated[int | None, typer.Option(help="How many seeds.  [default: 5; search 3]")] = None,
    passes: Annotated[int, typer.Option(help="Passes through the training images, for each training.")] = 10,
    evaluations: Annotated[int, typer.Option(help="Evaluations of the loss, for search.")] = 1000,
    processes: Annotated[int, typer.Option(help="Trainings at a time, each in a process with one thread.")] = 1,
    seed: options.Seed = 0,
    data: options.Data = "auto",
    data_root: options.DataRoot = None,
    runs: options.RunsDir = Path("runs"),
    log: Annotated[bool, typer.Option("--log/--no-log", help="Put picture and table into --runs, or not.")] = True,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Measure claims of the lecture: a table, a picture, and whether the claim holds beyond the spread of the seeds.

    Exit status: 0 every claim holds (or none is made), 1 one does not, 2 wrong usage, 3 one seed cannot tell.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would chat on standard error
    from compare import models, report
    from compare.data import load
    from compare.experiments.registry import EXPERIMENTS
    from compare.experiments.setting import Setting
    from compare.timing import equal_threads

    given = {"--seeds": seeds, "--passes": passes, "--evaluations": evaluations, "--processes": processes}
    for option, number in given.items():
        if number is not None and number < 1:
            raise Refusal(f"{option} {number}: at least 1")
    models.model(model)
    chosen = [models.named("experiment", name, EXPERIMENTS) for name in dict.fromkeys(names or ())]
    out = report.console(quiet, json_to)
    if not chosen:
        for name, one in EXPERIMENTS.items():
            out.print(f"{name:12}{one.title}", highlight=False)
        return 0
    if json_to is not None and len(chosen) > 1:
        raise Refusal(f"--json {json_to}: JSON holds one result; name one experiment")
    images = load(data, data_root, seed)
    out.print(images.note, soft_wrap=True, markup=False)
    statuses = []
    for name in chosen:
        one = EXPERIMENTS[name]
        numbers = tuple(range(seed, seed + (seeds or one.seeds)))
        setting = Setting(images, numbers, model, passes, evaluations, processes)
        with equal_threads(1), report.progress(out) as track:
            running = one.run(setting)
            while True:
                try:
                    track(f"{name}: {next(running)}")
                except StopIteration as end:
                    result: Result = end.value
                    break
        statuses.append(_told(result, images, runs if log else None, out))
        report.write_json(json_to, "experiment", seed, images.name, _body(result, model, numbers))
    return max(statuses)


def _body(result: Result, model: str, seeds: tuple[int, ...]) -> dict[str, object]:
    from compare.experiments import show

    return show.as_json(result) | {"model": "svm" if result.name == "search" else model, "seeds": list(seeds)}


def _told(result: Result, images: Dataset, runs: Path | None, out: Console) -> int:
    """Print one result, put its picture into runs; return the exit status."""
    from compare.board_trials import log_picture
    from compare.events import new_folder
    from compare.experiments import show
    from compare.experiments.registry import EXPERIMENTS

    out.print(show.table(result))
    for text in show.remarks(result):
        out.print(text, soft_wrap=True, markup=False, highlight=False)
    if runs is not None:
        folder = new_folder(runs, "experiment", result.name)
        title = result.claim or EXPERIMENTS[result.name].title
        figure = show.picture(result, title, f"{images.name}, {len(images.train.labels):,} images to train on")
        (folder / f"{result.name}.png").write_bytes(show.png(figure))
        log_picture(folder / "result", f"experiment/{result.name}", show.pixels(figure), show.markdown(result))
        out.print(f"picture: {folder / result.name}.png", soft_wrap=True, markup=False, highlight=False)
    return 0 if not result.claim else STATUS[result.judgement.holds]
