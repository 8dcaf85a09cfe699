"""Normalising layers: batch_norm by feature, layer_norm by example. X (N, D), gamma and beta (D,)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def batch_norm(X: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """Training mode: the statistics of the batch."""
    return F.batch_norm(X, None, None, gamma, beta, training=True, eps=eps)


def batch_norm_eval(X: Tensor, gamma: Tensor, beta: Tensor, running: Tensor, eps: float = 1e-5) -> Tensor:
    """Test mode: mean running[0] and variance running[1]."""
    return F.batch_norm(X, running[0], running[1], gamma, beta, training=False, eps=eps)


def batch_norm_running(X: Tensor, running: Tensor, momentum: float = 0.1) -> Tensor:
    """Return running (2, D) moved towards mean and unbiased variance of the batch by the share momentum."""
    mean, variance = running.clone()
    F.batch_norm(X, mean, variance, training=True, momentum=momentum)
    return torch.stack([mean, variance])


def layer_norm(X: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> Tensor:
    """The statistics of each example over its features."""
    return F.layer_norm(X, gamma.shape, gamma, beta, eps)
