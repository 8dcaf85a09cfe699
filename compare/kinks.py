"""Kinks within rounding: where float32 may land on the other side of max(0, ·), and nobody is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare.bridge import to_array, to_tensor
from compare.noise import Jitter, K, moved
from compare.records import Case, Outcome

if TYPE_CHECKING:
    from compare.records import Array

REACH = 8.0  # a kink closer than this many of its own rounding errors may be crossed
MOST = 64  # more kinks than this within rounding: the case judges nothing


@dataclass(frozen=True)
class Flip:
    """What crossing one kink does to each quantity of the truth."""

    kink: int
    distance: float
    change: dict[str, Array]


def near(kinks: Callable[..., Any] | None, case: Case, rng: np.random.Generator) -> tuple[Array, Array]:
    """Distances (float64, flat) to the kinks, and the reach within which rounding may cross each."""
    if kinks is None or case.exact:
        return np.empty(0), np.empty(0)
    exact = _distances(kinks, widened(case))
    errors = []
    for _ in range(K):
        with Jitter(rng):
            errors.append(_distances(kinks, moved(case, rng)) - exact)
    rms = np.sqrt(np.mean(np.square(errors), axis=0))
    return exact, REACH * np.sqrt(rms**2 + np.mean(rms**2))


def widened(case: Case) -> Case:
    """The same numbers in float64: what the truth is evaluated on."""
    inputs = {n: x.astype(np.float64) if x.dtype.kind == "f" else x for n, x in case.inputs.items()}
    return Case(case.name, inputs, case.wrt, case.options, case.exact)


def _distances(kinks: Callable[..., Any], case: Case) -> Array:
    tensors = {name: to_tensor(x) for name, x in case.inputs.items()}
    return to_array(kinks(**tensors)).astype(np.float64).reshape(-1)


def flips(
    kinks: Callable[..., Any] | None,
    case: Case,
    ask: Callable[[Case], Outcome],
    truth: Outcome,
    rng: np.random.Generator,
) -> list[Flip]:
    """For every kink within rounding, how the truth changes on its other side.

    The inputs are moved by the least that carries them across: along the gradient of the distance, by a few ulp.
    """
    distances, reach = near(kinks, case, rng)
    within = np.flatnonzero(np.abs(distances) < reach)
    if kinks is None or len(within) > MOST:
        return [Flip(int(k), float(distances[k]), {}) for k in within]
    wide = widened(case)
    base = truth.quantities()
    found = []
    for k in within:
        tensors = {n: to_tensor(x).requires_grad_(x.dtype.kind == "f") for n, x in wide.inputs.items()}
        floats = {n: t for n, t in tensors.items() if t.requires_grad}
        slopes = torch.autograd.grad(kinks(**tensors).reshape(-1)[int(k)], list(floats.values()), allow_unused=True)
        across = {n: to_array(s) for n, s in zip(floats, slopes, strict=True) if s is not None}
        length = sum(float(np.sum(s * s)) for s in across.values())
        if length == 0:
            continue
        target = -np.copysign(reach[k], distances[k] or -1.0)
        step = (target - distances[k]) / length
        inputs = {n: x + step * across[n] if n in across else x for n, x in wide.inputs.items()}
        other = ask(Case(case.name, inputs, case.wrt, case.options)).quantities()
        change = {q: np.asarray(other[q] - base[q]) for q in base}
        found.append(Flip(int(k), float(distances[k]), change))
    return found


def explain(residual: Array, found: Sequence[Flip], quantity: str) -> tuple[Array, int]:
    """Residual less the flips that it holds: each is taken whole or not at all, when that makes it smaller."""
    taken = 0
    for flip in found:
        change = flip.change.get(quantity)
        if change is None or not np.any(change):
            continue
        share = float(np.vdot(change, residual) / np.vdot(change, change))
        if share > 0.5:
            residual = residual - change
            taken += 1
    return residual, taken
