"""Correct implementations other than scratch's own: what people write when they write it right.

None of them may be called wrong. Sums run in other orders, in loops, through einsum; divisions come first or
last; rows, features or classes stand reversed; float64 inside, Fortran order outside. Where a wrapper says enough,
scratch's own function stands inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.records import Pair
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

Answer = tuple[Any, dict[str, "Array"]]
Loss = Callable[..., Answer]


@dataclass(frozen=True)
class Variant:
    """A correct form of a pair's scratch side: modules that stand in for scratch's while it is asked."""

    name: str
    modules: Mapping[str, Any]


def of(pair: Pair) -> list[Variant]:
    """The variants of a pair; none for a schedule, whose Python floats leave nothing to vary."""
    forms: dict[str, Callable[..., Any]] = {}
    at = pair.scratch_at or pair.at
    module, name = at.rsplit(".", 1)
    if pair.kind == "layer":
        forward, backward = side("scratch", f"{at}_forward"), side("scratch", f"{at}_backward")
        made = {"as written": (forward, backward), **AFFINE}
        made |= {
            "float64 inside": _wide_layer(forward, backward),
            "F-ordered inputs": _fortran_layer(forward, backward),
        }
        return [
            Variant(n, {f"scratch.{module}": SimpleNamespace(**{f"{name}_forward": f, f"{name}_backward": b})})
            for n, (f, b) in made.items()
        ]
    if pair.kind in ("loss", "objective"):
        own = side("scratch", at)
        forms = {"as written": own, "float64 inside": wide(own), "F-ordered inputs": fortran(own)}
        forms |= PENALTIES.get(pair.name, {})
        if pair.kind == "loss" and pair.loss:
            forms |= LOSSES[pair.loss]
            forms["examples reversed"] = _reversed_loss(own, 0)
        if pair.kind == "objective" and pair.loss:
            forms |= _objectives(pair, own)
    return [Variant(n, {f"scratch.{module}": SimpleNamespace(**{name: f})}) for n, f in forms.items()]


def wide(f: Loss) -> Loss:
    """The same in float64, rounded once at the end."""

    def form(*args: Any, **options: Any) -> Answer:
        dtype = _dtype(args)
        value, grads = f(*(_each(a, lambda x: x.astype(np.float64)) for a in args), **options)
        return np.asarray(value, dtype)[()], {n: g.astype(dtype) for n, g in grads.items()}

    return form


def fortran(f: Loss) -> Loss:
    """The same from arrays that lie column by column."""

    def form(*args: Any, **options: Any) -> Answer:
        return f(*(_each(a, np.asfortranarray) for a in args), **options)

    return form


def _each(a: Any, change: Callable[[Array], Array]) -> Any:
    if isinstance(a, dict):
        return {n: _each(x, change) for n, x in a.items()}
    return change(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a


def _dtype(args: tuple[Any, ...]) -> np.dtype[Any]:
    first: Array = args[0]["W"] if isinstance(args[0], dict) else args[0]
    return first.dtype


def in_order(x: Array) -> Any:
    """The sum of all entries, one after the other, as a loop adds them."""
    return np.add.accumulate(x.reshape(-1))[-1]


def _reversed_loss(f: Loss, axis: int) -> Loss:
    def form(scores: Array, y: Array, **options: Any) -> Answer:
        value, grads = f(scores[::-1], y[::-1], **options)
        return value, {"scores": grads["scores"][::-1]}

    return form


def softmax_loop(scores: Array, y: Array) -> Answer:
    """One example after the other, one class after the other."""
    N, C = scores.shape
    total, grad = scores.dtype.type(0), np.zeros_like(scores)
    for i in range(N):
        row = scores[i] - scores[i].max()
        Z = scores.dtype.type(0)
        for j in range(C):
            Z += np.exp(row[j])
        total += np.log(Z) - row[y[i]]
        for j in range(C):
            grad[i, j] = (np.exp(row[j]) / Z - (j == y[i])) / scores.dtype.type(N)
    return total / scores.dtype.type(N), {"scores": grad}


def softmax_divide_first(scores: Array, y: Array) -> Answer:
    """1/N before the sum, and before −1 at the label."""
    one = scores.dtype.type(1 / len(y))
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    onehot = (np.arange(scores.shape[1]) == y[:, None]) * one
    losses = np.log(e.sum(axis=1)) - (scores - scores.max(axis=1, keepdims=True))[np.arange(len(y)), y]
    return (losses * one).sum(), {"scores": e * (one / e.sum(axis=1, keepdims=True)) - onehot}


def softmax_log(scores: Array, y: Array) -> Answer:
    """Through log p and exp(log p), with a one-hot matrix and einsum."""
    onehot = np.eye(scores.shape[1], dtype=scores.dtype)[y]
    shifted = scores - scores.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    N = scores.dtype.type(len(y))
    return -np.einsum("nc,nc->", onehot, logp) / N, {"scores": (np.exp(logp) - onehot) / N}


def hinge_loop(scores: Array, y: Array) -> Answer:
    """The notes' two loops."""
    N, C = scores.shape
    total, grad = scores.dtype.type(0), np.zeros_like(scores)
    for i in range(N):
        for j in range(C):
            margin = scores[i, j] - scores[i, y[i]] + scores.dtype.type(1)
            if j != y[i] and margin > 0:
                total += margin
                grad[i, j] += 1
                grad[i, y[i]] -= 1
    return total / scores.dtype.type(N), {"scores": grad / scores.dtype.type(N)}


