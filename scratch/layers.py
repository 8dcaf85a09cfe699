"""Layers as pairs of functions: f_forward(…) -> (out, cache), f_backward(dout, cache) -> {name: gradient}.

dout is the gradient of the loss by out, of out's shape. Value and gradients keep the dtype of X. At a kink every
layer takes the derivative that torch takes, and says which. Batch and layer normalisation: scratch.norms.
"""

import numpy as np

from scratch.arrays import Array, Grads


def affine_forward(X: Array, W: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    """Scores out (N, C) = X (N, D) · W (D, C) + b (C,)."""
    return X @ W + b, (X, W)


def affine_backward(dout: Array, cache: tuple[Array, Array]) -> Grads:
    """From dout (N, C): dX = dout · Wᵀ (N, D), dW = Xᵀ · dout (D, C), db = Σ_i dout_i (C,)."""
    X, W = cache
    return {"X": dout @ W.T, "W": X.T @ dout, "b": dout.sum(axis=0)}


def relu_forward(X: Array) -> tuple[Array, Array]:
    """Rectify, max(0, x), X of any shape (Nair and Hinton, 2010)."""
    return np.maximum(X, 0), X > 0


def relu_backward(dout: Array, cache: Array) -> Grads:
    """Gradient dX = dout where x > 0, else 0; at the kink x = 0 it is 0, as torch.relu."""
    passes = cache
    return {"X": dout * passes}


def leaky_relu_forward(X: Array, slope: float = 0.01) -> tuple[Array, tuple[Array, float]]:
    """Rectify and leak, x where x > 0, else slope · x, X of any shape (Maas, Hannun and Ng, 2013)."""
    passes = X > 0
    return np.where(passes, X, slope * X), (passes, slope)


def leaky_relu_backward(dout: Array, cache: tuple[Array, float]) -> Grads:
    """Gradient dX = dout where x > 0, else slope · dout; at the kink x = 0 it is slope, as torch's leaky_relu."""
    passes, slope = cache
    return {"X": np.where(passes, dout, slope * dout)}


def sigmoid_forward(X: Array) -> tuple[Array, Array]:
    """Squash to 0 … 1, σ(x) = 1 / (1 + e^-x), X of any shape.

    For x < 0 it is written e^x / (1 + e^x), so that no exponential overflows and no small σ is lost.
    """
    e = np.exp(-np.abs(X))
    out = np.where(X >= 0, 1, e) / (1 + e)
    return out, out


def sigmoid_backward(dout: Array, cache: Array) -> Grads:
    """Gradient dX = dout · σ (1 - σ): at most a quarter of dout, and nothing where σ is saturated."""
    out = cache
    return {"X": dout * (1 - out) * out}


def tanh_forward(X: Array) -> tuple[Array, Array]:
    """Squash to -1 … 1, tanh(x) = 2 σ(2x) - 1, X of any shape."""
    out = np.tanh(X)
    return out, out


def tanh_backward(dout: Array, cache: Array) -> Grads:
    """Gradient dX = dout · (1 - tanh²)."""
    out = cache
    return {"X": dout * (1 - out * out)}


def softmax_forward(X: Array) -> tuple[Array, Array]:
    """Class probabilities, p = exp(x) / Σ_j exp(x_j) over the classes of X (N, C).

    The largest entry of each row is subtracted first: it cancels, and no exponential overflows.
    """
    exp = np.exp(X - X.max(axis=1, keepdims=True))
    out = exp / exp.sum(axis=1, keepdims=True)
    return out, out


def softmax_backward(dout: Array, cache: Array) -> Grads:
    """Gradient dX = p · (dout - Σ_j dout_j p_j): the Jacobian diag(p) - p pᵀ of a row times dout, never formed."""
    p = cache
    return {"X": p * (dout - (dout * p).sum(axis=1, keepdims=True))}


def dropout_mask(rng: np.random.Generator, shape: tuple[int, ...], p: float = 0.5) -> Array:
    """Draw which entries stay: True with probability 1 - p. Draw a new mask each step, for both sides the same."""
    return rng.random(shape) >= p


def dropout_forward(X: Array, mask: Array, p: float = 0.5) -> tuple[Array, tuple[Array, float]]:
    """Drop what mask (as X, True or 1 to keep) does not keep, and divide the rest by 1 - p.

    So the expected output is X ("inverted" dropout), and at test time there is nothing to do: leave the layer out.
    p is the share that is dropped, 0 <= p < 1, as in torch. Raises ValueError for another p or a mask of
    another shape. Source: Srivastava et al., 2014; CS231n notes, "Neural networks 2".
    """
    if not 0 <= p < 1:
        raise ValueError(f"p is the share that is dropped, 0 <= p < 1, not {p}")
    if mask.shape != X.shape:
        raise ValueError(f"mask must have the shape of X, {X.shape}, not {mask.shape}")
    return X * mask / X.dtype.type(1 - p), (mask, p)


def dropout_backward(dout: Array, cache: tuple[Array, float]) -> Grads:
    """Gradient dX = dout · mask / (1 - p): what was dropped receives nothing."""
    mask, p = cache
    return {"X": dout * mask / dout.dtype.type(1 - p)}
