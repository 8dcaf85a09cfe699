"""TensorBoard: the only writer of event files. One folder a training, in it the runs scratch, ref and drift.

scratch and ref carry the same tags, so that their curves overlay. Points of curves are kept and written an epoch at
a time, by TensorBoard's own record writer and without a thread: handing one point to a writer thread costs four
times as much as writing it, and in a tight loop writing costs half of what it costs between two steps.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from compare import board_images, flow
from compare.records import Refusal

if TYPE_CHECKING:
    from compare.data import Dataset
    from compare.lockstep import Epoch, Step
    from compare.records import Array

make: Any = summary  # torch leaves it untyped

POINTS = 5_000  # longer trainings log every so-manyth step, to keep about this many points a curve
HISTOGRAMS = 5  # times a training
DRIFTS = 100  # points of the curves of drift, and of the learning rate
BINS = 40
THRESHOLDS = 101  # of a PR curve
TINY = 1e-12  # a weight that did not move is drawn here in the histogram of updates


def new_folder(runs: Path, model: str, rule: str) -> Path:
    """Make the folder of a new training, runs/<stamp>-<model>-<rule>. Raises Refusal where it cannot be made."""
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{model}-{rule}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = runs / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:  # another training began in the same second
                continue
            return folder
    except OSError as error:
        raise Refusal(f"--runs {runs}: cannot be written ({error.strerror}); name another, or use --no-log") from error
    raise Refusal(f"--runs {runs}: {name} and a thousand more exist already")


class Run:
    """One TensorBoard run: a folder with one event file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._kept: list[tuple[float, int, Mapping[str, float]]] = []
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._records = RecordWriter(self._file)
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def add(self, step: int, *summaries: Summary) -> None:
        """Write summaries of one step, as one event."""
        self.flush()
        merged = Summary(value=[value for summary in summaries for value in summary.value])
        self._write(time.time(), step, merged)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the points of several curves, with their time, until the next flush."""
        self._kept.append((time.time(), step, values))

    def flush(self) -> None:
        """Write what was kept, and put it on disk."""
        for when, step, values in self._kept:
            points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            self._write(when, step, Summary(value=points))
        self._kept.clear()
        self._file.flush()

    def _write(self, when: float, step: int, summary: Summary) -> None:
        self._records.write(Event(wall_time=when, step=step, summary=summary).SerializeToString())

    def close(self) -> None:
        """End the run."""
        self.flush()
        self._file.close()


def log_text(folder: Path, tag: str, markdown: str) -> None:
    """A run of its own that holds one text."""
    run = Run(folder)
    run.add(0, make.text(tag, markdown))
    run.close()


class Board:
    """The three runs of one training, and the seconds that writing them took."""

    def __init__(self, folder: Path, steps: int) -> None:
        begin = time.perf_counter()
        self.folder = folder
        self.runs = {name: Run(folder / name) for name in ("scratch", "ref", "drift")}
        self.every = max(1, steps // POINTS)
        self.every_drift = max(1, steps // DRIFTS)
        self.every_histogram = max(1, steps // HISTOGRAMS)
        self._before: dict[str, dict[str, Array]] = {}
        self.runs["drift"].add(0, make.custom_scalars(board_images.LAYOUT | flow.LAYOUT))
        self.seconds = time.perf_counter() - begin

    def step(self, step: Step) -> None:
        """Log one step: its loss; now and then the rate, drift and histograms."""
        begin = time.perf_counter()
        at, sides = step.step, {"scratch": step.scratch, "ref": step.ref}
        if at == 1 or at % self.every == 0:
            for name, one in sides.items():
                self.runs[name].scalars(at, {"train/loss": one.loss})
        first_flag = step.flagged is not None and step.flagged.step == at
        if at == 1 or first_flag or at % self.every_drift == 0:
            self.runs["drift"].scalars(at, _drift_scalars(step))
            for name, one in sides.items():
                self.runs[name].scalars(at, {"train/lr": one.lr})
        if self._before and at % self.every_histogram == 0:
            for name, one in sides.items():
                self.runs[name].add(at, *_histograms(one.params, one.grads, self._before[name]))
            self._before = {}
        if (at + 1) % self.every_histogram == 0:
            self._before = {n: {p: a.copy() for p, a in one.params.items()} for n, one in sides.items()}
        self.seconds += time.perf_counter() - begin

    def curves(self, step: int, values: Mapping[str, Mapping[str, float]]) -> None:
        """Log points of further curves by run: {"scratch": {tag: value}, …}."""
        for name, points in values.items():
            self.runs[name].scalars(step, points)

    def epoch(self, epoch: Epoch) -> None:
        """Log accuracies of both sides."""
        begin = time.perf_counter()
        for name, run in self.runs.items():
            if name != "drift":
                run.scalars(epoch.step, {f"accuracy/{part}": a[name] for part, a in epoch.accuracy.items()})
            run.flush()
        self.seconds += time.perf_counter() - begin

    def end(self, step: Step, data: Dataset, scores: Mapping[str, Array]) -> None:
        """Log what the withheld images show: accuracy, PR curves, templates, and images classified wrongly."""
        begin = time.perf_counter()
        labels, at = data.test.labels, step.step
        for name, found in scores.items():
            right = float((found.argmax(axis=1) == labels).mean())
            self.runs[name].scalars(at, {"accuracy/test": right})
            shares = _softmax(found)
            curves = [
                make.pr_curve(f"test/{c}", labels == k, shares[:, k], num_thresholds=THRESHOLDS)
                for k, c in enumerate(data.classes)
            ]
            self.runs[name].add(at, *curves)
            self._picture(name, at, "test/misclassified", board_images.misclassified(data, found))
        for name, params in (("scratch", step.scratch.params), ("ref", step.ref.params)):
            self._picture(name, at, "weights/templates", board_images.templates(params, data))
        gap = {n: p - step.ref.params[n] for n, p in step.scratch.params.items()}
        self._picture("drift", at, "weights/scratch minus ref", board_images.difference(gap, data))
        self.seconds += time.perf_counter() - begin

    def settings(self, settings: Mapping[str, Any], figures: Mapping[str, Mapping[str, float]], step: int) -> None:
        """Log the hyperparameters and conventions, and the final figures of each side: figures[side][name]."""
        begin = time.perf_counter()
        for name, final in figures.items():
            metrics = {f"final/{key}": value for key, value in final.items()}
            for part in make.hparams(dict(settings), metrics):
                self.runs[name].add(step, part)
            self.runs[name].scalars(step, metrics)
        self.seconds += time.perf_counter() - begin

    def text(self, tag: str, markdown: str, step: int = 0, run: str = "drift") -> None:
        """Log a text, such as a table of verdicts, in Markdown."""
        self.runs[run].add(step, make.text(tag, markdown))

    def close(self) -> None:
        """End all runs; the files remain."""
        for run in self.runs.values():
            run.close()

    def _picture(self, run: str, step: int, tag: str, picture: Array) -> None:
        self.runs[run].add(step, make.image(tag, picture, dataformats="HWC"))


def _drift_scalars(step: Step) -> dict[str, float]:
    values = {
        "drift/weights": step.params.relative,
        "drift/weights, noise": step.params.relative_noise,
        "drift/gradients": step.grads.relative,
        "drift/gradients, noise": step.grads.relative_noise,
        "drift/loss": step.loss.relative,
        "drift/loss, noise": step.loss.relative_noise,
        "drift in noise units/weights": step.params.noise_units,
        "drift in noise units/loss": step.loss.noise_units,
    }
    for name, grad in step.ref.grads.items():
        values[f"drift of direction/1 - cosine, gradient of {name}"] = _one_minus_cosine(step.scratch.grads[name], grad)
    for name, param in step.ref.params.items():
        values[f"drift of direction/1 - cosine, {name}"] = _one_minus_cosine(step.scratch.params[name], param)
    return values


def _one_minus_cosine(x: Array, y: Array) -> float:
    """½ ‖x/‖x‖ − y/‖y‖‖², which is 1 − cos without its cancellation."""
    x, y = np.asarray(x, np.float64).ravel(), np.asarray(y, np.float64).ravel()
    sizes = np.linalg.norm(x), np.linalg.norm(y)
    if not all(sizes):
        return 0.0 if sizes[0] == sizes[1] else 1.0
    gap = x / sizes[0] - y / sizes[1]
    return float(gap @ gap) / 2


def _histograms(params: Mapping[str, Array], grads: Mapping[str, Array], before: Mapping[str, Array]) -> list[Summary]:
    made = []
    for name, p in params.items():
        old = np.abs(before[name])
        moved = np.abs(p - before[name])[old > 0] / old[old > 0]
        made.append(_histogram(f"weights/{name}", p))
        made.append(_histogram(f"gradients/{name}", grads[name]))
        if moved.size:
            made.append(_histogram(f"log10 update over weight/{name}", np.log10(np.maximum(moved, TINY))))
    return made


def _histogram(tag: str, x: Array) -> Summary:
    x = np.asarray(x, np.float64).ravel()
    counts, edges = np.histogram(x, BINS)
    return make.histogram_raw(
        tag, float(x.min()), float(x.max()), x.size, float(x.sum()), float(x @ x), edges[1:].tolist(), counts.tolist()
    )  # fmt: skip


def _softmax(scores: Array) -> Array:
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(share / share.sum(axis=1, keepdims=True))