def hinge_mask(scores: Array, y: Array) -> Answer:
    """A one-hot mask; the margin added to the true score first; 1/N first."""
    onehot = np.eye(scores.shape[1], dtype=scores.dtype)[y]
    true = np.einsum("nc,nc->n", onehot, scores)[:, None]
    off = 1 - onehot
    violation = np.maximum(0, (scores - true + 1) * off)
    one = scores.dtype.type(1 / len(y))
    hit = (violation > 0) * one
    return np.sum(violation * one), {"scores": hit - onehot * hit.sum(axis=1, keepdims=True)}


LOSSES: dict[str, dict[str, Loss]] = {
    "softmax": {"loops": softmax_loop, "divide first": softmax_divide_first, "log p, einsum": softmax_log},
    "hinge": {"loops": hinge_loop, "one-hot mask, divide first": hinge_mask},
}


def _l2(total: Callable[[Array], Any]) -> Loss:
    return lambda W, reg: (total(W) * W.dtype.type(reg), {"W": W * W.dtype.type(2 * reg)})


def _l1(W: Array, reg: float) -> Answer:
    r = W.dtype.type(reg)
    return in_order(np.abs(W) * r), {"W": np.where(W > 0, r, np.where(W < 0, -r, W.dtype.type(0)))}


def _elastic(W: Array, reg: float, beta: float = 0.5) -> Answer:
    r, b = W.dtype.type(reg), W.dtype.type(beta)
    return in_order(r * (b * W**2 + np.abs(W))), {"W": r * (2 * b * W + np.sign(W))}


PENALTIES: dict[str, dict[str, Loss]] = {
    "l2": {
        "loop": _l2(lambda W: in_order(W * W)),
        "einsum": _l2(lambda W: np.einsum("dc,dc->", W, W)),
        "norm squared": _l2(lambda W: np.linalg.norm(W) ** 2),
        "columns first": _l2(lambda W: np.sum(np.sum(W**2, axis=0))),
    },
    "l1": {"loop": _l1, "norm": lambda W, reg: (_l1(W, reg)[0], _l1(W, reg)[1])},
    "elastic_net": {"loop": _elastic},
}


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


AFFINE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
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


