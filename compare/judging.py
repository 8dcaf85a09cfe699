"""A convention held against an observed run, in noise units: what rounding does to the convention itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare import family
from compare.differ import BOUND, difference
from compare.family import Convention
from compare.fitting import Fit, Seen, deviations
from compare.noise import Jitter, K, moved, noise_of
from compare.probes import GROUPS
from compare.records import Case, Noise

if TYPE_CHECKING:
    from compare.records import Array

ROOMS = (300.0, 30.0, 3.0, 0.0)  # uncertainties within which a simpler decimal is tried, the simplest first


@dataclass(frozen=True)
class Judged:
    """One group of entries against a convention; where it parts, the first step (from 1) and its worst entry."""

    group: str
    noise_units: float
    step: int | None = None
    entry: int | None = None
    mine: float | None = None
    told: float | None = None
    allowed: float | None = None


@dataclass(frozen=True)
class Inferred:
    """The convention that reproduces a run, or with found False the closest one; judged has a row for each group."""

    convention: Convention
    values: Mapping[str, float]
    judged: tuple[Judged, ...]
    found: bool
    imprecise: bool = False  # found, but within the roundings of float32 only
    share: float = 1.0  # of the moves that are reproduced
    guess: str = ""  # what would explain where it parts

    @property
    def parts(self) -> Judged | None:
        """Where it parts first."""
        parting = [j for j in self.judged if j.step is not None]
        return min(parting, key=lambda j: j.step or 0) if parting else None


def reproduced(found: Fit, s: Seen, coarse: bool = True) -> Inferred | None:
    """A fit with the simplest hyperparameters with which it reproduces the run; None if none do.

    With coarse, within the roundings of float32 will do: then something inside is kept in float32.
    """
    c = found.convention
    for values in _decimals(found):
        if np.sqrt(np.mean(np.square(deviations(c, values, s)))) <= 10 * max(found.misfit, 1e-12):
            told = Inferred(c, values, judge(c, values, s), found=True)
            if told.parts is None:
                return told
    if coarse and s.path.dtype == np.float64:
        values = found.rounded(ROOMS[0])
        told = Inferred(c, values, judge(c, values, s, np.dtype(np.float32)), found=True, imprecise=True)
        return told if told.parts is None else None
    return None


def furthest(found: Fit, s: Seen) -> Inferred:
    """A fit that does not reproduce the run, with the simplest hyperparameters that go as far as any."""
    c = found.convention
    ways = [(reach(c, values, s), values) for values in _decimals(found)]
    (_, share), values = max(ways, key=lambda way: way[0])
    return Inferred(c, values, judge(c, values, s), False, share=share)


def reach(c: Convention, values: Mapping[str, float], s: Seen) -> tuple[int, float]:
    """How many steps are reproduced before the first that is not, and which share of all moves that are not 0."""
    same = np.abs(deviations(c, values, s)) <= exact(s)
    first = len(same) if same.all() else int(np.argmin(same.all(axis=1)))
    return first, float(same[s.moved != 0].mean())


def exact(s: Seen) -> float:
    """A relative deviation that may be rounding."""
    return max(1e-9, 1e2 * float(np.finfo(s.path.dtype).eps))


def _decimals(found: Fit) -> Iterable[dict[str, float]]:
    tried: list[dict[str, float]] = []
    for room in ROOMS:
        values = found.rounded(room)
        if values not in tried:
            tried.append(values)
    return tried


def judge(
    c: Convention, values: Mapping[str, float], s: Seen, dtype: np.dtype[Any] | None = None
) -> tuple[Judged, ...]:
    """A run against a convention, group by group, in units of what rounding does to the convention itself.

    The hyperparameters are moved by an ulp with everything else: 1 - 0.999 is not 0.001 in every program.
    """
    dtype = dtype or s.path.dtype
    run, hyper = {"param": s.param, "grads": s.grads, "lr": s.lr}, {n: np.asarray(v) for n, v in values.items()}
    told = _path(c, run | hyper)
    case = Case("", {n: x.astype(dtype) for n, x in run.items()} | hyper, ())
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(K):
        with Jitter(rng):
            answers.append(_path(c, moved(case, rng).inputs))
    rows = []
    for group in GROUPS:
        own = np.flatnonzero([n == group for n in s.names])
        with np.errstate(all="ignore"):
            errors = [np.nan_to_num(a[:, own] - told[:, own], posinf=0.0, neginf=0.0) for a in answers]
            noise = noise_of(errors, np.nan_to_num(told[:, own], posinf=0.0, neginf=0.0), dtype)
            rows.append(_judged(group, s.path[:, own].astype(np.float64), told[:, own], noise, own))
    return tuple(rows)


def _judged(group: str, mine: Array, told: Array, noise: Noise, own: Array) -> Judged:
    found = difference("path", mine, told, noise)
    if found.noise_units <= BOUND:
        return Judged(group, found.noise_units)
    same = (mine == told) | (np.isnan(mine) & np.isnan(told))
    units = np.where(same, 0.0, np.abs(mine - told) / noise.entry)
    units[np.isnan(units)] = np.inf
    parting = np.flatnonzero(units.max(axis=1) > BOUND)
    t = int(parting[0]) if parting.size else int(units.max(axis=1).argmax())
    k = int(units[t].argmax())
    allowed = BOUND * float(noise.entry[t, k])
    return Judged(group, found.noise_units, t + 1, int(own[k]), float(mine[t, k]), float(told[t, k]), allowed)


def _path(c: Convention, inputs: Mapping[str, Any]) -> Array:
    """The convention's path in torch, whose every operation Jitter can move."""
    t = {n: torch.as_tensor(x) for n, x in inputs.items()}
    told: Array = torch.stack(family.path(c, t, t["param"], list(t["grads"]), list(t["lr"]))).numpy().astype(float)
    return told
