"""Arrays and their noise -> Difference -> Verdict. No torch, no files, no opinion on why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compare.records import Difference, Noise, Verdict

if TYPE_CHECKING:
    from compare.records import Array

# A correct implementation stays below this many noise units, an error of 10 units is always above it.
# `gradtwin selftest --calibrate` measures how far below: see docs/agreement.md.
BOUND = 5.0


def form_fault(scratch: object, ref: Array) -> str:
    """What is wrong before any number is looked at: no array, another shape, another dtype. Empty if nothing."""
    if scratch is None:
        return "missing: scratch returned no such gradient"
    try:
        array = np.asarray(scratch)
    except ValueError:
        return "not an array of numbers"
    if array.shape != ref.shape:
        return f"shape {array.shape} where ref has {ref.shape}"
    if array.dtype != ref.dtype:
        return f"dtype {array.dtype} where ref has {ref.dtype}"
    return ""


def difference(
    quantity: str, scratch: Array, truth: Array, noise: Noise, residual: Array | None = None, kinks: int = 0
) -> Difference:
    """Measure scratch against the truth in noise units, for the tensor and for its worst entry.

    residual, when given, is scratch - truth less what kinks within rounding explain (their count in kinks).
    """
    scratch, truth = np.asarray(scratch, np.float64), np.asarray(truth, np.float64)
    finite = np.isfinite(scratch) & np.isfinite(truth)
    one_sided = np.flatnonzero((~finite & ~_same_infinity(scratch, truth)).reshape(-1))
    if one_sided.size:
        worst = int(one_sided[0])
        fault = f"{scratch.flat[worst]} where ref has {truth.flat[worst]:.6g} ({one_sided.size} such entries)"
        return Difference(
            quantity, float("inf"), float("inf"), float("inf"), _index(worst, truth), float(scratch.flat[worst]),
            float(truth.flat[worst]), 0.0, kinks, fault,
        )  # fmt: skip
    if not finite.any():
        return Difference(quantity, 0.0, 0.0, 0.0, None, None, None, None, kinks, "no finite entry to judge")
    with np.errstate(invalid="ignore"):  # the same infinity on both sides
        gap = np.where(finite, scratch - truth if residual is None else residual, 0.0)
    with np.errstate(over="ignore"):  # an entry that is exactly 0 has hardly any noise: infinitely many units
        units = np.abs(gap) / noise.entry
    worst = int(units.argmax())
    tensor_units, entry_units = float(np.linalg.norm(gap)) / noise.tensor, float(units.flat[worst])
    return Difference(
        quantity=quantity,
        noise_units=max(tensor_units, entry_units),
        tensor_units=tensor_units,
        entry_units=entry_units,
        entry=_index(worst, truth),
        scratch=float(scratch.flat[worst]),
        ref=float(truth.flat[worst]),
        allowed=BOUND * float(noise.entry.flat[worst]),
        kinks=kinks,
    )


def judge(found: Difference) -> Verdict:
    """Agree or differ by the bound; whether a difference is mere imprecision needs another question."""
    if found.fault:
        return Verdict.INCONCLUSIVE if found.entry is None and found.noise_units == 0 else Verdict.DIFFER
    return Verdict.AGREE if found.noise_units <= BOUND else Verdict.DIFFER


def scales_like_rounding(error32: Array, error64: Array) -> bool:
    """Whether the error shrinks with the precision, as rounding does and a bug does not.

    From float32 to float64 rounding shrinks by 2^-29; three orders of magnitude are left for chance.
    """
    coarse, fine = float(np.linalg.norm(error32)), float(np.linalg.norm(error64))
    return bool(np.isfinite(coarse) and fine <= 1e3 * 2.0**-29 * coarse)


def unstable(error32: Array, error64: Array) -> bool:
    """Whether the error shrinks as rounding does, and no further: an answer that was merely remembered is not off."""
    coarse, fine = float(np.linalg.norm(error32)), float(np.linalg.norm(error64))
    return scales_like_rounding(error32, error64) and fine >= 1e-3 * 2.0**-29 * coarse


def worst_case(longest_sum: int) -> float:
    """How many noise units the worst-case bound allows: γ_n Σ|terms| with γ_n = n u / (1 - n u).

    The noise is about u times the root of Σ terms², which is at least u Σ|terms| / √n: hence n √n.
    """
    return float(longest_sum**1.5)


def _same_infinity(a: Array, b: Array) -> Array:
    both: Array = (np.isnan(a) & np.isnan(b)) | (np.isinf(a) & (a == b))
    return both


def _index(flat: int, like: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, like.shape))
