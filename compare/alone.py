"""Training of scratch alone, in its fast form: what sweeps and experiments do many times over.

The draws, and so the weights, are those of scratch's side of a lockstep training with the same plan and images.
There is no test part here: what is chosen by these trainings cannot have seen it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compare import models
from compare.augment import augment
from compare.data import Dataset, Images, rows
from compare.parties import Plan, Scratch
from compare.records import Refusal
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

PART = 1024  # images converted at once


@dataclass(frozen=True)
class Material:
    """Images to train on and images to choose by; mean (D,) of the former, C classes."""

    train: Images
    validation: Images
    mean: Array
    C: int


@dataclass(frozen=True)
class Point:
    """Where a training stood: examples seen, mean loss since the last point, loss and accuracy on validation."""

    step: int
    examples: int
    loss: float
    validation_loss: float  # of the data alone, without the penalty
    validation_accuracy: float


@dataclass(frozen=True)
class Trace:
    """One training. fault says why it ended early, if it did; params are the last."""

    plan: Plan
    points: tuple[Point, ...]
    params: Mapping[str, Array]
    seconds: float
    fault: str = ""

    @property
    def last(self) -> Point | None:
        """The last point, None where the training failed before the first."""
        return self.points[-1] if self.points else None


def withhold(data: Dataset, count: int) -> Material:
    """The training and validation parts with count images to choose by: training images join the validation part.

    Raises Refusal where count leaves none to train on, or is less than the validation part that there is.
    """
    have, N = len(data.validation.labels), len(data.train.labels)
    if not have <= count < have + N:
        raise Refusal(f"--validation {count}: from {have} to {have + N - 1}, the images that are not for testing")
    more = count - have
    extra, train = (Images(data.train.images[s], data.train.labels[s]) for s in (slice(more), slice(more, None)))
    validation = Images(
        np.concatenate([data.validation.images, extra.images]), np.concatenate([data.validation.labels, extra.labels])
    )
    mean = (train.images.sum(axis=0, dtype=np.uint64) / len(train.labels)).astype(np.float32).ravel()
    return Material(train, validation, mean if more else data.mean, len(data.classes))


def enough(data: Dataset) -> int:
    """How many images to choose by, unless told: a tenth of those that are not for testing, at least as many as now."""
    have, N = len(data.validation.labels), len(data.train.labels)
    return max(have, (have + N) // 10)


def batch_of(plan: Plan, material: Material) -> int:
    """Examples a step. Raises Refusal for a batch larger than the set."""
    N = len(material.train.labels)
    if plan.batch_size > N:
        raise Refusal(f"a batch of {plan.batch_size}: {N:,} images are left to train on; full takes all of them")
    return plan.batch_size or N


def steps_of(plan: Plan, material: Material) -> int:
    """Steps of the whole training."""
    return plan.epochs * (len(material.train.labels) // batch_of(plan, material))


def steps(plan: Plan, material: Material) -> Iterator[tuple[int, float, Mapping[str, Array]]]:
    """Train; yield the step's number from 1, its loss, and the params, which the next step changes."""
    rng, train = np.random.default_rng(plan.seed), material.train
    N, batch, D = len(train.labels), batch_of(plan, material), material.mean.size
    drawn = models.start(models.model(plan.model), rng, D, material.C, plan.hidden, plan.init)
    start = {name: np.ascontiguousarray(p, plan.dtype) for name, p in drawn.items()}
    scratch = Scratch(plan, start, steps_of(plan, material), (D, material.C))
    pixels = np.empty((min(batch, PART), *train.images.shape[1:]), np.uint8)
    X, y = np.empty((batch, D), plan.dtype), train.labels
    step = 0
    for _ in range(plan.epochs):
        order = rng.permutation(N)
        for first in range(0, N - batch + 1, batch):
            step += 1
            if batch < N or step == 1 or plan.augment != "none":
                chunk = order[first : first + batch] if batch < N else np.arange(N)
                _fetch(train.images, chunk, plan.augment, rng, material.mean, pixels, X)
                y = train.labels[chunk]
            yield step, scratch.step(X, y).loss, scratch.params


def train(plan: Plan, material: Material, at: Collection[int] = (), stop: Callable[[], bool] = lambda: False) -> Trace:
    """Train to the end, looking at the validation part after the steps in at (without any: after each epoch).

    Ends early at a loss that is not finite, and where stop() says so.
    """
    begin, total = time.perf_counter(), steps_of(plan, material)
    at = at or range(total // plan.epochs, total + 1, total // plan.epochs)
    points: list[Point] = []
    losses: list[float] = []
    params: Mapping[str, Array] = {}
    fault = ""
    for step, loss, params in steps(plan, material):
        losses.append(loss)
        if not math.isfinite(loss):
            fault = f"the loss is not finite at step {step}"
        elif stop():
            fault = "stopped"
        if fault:
            break
        if step in at:
            found = look(plan, params, material.validation, material.mean)
            points.append(Point(step, step * batch_of(plan, material), float(np.mean(losses)), *found))
            losses.clear()
    kept = {name: p.copy() for name, p in params.items()}
    return Trace(plan, tuple(points), kept, time.perf_counter() - begin, fault)


def look(plan: Plan, params: Mapping[str, Array], part: Images, mean: Array) -> tuple[float, float]:
    """Mean data loss, and the share classified rightly, of one part."""
    chosen = models.model(plan.model)
    scores, loss = side("scratch", chosen.scores), side("scratch", chosen.loss)
    total, right = 0.0, 0
    for first in range(0, len(part.labels), PART):
        X = rows(part.images[first : first + PART], mean, plan.dtype)
        X *= X.dtype.type(models.SCALE)
        s, y = scores(params, X), part.labels[first : first + PART]
        total += float(loss(s, y)[0]) * len(y)
        right += int((s.argmax(axis=1) == y).sum())
    return total / len(part.labels), right / len(part.labels)


def _fetch(
    images: Array, chunk: Array, kind: str, rng: np.random.Generator, mean: Array, pixels: Array, X: Array
) -> None:
    """X = the chunk's rows, augmented, less the mean, scaled."""
    for first in range(0, len(chunk), PART):
        some = slice(first, first + PART)
        part = np.take(images, chunk[some], axis=0, out=pixels[: len(chunk[some])], mode="clip")
        augment(kind, rng, part)
        rows(part, mean, out=X[some])
    X *= X.dtype.type(models.SCALE)
