"""Lockstep training: one set of start weights, one order of batches, two sides; a generator of records.

How far apart the sides may be is measured in the same training. Control runs of the ref take every step with them,
from weights moved by at most 1 ulp, with every sum in another order, one of them in float64. The largest of their
distances from the ref is the spread: what rounding and chaos alone have done to this training by this step. Where
scratch drifts further, the step is judged by itself (compare.blame). If it is at fault, it is flagged. If both sides
did the same within rounding, as where a kink fell on two sides, nobody is wrong: a control run goes on from where
scratch stands, so that the spread holds what this may lead to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import models
from compare.blame import blame
from compare.bridge import device_named, to_array, to_tensor
from compare.controls import Control
from compare.data import Dataset, Images, rows
from compare.drift import BOUND, Drift, Spread, rates_differ
from compare.feed import PART, Feed
from compare.parties import Plan, Scratch
from compare.records import Cause, Refusal
from compare.reference import Ref
from compare.shadow import Shadow
from compare.sides import side
from compare.stages import Flag, Scene
from compare.states import Side, replaced

if TYPE_CHECKING:
    from compare.records import Array

__all__ = ["BOUND", "Drift", "Epoch", "Flag", "Step", "accuracy", "batch_of", "scores", "steps_of", "train"]


class Diverged(Refusal):
    """The loss is not finite on both sides: from here nothing can be learnt, however often it is tried."""


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
    excused: int  # steps so far at which drift left the spread, though the step itself was right within rounding
    flagged: Flag | None  # the first flag of the training, from its step on

    @property
    def lost(self) -> bool:
        """Whether the loss is not finite on one side, which ends the training."""
        return not math.isfinite(self.scratch.loss + self.ref.loss)


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

    A loss that is not finite on one side is flagged and ends the training. Raises Refusal for settings that do not
    fit, and at the first loss that is not finite on both sides.
    """
    yield from Training(plan, data).run()


