"""Hyperparameters of a convention from observed steps: damped least squares, then the simplest decimal.

Derivatives are exact to rounding, by complex steps (Squire and Trapp, 1998): Im f(x + ih) / h with h = 1e-30.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compare import family
from compare.family import Convention

if TYPE_CHECKING:
    from compare.records import Array

SHARES = ("mu", "alpha", "beta1", "beta2")  # in 0 … 1: searched as their logit
POSITIVE = ("eps", "start")  # searched as their logarithm
TINY = 1e-30
LEAST = 1e-14  # relative deviation that is rounding
ITERATIONS, POLISH = 60, 6
FAR = 1e-6  # mean square of deviations above which nothing is near
SLOW = 5  # so many steps in a row that gain less than 5 % from afar: there is no fit this way


@dataclass(frozen=True)
class Seen:
    """One observed run: n entries side by side over T steps.

    grads and path are (T, n), before is the parameter before each step, moved what each step added. scale is what a
    deviation of moved is measured in, infinite where it is not to count; path is in the dtype in which it came.
    """

    names: tuple[str, ...]  # of the group that each entry belongs to
    param: Array
    grads: Array
    lr: Array
    path: Array
    before: Array
    moved: Array
    scale: Array


@dataclass(frozen=True)
class Fit:
    """A convention with its hyperparameters, and how uncertain each is.

    misfit is the root mean square of the relative deviations that is left.
    """

    convention: Convention
    values: Mapping[str, float]
    errors: Mapping[str, float]
    misfit: float

    def rounded(self, room: float) -> dict[str, float]:
        """Each hyperparameter as the decimal with the fewest digits within room times its uncertainty."""
        return {n: simplest(v, room * self.errors[n]) for n, v in self.values.items()}


def seen(names: tuple[str, ...], param: Array, grads: Array, lr: Array, path: Array) -> Seen:
    """An observation, with deviations relative to the size of each move.

    A thousand roundings of the parameter, or a millionth of the learning rate, are as good as no move. What the code
    keeps in float32 began as float32.
    """
    eps = float(np.finfo(path.dtype).eps)
    param, grads = (x.astype(path.dtype).astype(np.float64) for x in (param, grads))
    wide = path.astype(np.float64)
    before = np.concatenate([param[None], wide[:-1]])
    moved = wide - before
    scale = np.abs(moved) + 1e-6 * lr[:, None] + 1e3 * eps * np.maximum(np.abs(wide), np.abs(before))
    return Seen(names, param, grads, lr, path, before, moved, np.where(np.isfinite(scale), scale, np.inf))


def deviations(c: Convention, values: Mapping[str, float], s: Seen) -> Array:
    """Predicted less observed moves (T, n) in units of scale."""
    with np.errstate(all="ignore"):
        predicted = np.stack(np.broadcast_arrays(*family.moves(c, values, list(s.before), list(s.grads), list(s.lr))))
        return _relative(predicted, s)


def _relative(predicted: Array, s: Seen) -> Array:
    gap = (predicted - s.moved) / s.scale
    return np.where(np.isfinite(s.scale), np.where(np.isfinite(gap), gap, 1e3), 0.0)


def fit(c: Convention, s: Seen, start: Mapping[str, float]) -> Fit:
    """The hyperparameters that reproduce the observed moves best: first from afar, then to the last digit."""
    x = np.array([start[n] for n in c.free])
    if c.free:
        x = _approached(c, s, x)
        if _misfit(_linearised(c, s, x, _as_it_is)[0]) < FAR * s.moved.size:
            x = _polished(c, s, x)
    r, J = _linearised(c, s, x, _as_it_is)
    misfit = float(np.sqrt(_misfit(r) / max(1, np.isfinite(s.scale).sum())))
    size = _sizes(J)
    errors = max(misfit, LEAST) * np.sqrt(np.diag(np.linalg.pinv((J / size).T @ (J / size), hermitian=True))) / size
    return Fit(c, dict(zip(c.free, map(float, x), strict=True)), dict(zip(c.free, errors, strict=True)), misfit)


def _approached(c: Convention, s: Seen, start: Array) -> Array:
    """Levenberg and Marquardt's way, shares as logits and positive numbers as logarithms."""
    z = np.array([_to_line(n, v) for n, v in zip(c.free, start, strict=True)])
    r, J = _linearised(c, s, z, _from_line)
    cost, damping, slow = _misfit(r), 1e-3, 0
    for _ in range(ITERATIONS):
        A = J.T @ J
        step = np.linalg.lstsq(A + damping * np.diag(np.where(np.diag(A) > 0, np.diag(A), 1.0)), -J.T @ r)[0]
        tried = np.clip(z + np.clip(step, -3, 3), -80, 40)
        r_tried, J_tried = _linearised(c, s, tried, _from_line)
        now = _misfit(r_tried)
        if now >= cost:
            damping *= 10
            if damping > 1e8:
                break
            continue
        still = bool(np.all(np.abs(tried - z) <= 1e-12 * np.maximum(1.0, np.abs(z))))
        slow = slow + 1 if now > FAR * r.size and now > 0.95 * cost else 0
        z, r, J, cost, damping = tried, r_tried, J_tried, now, max(damping / 10, 1e-15)
        if still or slow == SLOW:
            break
    return np.array([_from_line(n, v) for n, v in zip(c.free, z, strict=True)])


