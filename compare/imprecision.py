"""Whether rounding explains a difference: the same code asked in the other precision, where rounding shrinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compare.differ import scales_like_rounding, worst_case
from compare.kinds import ask_ref, ask_scratch, cast
from compare.kinks import widened
from compare.records import Case, Cause, Difference, Pair

if TYPE_CHECKING:
    from compare.records import Array

UNSTABLE = Cause(
    "numerically unstable: it shrinks with the precision, and no order of summation makes it as large", 0.0
)


def rounding_explains(pair: Pair, case: Case, found: Difference) -> bool:
    """Whether an answer is imprecise and not wrong: what it is off by is rounding, and no more than sums may do."""
    return within_any_order(case, found) and shrinks(pair, case, found)


def within_any_order(case: Case, found: Difference) -> bool:
    """Whether the noise units stay below the worst that an order of the longest sum could make."""
    longest = max(x.size if found.quantity == "value" else max(x.shape, default=1) for x in case.inputs.values())
    return found.noise_units <= worst_case(longest)


def shrinks(pair: Pair, case: Case, found: Difference) -> bool:
    """Ask the same in both precisions: rounding shrinks from one to the other, a bug stays, also one that raises."""
    errors: dict[str, Array] = {}
    for dtype in ("float32", "float64"):
        asked = cast(case, dtype)
        try:
            with np.errstate(all="ignore"):
                mine = ask_scratch(pair, asked).quantities()[found.quantity]
        except Exception:  # the code under test may know one precision only
            return False
        errors[dtype] = np.asarray(mine, np.float64) - ask_ref(pair, widened(asked)).quantities()[found.quantity]
    return scales_like_rounding(errors["float32"], errors["float64"])
