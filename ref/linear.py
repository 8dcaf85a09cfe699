"""Linear classifiers: a score a class, s = X W + b, under the hinge or the softmax loss with a penalty."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ref import losses, penalties
from ref.layers import affine

PENALTIES = {"l2": penalties.l2, "l1": penalties.l1, "elastic_net": penalties.elastic_net}
Params = dict[str, Tensor]


def init(rng: np.random.Generator, D: int, C: int, scale: float = 1e-3) -> Params:
    """Start weights: W (D, C) normal with standard deviation scale, b (C,) zero; float64.

    NumPy's generator draws them, so that both sides can start from the same numbers.
    """
    return {
        "W": torch.from_numpy(rng.normal(0.0, scale, (D, C))),
        "b": torch.zeros(C, dtype=torch.float64),
    }


def scores(params: Params, X: Tensor) -> Tensor:
    """Class scores (N, C); the largest names the predicted class."""
    return affine(X, params["W"], params["b"])


def softmax_objective(
    params: Params, X: Tensor, y: Tensor, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> Tensor:
    """Softmax loss of the scores plus penalty(W, reg), biases penalised only with decay_bias."""
    return objective(losses.softmax, params, X, y, reg, penalty, decay_bias)


def svm_objective(
    params: Params, X: Tensor, y: Tensor, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> Tensor:
    """Hinge loss (margin 1) of the scores plus penalty(W, reg), biases penalised only with decay_bias."""
    return objective(losses.hinge, params, X, y, reg, penalty, decay_bias)


def objective(
    loss: Callable[[Tensor, Tensor], Tensor],
    params: Params,
    X: Tensor,
    y: Tensor,
    reg: float,
    penalty: str,
    decay_bias: bool,
) -> Tensor:
    """Any loss of the scores, f(scores, y), plus penalty(W, reg)."""
    value = loss(scores(params, X), y) + PENALTIES[penalty](params["W"], reg)
    return value + PENALTIES[penalty](params["b"], reg) if decay_bias else value
