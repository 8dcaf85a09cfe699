"""The ref's update rule behind scratch: it takes scratch's own gradients, and shows where its steps should have led.

For a user's rule that keeps its state to itself, no step can be asked again. But a rule is right if the ref's, given
the same gradients and rates from the start, is where it is: no weight comes back through the loss, and so there is no
chaos, and roundings add up slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from compare.bridge import to_array, to_tensor
from compare.controls import ulp
from compare.drift import Drift, Spread
from compare.parties import Plan
from compare.reference import Ref

if TYPE_CHECKING:
    from compare.records import Array
    from compare.states import Side


class Shadow:
    """Two refs that follow scratch: one exactly, in float64, and one in the training's precision, 1 ulp beside."""

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int) -> None:
        rng, cpu, wide = np.random.default_rng([plan.seed, 0]), torch.device("cpu"), replace(plan, dtype="float64")
        self.exact = Ref(wide, {n: p.astype(np.float64) for n, p in start.items()}, steps, cpu)
        self.beside = Ref(plan, {n: ulp(p, rng) for n, p in start.items()}, steps, cpu)
        self.spread = Spread(float(np.finfo(plan.dtype).eps))

    def follow(self, side: Side) -> Drift:
        """Take the step that scratch took; how far scratch is from where it should be, beside what rounding does."""
        for ref in (self.exact, self.beside):
            for group in ref.optimizer.param_groups:
                group["lr"] = side.lr
            for name, p in ref.params.items():
                p.grad = to_tensor(np.array(side.grads[name]), dtype=p.dtype)
            ref.optimizer.step()
            ref.done += 1
        beside = {n: to_array(p) for n, p in self.beside.params.items()}
        return self.spread.drift("weights", side.params, self.params, [beside], self.exact.done)

    @property
    def params(self) -> dict[str, Array]:
        """Where scratch should be."""
        return {n: to_array(p) for n, p in self.exact.params.items()}
