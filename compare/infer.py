"""Which convention an update rule follows: found from what it does to the probe, and judged in noise units.

Two looks at the observed run narrow the family: whether the first step is proportional to the gradient, and whether
weights without a gradient move. Each convention that is left is fitted, its hyperparameters are rounded to the simplest
decimals, and the path that follows is held against the observed one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from compare import family
from compare.family import Convention
from compare.fitting import Fit, Seen, deviations, fit, seen, simplest
from compare.judging import Inferred, exact, furthest, reach, reproduced
from compare.probes import LATE, Probe

if TYPE_CHECKING:
    from compare.records import Array

STARTS = (  # of memories long and short; ε and coupled decay are guessed and then scaled
    {"beta2": 0.99, "alpha": 0.99, "beta1": 0.9, "mu": 0.9, "scale": 1.0},
    {"beta2": 0.9, "alpha": 0.9, "beta1": 0.5, "mu": 0.5, "scale": 1.0},
    {"beta2": 0.999, "alpha": 0.999, "beta1": 0.99, "mu": 0.99, "scale": 1e-2},
    {"beta2": 0.9, "alpha": 0.9, "beta1": 0.9, "mu": 0.9, "scale": 1e-2},
)
FEW = 2  # starts where a part of a run is fitted


def infer(probe: Probe, path: Array) -> Inferred:
    """The convention behind path (T, n), which a rule made of the probe; the closest one where none reproduces it."""
    s = seen(probe.names, probe.param, probe.grads, probe.lr, path)
    linear, adaptive, proportional = candidates(s)
    left = linear if proportional else adaptive
    near = max(1e-5, 1e4 * float(np.finfo(path.dtype).eps))
    imprecise: Inferred | None = None
    for start in STARTS:
        for c in left:
            found = fit(c, s, _start(c, s, start))
            told = reproduced(found, s, coarse=imprecise is None) if found.misfit < near else None
            if told and not told.imprecise:
                return _plainest(told)
            imprecise = imprecise or told
        if imprecise:
            return _plainest(imprecise)
    return closest(linear if proportional else linear + adaptive, s)


def _plainest(told: Inferred) -> Inferred:
    """The same without what turned out to do nothing: no decay, no memory, an accumulator from 0."""
    c, x = told.convention, dict(told.values)
    nothing = {n for n in ("decay", "start", "lr_decay") if x.get(n) == 0}
    if x.get("first") == x.get("gain") == 1:
        nothing |= {"first", "gain"}
    if x.get("mu") == 0 and (c.buffer or (c.rule == "momentum" and not {"first", "gain"} & set(c.free) - nothing)):
        nothing.add("mu")
        c = replace(c, buffer=False, rate="outside", rule="sgd" if c.rule == "momentum" else c.rule)
    c = replace(c, free=tuple(n for n in c.free if n not in nothing), decay="" if "decay" in nothing else c.decay)
    return replace(told, convention=c, values={n: v for n, v in x.items() if n not in nothing})


def candidates(s: Seen) -> tuple[list[Convention], list[Convention], bool]:
    """Linear rules and others, each the plainest first; and whether the first step is proportional to the gradient.

    Without decay where weights stand still without a gradient; upside down for a rule that climbs.
    """
    sizes, still = (np.array([n == name for n in s.names]) for name in ("sizes", "no gradient"))
    eps = float(np.finfo(s.path.dtype).eps)
    with np.errstate(all="ignore"):
        slope = s.moved[0, sizes] / s.grads[0, sizes]
        stands = bool(np.all(np.abs(s.moved[:, still]) <= 8 * eps * np.abs(s.before[:, still])))
        proportional = bool(np.ptp(slope) <= max(1e-5, 1e2 * eps) * np.max(np.abs(slope)))
        climbs = bool(np.nanmax(slope) > 0)
    linear, adaptive = (
        [
            replace(c, free=(*c.free, "decay") if decay else c.free, decay=decay, climbs=climbs)
            for decay in (("",) if stands else _decays(s, still, kind is family.linear))
            for c in kind()
        ]
        for kind in (family.linear, family.adaptive)
    )
    return linear, adaptive, proportional


def _decays(s: Seen, still: Array, linear: bool) -> tuple[str, ...]:
    """Which decay moves weights that have no gradient.

    Where a rule divides by the size of gradients, coupled decay alone does not shrink all of them by one factor.
    """
    with np.errstate(all="ignore"):
        shrunk = s.moved[0, still] / s.param[still]
        one_factor = bool(np.ptp(shrunk) <= 1e-3 * np.max(np.abs(shrunk)))
    if not np.isfinite(shrunk).all():  # 0 / 0 tells nothing
        return ("", *family.DECAYS)
    coupled, *others = family.DECAYS
    return family.DECAYS if linear else (*others, coupled) if one_factor else (coupled,)


def _start(c: Convention, s: Seen, start: Mapping[str, float]) -> dict[str, float]:
    """Where a fit begins.

    Decoupled decay as the largest weight without a gradient shows it; ε from the gradient at which the first step
    reaches half of its limit.
    """
    guess = {"first": 1.0, "gain": 1.0, "start": 0.1, "lr_decay": 0.01, "eps": 1e-8, **start}
    if "decay" in c.free:
        largest = int(np.argmax(np.abs(s.param) * np.array([n == "no gradient" for n in s.names])))
        shrunk = abs(float(s.moved[0, largest] / s.param[largest])) / (1.0 if c.decay == "unscaled" else s.lr[0])
        seen_so = c.decay != "coupled" and np.isfinite(shrunk)
        guess["decay"] = min(shrunk, 0.5) if seen_so else 0.01 * start["scale"]
    if "eps" in c.free:
        sizes = np.array([n == "sizes" for n in s.names])
        gradient, moved = np.abs(s.grads[0, sizes]), np.abs(s.moved[0, sizes]) / s.lr[0]
        limit = float(np.nanmax(moved))
        half = float(gradient[np.nanargmin(np.abs(moved - limit / 2))]) if np.isfinite(limit) else 1e-8
        corrected = c.rule == "adam" and "v" in c.corrected and "before" not in c.eps
        eps = half if corrected else half / max(limit, 1e-3)
        guess["eps"] = start["scale"] * (3 * eps * eps if "inside" in c.eps else eps)
    return guess


def closest(known: list[Convention], s: Seen) -> Inferred:
    """The convention that goes furthest where none goes all the way.

    What a fault leaves behind spoils every fit of the whole run; so the fits are of parts that it may have spared: the
    first steps; the first one and the entries that begin late; the small gradients.
    """
    steps, entries = np.indices(s.moved.shape)
    late = ~np.any(s.grads[:LATE], axis=0) & np.any(s.grads, axis=0)
    small = np.abs(s.grads).max(axis=0) < 0.3
    best: tuple[tuple[int, float], Fit] | None = None
    for part in (steps < LATE, (steps == 0) | late[entries], small[entries]):
        for found in _fits(known, replace(s, scale=np.where(part, s.scale, np.inf)), s):
            far = reach(found.convention, found.values, s)
            if best is None or far > best[0]:
                best = far, found
    if best is None:
        raise ValueError("no convention to choose from")
    whole = fit(best[1].convention, s, best[1].values)  # a part may have shown the way to all of it
    told = reproduced(whole, s) or furthest(best[1], s)
    return replace(told, guess=_guess(told, s))


def _fits(known: list[Convention], part: Seen, s: Seen) -> Iterator[Fit]:
    """Fits of a part, up to the first that is exact."""
    for start in STARTS[:FEW]:
        for c in known:
            found = fit(c, part, _start(c, s, start))
            yield found
            if found.misfit < exact(s) / 10:
                return


def _guess(told: Inferred, s: Seen) -> str:
    """What would explain where a run parts from its closest convention, if something simple does."""
    if told.parts is None or told.parts.step is None:
        return ""
    at, c, values = told.parts.step - 1, told.convention, told.values
    off = max(1e-6, 1e4 * float(np.finfo(s.path.dtype).eps))

    def explains(first: int, lr: Array) -> bool:
        rest = replace(
            s, grads=s.grads[first:], lr=lr, before=s.before[first:], moved=s.moved[first:], scale=s.scale[first:]
        )
        return bool(np.all(np.abs(deviations(c, values, rest)[: 1 + (first == 0) * len(lr)]) <= off))

    if at and explains(at, s.lr[at:]):
        return f"step {at + 1} is as if the state were new"
    if at and explains(0, np.concatenate([s.lr[:1], s.lr[:-1]])):
        return "every change of the learning rate comes a step late"
    limit = float(np.nanmax(np.abs(s.moved[0]))) / s.lr[0] / (values.get("first") or 1.0)  # of a linear rule
    clipped = replace(s, grads=np.clip(s.grads, -limit, limit))
    if limit and np.all(np.abs(deviations(c, values, clipped)) <= off):
        return f"every gradient is clipped to ±{simplest(limit, 1e-9 * limit):g}"
    return ""
