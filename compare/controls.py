"""Control runs: the ref once more, its roundings falling otherwise. How far they part is what rounding and chaos do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare import models
from compare.bridge import to_array
from compare.parties import Plan, penalty_of
from compare.reference import Ref
from compare.states import Side

if TYPE_CHECKING:
    from compare.records import Array
    from compare.states import States

PART = 4096  # examples handled at once


class Control(Ref):
    """A ref whose roundings fall otherwise.

    Number 0 of a float32 training computes in float64, and so shows all of the ref's own rounding. Every
    other starts from weights moved by at most 1 ulp and takes its sums in another order: over features permuted,
    over examples in parts, cut anew each step.
    """

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int, device: torch.device, number: int) -> None:
        self.rng = np.random.default_rng([plan.seed, number + 1])  # apart from the training's own draws
        self.wide = number == 0 and plan.dtype == "float32"
        self.features = {} if self.wide else models.model(plan.model).features
        self.order: Array = np.arange(0)
        for name, axis in self.features.items():
            self.order = self.rng.permutation(start[name].shape[axis])
        self.back = np.argsort(self.order)
        self.columns = torch.from_numpy(self.order).to(device)
        self.loss = 0.0
        super().__init__(plan, self._ordered(self._moved(start), self.order), steps, device)

    def follow(self, params: Mapping[str, Array], states: States, moved: bool = True) -> None:
        """Stand where these weights and states are, or 1 ulp beside."""
        if moved:
            params, states = self._moved(params), {name: self._moved(state) for name, state in states.items()}
        turned = {name: self._turned(name, state, self.order) for name, state in states.items()}
        self.load(self._ordered(params, self.order), turned)

    def state(self) -> dict[str, Any]:
        """Where this control is, its features in the others' order, for a checkpoint."""
        params = self._ordered({n: to_array(p) for n, p in self.params.items()}, self.back)
        return super().state() | {"params": params, "states": self.states, "rng": self.rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state says."""
        super().restore(state)
        self.follow(state["params"], state["states"], moved=False)
        self.rng.bit_generator.state = state["rng"]

    def gradient(self, X: torch.Tensor, y: torch.Tensor) -> float:
        """Loss and gradients where this control stands."""
        self.optimizer.zero_grad()
        self.loss = 0.0
        # every objective is a mean over examples plus a penalty: parts weighted by their share add up to it
        N = len(y)
        cut = 0 if self.wide else int(self.rng.integers(N))
        edges = sorted({cut, N, *range(0, N, PART)})
        for first, stop in pairwise(edges):
            part = X[first:stop].double() if self.wide else X[first:stop]
            part = part.index_select(1, self.columns) if self.features else part
            value = self.objective(self.params, part, y[first:stop], **penalty_of(self.plan))
            share = value if stop - first == N else value * ((stop - first) / N)
            share.backward()
            self.loss += float(share.detach())
        self.clip()
        return self.loss

    def step(self, X: torch.Tensor, y: torch.Tensor) -> Side:
        """Objective, backward pass and update, without a clock; arrays in the order of the others' features."""
        value = self.gradient(X, y)
        self.update()
        params = self._ordered({n: to_array(p) for n, p in self.params.items()}, self.back)
        return Side(value, self.lr, self._ordered(self.grads(), self.back), params, 0.0)

    @property
    def states(self) -> dict[str, dict[str, Array]]:
        """What the optimizer remembers, in the order of the others' features."""
        return {name: self._turned(name, state, self.back) for name, state in super().states.items()}

    def _moved(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        if self.wide:
            return {n: np.asarray(x, np.float64) for n, x in arrays.items()}
        return {n: ulp(x, self.rng) if x.ndim else x for n, x in arrays.items()}

    def _ordered(self, arrays: Mapping[str, Array], order: Array) -> dict[str, Array]:
        return {n: np.take(a, order, self.features[n]) if n in self.features else a for n, a in arrays.items()}

    def _turned(self, name: str, state: Mapping[str, Array], order: Array) -> dict[str, Array]:
        """One parameter's state with its features in this order."""
        if name not in self.features:
            return dict(state)
        return {k: np.take(x, order, self.features[name]) if x.ndim else x for k, x in state.items()}


def ulp(x: Array, rng: np.random.Generator) -> Array:
    """X moved by at most 1 ulp an entry."""
    moved: Array = x * (1 + np.finfo(x.dtype).eps * rng.integers(-1, 2, x.shape))
    return moved.astype(x.dtype)
