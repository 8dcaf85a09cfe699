"""gradtwin train: scratch and the ref in lockstep, logged to TensorBoard."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compare import options
from compare.records import Refusal

if TYPE_CHECKING:
    from rich.console import Console

    from compare.data import Dataset
    from compare.outcome import Result
    from compare.parties import Plan

INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended


def train(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="softmax, svm or two-layer; what is not given is its own.")
    ],
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[
        str | None, typer.Option(metavar="N|full", help="Images a step; full takes all of them.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate, at the start of the schedule.  [default: the model's]")
    ] = None,
    reg: Annotated[float | None, typer.Option(help="Strength of the penalty on the weights.")] = None,
    penalty: Annotated[str | None, typer.Option(help="l2, l1 or elastic_net.")] = None,
    hidden: Annotated[
        str | None,
        typer.Option(metavar="N[,N…]", help="Units of a network's hidden layer, or layers.  [default: the model's]"),
    ] = None,
    init: Annotated[str | None, typer.Option(help="A network's start weights: he or xavier.  [default: he]")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, or flip: half of the images mirrored.  [default: the model's]")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw.")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, step, exponential, inverse or cosine.")] = None,
    dtype: Annotated[options.Dtype, typer.Option(help="Working precision of both sides.")] = options.Dtype.float32,
    seed: options.Seed = 0,
    data: options.Data = "auto",
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
    threads: Annotated[
        int, typer.Option(min=1, help="Threads for each side. One gives the same numbers on every machine.")
    ] = 1,
    runs: options.RunsDir = Path("runs"),
    log: Annotated[bool, typer.Option("--log/--no-log", help="Write the run into --runs, or nothing.")] = True,
    json_to: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
    """Train scratch and ref in lockstep: same start weights, same batches, every step compared.

    Exit status: 0 the sides stay within what rounding does, 1 they do not, 2 wrong usage or a loss that is not
    finite, 130 ended by Ctrl-C (what was done so far is reported).
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would chat on standard error
    from compare import models, report
    from compare.augment import AUGMENTS
    from compare.bridge import device_named
    from compare.parties import Plan
    from compare.timing import equal_threads

    chosen = models.model(model)
    rule = models.named("rule (--rule)", rule or chosen.rule, models.rules("scratch"))
    plan = Plan(
        model=model,
        rule=rule,
        schedule=models.named("schedule (--schedule)", schedule or chosen.schedule, models.schedules("scratch")),
        epochs=chosen.epochs if epochs is None else epochs,
        batch_size=_batch(batch_size, chosen.batch_size),
        lr=chosen.lr[rule] if lr is None else lr,
        reg=chosen.reg if reg is None else reg,
        penalty=models.named("penalty (--penalty)", penalty or chosen.penalty, models.penalties("scratch")),
        dtype=dtype.value,
        seed=seed,
        device=device,
        hidden=chosen.hidden if hidden is None else _hidden(hidden),
        init=models.named("scheme of start weights (--init)", init or "he", models.schemes()),
        augment=models.named("augmentation (--augment)", augment or chosen.augment, AUGMENTS),
    )
    _check(plan)
    for option, given in (("hidden", hidden), ("init", init)):
        if given is not None and not chosen.hidden:
            raise Refusal(f"--{option} {given}: for a network only; {model} has no hidden layer")
    device_named(device)
    if log:
        options.check_runs(runs, "use --no-log")
    out = report.console(quiet, json_to)
    with equal_threads(threads):
        return _run(plan, data, data_root, runs if log else None, batch_size is None, out, json_to)


