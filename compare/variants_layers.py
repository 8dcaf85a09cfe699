"""Correct activations and normalising layers other than scratch's own: (forward, backward) by dotted name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.variants_linear import AFFINE, Layer

if TYPE_CHECKING:
    from compare.records import Array


def _entry_by_entry(f: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Layer:
    """A function of one number and its derivative, in a loop over all entries."""

    def forward(X: Array) -> tuple[Array, Array]:
        return np.array([f(x) for x in X.flat], X.dtype).reshape(X.shape), X

    def backward(dout: Array, cache: Array) -> dict[str, Array]:
        slopes = np.array([slope(x) for x in cache.flat], dout.dtype).reshape(dout.shape)
        return {"X": dout * slopes}

    return forward, backward


def _logistic(X: Array) -> tuple[Array, Array]:
    out = np.exp(-np.logaddexp(0, -X))
    return out, X


def _tanh_by_expm1(X: Array) -> tuple[Array, Array]:
    e = np.expm1(-2 * np.abs(X))  # -tanh|x| = e / (2 + e): no cancellation near 0, no overflow far out
    out = np.sign(X) * (-e / (2 + e))
    return out, out


def _softmax_rows(X: Array) -> tuple[Array, Array]:
    out = np.empty_like(X)
    for row, x in zip(out, X, strict=True):
        e = [np.exp(s - x.max()) for s in x]
        total = X.dtype.type(0)
        for term in e:
            total += term
        row[:] = [term / total for term in e]
    return out, out


def _softmax_jacobian(dout: Array, p: Array) -> dict[str, Array]:
    return {"X": np.stack([(np.diag(row) - np.outer(row, row)) @ d for row, d in zip(p, dout, strict=True)])}


def _softmax_log(X: Array) -> tuple[Array, Array]:
    shifted = X - X.max(axis=1, keepdims=True)
    out = np.exp(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
    return out, out


def _dropout(scale: Callable[[Array, Array, Any], Array]) -> Layer:
    """The mask and 1 / (1 - p) applied as scale(x, mask, 1 - p) does, forward and backward."""
    return (
        lambda X, mask, p=0.5: (scale(X, mask, X.dtype.type(1 - p)), (mask, X.dtype.type(1 - p))),
        lambda dout, cache: {"X": scale(dout, *cache)},
    )


def _norm_staged(axis: int) -> Layer:
    """Back through the variance and the mean, one after the other, as the chain rule has it."""

    def forward(X: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Any]:
        mean, variance = X.mean(axis=axis, keepdims=True), X.var(axis=axis, keepdims=True)
        root = np.sqrt(variance + X.dtype.type(eps))
        return gamma * ((X - mean) / root) + beta, (X - mean, root, gamma)

    def backward(dout: Array, cache: Any) -> dict[str, Array]:
        centred, root, gamma = cache
        n, g = dout.dtype.type(dout.shape[axis]), dout * gamma
        dvariance = -(g * centred).sum(axis=axis, keepdims=True) / (2 * root**3)
        dcentred = g / root + 2 * centred * dvariance / n
        dX = dcentred - dcentred.sum(axis=axis, keepdims=True) / n
        return {"X": dX, "gamma": (dout * (centred / root)).sum(axis=0), "beta": dout.sum(axis=0)}

    return forward, backward


def _norm_compact(axis: int) -> Layer:
    """The whole backward pass over one common denominator, n √(v + eps); sums by einsum."""
    total = "nd->d" if axis == 0 else "nd->n"

    def summed(x: Array) -> Array:
        return np.expand_dims(np.einsum(total, x), axis)

    def forward(X: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Any]:
        n = X.dtype.type(X.shape[axis])
        centred = X - summed(X) / n
        inverse = 1 / np.sqrt(summed(centred * centred) / n + X.dtype.type(eps))
        return centred * (inverse * gamma) + beta, (centred * inverse, inverse, gamma)

    def backward(dout: Array, cache: Any) -> dict[str, Array]:
        normal, inverse, gamma = cache
        n, g = dout.dtype.type(dout.shape[axis]), dout * gamma
        dX = (n * g - summed(g) - normal * summed(g * normal)) * (inverse / n)
        return {"X": dX, "gamma": np.einsum("nd,nd->d", dout, normal), "beta": np.einsum("nd->d", dout)}

    return forward, backward


def _norm_reversed(axis: int) -> Layer:
    """Examples and features in reversed order."""
    forward, backward = _norm_staged(axis)

    def turned_forward(X: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Any]:
        out, cache = forward(X[::-1, ::-1], gamma[::-1], beta[::-1], eps)
        return out[::-1, ::-1], cache

    def turned_backward(dout: Array, cache: Any) -> dict[str, Array]:
        grads = backward(dout[::-1, ::-1], cache)
        return {"X": grads["X"][::-1, ::-1], "gamma": grads["gamma"][::-1], "beta": grads["beta"][::-1]}

    return turned_forward, turned_backward


def _eval_folded(X: Array, gamma: Array, beta: Array, running: Array, eps: float = 1e-5) -> tuple[Array, Any]:
    """One factor and one summand a feature, as an inference engine folds them."""
    factor = gamma / np.sqrt(running[1] + X.dtype.type(eps))
    return X * factor + (beta - running[0] * factor), (X, running, factor, X.dtype.type(eps))


def _eval_folded_backward(dout: Array, cache: Any) -> dict[str, Array]:
    X, running, factor, eps = cache
    along = (dout * (X - running[0])).sum(axis=0) / np.sqrt(running[1] + eps)
    return {"X": dout * factor, "gamma": along, "beta": np.ones(len(dout), dout.dtype) @ dout}


def _moved_by_the_gap(X: Array, running: Array, momentum: float = 0.1) -> Array:
    """From the nearer end, as torch.lerp: from the other, the gap times nearly 1 would leave its rounding behind."""
    mean = np.mean(X, axis=0)
    batch = np.stack([mean, np.sum((X - mean) ** 2, axis=0) / X.dtype.type(len(X) - 1)])
    if momentum < 0.5:
        return np.asarray(running + X.dtype.type(momentum) * (batch - running))
    return np.asarray(batch - X.dtype.type(1 - momentum) * (batch - running))


def _corrected_after(X: Array, running: Array, momentum: float = 0.1) -> Array:
    m, N = X.dtype.type(momentum), len(X)
    biased = np.stack([X[::-1].mean(axis=0), X[::-1].var(axis=0)])
    biased[1] *= X.dtype.type(N / (N - 1))
    return np.asarray(m * biased + (1 - m) * running)


LAYERS: dict[str, dict[str, Layer]] = {
    "layers.affine": AFFINE,
    "layers.relu": {
        "selection": (lambda X: (np.where(X > 0, X, 0), X), lambda dout, X: {"X": np.where(X > 0, dout, 0)}),
        "loops": _entry_by_entry(lambda x: max(x, 0), lambda x: x > 0),
    },
    "layers.leaky_relu": {
        "larger of two": (
            lambda X, slope=0.01: (np.maximum(X, X.dtype.type(slope) * X), (X, slope)),
            lambda dout, cache: {"X": dout * np.where(cache[0] > 0, 1, cache[1]).astype(dout.dtype)},
        ),
        "two halves": (
            lambda X, slope=0.01: (np.maximum(X, 0) + slope * np.minimum(X, 0), (X > 0, slope)),
            lambda dout, cache: {"X": dout * cache[0] + cache[1] * dout * ~cache[0]},
        ),
    },
    "layers.sigmoid": {
        "textbook": (lambda X: (1 / (1 + np.exp(-X)),) * 2, lambda dout, s: {"X": s * (1 - s) * dout}),
        "log p": (_logistic, lambda dout, X: {"X": dout * np.exp(-np.logaddexp(0, X) - np.logaddexp(0, -X))}),
    },
    "layers.tanh": {
        "expm1": (_tanh_by_expm1, lambda dout, t: {"X": dout * (1 - t) * (1 + t)}),
        "1 / cosh²": (lambda X: (np.tanh(X), X), lambda dout, X: {"X": dout / np.square(np.cosh(X))}),
    },
    "layers.softmax": {
        "loops, Jacobian": (_softmax_rows, _softmax_jacobian),
        "log p": (
            _softmax_log,
            lambda dout, p: {"X": dout * p - p * np.einsum("nc,nc->n", dout, p)[:, None]},
        ),
    },
    "layers.dropout": {
        "divided first": _dropout(lambda x, mask, keep: x / keep * mask),
        "selection": _dropout(lambda x, mask, keep: np.where(mask, x / keep, 0).astype(x.dtype)),
        "mask scaled": _dropout(lambda x, mask, keep: x * (mask / keep)),
    },
    "norms.batch_norm": {"staged": _norm_staged(0), "compact": _norm_compact(0), "reversed": _norm_reversed(0)},
    "norms.layer_norm": {"staged": _norm_staged(1), "compact": _norm_compact(1), "reversed": _norm_reversed(1)},
    "norms.batch_norm_eval": {"folded": (_eval_folded, _eval_folded_backward)},
}
RUNNING: dict[str, Callable[..., Array]] = {
    "moved by the gap": _moved_by_the_gap,
    "corrected after": _corrected_after,
}
