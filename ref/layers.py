"""Layers as functions of tensors; autograd keeps what the backward pass needs."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def affine(X: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """Scores out (N, C) = X (N, D) · W (D, C) + b (C,). F.linear wants the weight as (C, D)."""
    return F.linear(X, W.T, b)


def relu(X: Tensor) -> Tensor:
    """max(0, x); derivative 0 at 0."""
    return F.relu(X)


def leaky_relu(X: Tensor, slope: float = 0.01) -> Tensor:
    """Leak: x where x > 0, else slope · x; derivative slope at 0."""
    return F.leaky_relu(X, slope)


def sigmoid(X: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(X)


def tanh(X: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(X)


def softmax(X: Tensor) -> Tensor:
    """Class probabilities over the classes of X (N, C)."""
    return F.softmax(X, dim=1)


def dropout_mask(rng: np.random.Generator, shape: tuple[int, ...], p: float = 0.5) -> Tensor:
    """Which entries stay; NumPy's generator draws them, so that both sides drop the same."""
    return torch.from_numpy(rng.random(shape) >= p)


def dropout(X: Tensor, mask: Tensor, p: float = 0.5) -> Tensor:
    """Inverted dropout, as F.dropout, which draws its own mask and so cannot be compared."""
    return X * mask / (1 - p)
