"""Penalties on weights, functions of W alone and never of the data: penalty(W, reg) -> (value, {"W": dW})."""

import numpy as np

from scratch.arrays import Array, Grads


def l2(W: Array, reg: float) -> tuple[Array, Grads]:
    """Squared weights, reg · Σ W²; the gradient is 2 reg W.

    torch's weight_decay=λ adds the gradient of ½ λ Σ W², so reg here equals weight_decay = 2 reg.
    """
    reg = W.dtype.type(reg)
    return reg * np.sum(W * W), {"W": 2 * reg * W}


def l1(W: Array, reg: float) -> tuple[Array, Grads]:
    """Absolute weights, reg · Σ |W|; the gradient is reg · sign(W), 0 at W = 0 as in torch."""
    reg = W.dtype.type(reg)
    return reg * np.sum(np.abs(W)), {"W": reg * np.sign(W)}


def elastic_net(W: Array, reg: float, beta: float = 0.5) -> tuple[Array, Grads]:
    """Both at once, reg · Σ (beta W² + |W|), as the CS231n notes write it (Zou and Hastie, 2005).

    scikit-learn's (alpha, l1_ratio) is reg = alpha · l1_ratio, beta = (1 - l1_ratio) / (2 · l1_ratio).
    """
    squares, dsquares = l2(W, reg * beta)
    absolutes, dabsolutes = l1(W, reg)
    return squares + absolutes, {"W": dsquares["W"] + dabsolutes["W"]}
