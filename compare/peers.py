"""What the usual criteria would have said of the same answers: fixed tolerances, taken from each tool as it is.

assert_close   torch.testing.assert_close, float32: |a - b| <= 1e-5 + 1.3e-6 |b|, value and gradients against ref's
allclose       numpy.allclose: |a - b| <= 1e-8 + 1e-5 |b|, float32 likewise
JAX            jax.test_util.check_grads' tolerance for float32, 2e-3, both absolute and relative, and both times
               the array's size, as its check_close has it; gradients against ref's
gradcheck      torch.autograd.gradcheck: float64, central differences with step 1e-6, |a - n| <= 1e-5 + 1e-3 |n|
CS231n         the notes' relative error |a - n| / max(|a|, |n|): float64, central differences with step 1e-5; above
               1e-4 it should make one feel uncomfortable, and counts as caught here
The last two look at most at COORDINATES entries of each gradient, drawn at random, as the notes advise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from compare.kinds import value_of
from compare.records import Case, Outcome, Pair

if TYPE_CHECKING:
    from compare.records import Array

COORDINATES = 60
NAMES = ("assert_close", "allclose", "JAX", "gradcheck", "CS231n")
FLOAT32 = ("assert_close", "allclose", "JAX")


def objections(pair: Pair, case: Case, mine: Outcome, ref: Outcome, rng: np.random.Generator) -> set[str]:
    """The criteria that call mine wrong; case, mine and ref in the working dtype, mine under whatever stands in."""
    asked = mine.quantities()
    theirs = ref.quantities()
    if any(asked[q] is None or np.shape(asked[q]) != np.shape(theirs[q]) for q in theirs):
        return set(NAMES)  # all of them look at shapes
    if next(x for x in case.inputs.values() if x.dtype.kind == "f").dtype == np.float32:
        return {name for name in FLOAT32 for q in theirs if not _close(name, q, np.asarray(asked[q]), theirs[q])}
    found = set()
    value = value_of(pair, case)
    for name in case.wrt:
        x = case.inputs[name]
        where = rng.permutation(x.size)[:COORDINATES]
        claimed = np.asarray(asked[f"d{name}"]).reshape(-1)[where]
        with np.errstate(all="ignore"):
            slope = central(value, case.inputs, name, where, 1e-6)
            if not np.all(np.abs(claimed - slope) <= 1e-5 + 1e-3 * np.abs(slope)):
                found.add("gradcheck")
            slope = central(value, case.inputs, name, where, 1e-5)
            size = np.maximum(np.abs(claimed), np.abs(slope))
            relative = np.where(size > 0, np.abs(claimed - slope) / size, 0.0)
        if not np.all(relative <= 1e-4):
            found.add("CS231n")
    return found


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
