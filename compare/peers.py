"""What the usual criteria would have said of the same answers: fixed tolerances, taken from each tool as it is.

assert_close   torch.testing.assert_close, float32: |a - b| <= 1e-5 + 1.3e-6 |b|, value and gradients against ref's
allclose       numpy.allclose: |a - b| <= 1e-8 + 1e-5 |b|, float32 likewise
JAX            jax.test_util.check_grads' tolerance for float32, 2e-3, both absolute and relative, and both times
               the array's size, as its check_close has it; gradients against ref's
gradcheck      torch.autograd.gradcheck: float64, central differences with step 1e-6, |a - n| <= 1e-5 + 1e-3 |n|
CS231n         the notes' relative error |a - n| / max(|a|, |n|): float64, central differences with step 1e-5; above
               1e-4 it should make one feel uncomfortable, and counts as caught here
gradcheck looks at every entry, unless the value itself has a bug: then, to save time, at COORDINATES drawn at random.
CS231n's is taken at COORDINATES of each gradient, as the notes advise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compare.kinds import value_of
from compare.records import Case, Outcome, Pair

if TYPE_CHECKING:
    from compare.records import Array

COORDINATES = 60
STEPS = {"gradcheck": 1e-6, "CS231n": 1e-5}
NAMES = ("assert_close", "allclose", "JAX", *STEPS)
FLOAT32 = ("assert_close", "allclose", "JAX")


@dataclass(frozen=True)
class Slopes:
    """Central differences of the right value, all of them; and its values at some probes, to know it again by."""

    probes: tuple[tuple[Mapping[str, Array], float], ...]
    by: Mapping[tuple[str, float], Array]  # argument and step -> flat

    def known(self, value: Callable[[Mapping[str, Array]], float]) -> bool:
        """Whether a value is the right one, to the last bit."""
        return all(value(inputs) == right for inputs, right in self.probes)


def slopes(pair: Pair, case: Case, rng: np.random.Generator) -> Slopes:
    """The slopes of scratch's own value, while nothing stands in for it; case in float64."""
    value = value_of(pair, case)
    probes = [case.inputs]
    for _ in range(3):
        moved = {n: case.inputs[n] * rng.uniform(0.5, 1.5, case.inputs[n].shape) for n in case.wrt}
        probes.append({**case.inputs, **moved})
    with np.errstate(all="ignore"):
        by = {
            (n, h): central(value, case.inputs, n, np.arange(case.inputs[n].size), h)
            for n in case.wrt
            for h in STEPS.values()
        }
        return Slopes(tuple((p, value(p)) for p in probes), by)


def objections(
    pair: Pair, case: Case, mine: Outcome, ref: Outcome, rng: np.random.Generator, right: Slopes | None = None
) -> set[str]:
    """The criteria that call mine wrong; case, mine and ref in the working dtype, mine under whatever stands in."""
    asked = mine.quantities()
    theirs = ref.quantities()
    if any(asked[q] is None or np.shape(asked[q]) != np.shape(theirs[q]) for q in theirs):
        return set(NAMES)  # all of them look at shapes
    if any(theirs[q].dtype == np.float32 for q in theirs):
        return {name for name in FLOAT32 for q in theirs if not _close(name, q, np.asarray(asked[q]), theirs[q])}
    found = set()
    value = value_of(pair, case)
    with np.errstate(all="ignore"):
        known = right is not None and right.known(value)
        for name in case.wrt:
            claimed = np.asarray(asked[f"d{name}"]).reshape(-1)
            some = rng.permutation(claimed.size)[:COORDINATES]
            for criterion, h in STEPS.items():
                every = known and criterion == "gradcheck"
                where = np.arange(claimed.size) if every else some
                slope = right.by[name, h][where] if right and known else central(value, case.inputs, name, where, h)
                if not _holds(criterion, claimed[where], slope):
                    found.add(criterion)
    return found


def _holds(criterion: str, claimed: Array, slope: Array) -> bool:
    """Whether a claimed gradient passes one of the criteria that look at numerical slopes."""
    off = np.abs(claimed - slope)
    if criterion == "gradcheck":
        return bool(np.all(off <= 1e-5 + 1e-3 * np.abs(slope)))
    size = np.maximum(np.abs(claimed), np.abs(slope))
    return bool(np.all(np.where(size > 0, off / size, 0.0) <= 1e-4))


def _close(name: str, quantity: str, a: Array, b: Array) -> bool:
    atol, rtol = {"assert_close": (1e-5, 1.3e-6), "allclose": (1e-8, 1e-5), "JAX": (2e-3 * a.size, 2e-3 * b.size)}[name]
    if name == "JAX" and quantity == "value":
        return True  # it compares derivatives
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        return bool(np.all((np.abs(a - b) <= atol + rtol * np.abs(b)) | (a == b)))


def central(
    value: Callable[[Mapping[str, Array]], float], inputs: Mapping[str, Array], name: str, where: Array, h: float
) -> Array:
    """(f(x + h) - f(x - h)) / 2h by the entries of one input at the flat indices where."""
    slopes = np.zeros(len(where))
    for i, at in enumerate(where):
        x = np.array(inputs[name])
        centre = x.flat[at]
        x.flat[at] = centre + h
        above = value({**inputs, name: x})
        x.flat[at] = centre - h
        slopes[i] = (above - value({**inputs, name: x})) / (2 * h)
    return slopes
