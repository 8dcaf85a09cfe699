"""A training with everything that goes along: its log, its checkpoints, and how it goes on after it was killed."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from compare import checkpoint, flow, lockstep, outcome, own, report, telling
from compare.board import RUNS, Board
from compare.events import new_folder
from compare.parties import Plan
from compare.records import Refusal

if TYPE_CHECKING:
    from compare.checkpoint import Checkpoint
    from compare.data import Dataset
    from compare.lockstep import Epoch, Step
    from compare.outcome import Result

CHECKPOINTS = 20  # a training
LOCK = "lock"  # a file in the folder of a training that is not over
UNLOGGED: dict[str, Any] = {"sizes": {name: {} for name in RUNS}, "before": {}}  # the board before anything is logged


@dataclass(frozen=True)
class Job:
    """What was asked for: the plan, the images, the threads, and the words of the command line."""

    plan: Plan
    source: str
    root: str | None
    threads: int
    words: Mapping[str, Any]


class Session:
    """One training, what is collected of it, and where it is logged: nowhere, or in a folder from its first step on."""

    def __init__(self, job: Job, images: Dataset, saved: Checkpoint | None = None) -> None:
        self.job, self.images = job, images
        self.steps = lockstep.steps_of(job.plan, images)
        self.training = lockstep.Training(job.plan, images)
        self.tally, self.watch = outcome.Tally(), flow.Watch(job.plan, images, self.steps)
        self.board: Board | None = None
        self.folder = None if saved is None else saved.path.parent
        self.every, self.kept = max(1, self.steps // CHECKPOINTS), 0
        self._lock: TextIO | None = None
        if saved is None:
            self._start = copy.deepcopy(self.state())
        else:
            self.training.restore(saved.tree["training"])
            self.tally.restore(saved.tree["tally"])
            self.watch.restore(saved.tree["watch"])
            self.kept = saved.step
            self._lock = locked(saved.path.parent)
            self.board = Board(saved.path.parent, self.steps, saved.tree["board"], saved.step)

    def state(self) -> dict[str, Any]:
        """Everything that a session needs to go on from here."""
        return {
            "job": asdict(self.job),
            "versions": report.versions(),
            "images": fingerprint(self.images),
            "code": own.code(self.job.plan.scratch) if self.job.plan.scratch else 0,
            "training": self.training.state(),
            "tally": self.tally.state(),
            "watch": self.watch.state(),
            "board": UNLOGGED if self.board is None else self.board.state(),
        }

    def open(self, runs: Path) -> Board:
        """Make the folder, with a checkpoint of the start in it, and begin the log."""
        self.folder = new_folder(runs, self.job.plan.model, self.job.plan.rule)
        self._lock = locked(self.folder)
        if not self.training.scratch.sealed:
            checkpoint.save(self.folder, 0, self._start)
        self.board = Board(self.folder, self.steps)
        return self.board

    def take(self, record: Step | Epoch, runs: Path | None) -> None:
        """Collect and log one record; save a checkpoint where one is due."""
        if isinstance(record, lockstep.Step):
            self.tally.add(record)
            board = self.board if self.board is not None or runs is None else self.open(runs)
            if board is not None and record.flagged is not None and record.flagged.step == record.step:
                board.text("flagged", telling.flagged(record.flagged), record.step)
            if record.lost:
                return
            curves = self.watch.step(record)
            if board is not None:
                board.step(record)
                board.curves(record.step, curves)
        elif self.board is not None:
            self.board.epoch(record)
        if self.training.step >= self.kept + self.every and self.between:
            self.save()

    @property
    def between(self) -> bool:
        """Whether the training can go on from here: not after its last step, nor where an Epoch comes next."""
        return self.training.step < self.steps and self.training.settled

    def save(self) -> None:
        """Write a checkpoint, if the training is logged and there is anything new.

        A user's rule that keeps its state to itself can be in none.
        """
        if self.board is not None and self.training.step > self.kept and not self.training.scratch.sealed:
            checkpoint.save(self.board.folder, self.training.step, self.state())
            self.kept = self.training.step

    def log(self, result: Result) -> None:
        """Log the end: what the withheld images show, settings and final figures, the verdict."""
        if self.board is not None:
            if not result.last.lost:
                self.board.end(result.last, self.images, result.scores)
            self.board.settings(outcome.hyperparameters(self.job.plan), outcome.figures(result), result.last.step)
            self.board.text("result", outcome.markdown(result), result.last.step)

    def close(self, over: bool = False) -> None:
        """End the log; of a training that is over no checkpoint stays."""
        try:
            if self.board is not None:
                self.board.close()
                if over:
                    checkpoint.clear(self.board.folder)
                    (self.board.folder / LOCK).unlink()
        finally:
            if self._lock is not None:
                self._lock.close()


def resumed(folder: Path, saved: Checkpoint, images: Dataset) -> Session:
    """The session that a checkpoint holds. Raises Refusal if the images are others."""
    if saved.tree["images"] != fingerprint(images):
        raise Refusal(f"--resume {folder}: the images of {images.name} are not those that it was trained on")
    job = job_of(saved)
    if job.plan.scratch and own.code(job.plan.scratch) != saved.tree["code"]:
        raise Refusal(f"--resume {folder}: {job.plan.scratch} has changed since; start a new training")
    return Session(job, images, saved)


def job_of(saved: Checkpoint) -> Job:
    """What the training of a checkpoint was asked for."""
    stored = saved.tree["job"]
    plan = stored["plan"]
    return Job(**(stored | {"plan": Plan(**(plan | {"hidden": tuple(plan["hidden"])}))}))


def agree(folder: Path, saved: Checkpoint, words: Mapping[str, Any]) -> None:
    """Raise Refusal if the command line asks for other settings than those of the run."""
    before = saved.tree["job"]["words"]
    for name, word in words.items():
        if word != before.get(name):
            option = name.upper() if name == "model" else f"--{name.replace('_', '-')}"
            raise Refusal(
                f"--resume {folder}: it was started with {option} {before.get(name)}, not {word}; leave {option} out, "
                f"or start a new training"
            )


def fingerprint(images: Dataset) -> dict[str, int]:
    """A few numbers that tell these images from others."""
    return {name: zlib.crc32(part.labels.tobytes()) for name, part in images.parts.items()} | {
        "mean": zlib.crc32(images.mean.tobytes())
    }


def locked(folder: Path) -> TextIO:
    """Hold a run's folder for this process as long as the file is open. Raises Refusal if another one holds it."""
    file = (folder / LOCK).open("w")
    try:
        import fcntl  # not on Windows, where two processes in one folder are not told apart
    except ImportError:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise Refusal(f"--resume {folder}: another process is training there") from error
    return file
