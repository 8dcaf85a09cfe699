"""The affine layer by hand and against autograd."""

import numpy as np
import pytest
import torch

import ref.layers
from scratch import layers


def test_affine_by_hand():
    X, W, b = (
        np.array([[1.0, 2.0], [3.0, -1.0]]),
        np.array([[1.0, 0.0, 2.0], [-1.0, 4.0, 0.5]]),
        np.array([10.0, 20, 30]),
    )
    out, cache = layers.affine_forward(X, W, b)
    assert out.tolist() == [[9, 28, 33], [14, 16, 35.5]]
    grads = layers.affine_backward(np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]]), cache)
    assert grads["X"].tolist() == [[-1, -1.5], [2, 2]]
    assert grads["W"].tolist() == [[7, 3, -1], [0, -1, -2]]
    assert grads["b"].tolist() == [3, 1, -1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 5, 2), (33, 17, 10), (8, 3073, 10)])
def test_affine_agrees_with_autograd_in_float64(dtype, sizes):
    N, D, C = sizes
    rng = np.random.default_rng(0)
    inputs = {"X": (N, D), "W": (D, C), "b": (C,), "dout": (N, C)}
    given = {name: rng.normal(0, 1, shape).astype(dtype) for name, shape in inputs.items()}
    for array in given.values():
        array.flags.writeable = False
    out, cache = layers.affine_forward(given["X"], given["W"], given["b"])
    grads = layers.affine_backward(given["dout"], cache)
    wide = {name: torch.from_numpy(x.astype(np.float64)).requires_grad_() for name, x in given.items()}
    expected = ref.layers.affine(wide["X"], wide["W"], wide["b"])
    theirs = torch.autograd.grad(expected, [wide[n] for n in ("X", "W", "b")], wide["dout"])

    def near(mine, exact, n, terms):
        """γ_n times the sum of the sizes of the terms: the bound for a sum of n products in any order."""
        u = np.finfo(dtype).eps / 2
        assert mine.dtype == dtype
        assert mine.shape == exact.shape
        assert np.all(np.abs(mine - exact) <= (n + 1) * u / (1 - (n + 1) * u) * terms)

    X, W, b, dout = (np.abs(given[n].astype(np.float64)) for n in inputs)
    near(out, expected.detach().numpy(), D + 1, X @ W + b)
    near(grads["X"], theirs[0].numpy(), C, dout @ W.T)
    near(grads["W"], theirs[1].numpy(), N, X.T @ dout)
    near(grads["b"], theirs[2].numpy(), N, dout.sum(axis=0))


def test_the_cache_belongs_to_its_call():
    """A second forward pass leaves the first one's backward pass alone."""
    X, W, b = np.ones((2, 3)), np.ones((3, 4)), np.zeros(4)
    _, cache = layers.affine_forward(X, W, b)
    layers.affine_forward(5 * X, 5 * W, b)
    assert layers.affine_backward(np.ones((2, 4)), cache)["W"].tolist() == [[2.0] * 4] * 3
