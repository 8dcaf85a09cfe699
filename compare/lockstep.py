"""Lockstep training: one set of start weights, one order of batches, two sides; a generator of records.

How far apart the sides may be is measured in the same training. Two control runs of the ref take every step
with them: one in float64, which shows all of the ref's own rounding, and one from weights moved by at most 1 ulp
that takes every sum in another order. The larger of their distances from the ref is what rounding does to this
training by this step: the noise unit. (A float64 training has two of the second kind.) Where the loss has kinks,
a rounding may put scratch and the ref on two sides of one, and nobody is wrong: when the ref itself, its kinks
moved by a rounding, has scratch's gradient, a control run takes that side too and the crossing is counted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compare import models
from compare.augment import augment
from compare.bridge import device_named, to_array, to_tensor
from compare.data import Dataset, Images, rows
from compare.parties import Control, Plan, Ref, Scratch, Side, distance_of
from compare.records import Refusal
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

BOUND = 6.0  # noise units: correct code stays below, a fault that acts is far above
PART = 1024  # images converted at once where accuracy is measured
MEMORY = 32  # steps over which the loss's noise, a single number and so a scattered one, is collected


@dataclass(frozen=True)
class Drift:
    """Distance of scratch from the ref, tensor by tensor, beside that of the control runs (the noise)."""

    distance: Mapping[str, float]
    noise: Mapping[str, float]
    size: Mapping[str, float]  # norm on the ref's side

    @property
    def relative(self) -> float:
        """Distance over size, all tensors together."""
        return _norm(self.distance) / (_norm(self.size) or 1.0)

    @property
    def relative_noise(self) -> float:
        """Noise over size, all tensors together."""
        return _norm(self.noise) / (_norm(self.size) or 1.0)

    @property
    def noise_units(self) -> float:
        """Distance over noise, all tensors together: of a few biases alone two controls tell too little."""
        return _ratio(_norm(self.distance), _norm(self.noise))

    @property
    def tensor(self) -> str:
        """The tensor that lies farthest outside the noise."""
        return max(self.distance, key=lambda name: _ratio(self.distance[name], self.noise[name]))


@dataclass(frozen=True)
class Flag:
    """Where drift first left the noise: the stage is loss, gradient, learning rate or update."""

    step: int
    stage: str
    tensor: str
    entry: tuple[int, ...] | None
    noise_units: float


@dataclass(frozen=True)
class Step:
    """One step of both sides; step and epoch count from 1. batch holds rows of the training set."""

    step: int
    epoch: int
    batch: Array
    scratch: Side
    ref: Side
    loss: Drift
    grads: Drift
    params: Drift
    crossed: int  # kinks so far that the sides took differently, within rounding
    flagged: Flag | None  # the first flag of the training, from its step on


@dataclass(frozen=True)
class Epoch:
    """Accuracy after an epoch: {"train": {"scratch": …, "ref": …}, "validation": {…}}."""

    epoch: int
    step: int
    accuracy: Mapping[str, Mapping[str, float]]


def batch_of(plan: Plan, data: Dataset) -> int:
    """Examples a step. Raises Refusal for a batch larger than the set."""
    N = len(data.train.labels)
    if plan.batch_size > N:
        raise Refusal(f"--batch-size {plan.batch_size}: the training set has {N:,} images; use full for all of them")
    return plan.batch_size or N


def steps_of(plan: Plan, data: Dataset) -> int:
    """Steps of the whole training; examples that fill no batch sit out an epoch, others each time."""
    return plan.epochs * (len(data.train.labels) // batch_of(plan, data))


def train(plan: Plan, data: Dataset) -> Iterator[Step | Epoch]:
    """Train both sides; yield a Step after each step and an Epoch after each epoch.

    Raises Refusal for settings that do not fit, and at the first loss that is not finite.
    """
    rng = np.random.default_rng(plan.seed)
    chosen, batch, steps = models.model(plan.model), batch_of(plan, data), steps_of(plan, data)
    device, N = device_named(plan.device), len(data.train.labels)
    start = models.start(chosen, rng, data.mean.size, len(data.classes), plan.hidden, plan.init)
    start = {name: np.ascontiguousarray(p, plan.dtype) for name, p in start.items()}
    scratch, ref = Scratch(plan, start, steps, (data.mean.size, len(data.classes))), Ref(plan, start, steps, device)
    controls = [Control(plan, start, steps, device, k) for k in range(plan.controls)]
    images = data.train.images
    pixels, X = np.empty((batch, *images.shape[1:]), np.uint8), np.empty((batch, data.mean.size), plan.dtype)
    flag: Flag | None = None
    past: deque[float] = deque(maxlen=MEMORY)
    step = crossed = 0
    for epoch in range(1, plan.epochs + 1):
        order = rng.permutation(N)
        for first in range(0, N - batch + 1, batch):
            step += 1
            chunk = order[first : first + batch]
            if batch < N or step == 1 or plan.augment != "none":
                if batch == N:
                    chunk = np.arange(N)
                _fetch(images, chunk, plan.augment, rng, data.mean, pixels, X)
                y = data.train.labels[chunk]
                Xt, yt = to_tensor(X, device), to_tensor(y, device)
            a, b = scratch.step(X, y), ref.step(Xt, yt)
            _finite(step, epoch, plan, a, b)
            for control in controls:
                control.gradient(Xt, yt)
            if chosen.kinked and controls:
                gap = _drift(a.grads, b.grads, [c.grads() for c in controls], scratch.eps)
                if gap.noise_units > BOUND:
                    allowed = {name: BOUND * noise for name, noise in gap.noise.items()}
                    crossed += controls[-1].cross(Xt, yt, a.grads, allowed)
            others = [control.update() for control in controls]
            record = _compare(step, epoch, chunk, a, b, others, past, flag, scratch.eps, crossed)
            flag = record.flagged
            yield record
        parts = {"train": _first(data.train, len(data.validation.labels)), "validation": data.validation}
        right = {part: accuracy(plan, data, some, record) for part, some in parts.items()}
        yield Epoch(epoch, step, right)


def scores(plan: Plan, data: Dataset, part: Images, after: Step) -> dict[str, Array]:
    """Class scores (N, C) of one part by both sides, with the weights after the latest step."""
    f = {name: side(name, models.model(plan.model).scores) for name in ("scratch", "ref")}
    tensors = {n: to_tensor(np.asarray(p)) for n, p in after.ref.params.items()}
    out: dict[str, list[Array]] = {"scratch": [], "ref": []}
    for first in range(0, len(part.labels), PART):
        X = rows(part.images[first : first + PART], data.mean, plan.dtype)
        X *= X.dtype.type(models.SCALE)
        out["scratch"].append(f["scratch"](after.scratch.params, X))
        out["ref"].append(to_array(f["ref"](tensors, to_tensor(X))))
    return {name: np.concatenate(chunks) for name, chunks in out.items()}


def accuracy(plan: Plan, data: Dataset, part: Images, after: Step) -> dict[str, float]:
    """Share of one part that each side classifies rightly."""
    found = scores(plan, data, part, after)
    return {name: float((s.argmax(axis=1) == part.labels).mean()) for name, s in found.items()}


def _fetch(
    images: Array, chunk: Array, kind: str, rng: np.random.Generator, mean: Array, pixels: Array, X: Array
) -> None:
    """X = the chunk's rows, augmented, less the mean, scaled. mode="clip" is NumPy's fast way to take into an array."""
    for first in range(0, len(chunk), PART):
        some = slice(first, first + PART)
        part = np.take(images, chunk[some], axis=0, out=pixels[: len(chunk[some])], mode="clip")
        augment(kind, rng, part)
        rows(part, mean, out=X[some])
    X *= X.dtype.type(models.SCALE)


def _first(part: Images, count: int) -> Images:
    return Images(part.images[:count], part.labels[:count])


def _finite(step: int, epoch: int, plan: Plan, a: Side, b: Side) -> None:
    """Refuse to go on after a loss that is not finite."""
    wrong = {name: side.loss for name, side in (("scratch", a), ("ref", b)) if not math.isfinite(side.loss)}
    if not wrong:
        return
    where = " and ".join(f"{name} ({value})" for name, value in wrong.items())
    advice = f"a smaller --lr than {plan.lr:g}" if len(wrong) == 2 else "verify: the other side stayed finite"
    raise Refusal(f"the loss is not finite at step {step} (epoch {epoch}) on {where}; try {advice}")


def _compare(
    step: int, epoch: int, chunk: Array, a: Side, b: Side, others: Sequence[Side], past: deque[float],
    flag: Flag | None, eps: float, crossed: int,
) -> Step:  # fmt: skip
    """Measure one step, and flag it if it is the first outside the noise."""
    past.append(max((abs(o.loss - b.loss) for o in others), default=0.0))
    loss = Drift({"loss": abs(a.loss - b.loss)}, {"loss": max(*past, 2 * eps * abs(b.loss))}, {"loss": abs(b.loss)})
    grads = _drift(a.grads, b.grads, [o.grads for o in others], eps)
    params = _drift(a.params, b.params, [o.params for o in others], eps * math.sqrt(step))
    if flag is None and max(loss.noise_units, params.noise_units) > BOUND:
        if loss.noise_units > BOUND:
            flag = Flag(step, "loss", "loss", None, loss.noise_units)
        elif grads.noise_units > BOUND:
            flag = _flag(step, "gradient", grads, a.grads, b.grads)
        else:
            stage = "update" if math.isclose(a.lr, b.lr, rel_tol=1e-9, abs_tol=1e-300) else "learning rate"
            flag = _flag(step, stage, params, a.params, b.params)
    return Step(step, epoch, chunk, a, b, loss, grads, params, crossed, flag)


def _flag(step: int, stage: str, drift: Drift, a: Mapping[str, Array], b: Mapping[str, Array]) -> Flag:
    gap = np.abs(a[drift.tensor] - b[drift.tensor])
    entry = tuple(int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape))
    return Flag(step, stage, drift.tensor, entry, drift.noise_units)


def _drift(a: Mapping[str, Array], b: Mapping[str, Array], others: Sequence[Mapping[str, Array]], eps: float) -> Drift:
    """Distances by tensor; the noise never falls below half an eps of every entry.

    Weights are rounded once a step; independent roundings add up as a random walk: their eps has a factor √step.
    """
    size = {name: distance_of(x) for name, x in b.items()}
    distance = {name: distance_of(a[name], x) for name, x in b.items()}
    noise = {
        name: max([distance_of(o[name], x) for o in others] + [eps / 2 * size[name], np.finfo(float).tiny])
        for name, x in b.items()
    }
    return Drift(distance, noise, size)


def _norm(parts: Mapping[str, float]) -> float:
    return math.hypot(*parts.values())


def _ratio(distance: float, noise: float) -> float:
    return distance / noise if noise else (math.inf if distance else 0.0)
