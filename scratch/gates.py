"""The gates of the computational graph on plain values: each returns its value and its local gradients.

gate(a, b) -> (value, da, db): da(g) and db(g) give what flows back to a and b when the upstream gradient of
the value is g. They hold what they need from the forward pass and never form a Jacobian. A value is a Python
float or an array; where shapes broadcast, scratch.graph sums the gradient back. At a tie or a kink every gate
does what PyTorch does, and says so. Source: CS231n notes, "Backpropagation, intuitions".
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Value = Any  # a Python float, or a floating-point array
Local = Callable[[Value], Value]
Unary = tuple[Value, Local]
Binary = tuple[Value, Local, Local]


def _same(g: Value) -> Value:
    return g


def _minus(g: Value) -> Value:
    return -g


def add(a: Value, b: Value) -> Binary:
    """Add distributes: a + b, and both inputs receive the upstream gradient."""
    return a + b, _same, _same


def sub(a: Value, b: Value) -> Binary:
    """Subtract: a - b; a receives the upstream gradient, b its negative."""
    return a - b, _same, _minus


def mul(a: Value, b: Value) -> Binary:
    """Mul swaps: a · b, entry by entry, and each input receives upstream × the other input."""
    return a * b, lambda g: g * b, lambda g: g * a


def div(a: Value, b: Value) -> Binary:
    """Divide: a / b; the numerator receives g / b, the denominator -g a / b²."""
    q = a / b
    return q, lambda g: g / b, lambda g: -g * q / b


def neg(a: Value) -> Unary:
    """Negate: the gradient changes its sign as well."""
    return -a, _minus


def pow(a: Value, b: Value) -> Binary:
    """Raise a to the power b. The base receives g b a^(b-1): 0 where b = 0, infinite at a = 0 < b < 1.

    The exponent receives g a^b log a: 0 where a = 0, NaN where a < 0 (no power near b is real).
    """
    p = a**b
    if type(p) is complex:
        raise ValueError("a negative base has no real power with this exponent")
    return p, lambda g: g * _slope(a, b), lambda g: g * p * _log_base(a)


def _slope(a: Value, b: Value) -> Value:
    if type(b) is not float:
        return np.where(b == 0, 0, b * a ** (b - 1))
    if b == 0:
        return 0.0 * a
    if type(a) is not float:
        return b * a ** (b - 1)
    try:
        return b * a ** (b - 1)
    except ArithmeticError:  # Python refuses what IEEE arithmetic calls infinite
        with np.errstate(all="ignore"):
            return b * float(np.float64(a) ** (b - 1))


def _log_base(a: Value) -> Value:
    if type(a) is float:
        return math.log(a) if a > 0 else 0.0 if a == 0 else math.nan
    return np.log(np.where(a == 0, 1, a))


def exp(a: Value) -> Unary:
    """Exponential: e^a; the gradient is multiplied by the value itself."""
    e = math.exp(a) if type(a) is float else np.exp(a)
    return e, lambda g: g * e


def log(a: Value) -> Unary:
    """Natural logarithm, a > 0; the gradient is g / a."""
    return math.log(a) if type(a) is float else np.log(a), lambda g: g / a


def sqrt(a: Value) -> Unary:
    """Square root, a >= 0; the gradient is g / 2√a, infinite at 0."""
    if type(a) is float:
        s = math.sqrt(a)
        return s, lambda g: g / (2 * s) if s else g * math.inf
    r = np.sqrt(a)
    return r, lambda g: g / (2 * r)


def abs(a: Value) -> Unary:
    """Absolute value: the gradient takes the sign of a; at the kink a = 0 it is 0."""
    if type(a) is float:
        return math.fabs(a), lambda g: g * ((a > 0) - (a < 0))
    return np.abs(a), lambda g: g * np.sign(a)


def relu(a: Value) -> Unary:
    """Rectify: max(0, a); the gradient passes where a > 0; at the kink a = 0 it is 0."""
    if type(a) is float:
        return 0.0 if a <= 0 else a, lambda g: g if a > 0 else 0.0
    return np.maximum(a, 0), lambda g: _through(g, a > 0)


def _through(g: Value, passes: Value) -> Value:
    """Let g through where passes is true; elsewhere nothing, even of an infinite g."""
    d = g * passes  # several times faster than a selection
    return d if np.isfinite(d).all() else np.where(passes, g, 0)


def sigmoid(a: Value) -> Unary:
    """Squash: σ(a) = 1 / (1 + e^-a), for any a; the gradient is multiplied by (1 - σ) σ."""
    if type(a) is float:
        e = math.exp(-math.fabs(a))
        s = 1 / (1 + e) if a >= 0 else e / (1 + e)
    else:
        with np.errstate(over="ignore"):  # e^-a may be infinite: σ is 0 then
            s = 1 / (1 + np.exp(-a))
    return s, lambda g: (1 - s) * s * g


def tanh(a: Value) -> Unary:
    """Hyperbolic tangent; the gradient is multiplied by 1 - tanh²."""
    t = math.tanh(a) if type(a) is float else np.tanh(a)
    return t, lambda g: g * (1 - t * t)


def max(a: Value, b: Value) -> Binary:
    """Max routes: the larger of a and b receives the whole gradient; at a tie each gets half."""
    largest = (a if a > b else b) if type(a) is type(b) is float else np.maximum(a, b)
    return largest, lambda g: _routed(g, a, b), lambda g: _routed(g, b, a)


def min(a: Value, b: Value) -> Binary:
    """Min routes: the smaller of a and b receives the whole gradient; at a tie each gets half."""
    smallest = (a if a < b else b) if type(a) is type(b) is float else np.minimum(a, b)
    return smallest, lambda g: _routed(g, b, a), lambda g: _routed(g, a, b)


def _routed(g: Value, a: Value, b: Value) -> Value:
    """Pass g where a > b, half of it where a = b, nothing where a < b."""
    if type(a) is type(b) is float:
        return g if a > b else g / 2 if a == b else 0.0
    return np.where(a > b, g, np.where(a == b, g / 2, 0))


def sum(a: Value, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Unary:
    """Sum over axis (None: over all); every entry receives its sum's upstream gradient."""
    return np.sum(a, axis, keepdims=keepdims), lambda g: np.full(np.shape(a), _spread(g, a, axis, keepdims))