def _wide_layer(
    forward: Callable[..., Any], backward: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def wide_forward(*args: Array) -> Any:
        out, cache = forward(*(a.astype(np.float64) for a in args))
        return out.astype(args[0].dtype), cache

    def wide_backward(dout: Array, cache: Any) -> Any:
        return {n: g.astype(dout.dtype) for n, g in backward(dout.astype(np.float64), cache).items()}

    return wide_forward, wide_backward


def _fortran_layer(
    forward: Callable[..., Any], backward: Callable[..., Any]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return (
        lambda *args: forward(*(np.asfortranarray(a) for a in args)),
        lambda dout, cache: backward(np.asfortranarray(dout), cache),
    )


def _decay(value: Any, grads: dict[str, Array], params: dict[str, Array], options: Mapping[str, Any]) -> Answer:
    """Add the penalty, written anew, to value and grads."""
    kind = options.get("penalty", "l2")
    f = {"l2": _l2(lambda W: in_order(W * W)), "l1": _l1, "elastic_net": _elastic}[kind]
    for name in ("W", "b") if options.get("decay_bias") else ("W",):
        if options.get("reg"):
            extra, dextra = f(params[name], options["reg"])
            value, grads[name] = value + extra, grads[name] + dextra["W"]
    return value, grads


def _objective(loss: Loss, forward: Callable[..., Any], backward: Callable[..., Any]) -> Loss:
    def form(params: dict[str, Array], X: Array, y: Array, **options: Any) -> Answer:
        out, cache = forward(X, params["W"], params["b"])
        value, grads = loss(out, y)
        back = backward(grads["scores"], cache)
        return _decay(value, {"W": back["W"], "b": back["b"]}, params, options)

    return form


def _by_example(loss: Loss) -> Loss:
    """One example at a time, gradients added up and divided by N at the end."""

    def form(params: dict[str, Array], X: Array, y: Array, **options: Any) -> Answer:
        N = X.dtype.type(len(X))
        value, dW, db = X.dtype.type(0), np.zeros_like(params["W"]), np.zeros_like(params["b"])
        for i in range(len(X)):
            one, grads = loss((X[i] @ params["W"] + params["b"])[None], y[i : i + 1])
            value, dW, db = value + one, dW + np.outer(X[i], grads["scores"][0]), db + grads["scores"][0]
        return _decay(value / N, {"W": dW / N, "b": db / N}, params, options)

    return form


def _bias_trick(loss: Loss) -> Loss:
    """A column of ones in X, the bias as the last row of W."""

    def form(params: dict[str, Array], X: Array, y: Array, **options: Any) -> Answer:
        ones = np.hstack([X, np.ones((len(X), 1), X.dtype)])
        value, grads = loss(ones @ np.vstack([params["W"], params["b"]]), y)
        dW = ones.T @ grads["scores"]
        return _decay(value, {"W": dW[:-1], "b": dW[-1]}, params, options)

    return form


def _flipped(f: Loss, axis: int) -> Loss:
    """Examples (axis 0) or features (axis 1) in reversed order."""

    def form(params: dict[str, Array], X: Array, y: Array, **options: Any) -> Answer:
        if axis == 0:
            return f(params, X[::-1], y[::-1], **options)
        value, grads = f({**params, "W": params["W"][::-1]}, X[:, ::-1], y, **options)
        return value, {**grads, "W": grads["W"][::-1]}

    return form


def _objectives(pair: Pair, own: Loss) -> dict[str, Loss]:
    plain = side("scratch", f"losses.{pair.loss}")
    last = list(LOSSES[pair.loss].values())[-1]
    loops = AFFINE["loops"]
    return {
        "by example": _by_example(plain),
        "loops": _objective(LOSSES[pair.loss]["loops"], loops[0], loops[1]),
        "einsum": _objective(last, *AFFINE["einsum"]),
        "divide first, transposed": _objective(list(LOSSES[pair.loss].values())[1], *AFFINE["transposed"]),
        "bias as a row": _bias_trick(plain),
        "examples reversed": _flipped(own, 0),
        "features reversed": _flipped(own, 1),
        "fused": side("scratch", f"fused.{pair.name}"),
    }
