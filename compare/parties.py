"""The parties of a lockstep training: scratch, the ref, its control runs. Each remembers its own state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare import models
from compare.bridge import to_array, to_tensor

if TYPE_CHECKING:
    from compare.records import Array

KINK = 64  # by how many eps a control run moves a kink to find out whether a rounding crossed it
PART = 4096  # examples that a control run handles at once


@dataclass(frozen=True)
class Plan:
    """The settings of one training. batch_size 0 is the full set; controls counts runs.

    hidden holds the units of each hidden layer of a network, () for the model's own; init is its scheme of start
    weights, augment what is done to training images.
    """

    model: str
    rule: str
    schedule: str
    epochs: int
    batch_size: int
    lr: float
    reg: float
    penalty: str
    dtype: str = "float32"
    seed: int = 0
    device: str = "cpu"
    controls: int = 2
    hidden: tuple[int, ...] = ()
    init: str = "he"
    augment: str = "none"


@dataclass(frozen=True)
class Side:
    """One side after a step. The arrays are live and change in the next step: copy what you keep."""

    loss: float
    lr: float
    grads: Mapping[str, Array]
    params: Mapping[str, Array]  # after the update
    seconds: float  # objective and update, without fetching the batch


class Scratch:
    """The NumPy side: parameters and what the update rule remembers of each."""

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int, data_shape: tuple[int, int]) -> None:
        self.plan, self.steps, self.done = plan, steps, 0
        D, C = data_shape
        self.objective = models.scratch_objective(models.model(plan.model), D, C, plan.dtype)
        self.rule = models.rules("scratch")[plan.rule]()
        self.rate = models.schedules("scratch")[plan.schedule]
        self.params = {name: p.copy() for name, p in start.items()}
        self.states = {name: self.rule.init(p) for name, p in self.params.items()}
        self.eps = float(np.finfo(plan.dtype).eps)

    def step(self, X: Array, y: Array) -> Side:
        """Objective and update on one batch."""
        begin = time.perf_counter()
        with np.errstate(all="ignore"):  # what overflows is seen in the loss
            value, grads = self.objective(self.params, X, y, reg=self.plan.reg, penalty=self.plan.penalty)
            lr = self.rate(self.done, self.plan.lr, self.steps)
            for name, p in self.params.items():
                self.rule.update(p, grads[name], self.states[name], lr)
        self.done += 1
        return Side(float(value), lr, grads, self.params, time.perf_counter() - begin)


class Ref:
    """The torch side: parameters, torch's optimizer and scheduler."""

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.objective = models.ref_objective(models.model(plan.model))
        self.params = {n: to_tensor(p.copy(), device).requires_grad_() for n, p in start.items()}
        self.optimizer = models.rules("ref")[plan.rule](list(self.params.values()), plan.lr)
        self.scheduler = models.schedules("ref")[plan.schedule](self.optimizer, steps)

    def step(self, X: torch.Tensor, y: torch.Tensor) -> Side:
        """Objective, backward pass and update on one batch."""
        self._wait()
        begin = time.perf_counter()
        lr = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.zero_grad()
        loss = self.objective(self.params, X, y, reg=self.plan.reg, penalty=self.plan.penalty)
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        value = float(loss.detach())
        self._wait()
        seconds = time.perf_counter() - begin
        grads = {n: to_array(p.grad) for n, p in self.params.items() if p.grad is not None}
        return Side(value, lr, grads, {n: to_array(p) for n, p in self.params.items()}, seconds)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Control(Ref):
    """A ref whose roundings fall otherwise.

    Number 0 of a float32 training computes in float64, and so shows all of the ref's own rounding. Every
    other starts from weights moved by at most 1 ulp and takes its sums in another order: over features permuted,
    over examples in parts, cut anew each step.
    """

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int, device: torch.device, number: int) -> None:
        rng = np.random.default_rng([plan.seed, number + 1])  # apart from the training's own draws
        self.wide = number == 0 and plan.dtype == "float32"
        self.features = {} if self.wide else models.model(plan.model).features
        self.order: Array = np.arange(0)
        if self.wide:
            moved = {n: p.astype(np.float64) for n, p in start.items()}
        else:
            moved = {n: p * (1 + np.finfo(p.dtype).eps * rng.integers(-1, 2, p.shape)) for n, p in start.items()}
            moved = {n: p.astype(plan.dtype) for n, p in moved.items()}
        for name, axis in self.features.items():
            self.order = self.order if len(self.order) else rng.permutation(moved[name].shape[axis])
            moved[name] = np.take(moved[name], self.order, axis)
        super().__init__(plan, moved, steps, device)
        self.rng, self.back = rng, np.argsort(self.order)
        self.columns = torch.from_numpy(self.order).to(device)
        self.loss = 0.0

    def gradient(self, X: torch.Tensor, y: torch.Tensor, objective: Callable[..., Any] | None = None) -> None:
        """Loss and gradients where this control stands; update takes the step."""
        self.optimizer.zero_grad()
        total = 0.0
        # every objective is a mean over examples plus a penalty: parts weighted by their share add up to it
        N = len(y)
        cut = 0 if self.wide else int(self.rng.integers(N))
        edges = sorted({cut, N, *range(0, N, PART)})
        for first, stop in pairwise(edges):
            part = X[first:stop].double() if self.wide else X[first:stop]
            part = part.index_select(1, self.columns) if self.features else part
            value = (objective or self.objective)(
                self.params, part, y[first:stop], reg=self.plan.reg, penalty=self.plan.penalty
            )
            share = value if stop - first == N else value * ((stop - first) / N)
            share.backward()
            total += float(share.detach())
        self.loss = total

    def cross(
        self, X: torch.Tensor, y: torch.Tensor, wanted: Mapping[str, Array], allowed: Mapping[str, float]
    ) -> bool:
        """Take the other side of kinks within rounding if that explains the wanted gradients; say whether.

        allowed is a distance for each tensor. Where nothing explains them it keeps its own gradients.
        """
        kept, loss = {n: p.grad for n, p in self.params.items()}, self.loss
        eps = float(np.finfo(self.plan.dtype).eps)
        for shift in (KINK * eps, -KINK * eps):
            self.gradient(X, y, models.ref_objective(models.model(self.plan.model), shift))
            if all(distance_of(wanted[n], g) <= allowed[n] for n, g in self.grads().items()):
                return True
        for name, p in self.params.items():
            p.grad = kept[name]
        self.loss = loss
        return False

    def grads(self) -> dict[str, Array]:
        """Gradients in the order of the others' features."""
        return self._ordered({n: to_array(p.grad) for n, p in self.params.items() if p.grad is not None})

    def update(self) -> Side:
        """Take the step."""
        self.optimizer.step()
        self.scheduler.step()
        params = self._ordered({n: to_array(p) for n, p in self.params.items()})
        return Side(self.loss, 0.0, self.grads(), params, 0.0)

    def _ordered(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {n: np.take(a, self.back, self.features[n]) if n in self.features else a for n, a in arrays.items()}


def distance_of(x: Array, y: Array | None = None) -> float:
    """Norm of x - y, or of x alone, added up in float64."""
    gap = np.asarray(x if y is None else x - y, np.float64).ravel()
    return math.sqrt(float(gap @ gap))