def mean(a: Value, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Unary:
    """Mean over axis (None: over all); each of n entries receives 1/n of the upstream gradient."""
    total = np.sum(a, axis, keepdims=keepdims)
    n = np.size(a) // np.size(total) if np.size(total) else 1
    return total / n, lambda g: np.full(np.shape(a), _spread(g, a, axis, keepdims) / n)


def amax(a: Value, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Unary:
    """Largest entry along axis (None: of all) receives the gradient; entries that tie share it evenly.

    This is torch.amax; torch's max(dim) gives all of it to one of them.
    """
    top = np.max(a, axis, keepdims=True)

    def da(g: Value) -> Value:
        winners = a == top
        return _spread(g, a, axis, keepdims) * winners / np.sum(winners, axis, keepdims=True, dtype=top.dtype)

    return top if keepdims else np.max(a, axis), da


def _spread(g: Value, a: Value, axis: int | tuple[int, ...] | None, keepdims: bool) -> Value:
    """Put back, with length 1, the axes that a reduction of a took from its gradient g."""
    if keepdims or np.ndim(g) == 0:
        return g
    return np.expand_dims(g, axis) if axis is not None else g


def matmul(a: Value, b: Value) -> Binary:
    """Matrix product (…, n, k) · (…, k, m), as NumPy's @. The gradients are g bᵀ and aᵀ g."""
    value = np.matmul(a, b)
    A = a[None, :] if np.ndim(a) == 1 else a
    B = b[:, None] if np.ndim(b) == 1 else b
    shape = (*np.broadcast_shapes(A.shape[:-2], B.shape[:-2]), A.shape[-2], B.shape[-1])  # of A B

    def da(g: Value) -> Value:
        d = np.reshape(g, shape) @ B.swapaxes(-1, -2)
        return d if A is a else d[..., 0, :]

    def db(g: Value) -> Value:
        d = A.swapaxes(-1, -2) @ np.reshape(g, shape)
        return d if B is b else d[..., 0]

    return value, da, db


def transpose(a: Value, axes: tuple[int, ...] | None = None) -> Unary:
    """Reorder the axes (None: reverse them); the gradient is transposed back."""
    back = None if axes is None else tuple(np.argsort([axis % len(axes) for axis in axes]))
    return np.transpose(a, axes), lambda g: np.transpose(g, back)


def reshape(a: Value, shape: int | tuple[int, ...]) -> Unary:
    """Lay the same entries out in another shape; the gradient is shaped back."""
    return np.reshape(a, shape), lambda g: np.reshape(g, np.shape(a))


def broadcast(a: Value, shape: tuple[int, ...]) -> Unary:
    """Repeat a to shape; the gradients of the copies are added up (by the graph, as for every gate)."""
    return np.broadcast_to(a, shape), _same


def index(a: Value, key: Any) -> Unary:
    """Pick a[key], key as NumPy takes it; the gradient returns to an entry as often as it was picked."""
    picked = np.asarray(a)[key]
    once = _basic(key)

    def da(g: Value) -> Value:
        d = np.zeros(np.shape(a), np.result_type(g))
        if once:
            d[key] = g
        else:
            np.add.at(d, key, g)
        return d

    return picked, da


def _basic(key: Any) -> bool:
    """Tell whether key is made of whole numbers, slices, … and None, which pick no entry twice."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is ... or isinstance(part, int | slice) for part in parts)
