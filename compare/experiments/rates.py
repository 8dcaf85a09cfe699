"""Trainings at their best learning rate: chosen on the validation part over all seeds, never at the end of a ladder."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compare import alone
from compare.alone import Material, Trace
from compare.data import Images
from compare.experiments.claims import Curve, Row
from compare.parties import Plan
from compare.pool import Submit

FACTOR = 2.0  # from one rate of the ladder to the next
MOST = 12  # rates that are tried


@dataclass(frozen=True)
class Tuned:
    """The trainings of one method at its best rate, one for each seed; edge: no better rate was ruled out beyond it."""

    name: str
    rate: float
    traces: tuple[Trace, ...]
    tried: int
    edge: bool

    @property
    def validation(self) -> float:
        """Mean accuracy on the validation part at the end."""
        return _score(self.traces)

    def row(self, test: Images, material: Material) -> Row:
        """What the test part says of it; asked once, after all rates were chosen."""
        right = tuple(alone.look(t.plan, t.params, test, material.mean)[1] for t in self.traces)
        return Row(self.name, right, settings=f"lr {self.rate:.3g}" + (", the end of the ladder" if self.edge else ""))

    def curve(self, quantity: str, per: int) -> Curve:
        """One quantity of the points over passes through per examples."""
        points = [t.points for t in self.traces]
        x = tuple(p.examples / per for p in points[0])
        return Curve(self.name, x, tuple(tuple(getattr(p, quantity) for p in line) for line in points))


def best_rate(
    name: str, plan: Plan, seeds: Sequence[int], submit: Submit, at: Collection[int] = ()
) -> Generator[str, None, Tuned]:
    """Try rates around plan.lr, each with every seed, until the best has a worse one on either side."""
    found: dict[float, tuple[Trace, ...]] = {}
    wanted = [plan.lr / FACTOR, plan.lr, plan.lr * FACTOR]
    while wanted and len(found) < MOST:
        for rate in wanted:
            begun = [submit(replace(plan, lr=rate, seed=seed), at) for seed in seeds]
            found[rate] = tuple(future.result() for future in begun)
            yield f"{name}: lr {rate:.3g}, validation {_score(found[rate]):.2%}"
        best = max(found, key=lambda rate: _score(found[rate]))
        wanted = [best * FACTOR] if best == max(found) else [best / FACTOR] if best == min(found) else []
    return Tuned(name, best, found[best], len(found), bool(wanted))


def _score(traces: Sequence[Trace]) -> float:
    """Mean accuracy on the validation part; a training that failed counts as all wrong."""
    return float(np.mean([0.0 if t.fault or t.last is None else t.last.validation_accuracy for t in traces]))
