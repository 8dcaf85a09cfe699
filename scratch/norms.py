"""Normalising layers over X (N, D): batch_norm by feature, layer_norm by example. Form and dtypes as in scratch.layers.

Both compute x̂ = (x - μ) / √(v + eps) and out = γ x̂ + β, with the biased variance v (a mean of squares). What a
layer remembers between batches is no hidden state: batch_norm_running takes it and returns it.
"""

import numpy as np

from scratch.arrays import Array, Grads

Cache = tuple[Array, Array, Array]  # x̂, 1 / √(v + eps), γ


def batch_norm_forward(X: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Training mode: mean and variance of each feature over the batch; X (N, D), gamma and beta (D,).

    Raises ValueError for a batch of one example, whose variance says nothing (torch refuses it too).
    Source: Ioffe and Szegedy, 2015.
    """
    if len(X) < 2:
        raise ValueError(f"batch normalisation needs two examples or more in training, not {len(X)}")
    return _forward(X, gamma, beta, eps, axis=0)


def batch_norm_backward(dout: Array, cache: Cache) -> Grads:
    """Gradients dgamma = Σ_i dout x̂ and dbeta = Σ_i dout (D,); dX (N, D) also through its feature's μ and v."""
    return _backward(dout, cache, axis=0)


def batch_norm_eval_forward(
    X: Array, gamma: Array, beta: Array, running: Array, eps: float = 1e-5
) -> tuple[Array, Cache]:
    """Test mode: mean running[0] and variance running[1], (2, D), stand in for those of the batch."""
    scale = 1 / np.sqrt(running[1] + X.dtype.type(eps))
    normal = (X - running[0]) * scale
    return gamma * normal + beta, (normal, scale, gamma)


def batch_norm_eval_backward(dout: Array, cache: Cache) -> Grads:
    """Gradient dX = dout γ / √(v + eps): the statistics are constants here; dgamma and dbeta as in training."""
    normal, scale, gamma = cache
    return {"X": dout * gamma * scale, "gamma": (dout * normal).sum(axis=0), "beta": dout.sum(axis=0)}


def batch_norm_running(X: Array, running: Array, momentum: float = 0.1) -> Array:
    """Return running (2, D) = (mean, variance) moved towards those of the batch X (N, D), by the share momentum.

    The variance kept for test time is the unbiased one, N/(N - 1) times the batch's own, as in torch. Start from
    zeros and ones. torch's momentum is one minus that of the course's notes. Raises ValueError for N < 2.
    """
    if len(X) < 2:
        raise ValueError(f"a variance needs two examples or more, not {len(X)}")
    share = X.dtype.type(momentum)
    batch = np.stack([X.mean(axis=0), X.var(axis=0, ddof=1)])
    return np.asarray((1 - share) * running + share * batch)


def layer_norm_forward(X: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Mean and variance of each example over its features; X (N, D), gamma and beta (D,). Same at test time.

    Source: Ba, Kiros and Hinton, 2016.
    """
    return _forward(X, gamma, beta, eps, axis=1)


def layer_norm_backward(dout: Array, cache: Cache) -> Grads:
    """Gradients dgamma = Σ_i dout x̂ and dbeta = Σ_i dout (D,); dX (N, D) also through its example's μ and v."""
    return _backward(dout, cache, axis=1)


def _forward(X: Array, gamma: Array, beta: Array, eps: float, axis: int) -> tuple[Array, Cache]:
    centred = X - X.mean(axis=axis, keepdims=True)
    variance = (centred * centred).mean(axis=axis, keepdims=True)
    scale = 1 / np.sqrt(variance + X.dtype.type(eps))
    normal = centred * scale
    return gamma * normal + beta, (normal, scale, gamma)


def _backward(dout: Array, cache: Cache, axis: int) -> Grads:
    """With g = dout γ, dX = (g - mean g - x̂ · mean(g x̂)) / √(v + eps): what moves μ or v alone changes nothing."""
    normal, scale, gamma = cache
    g = dout * gamma
    along = (g * normal).mean(axis=axis, keepdims=True)
    return {
        "X": (g - g.mean(axis=axis, keepdims=True) - normal * along) * scale,
        "gamma": (dout * normal).sum(axis=0),
        "beta": dout.sum(axis=0),
    }
