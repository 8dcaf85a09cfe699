"""Correct affine layers, linear objectives, networks and scores other than scratch's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.sides import side
from compare.variants_losses import LOSSES, PENALTIES, Answer, Loss

if TYPE_CHECKING:
    from compare.records import Array

Layer = tuple[Callable[..., Any], Callable[..., Any]]
Params = dict[str, "Array"]


def _affine_loop(dout: Array, cache: tuple[Array, Array]) -> dict[str, Array]:
    X, W = cache
    dX, dW, db = np.zeros_like(X), np.zeros_like(W), np.zeros(W.shape[1], W.dtype)
    for x, dx, d in zip(X, dX, dout, strict=True):
        dW += np.outer(x, d)
        db += d
        for c in range(W.shape[1]):
            dx += d[c] * W[:, c]
    return {"X": dX, "W": dW, "b": db}


def _rows(X: Array, W: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    out = np.zeros((len(X), W.shape[1]), X.dtype)
    for d in range(X.shape[1]):  # one feature after the other
        out += X[:, d : d + 1] * W[d]
    return out + b, (X, W)


AFFINE: dict[str, Layer] = {
    "loops": (_rows, _affine_loop),
    "einsum": (
        lambda X, W, b: (np.einsum("nd,dc->nc", X, W) + b, (X, W)),
        lambda dout, cache: {
            "X": np.einsum("nc,dc->nd", dout, cache[1]),
            "W": np.einsum("nd,nc->dc", cache[0], dout),
            "b": np.einsum("nc->c", dout),
        },
    ),
    "all reversed": (
        lambda X, W, b: (b + X[:, ::-1] @ W[::-1], (X, W)),
        lambda dout, cache: {
            "X": dout[:, ::-1] @ cache[1][:, ::-1].T,
            "W": cache[0][::-1].T @ dout[::-1],
            "b": dout[::-1].sum(axis=0),
        },
    ),
    "transposed": (
        lambda X, W, b: ((W.T @ X.T).T + b, (X, W)),
        lambda dout, cache: {
            "X": (cache[1] @ dout.T).T,
            "W": (dout.T @ cache[0]).T,
            "b": np.ones(len(dout), dout.dtype) @ dout,
        },
    ),
}


def _bias_as_a_row(params: Params, X: Array) -> Array:
    ones = np.hstack([X, np.ones((len(X), 1), X.dtype)])
    return np.asarray(ones @ np.vstack([params["W"], params["b"]]))


def _scores(forward: Callable[..., Any]) -> Callable[..., Array]:
    return lambda params, X: np.asarray(forward(X, params["W"], params["b"])[0])


SCORES: dict[str, Callable[..., Array]] = {
    **{name: _scores(forward) for name, (forward, _) in AFFINE.items()},
    "bias as a row": _bias_as_a_row,
}


def _drawn(rng: np.random.Generator, D: int, C: int, scale: float = 1e-3) -> Params:
    return {"W": np.array([[scale * rng.standard_normal() for _ in range(C)] for _ in range(D)]), "b": np.zeros(C)}


INIT: dict[str, Callable[..., Params]] = {
    "rng.normal": lambda rng, D, C, scale=1e-3: {"W": rng.normal(0, scale, (D, C)), "b": np.zeros(C)},
    "one by one": _drawn,
}


def _decay(value: Any, grads: dict[str, Array], params: Params, options: Mapping[str, Any]) -> Answer:
    """Add the penalty, written anew, to value and grads: on every W…, on biases only where asked."""
    f = next(iter(PENALTIES[options.get("penalty", "l2")].values()))
    for name in params:
        if options.get("reg") and (name.startswith("W") or options.get("decay_bias")):
            extra, dextra = f(params[name], options["reg"])
            value, grads[name] = value + extra, grads[name] + dextra["W"]
    return value, grads


def _objective(loss: Loss, forward: Callable[..., Any], backward: Callable[..., Any]) -> Loss:
    def form(params: Params, X: Array, y: Array, **options: Any) -> Answer:
        out, cache = forward(X, params["W"], params["b"])
        value, grads = loss(out, y)
        back = backward(grads["scores"], cache)
        return _decay(value, {"W": back["W"], "b": back["b"]}, params, options)

    return form


def _by_example(loss: Loss) -> Loss:
    """One example at a time, gradients added up and divided by N at the end."""

    def form(params: Params, X: Array, y: Array, **options: Any) -> Answer:
        N = X.dtype.type(len(X))
        value, dW, db = X.dtype.type(0), np.zeros_like(params["W"]), np.zeros_like(params["b"])
        for i in range(len(X)):
            one, grads = loss((X[i] @ params["W"] + params["b"])[None], y[i : i + 1])
            value, dW, db = value + one, dW + np.outer(X[i], grads["scores"][0]), db + grads["scores"][0]
        return _decay(value / N, {"W": dW / N, "b": db / N}, params, options)

    return form


def _bias_trick(loss: Loss) -> Loss:
    """A column of ones in X, the bias as the last row of W."""

    def form(params: Params, X: Array, y: Array, **options: Any) -> Answer:
        ones = np.hstack([X, np.ones((len(X), 1), X.dtype)])
        value, grads = loss(ones @ np.vstack([params["W"], params["b"]]), y)
        dW = ones.T @ grads["scores"]
        return _decay(value, {"W": dW[:-1], "b": dW[-1]}, params, options)

    return form


def reversed_objective(f: Loss, axis: int) -> Loss:
    """Examples (axis 0) or features (axis 1) in reversed order; the first parameter has a row a feature."""

    def form(params: Params, X: Array, y: Array, **options: Any) -> Answer:
        if axis == 0:
            return f(params, X[::-1], y[::-1], **options)
        first = next(iter(params))
        value, grads = f({**params, first: params[first][::-1]}, X[:, ::-1], y, **options)
        return value, {**grads, first: grads[first][::-1]}

    return form


def objectives(name: str) -> dict[str, Loss]:
    """The linear objective under one of the LOSSES, in every form."""
    plain, forms = side("scratch", f"losses.{name}"), LOSSES[name]
    return {
        "by example": _by_example(plain),
        "loops": _objective(forms["loops"], *AFFINE["loops"]),
        "einsum": _objective(list(forms.values())[-1], *AFFINE["einsum"]),
        "divide first, transposed": _objective(list(forms.values())[1], *AFFINE["transposed"]),
        "bias as a row": _bias_trick(plain),
    }


def _network(loss: Loss, forward: Callable[..., Any], backward: Callable[..., Any]) -> Loss:
    """Affine layers in one of the forms above, ReLUs as a selection, any number of layers."""

    def form(params: Params, X: Array, y: Array, **options: Any) -> Answer:
        n, caches, out = len(params) // 2, [], X
        for k in range(1, n + 1):
            out, cache = forward(out if k == 1 else np.where(out > 0, out, 0), params[f"W{k}"], params[f"b{k}"])
            caches.append(cache)
        value, dloss = loss(out, y)
        grads: Params = {}
        dout = dloss["scores"]
        for k in range(n, 0, -1):
            back = backward(dout, caches[k - 1])
            grads |= {f"W{k}": back["W"], f"b{k}": back["b"]}
            dout = np.where(caches[k - 1][0] > 0, back["X"], 0)  # what entered was rectified
        return _decay(value, grads, params, options)

    return form


def _units_reversed(f: Loss) -> Loss:
    """The first layer's hidden units in reversed order."""

    def turned(params: Params) -> Params:
        flip = {"W1": params["W1"][:, ::-1], "b1": params["b1"][::-1], "W2": params["W2"][::-1]}
        return {**params, **flip}

    def form(params: Params, X: Array, y: Array, **options: Any) -> Answer:
        value, grads = f(turned(params), X, y, **options)
        return value, turned(grads)

    return form


def networks() -> dict[str, Loss]:
    """The network's objective in every form."""
    forms = LOSSES["softmax"]
    return {
        "loops": _network(forms["loops"], *AFFINE["loops"]),
        "einsum": _network(forms["log p, einsum"], *AFFINE["einsum"]),
        "divide first, transposed": _network(forms["divide first"], *AFFINE["transposed"]),
        "units reversed": _units_reversed(side("scratch", "two_layer.objective")),
    }
