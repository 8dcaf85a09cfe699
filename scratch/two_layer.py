"""Two-layer network: affine, ReLU, affine, and the softmax loss of the scores. Any number of hidden layers.

A model of n layers is the dict {"W1": (D, H), "b1": (H,), …, "Wn": (H, C), "bn": (C,)}; the objective returns
(value, {"W1": dW1, "b1": db1, …}). Source: CS231n notes, "Neural networks" 1 to 3.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from scratch import losses
from scratch.arrays import Array, Grads, Params
from scratch.layers import affine_forward, relu_backward, relu_forward
from scratch.linear import PENALTIES

SCHEMES = {"he": lambda n, m: (2 / n) ** 0.5, "xavier": lambda n, m: (2 / (n + m)) ** 0.5}


def init(rng: np.random.Generator, D: int, H: int | Sequence[int], C: int, scheme: str = "he") -> Params:
    """Start weights for D features, H hidden units (or a sequence: several layers) and C classes; float64.

    Biases are 0. The weights between n inputs and m outputs are normal, with standard deviation √(2/n) for "he"
    (He et al., 2015: a ReLU halves the mean square) and √(2/(n + m)) for "xavier" (Glorot and Bengio, 2010).
    Raises KeyError for another scheme.
    """
    params = {}
    for k, (n, m) in enumerate(pairwise([D, *([H] if isinstance(H, int) else H), C]), start=1):
        params[f"W{k}"] = SCHEMES[scheme](n, m) * rng.standard_normal((n, m))
        params[f"b{k}"] = np.zeros(m)
    return params


def scores(params: Params, X: Array) -> Array:
    """Class scores (N, C) of X (N, D); the largest names the predicted class."""
    return outputs(params, X)[-1]


def outputs(params: Params, X: Array) -> list[Array]:
    """What each affine layer puts out, the last of them the scores."""
    return _forward(params, X)[0]


def hidden(params: Params, X: Array) -> Array:
    """What enters the ReLUs, of all hidden layers end to end: the kinks lie where an entry is 0."""
    return np.concatenate([out.ravel() for out in outputs(params, X)[:-1]])


def objective(
    params: Params, X: Array, y: Array, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> tuple[Array, Grads]:
    """Softmax loss of the scores plus penalty(W, reg) of every layer's weights; X (N, D), y (N,) integer labels.

    penalty is "l2", "l1" or "elastic_net"; biases are penalised only with decay_bias. A hidden unit at its kink
    passes no gradient. Raises ValueError for labels that name no class, KeyError for an unknown penalty.
    """
    outs, inputs, passes = _forward(params, X)
    value, douts = _backward(params, outs, passes, y)
    grads = {}
    for k, (x, dout) in enumerate(zip(inputs, douts, strict=True), start=1):
        grads[f"W{k}"], grads[f"b{k}"] = x.T @ dout, dout.sum(axis=0)
    for name, param in params.items():
        if decay_bias or name.startswith("W"):
            extra, dextra = PENALTIES[penalty](param, reg)
            value = value + extra
            grads[name] = grads[name] + dextra["W"]
    return value, grads


def flow(params: Params, X: Array, y: Array) -> tuple[list[Array], list[Array]]:
    """What each affine layer puts out, (N, H) and at last (N, C), and the softmax loss's gradient by each of these."""
    outs, _, passes = _forward(params, X)
    return outs, _backward(params, outs, passes, y)[1]


def _forward(params: Params, X: Array) -> tuple[list[Array], list[Array], list[Array]]:
    """Outputs and inputs of the affine layers, and the caches of the ReLUs between them."""
    outs: list[Array] = []
    inputs, passes = [X], []
    for k in range(1, len(params) // 2 + 1):
        if k > 1:
            out, cache = relu_forward(outs[-1])
            inputs.append(out)
            passes.append(cache)
        outs.append(affine_forward(inputs[-1], params[f"W{k}"], params[f"b{k}"])[0])
    return outs, inputs, passes


def _backward(params: Params, outs: list[Array], passes: list[Array], y: Array) -> tuple[Array, list[Array]]:
    """Loss, and its gradient by the output of each layer: through W of the layer above, then where the ReLU passes.

    The gradient by X itself, as large a product as that by W1, is nobody's wish.
    """
    value, dloss = losses.softmax(outs[-1], y)
    douts = [dloss["scores"]]
    for k in range(len(outs), 1, -1):
        dinput = douts[-1] @ params[f"W{k}"].T
        douts.append(relu_backward(dinput, passes[k - 2])["X"])
    return value, douts[::-1]
