"""Linear classifiers: a score a class, s = X W + b, under the hinge or the softmax loss with a penalty.

A model is the dict {"W": (D, C), "b": (C,)}; an objective returns (value, {"W": dW, "b": db}).
"""

from collections.abc import Callable

import numpy as np

from scratch import losses, penalties
from scratch.arrays import Array, Grads, Params
from scratch.layers import affine_forward

PENALTIES = {"l2": penalties.l2, "l1": penalties.l1, "elastic_net": penalties.elastic_net}


def init(rng: np.random.Generator, D: int, C: int, scale: float = 1e-3) -> Params:
    """Start weights: W (D, C) normal with standard deviation scale, b (C,) zero; float64."""
    return {"W": scale * rng.standard_normal((D, C)), "b": np.zeros(C)}


def scores(params: Params, X: Array) -> Array:
    """Class scores (N, C) = X (N, D) · W + b; the largest names the predicted class."""
    return affine_forward(X, params["W"], params["b"])[0]


def softmax_objective(
    params: Params, X: Array, y: Array, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> tuple[Array, Grads]:
    """Softmax loss of the scores plus penalty(W, reg); X (N, D), y (N,) integer labels.

    penalty is "l2", "l1" or "elastic_net"; biases are penalised only with decay_bias.
    Raises ValueError for labels that name no class, KeyError for an unknown penalty.
    """
    return objective(losses.softmax, params, X, y, reg, penalty, decay_bias)


def svm_objective(
    params: Params, X: Array, y: Array, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> tuple[Array, Grads]:
    """Hinge loss (margin 1) of the scores plus penalty(W, reg); otherwise as softmax_objective."""
    return objective(losses.hinge, params, X, y, reg, penalty, decay_bias)


def objective(
    loss: Callable[[Array, Array], tuple[Array, Grads]],
    params: Params,
    X: Array,
    y: Array,
    reg: float,
    penalty: str,
    decay_bias: bool,
) -> tuple[Array, Grads]:
    """Any loss of the scores, f(scores, y) -> (value, {"scores": dscores}), plus penalty(W, reg)."""
    value, dloss = loss(scores(params, X), y)
    dscores = dloss["scores"]
    grads = {"W": X.T @ dscores, "b": dscores.sum(axis=0)}  # affine_backward without dX, a third of its work
    penalised = ("W", "b") if decay_bias else ("W",)
    for name in penalised if reg else ():
        extra, dextra = PENALTIES[penalty](params[name], reg)
        value = value + extra
        grads[name] = grads[name] + dextra["W"]
    return value, grads
