"""The third witness: the numerical gradient of scratch's own value, and whom it sides with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from compare.kinds import value_of
from compare.records import Case, Pair, Verdict
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

FULL = 256  # up to this many coordinates are all differentiated; beyond, blocks in random directions
BLUR = 1e-3  # an error beyond this share of a typical entry judges nothing
UNJUDGED = 0.05  # a larger share of coordinates that no step can judge is inconclusive


@dataclass(frozen=True)
class Heard:
    """What the numerical gradient says of one gradient; value is its own at the entry that was asked about.

    slopes were worked out (every coordinate's, or those of directions), of which unjudged no step could tell apart
    from a kink. At kinks that are meant every slope is judged: by the two one-sided ones.
    """

    verdict: Verdict
    value: float | None
    message: str = ""
    slopes: int = 0
    unjudged: int = 0


class Numerical:
    """Numerical gradients of one case, each worked out when first asked for and then remembered."""

    def __init__(self, pair: Pair, case: Case, rng: np.random.Generator) -> None:
        self.pair, self.case, self.rng = pair, case, rng
        self._linear: dict[str, tuple[Array, Array]] | None = None
        self._value: Callable[[Mapping[str, Array]], float] | None = None

    def hear(self, quantity: str, mine: Array, truth: Array, entry: tuple[int, ...] | None) -> Heard | None:
        """Hold scratch's gradient against the numerical one; None for values and for kinds without a gradient."""
        name = quantity.removeprefix("d")
        if quantity == "value" or name not in self.case.wrt or entry is None:
            return None
        if self.pair.kind == "objective" and self.pair.loss:
            return self._full(*self._linear_gradient()[name], mine, truth, entry)
        x = self.case.inputs[name]
        numgrad = side("scratch", "numgrad.numerical_gradient")
        if x.size <= FULL:
            with np.errstate(all="ignore"):
                gradient, error = numgrad(lambda moved: self._f(name, moved), x)
            return self._full(gradient, error, mine, truth, entry)
        return self._blocks(name, x, mine, entry)

    def _f(self, name: str, moved: Array) -> float:
        if self._value is None:
            self._value = value_of(self.pair, self.case)
        return self._value({**self.case.inputs, name: moved})

    def _linear_gradient(self) -> dict[str, tuple[Array, Array]]:
        if self._linear is None:
            inputs = self.case.inputs
            params = {name: inputs[name] for name in self.case.wrt}
            self._linear = side("scratch", "numgrad_linear.linear_gradient")(
                self.pair.loss, params, inputs["X"], inputs["y"], **self.case.options
            )
        return self._linear

    def _full(self, gradient: Array, error: Array, mine: Array, truth: Array, entry: tuple[int, ...]) -> Heard:
        scale = float(np.sqrt(np.mean(np.square(gradient)))) or 1.0
        # the gradient that is judged rounds as well: never below that
        allowed = error + 16 * np.finfo(np.float64).eps * (np.abs(gradient) + scale)
        wrong = np.abs(mine - gradient) > allowed
        unjudged = 0 if self.case.exact else int(np.sum(error > BLUR * scale))
        heard = Heard(Verdict.AGREE, float(gradient[entry]), slopes=gradient.size, unjudged=unjudged)
        if wrong.any():
            worst = np.unravel_index(int(np.argmax(np.abs(mine - gradient) / allowed)), gradient.shape)
            fair = bool(np.all(np.abs(truth - gradient) <= allowed))
            side_with = "ref: scratch's derivative is wrong" if fair else "neither side"
            at = [int(i) for i in worst]
            message = (
                f"the numerical gradient sides with {side_with} ({int(wrong.sum())} entries; at {at} it is "
                f"{float(gradient[worst]):.6g} ± {float(error[worst]):.1g}, scratch {float(mine[worst]):.6g})"
            )
            return replace(heard, verdict=Verdict.DIFFER, message=message)
        if unjudged > UNJUDGED * gradient.size:
            message = f"{unjudged / gradient.size:.0%} of the numerical gradient could not be judged"
            return replace(heard, verdict=Verdict.INCONCLUSIVE, message=message)
        return heard

    def _blocks(self, name: str, x: Array, mine: Array, entry: tuple[int, ...]) -> Heard:
        numgrad = side("scratch", "numgrad.slope_along")
        one = np.zeros(x.shape)
        one[entry] = 1.0
        with np.errstate(all="ignore"):
            value, _ = numgrad(lambda moved: self._f(name, moved), x, one)
            found = side("scratch", "numgrad.search")(lambda moved: self._f(name, moved), x, mine, self.rng)
        unjudged = 0 if self.case.exact else found.unjudged
        heard = Heard(Verdict.AGREE, value, slopes=found.blocks, unjudged=unjudged)
        if found.suspects:
            where = [tuple(int(i) for i in np.unravel_index(int(s.where[0]), x.shape)) for s in found.suspects]
            s = found.suspects[0]
            message = (
                f"the numerical gradient disagrees at {list(where[0])}: {s.slope:.6g} ± "
                f"{s.error:.1g}, scratch {float(mine[where[0]]):.6g}"
            )
            return replace(heard, verdict=Verdict.DIFFER, message=message)
        if unjudged > UNJUDGED * found.blocks:
            message = f"{unjudged} of {found.blocks} blocks cross a kink"
            return replace(heard, verdict=Verdict.INCONCLUSIVE, message=message)
        return heard
