"""Losses over class scores, each with its gradient: loss(scores, y) -> (value, {"scores": dscores}).

Every loss is a mean over the N examples; value and gradient keep the dtype of the scores.
"""

import numpy as np

from scratch.arrays import Array, Grads, check_labels


def softmax(scores: Array, y: Array) -> tuple[Array, Grads]:
    """Cross-entropy of the softmax probabilities, -1/N Σ_i log p_i[y_i] with p = exp(s) / Σ_j exp(s_j).

    scores (N, C); y (N,) integer labels. The gradient is (p - onehot(y)) / N. The largest score of each row is
    subtracted first, which changes nothing in the formula and keeps exp finite for scores of any size.
    At zero scores the value is log C. Raises ValueError for labels that name no class or for N = 0.
    Source: CS231n notes, "Linear classification: softmax classifier".
    """
    check_labels(scores, y)
    N = len(y)
    rows = np.arange(N)
    shifted = scores - scores.max(axis=1, keepdims=True)
    exp = np.exp(shifted)
    total = exp.sum(axis=1, keepdims=True)
    value = (np.log(total[:, 0]) - shifted[rows, y]).mean()
    dscores = exp / total
    dscores[rows, y] -= 1
    dscores /= N
    return value, {"scores": dscores}


def margins(scores: Array, y: Array, margin: float = 1.0) -> Array:
    """How far each class violates the margin, s_j - s_y + margin, as (N, C); column y_i holds margin itself.

    The hinge loss has its kinks where an entry off the true class is 0.
    """
    true = scores[np.arange(len(y)), y][:, None]
    return np.asarray(scores - true + scores.dtype.type(margin))


def hinge(scores: Array, y: Array, margin: float = 1.0) -> tuple[Array, Grads]:
    """Multiclass SVM loss, 1/N Σ_i Σ_{j ≠ y_i} max(0, s_j - s_{y_i} + margin) (Weston and Watkins, 1999).

    scores (N, C); y (N,) integer labels. Each class that violates the margin receives 1/N, the true class
    minus their count; at the kink (violation exactly 0) the subgradient 0 is taken, as torch's relu does.
    At zero scores and margin 1 the value is C - 1. C times torch's multi_margin_loss is this loss.
    Raises ValueError for labels that name no class or for N = 0. Source: CS231n notes, "Linear classification".
    """
    check_labels(scores, y)
    N = len(y)
    rows = np.arange(N)
    violation = np.maximum(margins(scores, y, margin), 0)
    violation[rows, y] = 0
    value = violation.sum() / scores.dtype.type(N)
    dscores = (violation > 0).astype(scores.dtype)
    dscores[rows, y] = -dscores.sum(axis=1)
    dscores /= N
    return value, {"scores": dscores}
