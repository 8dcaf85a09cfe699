"""Layers as pairs of functions: f_forward(…) -> (out, cache), f_backward(dout, cache) -> {name: gradient}."""

from scratch.arrays import Array, Grads


def affine_forward(X: Array, W: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    """Scores out (N, C) = X (N, D) · W (D, C) + b (C,)."""
    return X @ W + b, (X, W)


def affine_backward(dout: Array, cache: tuple[Array, Array]) -> Grads:
    """From dout (N, C): dX = dout · Wᵀ (N, D), dW = Xᵀ · dout (D, C), db = Σ_i dout_i (C,)."""
    X, W = cache
    return {"X": dout @ W.T, "W": X.T @ dout, "b": dout.sum(axis=0)}
