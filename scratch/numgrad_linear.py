"""Every coordinate of a linear model's numerical gradient, fast: moving W[d, c] by h moves only score column c.

The loss is evaluated anew at both moved points of every coordinate, for all d and c at once, and the difference is
divided by the step. Nothing here knows a derivative, so nothing here can share a mistake with one.
"""

from collections.abc import Callable

import numpy as np

from scratch.arrays import Array, Params

EPS = float(np.finfo(np.float64).eps)
REACH = 1e-5  # the furthest that one step moves any score: truncation and rounding meet near here
ROWS, COLUMNS = 64, 512  # examples and features at a time: a block, 256 kB, stays near the core
BLOCK = 128  # features moved together, under the hinge
ELEMENTS: dict[str, Callable[[Array], Array]] = {
    "l2": np.square,
    "l1": np.abs,
    "elastic_net": lambda w: 0.5 * np.square(w) + np.abs(w),
}

Numerical = dict[str, tuple[Array, Array]]  # by parameter: (gradient, error of each entry)


def linear_gradient(
    loss: str,
    params: Params,
    X: Array,
    y: Array,
    reg: float = 0.0,
    penalty: str = "l2",
    decay_bias: bool = False,
) -> Numerical:
    """Central differences of a linear objective by every entry of W (D, C) and b (C,), each with its error.

    loss is "softmax" or "hinge"; X (N, D), y (N,) and the options as for scratch.linear's objectives; float64.
    The bias is a feature that is always 1. The error bounds truncation and rounding; exactly at a kink it reaches
    both one-sided slopes. Raises KeyError for an unknown loss or penalty.
    """
    W, b = (np.asarray(params[name], np.float64) for name in ("W", "b"))
    features = np.hstack([np.asarray(X, np.float64), np.ones((len(y), 1))])  # (N, D + 1)
    scores = features[:, :-1] @ W + b
    largest = np.abs(features).max(axis=0)
    h = np.divide(REACH, largest, out=np.zeros_like(largest), where=largest > 0)
    slope, error = {"softmax": _softmax, "hinge": _hinge}[loss](features, h, scores, y)
    found = {}
    for name, param, data, doubt in (("W", W, slope[:-1], error[:-1]), ("b", b, slope[-1], error[-1])):
        decays = reg != 0 and (name == "W" or decay_bias)
        extra, extra_error = _penalty(param, reg, penalty) if decays else (0.0, 0.0)
        found[name] = (data + extra, doubt + extra_error)
    return found


def _softmax(features: Array, h: Array, scores: Array, y: Array) -> tuple[Array, Array]:
    """Moving score c by t multiplies Σ_j exp(s_j) by 1 + p_c (exp(t) - 1): f is the log of that, less t if c = y.

    exp(h x) - 1 serves all classes, and the factors of all examples are multiplied, so that each moved weight costs
    one logarithm. They stay near 1: N would have to pass 10⁷ for their product to overflow.
    Third derivatives of log-sum-exp stay below 1 / (6 √3), which bounds the truncation.
    """
    N, C = scores.shape
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = exp / exp.sum(axis=1, keepdims=True)
    slope, work = np.empty((len(h), C)), np.empty((ROWS, COLUMNS))
    for d in range(0, len(h), COLUMNS):
        t = h[d : d + COLUMNS]
        above, below = np.ones((C, len(t))), np.ones((C, len(t)))
        for n in range(0, N, ROWS):
            up = np.expm1(t * features[n : n + ROWS, d : d + COLUMNS])
            down = -up / (1 + up)  # exp(-t) - 1
            factors = work[: len(up), : len(t)]
            for c in range(C):
                for moved, product in ((up, above), (down, below)):
                    np.multiply(moved, p[n : n + ROWS, c : c + 1], out=factors)
                    factors += 1
                    product[c] *= np.multiply.reduce(factors, axis=0)
        slope[d : d + COLUMNS] = np.log(above / below).T
    width = np.where(h > 0, h, 1.0)
    slope = slope / (2 * width[:, None]) - features.T @ np.eye(C)[y]
    squares = np.einsum("nd,nd->d", features, features)  # Σ |x|³ is at most REACH / h times this
    truncation = REACH * h / (36 * np.sqrt(3)) * squares
    rounding = EPS * (np.where(h > 0, 16 * np.sqrt(N) / width, 0.0) + np.sqrt(N * squares))
    return slope / N, np.repeat((truncation + rounding)[:, None] / N, C, axis=1)


def _hinge(features: Array, h: Array, scores: Array, y: Array, again: bool = True) -> tuple[Array, Array]:
    """Moving score c by t moves the margin of c by t, and all margins of the examples whose class is c by -t.

    The loss is piecewise linear: without a crossing the difference is exact up to rounding. A kink at a distance m
    within the step t moves it by |t| - |m|, which joins the error: at m = 0 that is half of what the term may do, and
    every value between the one-sided slopes lies within. Then a step a thousand times smaller is tried once.
    """
    N, C = scores.shape
    rows = np.arange(N)
    margins = scores - scores[rows, y][:, None] + 1
    slope, error = np.zeros((len(h), C)), np.zeros((len(h), C))
    for c in range(C):
        own, other = np.flatnonzero(y == c), np.flatnonzero(y != c)
        rivals = np.delete(margins[own], c, axis=1)  # (own, C - 1): the terms that the true class pulls down
        m = np.concatenate([margins[other, c], rivals.reshape(-1)])
        example = np.concatenate([other, np.repeat(own, C - 1)])
        sign = np.where(y[example] == c, -1.0, 1.0)
        close = np.abs(m) <= REACH
        m, sign = m[:, None], sign[:, None]
        for d in range(0, len(h), BLOCK):
            t = features[example, d : d + BLOCK] * sign * h[d : d + BLOCK]
            change = np.maximum(m + t, 0) - np.maximum(m - t, 0)
            slope[d : d + BLOCK, c] = change.sum(axis=0)
            error[d : d + BLOCK, c] = np.maximum(np.abs(t[close]) - np.abs(m[close]), 0).sum(axis=0)
    crossings = error.any(axis=1)
    width = np.where(h > 0, 2 * h, 1.0)[:, None]
    slope = slope / width / N
    error = (error + 16 * EPS * np.sqrt((margins**2).sum()) * (h[:, None] > 0)) / width / N
    if again and crossings.any():
        finer, doubt = _hinge(features[:, crossings], h[crossings] / 1000, scores, y, again=False)
        better = doubt < error[crossings]
        slope[crossings] = np.where(better, finer, slope[crossings])
        error[crossings] = np.where(better, doubt, error[crossings])
    return slope, error


def _penalty(param: Array, reg: float, penalty: str) -> tuple[Array, Array]:
    """Each weight has a term of its own, so all are moved at once."""
    term = ELEMENTS[penalty]
    size = np.maximum(np.abs(param), float(np.sqrt(np.mean(param**2))) or 1.0)
    h = REACH * size
    above, below = term(param + h), term(param - h)
    width = (param + h) - (param - h)
    kink = np.where((np.abs(param) < h) & (penalty != "l2"), 1.0, 0.0)
    rounding = EPS * (np.abs(above) + np.abs(below)) / width
    return reg * (above - below) / width, np.abs(reg) * (kink + 4 * rounding)
