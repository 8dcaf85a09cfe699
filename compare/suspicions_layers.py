"""What a layer's answer would be if … : the well-known mistakes in forward and backward passes, each worked out.

Each function yields (cause, predictions): the value where the mistake changes it, and the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.suspicions import Asked, Suspicion

if TYPE_CHECKING:
    from compare.records import Array

Told = Iterator[tuple[str, dict[str, "Array"]]]


def layers(asked: Asked) -> Iterator[Suspicion]:
    """The mistakes known of the layer that is asked; none for another method."""
    known = LAYERS.get(asked.at)
    if known is None:
        return
    with np.errstate(all="ignore"):
        for cause, predicts in known(asked.case.inputs, dict(asked.case.options), asked.quantities):
            yield Suspicion(cause, predicts)


def _elementwise(derivative: Array, dout: Array) -> Told:
    """What can go wrong with dX = dout · f′(x) whatever f is."""
    yield "the derivative missing: dout passed on as it is", {"dX": dout}
    yield "dout missing: the derivative alone", {"dX": derivative}
    yield "the derivative applied twice", {"dX": dout * derivative * derivative}
    yield "dout added to the derivative, not multiplied", {"dX": dout + derivative}


def _relu(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, dout = x["X"], x["dout"]
    slope = float(options.get("slope", 0.01)) if options.get("leaky") else 0.0
    yield "≥ for > at the kink", {"dX": dout * np.where(X >= 0, 1.0, slope)}
    yield "the mask taken from dout, not from X", {"dX": dout * np.where(dout > 0, 1.0, slope)}
    yield "the mask taken from X and from dout", {"dX": dout * np.where((dout > 0) & (X > 0), 1.0, slope)}
    yield "the mask inverted", {"dX": dout * np.where(X > 0, slope, 1.0)}
    yield "X in place of its mask", {"dX": dout * np.where(X > 0, X, slope * X)}
    yield "absolute value for max", {"value": np.abs(X), "dX": dout * np.sign(X)}
    yield "min for max", {"value": np.minimum(X, slope * X), "dX": dout * np.where(X < 0, 1.0, slope)}
    yield from _elementwise(np.where(X > 0, 1.0, slope), dout)


def _leaky(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, dout, slope = x["X"], x["dout"], float(options.get("slope", 0.01))
    yield "the slope missing: a plain ReLU", {"value": np.maximum(X, 0), "dX": dout * (X > 0)}
    yield "the slope not multiplied by dout", {"dX": np.where(X > 0, dout, slope)}
    yield "the slope not multiplied by x", {"value": np.where(X > 0, X, slope)}
    yield "the slope subtracted", {"value": np.where(X > 0, X, -slope * X), "dX": dout * np.where(X > 0, 1.0, -slope)}
    if slope != 0.01:
        yield "slope 0.01 in place of the one asked for", {
            "value": np.where(X > 0, X, 0.01 * X), "dX": dout * np.where(X > 0, 1.0, 0.01)
        }  # fmt: skip
    yield from _relu(x, {**options, "leaky": True}, t)


def _sigmoid(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, dout = x["X"], x["dout"]
    out = t["value"]
    mirrored, again = 1 - out, 1 / (1 + np.exp(-out))
    yield "(1 − σ) missing from the derivative", {"dX": dout * out}
    yield "σ missing from the derivative", {"dX": dout * (1 - out)}
    yield "(1 + σ) for (1 − σ)", {"dX": dout * out * (1 + out)}
    yield "(1 − σ²) for σ (1 − σ): the derivative of tanh", {"dX": dout * (1 - out * out)}
    yield "derivative of the input: x (1 − x)", {"dX": dout * X * (1 - X)}
    yield "σ taken once more of the output", {"dX": dout * again * (1 - again)}
    yield "e^x for e^−x", {"value": mirrored, "dX": -dout * mirrored * out}
    yield "tanh in place of the sigmoid", {"value": np.tanh(X), "dX": dout * (1 - np.tanh(X) ** 2)}
    yield from _elementwise(out * (1 - out), dout)


def _tanh(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, dout = x["X"], x["dout"]
    out = t["value"]
    sigmoid = 1 / (1 + np.exp(-X))
    yield "the square missing: 1 − tanh", {"dX": dout * (1 - out)}
    yield "(1 + tanh²) for (1 − tanh²)", {"dX": dout * (1 + out * out)}
    yield "tanh (1 − tanh) for (1 − tanh²): the derivative of a sigmoid", {"dX": dout * out * (1 - out)}
    yield "derivative of the input: 1 − x²", {"dX": dout * (1 - X * X)}
    yield "tanh taken once more of the output", {"dX": dout * (1 - np.tanh(out) ** 2)}
    yield "a sigmoid in place of tanh", {"value": sigmoid, "dX": dout * sigmoid * (1 - sigmoid)}
    yield "2x for x: tanh = 2 σ(2x) − 1 mistaken", {"value": 2 * sigmoid - 1, "dX": 2 * dout * sigmoid * (1 - sigmoid)}
    yield from _elementwise(1 - out * out, dout)


def _softmax(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, dout, p = x["X"], x["dout"], t["value"]
    total = (dout * p).sum(axis=1, keepdims=True)
    high = np.exp(X - X.max(axis=0))
    across = high / high.sum(axis=0)
    yield "the sum over the classes missing: p · dout", {"dX": p * dout}
    yield "the diagonal of the Jacobian alone: p (1 − p)", {"dX": p * (1 - p) * dout}
    yield "the sum over the classes without p", {"dX": p * (dout - dout.sum(axis=1, keepdims=True))}
    yield "the sum added, not subtracted", {"dX": p * (dout + total)}
    yield "the sum over the examples, not the classes", {"dX": p * (dout - (dout * p).sum(axis=0))}
    yield "p missing before the bracket", {"dX": dout - total}
    yield "softmax over the examples, not the classes", {
        "value": across, "dX": across * (dout - (dout * across).sum(axis=0))
    }  # fmt: skip
    yield "probabilities not normalised", {"value": np.exp(X - X.max(axis=1, keepdims=True))}
    yield "dout passed on as it is", {"dX": dout}


def _dropout(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, dout, mask = x["X"], x["dout"], x["mask"].astype(np.float64)
    p = float(options.get("p", 0.5))

    def both(share: Array | float) -> dict[str, Array]:
        return {"value": X * share, "dX": dout * share}

    yield "not divided by 1 − p", both(mask)
    yield "divided by p, not by 1 − p", both(mask / p)
    yield "multiplied by 1 − p, not divided", both(mask * (1 - p))
    yield "divided by 1 − p twice", both(mask / (1 - p) ** 2)
    yield "divided by the share that happened to stay", both(mask / mask.mean())
    yield "the mask inverted: what should stay is dropped", both((1 - mask) / (1 - p))
    yield "the mask missing", both(1 / (1 - p))
    yield "nothing dropped and nothing divided", both(1.0)


def _normalised(
    X: Array, gamma: Array, beta: Array, dout: Array, eps: float, axis: int, ddof: int = 0,
    root: Callable[[Array, float], Array] = lambda v, eps: np.sqrt(v + eps), through: tuple[bool, bool] = (True, True),
) -> dict[str, Array]:  # fmt: skip
    """Value and gradients of a normalisation; through says whether the gradient passes the mean, the variance."""
    n = X.shape[axis]
    centred = X - X.mean(axis=axis, keepdims=True)
    spread = root((centred * centred).sum(axis=axis, keepdims=True) / max(n - ddof, 1), eps)
    normal, g = centred / spread, dout * gamma
    mean = g.mean(axis=axis, keepdims=True) if through[0] else 0.0
    along = (g * normal).sum(axis=axis, keepdims=True) / max(n - ddof, 1) if through[1] else 0.0
    return {
        "value": gamma * normal + beta,
        "dX": (g - mean - normal * along) / spread,
        "dgamma": (dout * normal).sum(axis=0),
        "dbeta": dout.sum(axis=0),
    }


def _backward_along(other: int, X: Array, gamma: Array, dout: Array, eps: float, axis: int) -> Array:
    """A gradient whose means run over another axis than those of the forward pass."""
    centred = X - X.mean(axis=axis, keepdims=True)
    spread = np.sqrt((centred * centred).mean(axis=axis, keepdims=True) + eps)
    normal, g = centred / spread, dout * gamma
    along = (g * normal).mean(axis=other, keepdims=True)
    return np.asarray((g - g.mean(axis=other, keepdims=True) - normal * along) / spread)


def _norm(axis: int) -> Callable[[Mapping[str, Array], dict[str, Any], Mapping[str, Array]], Told]:
    def mistakes(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
        X, gamma, beta, dout = x["X"], x["gamma"], x["beta"], x["dout"]
        eps = float(options.get("eps", 1e-5))

        def made(**how: Any) -> dict[str, Array]:
            return _normalised(X, gamma, beta, dout, **{"eps": eps, "axis": axis, **how})

        def gradient(**how: Any) -> dict[str, Array]:
            return {"dX": made(**how)["dX"]}

        yield "unbiased variance: N − 1 for N", made(ddof=1)
        yield "eps missing", made(eps=0.0)
        yield "eps outside the root", made(root=lambda v, e: np.sqrt(v) + e)
        yield "eps squared", made(eps=eps * eps)
        yield "variance in place of its root", made(root=lambda v, e: v + e)
        yield "normalised over the wrong axis", made(axis=1 - axis)
        yield "the gradient through the mean missing", gradient(through=(False, True))
        yield "the gradient through the variance missing", gradient(through=(True, False))
        yield "the gradient through mean and variance missing", gradient(through=(False, False))
        yield "the backward pass over the wrong axis", {"dX": _backward_along(1 - axis, X, gamma, dout, eps, axis)}
        ones = np.ones_like(gamma)
        plain = _normalised(X, ones, 0 * beta, dout, eps, axis)
        yield "gamma missing", {"value": plain["value"] + beta, "dX": plain["dX"]}
        yield "beta missing", {"value": t["value"] - beta}
        yield "beta subtracted", {"value": t["value"] - 2 * beta}
        yield "gamma and beta exchanged", {
            "value": beta * plain["value"] + gamma, "dgamma": t["dbeta"], "dbeta": t["dgamma"]
        }  # fmt: skip
        centred = X - X.mean(axis=axis, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=axis, keepdims=True) + eps)
        yield "1 / √(v + eps) missing", {"dX": t["dX"] * spread, "dgamma": (dout * centred).sum(axis=0)}
        yield "X for x̂ in the gradient by gamma", {"dgamma": (dout * X).sum(axis=0)}
        yield "x̂ missing from the gradient by gamma", {"dgamma": dout.sum(axis=0)}
        if len(X) == X.shape[1]:
            turned = {"dgamma": (dout * plain["value"]).sum(axis=1), "dbeta": dout.sum(axis=1)}
            yield "summed over the wrong axis", turned

    return mistakes


def _norm_eval(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, gamma, beta, dout, running = (x[n] for n in ("X", "gamma", "beta", "dout", "running"))
    eps = float(options.get("eps", 1e-5))

    def made(mean: Array | float, spread: Array) -> dict[str, Array]:
        normal = (X - mean) / spread
        return {"value": gamma * normal + beta, "dX": dout * gamma / spread, "dgamma": (dout * normal).sum(axis=0)}

    mean, variance = running
    yield "the batch's own statistics for the running ones", _normalised(X, gamma, beta, dout, eps, 0)
    yield "eps missing", made(mean, np.sqrt(variance))
    yield "eps outside the root", made(mean, np.sqrt(variance) + eps)
    yield "variance in place of its root", made(mean, variance + eps)
    yield "the running mean not subtracted", made(0.0, np.sqrt(variance + eps))
    yield "running mean and variance exchanged", made(variance, np.sqrt(np.abs(mean) + eps))
    yield "gamma missing", {"value": (t["value"] - beta) / gamma + beta, "dX": t["dX"] / gamma}
    through = _normalised(X, gamma, beta, dout, eps, 0)["dX"]
    yield "the gradient taken through the batch's statistics", {"dX": through}
    yield "X for x̂ in the gradient by gamma", {"dgamma": (dout * X).sum(axis=0)}
    yield "x̂ missing from the gradient by gamma", {"dgamma": dout.sum(axis=0)}


def _running(x: Mapping[str, Array], options: dict[str, Any], t: Mapping[str, Array]) -> Told:
    X, running, m = x["X"], x["running"], float(options.get("momentum", 0.1))
    batch = np.stack([X.mean(axis=0), X.var(axis=0, ddof=1)])
    biased = np.stack([X.mean(axis=0), X.var(axis=0)])
    deviation = np.stack([X.mean(axis=0), X.std(axis=0, ddof=1)])
    yield "biased variance: N for N − 1", {"value": (1 - m) * running + m * biased}
    yield "momentum the other way round: the share of the old", {"value": m * running + (1 - m) * batch}
    yield "standard deviation in place of the variance", {"value": (1 - m) * running + m * deviation}
    yield "the old not weighted down", {"value": running + m * batch}
    yield "the new not weighted down", {"value": (1 - m) * running + batch}
    yield "the running statistics not moved", {"value": running}
    yield "the batch's own statistics, nothing remembered", {"value": batch}


LAYERS: dict[str, Callable[[Mapping[str, Array], dict[str, Any], Mapping[str, Array]], Told]] = {
    "layers.relu": _relu,
    "layers.leaky_relu": _leaky,
    "layers.sigmoid": _sigmoid,
    "layers.tanh": _tanh,
    "layers.softmax": _softmax,
    "layers.dropout": _dropout,
    "norms.batch_norm": _norm(0),
    "norms.layer_norm": _norm(1),
    "norms.batch_norm_eval": _norm_eval,
    "norms.batch_norm_running": _running,
}
