"""What a case can see: a term whose absence would hide in the noise has not been checked, however well it agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from compare.records import Case, Finding, Noise, Outcome, Pair, Verdict

if TYPE_CHECKING:
    from compare.records import Array

VISIBLE = 10.0  # noise units: an error of this size is always found


@dataclass(frozen=True)
class Sight:
    """How far one term moves one quantity, in noise units, and from which size of it on that would be visible."""

    term: str
    case: str
    quantity: str
    noise_units: float
    size: float | None  # of the term here, where it is a number
    needed: float | None

    @property
    def visible(self) -> bool:
        """Whether the term's absence could not hide."""
        return self.noise_units >= VISIBLE

    def __str__(self) -> str:
        size = f" = {self.size:g}" if self.size else ""
        told = f"cannot see the term {self.term}{size}: it moves {self.quantity} by {self.noise_units:.2g} noise units"
        return f"{told}; {self.term} from {self.needed:.2g} on would be visible" if self.needed else told


def without_terms(pair: Pair, case: Case) -> Iterator[tuple[str, float | None, Case]]:
    """Each term of the mathematics with its size, and the case without it."""
    reg, X = case.options.get("reg"), case.inputs.get("X")
    if reg and pair.kind == "objective":
        yield "reg", float(reg), replace(case, options={**case.options, "reg": 0.0})
    for name in (n for n in case.wrt if n.startswith("b") and np.any(case.inputs[n])):  # b; b1, b2; beta
        b = np.zeros_like(case.inputs[name])
        yield "bias" if name == "b" else f"bias {name}", None, replace(case, inputs={**case.inputs, name: b})
    if X is not None and pair.kind == "objective":
        yield "data", None, replace(case, inputs={**case.inputs, "X": np.zeros_like(X)})
    if pair.at == "losses.hinge":
        yield "margin", 1.0, replace(case, options={**case.options, "margin": 0.0})


def sights(
    pair: Pair, case: Case, ask: Callable[[Case], Outcome], truth: Mapping[str, Array], noise: Mapping[str, Noise]
) -> list[Sight]:
    """Every term against every quantity that depends on it; case and ask in float64."""
    found = []
    for term, size, other in without_terms(pair, case):
        for quantity, x in ask(other).quantities().items():
            moved = float(np.linalg.norm(x - truth[quantity]))
            if moved > 0:  # else the quantity does not depend on the term at all
                units = moved / noise[quantity].tensor
                needed = size * VISIBLE / units if size is not None and units < VISIBLE else None
                found.append(Sight(term, case.name, quantity, units, size, needed))
    return found


def overlooked(blank: Finding, found: Iterable[Sight]) -> Iterator[Finding]:
    """A finding for every term and quantity that no case of a pair could see: agreement there means nothing."""
    best: dict[tuple[str, str], Sight] = {}
    for s in found:
        key = s.term, s.quantity
        if key not in best or s.noise_units > best[key].noise_units:
            best[key] = s
    for s in best.values():
        if not s.visible:
            yield replace(
                blank, case=s.case, quantity=s.quantity, verdict=Verdict.INCONCLUSIVE, message=f"no case sees it: {s}"
            )
