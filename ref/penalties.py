"""Penalties on weights, functions of W alone and never of the data."""

from torch import Tensor


def l2(W: Tensor, reg: float) -> Tensor:
    """Squared weights, reg · Σ W². weight_decay=λ of torch.optim is ½ λ Σ W², biases included."""
    return reg * W.square().sum()


def l1(W: Tensor, reg: float) -> Tensor:
    """Absolute weights, reg · Σ |W|."""
    return reg * W.abs().sum()


def elastic_net(W: Tensor, reg: float, beta: float = 0.5) -> Tensor:
    """Both at once, reg · Σ (beta W² + |W|)."""
    return reg * (beta * W.square() + W.abs()).sum()
