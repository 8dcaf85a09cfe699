"""Whether rounding explains a difference: the same code asked in the other precision, where rounding shrinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compare.differ import scales_like_rounding, worst_case
from compare.kinds import ask_ref, ask_scratch, cast, decoy
from compare.kinks import widened
from compare.records import Case, Cause, Difference, Pair

if TYPE_CHECKING:
    from compare.records import Array

UNSTABLE = Cause(
    "numerically unstable: it shrinks with the precision, and no order of summation makes it as large", 0.0
)


def rounding_explains(pair: Pair, case: Case, found: Difference) -> bool:
    """Whether an answer is imprecise and not wrong: what it is off by is rounding, and no more than sums may do."""
    errors = in_both(pair, case, found.quantity)
    return errors is not None and within_any_order(case, found) and scales_like_rounding(*errors)


def within_any_order(case: Case, found: Difference) -> bool:
    """Whether the noise units stay below the worst that an order of the longest sum could make."""
    longest = max(x.size if found.quantity == "value" else max(x.shape, default=1) for x in case.inputs.values())
    return found.noise_units <= worst_case(longest)


def in_both(pair: Pair, case: Case, quantity: str) -> tuple[Array, Array] | None:
    """The errors of one quantity in float32 and in float64, or None where the code raises in one of them.

    Rounding shrinks from one to the other, a bug stays. Another question comes before each, as in check.
    """
    errors = []
    for dtype in ("float32", "float64"):
        asked = cast(case, dtype)
        try:
            with np.errstate(all="ignore"):
                _, mine = ask_scratch(pair, decoy(asked)), ask_scratch(pair, asked).quantities()[quantity]
        except Exception:  # the code under test may know one precision only
            return None
        errors.append(np.asarray(mine, np.float64) - ask_ref(pair, widened(asked)).quantities()[quantity])
    return errors[0], errors[1]