class Training:
    """All parties of one training, and where it is."""

    def __init__(self, plan: Plan, data: Dataset) -> None:
        rng = np.random.default_rng(plan.seed)
        steps, shape = steps_of(plan, data), (data.mean.size, len(data.classes))
        drawn = models.start(models.model(plan.model), rng, *shape, plan.hidden, plan.init)
        start = {name: np.ascontiguousarray(p, plan.dtype) for name, p in drawn.items()}
        self.plan, self.data, self.device = plan, data, device_named(plan.device)
        self.feed = Feed(plan, data, batch_of(plan, data), rng)
        self.scratch = Scratch(plan, start, steps, shape)
        self.scratch.watch()
        if plan.resync and self.scratch.sealed:
            raise Refusal(f"--resync: the rule of {plan.scratch} keeps its weights to itself and cannot be moved")
        self.ref = Ref(plan, start, steps, self.device)
        self.shadow = Shadow(plan, start, steps) if self.scratch.sealed else None
        self.controls = [Control(plan, start, steps, self.device, k) for k in range(plan.controls)]
        self.spread = Spread(float(np.finfo(plan.dtype).eps))
        self.step = self.excused = self.told = 0  # told: epochs whose accuracies were yielded
        self.flag: Flag | None = None

    def state(self) -> dict[str, Any]:
        """Where this training is, for a checkpoint: between two steps of an epoch, or after an Epoch was yielded."""
        return {
            "scratch": self.scratch.state(),
            "ref": self.ref.state(),
            "controls": [control.state() for control in self.controls],
            "feed": self.feed.state(),
            "spread": self.spread.state(),
            "step": self.step,
            "told": self.told,
            "excused": self.excused,
            "flag": None if self.flag is None else asdict(self.flag),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state says; every number that follows is the one that an uninterrupted training has."""
        self.scratch.restore(state["scratch"])
        self.ref.restore(state["ref"])
        self.feed.restore(state["feed"])
        self.spread.restore(state["spread"])
        for control, saved in zip(self.controls, state["controls"], strict=True):
            control.restore(saved)
        self.step, self.told, self.excused, flag = (state[name] for name in ("step", "told", "excused", "flag"))
        if flag is not None:
            causes = tuple(Cause(**c) for c in flag["causes"])
            self.flag = Flag(
                **(flag | {"causes": causes, "entry": None if flag["entry"] is None else tuple(flag["entry"])})
            )

    @property
    def settled(self) -> bool:
        """Whether every record of the steps so far was yielded."""
        return not self.feed.ended or self.told == self.feed.epoch

    def run(self) -> Iterator[Step | Epoch]:
        """Go on to the end, or to the first loss that is not finite on one side."""
        while self.feed.epoch < self.plan.epochs or not self.feed.ended:
            if self.feed.ended:
                self.feed.start_epoch()
            while not self.feed.ended:
                record = self._step()
                yield record
                if record.lost:
                    return
            parts = {
                "train": _first(self.data.train, len(self.data.validation.labels)),
                "validation": self.data.validation,
            }
            right = {part: accuracy(self.plan, self.data, some, record) for part, some in parts.items()}
            self.told = self.feed.epoch
            yield Epoch(self.feed.epoch, self.step, right)

    def _step(self) -> Step:
        self.step += 1
        chunk, X, y = self.feed.next()
        if self.feed.fresh:
            self.tensors = to_tensor(X, self.device), to_tensor(y, self.device)
        if self.plan.resync and self.step > 1:
            self._resync()
        a, b = self.scratch.step(X, y), self.ref.step(*self.tensors)
        strayed = None if self.shadow is None else self.shadow.follow(a)
        others = [control.step(*self.tensors) for control in self.controls]
        loss, grads, params = self._drifts(a, b, others)
        lost = [name for name, s in (("scratch", a), ("ref", b)) if not math.isfinite(s.loss)]
        if len(lost) == 2:
            where = f"at step {self.step} (epoch {self.feed.epoch}) on both sides (scratch {a.loss}, ref {b.loss})"
            raise Diverged(f"the loss is not finite {where}; try a smaller --lr than {self.plan.lr:g}")
        outside = max(d.noise_units for d in (loss, grads, params)) > BOUND or rates_differ(a.lr, b.lr)
        if (lost or (outside and self.controls)) and self.flag is None:
            self.flag = blame(Scene(self.step, X, y, self.scratch, self.ref, a, b), self.shadow, strayed)
            if lost and self.flag is None:
                self.flag = Flag(self.step, "loss", "loss", scratch=a.loss, ref=b.loss, replayed="")
            if self.flag is None:
                self.excused += 1
                self.controls[-1].follow(a.params, replaced(self.ref.states, self.scratch.states), moved=False)
                loss, grads, params = self._drifts(a, b, [*others[:-1], a])
        return Step(self.step, self.feed.epoch, chunk, a, b, loss, grads, params, self.excused, self.flag)

    def _drifts(self, a: Side, b: Side, others: Sequence[Side]) -> tuple[Drift, Drift, Drift]:
        losses = [{"loss": np.asarray(side.loss)} for side in (a, b, *others)]
        loss = self.spread.drift("loss", losses[0], losses[1], losses[2:])
        grads = self.spread.drift("gradient", a.grads, b.grads, [o.grads for o in others])
        roundings = 1 if self.plan.resync else self.step
        return loss, grads, self.spread.drift("weights", a.params, b.params, [o.params for o in others], roundings)

    def _resync(self) -> None:
        """Put every party where the ref is."""
        params = {name: to_array(p) for name, p in self.ref.params.items()}
        states = self.ref.states
        self.scratch.load(params, states, self.step - 1)
        for control in self.controls:
            control.follow(params, states)


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


def _first(part: Images, count: int) -> Images:
    return Images(part.images[:count], part.labels[:count])
