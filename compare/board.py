"""TensorBoard: the only writer of event files. One folder a training, in it the runs scratch, ref and drift.

scratch and ref carry the same tags, so that their curves overlay.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import summary

from compare import board_images, flow
from compare.events import Run

if TYPE_CHECKING:
    from compare.data import Dataset
    from compare.lockstep import Epoch, Step
    from compare.records import Array

make: Any = summary  # torch leaves it untyped

RUNS = ("scratch", "ref", "drift")
POINTS = 5_000  # longer trainings log every so-manyth step, to keep about this many points a curve
HISTOGRAMS = 5  # times a training
DRIFTS = 100  # points of the curves of drift, and of the learning rate
BINS = 40
THRESHOLDS = 101  # of a PR curve
TINY = 1e-12  # a weight that did not move is drawn here in the histogram of updates


def log_text(folder: Path, tag: str, markdown: str) -> None:
    """A run of its own that holds one text."""
    run = Run(folder)
    run.add(0, make.text(tag, markdown))
    run.close()


class Board:
    """The three runs of one training, and the seconds that writing them took."""

    def __init__(self, folder: Path, steps: int, state: Mapping[str, Any] | None = None, step: int = 0) -> None:
        begin = time.perf_counter()
        self.folder = folder
        sizes = {} if state is None else state["sizes"]
        self.runs = {name: Run(folder / name, sizes.get(name), step) for name in RUNS}
        self.every = max(1, steps // POINTS)
        self.every_drift = max(1, steps // DRIFTS)
        self.every_histogram = max(1, steps // HISTOGRAMS)
        self._before: dict[str, dict[str, Array]] = {}
        if state is not None:
            self._before = {side: dict(arrays) for side, arrays in state["before"].items()}
        if not sizes.get("drift"):
            self.runs["drift"].add(0, make.custom_scalars(board_images.LAYOUT | flow.LAYOUT))
        self.seconds = time.perf_counter() - begin

    def state(self) -> dict[str, Any]:
        """What a board that goes on here needs; all points are written."""
        return {"sizes": {name: run.sizes() for name, run in self.runs.items()}, "before": self._before}

    def step(self, step: Step) -> None:
        """Log one step: its loss; now and then the rate, drift and histograms."""
        begin = time.perf_counter()
        at, sides = step.step, {"scratch": step.scratch, "ref": step.ref}
        if at == 1 or at % self.every == 0:
            for name, one in sides.items():
                self.runs[name].scalars(at, {"train/loss": one.loss})
        first_flag = step.flagged is not None and step.flagged.step == at
        if first_flag and at > 1:  # the marker rises between these two steps
            self.runs["drift"].scalars(at - 1, {"drift/flagged": 0.0})
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
        """End all runs, each of them even where one cannot be written; the files remain."""
        with ExitStack() as stack:
            for run in self.runs.values():
                stack.callback(run.close)

    def _picture(self, run: str, step: int, tag: str, picture: Array) -> None:
        self.runs[run].add(step, make.image(tag, picture, dataformats="HWC"))


def _drift_scalars(step: Step) -> dict[str, float]:
    values = {
        "drift/lr of scratch": step.scratch.lr,
        "drift/lr of ref": step.ref.lr,
        "drift/flagged": float(step.flagged is not None),
    }
    for what, drift in (("weights", step.params), ("gradients", step.grads), ("loss", step.loss)):
        spread = drift.relative_noise
        values |= {
            f"drift/{what}": drift.relative,
            f"drift/{what}, spread": spread,
            # drift is told by its order of magnitude; less than a hundredth of the spread, down to 0, is all the same
            f"log10 of drift/{what}": math.log10(max(drift.relative, 0.01 * spread)),
            f"log10 of drift/{what}, spread": math.log10(spread),
            f"log10 of drift/{what}, over spread": math.log10(max(drift.noise_units, 0.01)),
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
