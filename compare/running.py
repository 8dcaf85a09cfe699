"""One training for the command line, from the first word to the exit status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from compare import checkpoint, choices, lockstep, outcome, own, report, session, signs, telling
from compare.data import load
from compare.interrupts import interruptible
from compare.records import Refusal
from compare.session import Job, Session
from compare.timing import equal_threads

if TYPE_CHECKING:
    from rich.console import Console


INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended


def run(job: Job, runs: Path | None, default_batch: bool, out: Console, json_to: str | None) -> int:
    """Train anew and log into a folder of its own in runs, or not at all; return the exit status."""
    images = load(job.source, _path(job.root), job.plan.seed)
    if default_batch and job.plan.batch_size > len(images.train.labels):
        job = replace(job, plan=replace(job.plan, batch_size=0))
    with equal_threads(job.threads):
        choices.check(job.plan, lockstep.steps_of(job.plan, images))
        return _train(Session(job, images), runs, out, json_to)


def resume(folder: Path, words: Mapping[str, Any], root: Path | None, out: Console, json_to: str | None) -> int:
    """Go on with the training in folder; words are what the command line says besides."""
    saved = checkpoint.load(folder)
    session.agree(folder, saved, words)
    job = session.job_of(saved)
    images = load(job.source, root or _path(job.root), job.plan.seed)
    with equal_threads(job.threads):
        going = session.resumed(folder, saved, images)
        out.print(f"going on with {folder} after step {saved.step:,}", soft_wrap=True, markup=False)
        now = report.versions()
        changed = [f"{n} {old}, now {now.get(n)}" for n, old in saved.tree["versions"].items() if old != now.get(n)]
        if changed:
            told = "; ".join(changed)
            out.print(f"begun with {told}: the last bits may be others", soft_wrap=True, markup=False)
        return _train(going, None, out, json_to)


def _train(going: Session, runs: Path | None, out: Console, json_to: str | None) -> int:
    plan, images, steps = going.job.plan, going.images, going.steps
    out.print(images.note, soft_wrap=True, markup=False)
    out.print(telling.settings_line(plan, lockstep.batch_of(plan, images), steps), soft_wrap=True)
    if plan.scratch:
        kept = "; its state cannot be seen, and so there are no checkpoints" if going.training.scratch.sealed else ""
        out.print(f"in scratch's place: {own.taken(plan.scratch).words}{kept}", soft_wrap=True, markup=False)
    over = False
    try:
        with interruptible() as interrupted, _progress(out, steps) as advance:
            for record in going.training.run():
                going.take(record, runs)
                if isinstance(record, lockstep.Step):
                    advance(record.step, record.epoch, record.scratch.loss)
                if interrupted() and going.between:
                    going.save()
                    break
        if going.tally.last is None:
            raise KeyboardInterrupt
        complete = going.tally.last.step == steps
        result = outcome.conclude(plan, images, going.tally, steps, complete)
        folder, logging = None, 0.0
        found = signs.signs(going.watch)
        if going.board is not None:
            going.log(result)
            folder, logging = str(going.board.folder), going.board.seconds
        body = outcome.as_json(plan, result, folder) | {"warnings": signs.as_json(found)}
        if folder is not None:
            report.write_json(f"{folder}/result.json", "train", plan.seed, images.name, body)
        over = result.complete or result.last.lost
    except Refusal as error:
        over = isinstance(error, lockstep.Diverged)  # from any checkpoint it would end there again
        raise Refusal(f"{error}{_logged(going)}") from error
    except OSError as error:  # a full disk, for example
        raise Refusal(f"the log cannot be written: {error.strerror}{_logged(going)}") from error
    finally:
        with suppress(OSError):  # was told already
            going.close(over)
    out.print(outcome.table(result))
    for line in signs.remarks(found) + outcome.remarks(result, folder, logging) + own.advice(plan, result.flagged):
        out.print(line, soft_wrap=True, markup=False)
    report.write_json(json_to, "train", plan.seed, images.name, body)
    return int(result.flagged is not None) if over else INTERRUPTED


def _logged(going: Session) -> str:
    return f"; logged until then in {going.folder}" if going.folder is not None else ""


def _path(root: str | None) -> Path | None:
    return None if root is None else Path(root)


@contextmanager
def _progress(out: Console, steps: int) -> Iterator[Any]:
    """A progress bar, on a terminal only; yields what to call with step, epoch and loss after each step."""
    if not out.is_interactive or out.quiet:
        yield lambda step, epoch, loss: None
        return
    columns = (
        TextColumn("epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("", total=steps, epoch=1, loss=0.0)
        yield lambda step, epoch, loss: bar.update(task, completed=step, epoch=epoch, loss=loss)