def _polished(c: Convention, s: Seen, x: Array) -> Array:
    """Gauss and Newton's steps in the hyperparameters themselves: an ε too small to matter much is found exactly."""
    most = np.array([1 - 1e-12 if n in SHARES else np.inf for n in c.free])
    least = np.array([0.0 if n in SHARES + POSITIVE else -np.inf for n in c.free])
    r, J = _linearised(c, s, x, _as_it_is)
    for _ in range(POLISH):
        size = _sizes(J)
        tried = np.clip(x + np.linalg.lstsq(J / size, -r)[0] / size, least, most)
        r_tried, J_tried = _linearised(c, s, tried, _as_it_is)
        if _misfit(r_tried) >= _misfit(r):
            break
        x, r, J = tried, r_tried, J_tried
    return x


def _sizes(J: Array) -> Array:
    size = np.linalg.norm(J, axis=0)
    return np.where(size > 0, size, 1.0)


def _misfit(r: Array) -> float:
    return float(r @ r)


def _linearised(c: Convention, s: Seen, z: Array, value: Callable[[str, Array], Array]) -> tuple[Array, Array]:
    """Deviations (m,) at z and their derivatives (m, p), of one run with p + 1 sets of hyperparameters."""
    p = len(z)
    sets = z + np.concatenate([np.zeros((1, p)), TINY * 1j * np.eye(p)])
    with np.errstate(all="ignore"):
        values = {n: value(n, sets[:, k, None]) for k, n in enumerate(c.free)}
        told = family.moves(c, values, list(s.before), list(s.grads), list(s.lr))
        predicted = np.stack([np.broadcast_to(m, (p + 1, len(s.param))) for m in told], axis=1)
        J = (predicted[1:].imag / TINY / s.scale).reshape(p, s.moved.size).T
        return _relative(predicted[0].real, s).ravel(), np.where(np.isfinite(J), J, 0.0)


def _as_it_is(name: str, value: Array) -> Array:
    return value


def _to_line(name: str, value: float) -> float:
    if name in SHARES:
        share = min(max(value, 1e-15), 1 - 1e-15)
        return float(np.log(share / (1 - share)))
    return float(np.log(max(value, 1e-35))) if name in POSITIVE else value


def _from_line(name: str, z: Array) -> Array:
    if name in SHARES:
        return np.asarray(1 / (1 + np.exp(-z)))
    return np.asarray(np.exp(z)) if name in POSITIVE else z


def simplest(value: float, room: float) -> float:
    """The decimal with the fewest digits that is no further than room away; 0 has none."""
    if abs(value) <= room:
        return 0.0
    for digits in range(1, 16):
        decimal = float(f"{value:.{digits}g}")
        if abs(decimal - value) <= room:
            return decimal
    return value
