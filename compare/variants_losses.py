"""Correct losses, penalties and margins other than scratch's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

Answer = tuple[Any, dict[str, "Array"]]
Loss = Callable[..., Answer]


def in_order(x: Array) -> Any:
    """The sum of all entries, one after the other, as a loop adds them."""
    return np.add.accumulate(x.reshape(-1))[-1]


def softmax_loop(scores: Array, y: Array) -> Answer:
    """One example after the other, one class after the other."""
    N, C = scores.shape
    total, grad = scores.dtype.type(0), np.zeros_like(scores)
    for i in range(N):
        row = scores[i] - scores[i].max()
        Z = scores.dtype.type(0)
        for j in range(C):
            Z += np.exp(row[j])
        total += np.log(Z) - row[y[i]]
        for j in range(C):
            grad[i, j] = (np.exp(row[j]) / Z - (j == y[i])) / scores.dtype.type(N)
    return total / scores.dtype.type(N), {"scores": grad}


def softmax_divide_first(scores: Array, y: Array) -> Answer:
    """1/N before the sum, and before −1 at the label."""
    one = scores.dtype.type(1 / len(y))
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    onehot = (np.arange(scores.shape[1]) == y[:, None]) * one
    losses = np.log(e.sum(axis=1)) - (scores - scores.max(axis=1, keepdims=True))[np.arange(len(y)), y]
    return (losses * one).sum(), {"scores": e * (one / e.sum(axis=1, keepdims=True)) - onehot}


def softmax_log(scores: Array, y: Array) -> Answer:
    """Through log p and exp(log p), with a one-hot matrix and einsum."""
    onehot = np.eye(scores.shape[1], dtype=scores.dtype)[y]
    shifted = scores - scores.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    N = scores.dtype.type(len(y))
    return -np.einsum("nc,nc->", onehot, logp) / N, {"scores": (np.exp(logp) - onehot) / N}


def hinge_loop(scores: Array, y: Array, margin: float = 1.0) -> Answer:
    """The notes' two loops."""
    N, C = scores.shape
    total, grad = scores.dtype.type(0), np.zeros_like(scores)
    for i in range(N):
        for j in range(C):
            violation = scores[i, j] - scores[i, y[i]] + scores.dtype.type(margin)
            if j != y[i] and violation > 0:
                total += violation
                grad[i, j] += 1
                grad[i, y[i]] -= 1
    return total / scores.dtype.type(N), {"scores": grad / scores.dtype.type(N)}


def hinge_mask(scores: Array, y: Array, margin: float = 1.0) -> Answer:
    """A one-hot mask; the margin added to the true score first; 1/N first."""
    onehot = np.eye(scores.shape[1], dtype=scores.dtype)[y]
    true = np.einsum("nc,nc->n", onehot, scores)[:, None]
    off = 1 - onehot
    violation = np.maximum(0, (scores - true + scores.dtype.type(margin)) * off)
    one = scores.dtype.type(1 / len(y))
    hit = (violation > 0) * one
    return np.sum(violation * one), {"scores": hit - onehot * hit.sum(axis=1, keepdims=True)}


LOSSES: dict[str, dict[str, Loss]] = {
    "softmax": {"loops": softmax_loop, "divide first": softmax_divide_first, "log p, einsum": softmax_log},
    "hinge": {"loops": hinge_loop, "one-hot mask, divide first": hinge_mask},
}


def _l2(total: Callable[[Array], Any]) -> Loss:
    return lambda W, reg: (total(W) * W.dtype.type(reg), {"W": W * W.dtype.type(2 * reg)})


def _l1(W: Array, reg: float) -> Answer:
    r = W.dtype.type(reg)
    return in_order(np.abs(W) * r), {"W": np.where(W > 0, r, np.where(W < 0, -r, W.dtype.type(0)))}


def _elastic(W: Array, reg: float, beta: float = 0.5) -> Answer:
    r, b = W.dtype.type(reg), W.dtype.type(beta)
    return in_order(r * (b * W**2 + np.abs(W))), {"W": r * (2 * b * W + np.sign(W))}


PENALTIES: dict[str, dict[str, Loss]] = {
    "l2": {
        "loop": _l2(lambda W: in_order(W * W)),
        "einsum": _l2(lambda W: np.einsum("dc,dc->", W, W)),
        "norm squared": _l2(lambda W: np.linalg.norm(W) ** 2),
        "columns first": _l2(lambda W: np.sum(np.sum(W**2, axis=0))),
    },
    "l1": {"loop": _l1, "norm": lambda W, reg: (_l1(W, reg)[0], _l1(W, reg)[1])},
    "elastic_net": {"loop": _elastic},
}


def _near_the_true_class(scores: Array, y: Array, margin: float = 1.0) -> Array:
    true = np.take_along_axis(scores, y[:, None], axis=1)
    return np.asarray(scores - (true - scores.dtype.type(margin)))


def _one_by_one(scores: Array, y: Array, margin: float = 1.0) -> Array:
    out = np.empty_like(scores)
    for i, row in enumerate(scores):
        for j, s in enumerate(row):
            out[i, j] = (s - row[y[i]]) + scores.dtype.type(margin)
    return out


MARGINS: dict[str, Callable[..., Array]] = {
    "margin added to the true score": _near_the_true_class,
    "loops": _one_by_one,
}