def _run(
    plan: Plan, source: str, root: Path | None, runs: Path | None, default_batch: bool, out: Console,
    json_to: str | None,
) -> int:  # fmt: skip
    """Load, train, log, report; return the exit status."""
    from dataclasses import replace

    from compare import flow, lockstep, outcome, report, signs
    from compare.data import load

    images = load(source, root, plan.seed)
    out.print(images.note, soft_wrap=True, markup=False)
    if default_batch and plan.batch_size > len(images.train.labels):
        plan = replace(plan, batch_size=0)
    steps = lockstep.steps_of(plan, images)
    out.print(outcome.settings_line(plan, lockstep.batch_of(plan, images), steps), soft_wrap=True)
    board, tally, ended = None, outcome.Tally(), False
    watch = flow.Watch(plan, images, steps)
    try:
        with _interruptible() as interrupted, _progress(out, steps) as advance:
            for record in lockstep.train(plan, images):
                if isinstance(record, lockstep.Step):
                    if board is None and runs is not None:  # nothing is written before the first step is done
                        board = _board(runs, plan, steps)
                    tally.add(record)
                    advance(record.epoch, record.scratch.loss)
                    curves = watch.step(record)
                    if board is not None:
                        board.step(record)
                        board.curves(record.step, curves)
                elif board is not None:
                    board.epoch(record)
                if interrupted():
                    break
            else:
                ended = True
        if tally.last is None:
            raise KeyboardInterrupt
        result = outcome.conclude(plan, images, tally, steps, ended)
        if board is not None:
            _log_end(board, plan, images, result)
    except Refusal as error:
        told = f"; logged until then in {board.folder}" if board is not None else ""
        raise Refusal(f"{error}{told}") from error
    finally:
        if board is not None:
            board.close()
    folder = str(board.folder) if board is not None else None
    found = signs.signs(watch)
    body = outcome.as_json(plan, result, folder) | {"warnings": signs.as_json(found)}
    if board is not None:
        report.write_json(str(board.folder / "result.json"), "train", plan.seed, images.name, body)
    report.write_json(json_to, "train", plan.seed, images.name, body)
    out.print(outcome.table(result))
    for line in signs.remarks(found) + outcome.remarks(result, folder, board.seconds if board is not None else 0.0):
        out.print(line, soft_wrap=True, markup=False)
    return INTERRUPTED if not ended else int(result.flagged is not None)


def _board(runs: Path, plan: Plan, steps: int) -> Any:
    from compare.board import Board, new_folder

    return Board(new_folder(runs, plan.model, plan.rule), steps)


def _log_end(board: Any, plan: Plan, images: Dataset, result: Result) -> None:
    from compare import outcome

    board.end(result.last, images, result.scores)
    board.settings(outcome.hyperparameters(plan), outcome.figures(result), result.last.step)
    board.text("result", outcome.markdown(result), result.last.step)


def _batch(given: str | None, default: int) -> int:
    """Read --batch-size: N, or 0 for full."""
    if given is None:
        return default
    if given == "full":
        return 0
    if not given.lstrip("-").isdecimal():
        raise Refusal(f"--batch-size {given}: a whole number from 1, or full")
    if int(given) < 1:
        raise Refusal(f"--batch-size {given}: a batch needs at least one image; full takes all of them")
    return int(given)


def _hidden(given: str) -> tuple[int, ...]:
    """Read --hidden: the units of one layer, or of several, separated by commas."""
    units = [unit.strip() for unit in given.split(",")]
    if not all(unit.isdecimal() and len(unit) <= 6 and int(unit) for unit in units):
        raise Refusal(f"--hidden {given}: whole numbers from 1 to 999999, such as 100 or 100,50")
    return tuple(int(unit) for unit in units)


def _check(plan: Plan) -> None:
    if plan.epochs < 1:
        raise Refusal(f"--epochs {plan.epochs}: at least 1")
    if not (math.isfinite(plan.lr) and plan.lr > 0):
        raise Refusal(f"--lr {plan.lr:g}: a finite number above 0")
    if not (math.isfinite(plan.reg) and plan.reg >= 0):
        raise Refusal(f"--reg {plan.reg:g}: a finite number, 0 or above")


@contextmanager
def _interruptible() -> Iterator[Any]:
    """Let Ctrl-C end the training between two steps; a second one ends it at once. Yields whether it was pressed."""
    pressed: list[int] = []

    def note(number: int, frame: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread: signals are somebody else's
        yield lambda: False
        return
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(out: Console, steps: int) -> Iterator[Any]:
    """A progress bar, on a terminal only; yields what to call with epoch and loss after each step."""
    if not out.is_interactive or out.quiet:
        yield lambda epoch, loss: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("", total=steps, epoch=1, loss=0.0)
        yield lambda epoch, loss: bar.update(task, advance=1, epoch=epoch, loss=loss)
