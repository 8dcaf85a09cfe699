"""What the answer would be if … : penalties of another convention, and right numbers in the wrong places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from compare.suspicions import Asked, Suspicion

if TYPE_CHECKING:
    from compare.records import Array

PARTS = (("missing", 0.0), ("halved", 0.5), ("doubled", 2.0), ("with the wrong sign", -1.0))


def penalties(asked: Asked) -> Iterator[Suspicion]:
    """A penalty of W alone: parts missing or of another convention. reg Σ W² and reg Σ |W| are the parts."""
    if not asked.at.startswith("penalties."):
        return
    W, t, reg = asked.case.inputs["W"], asked.quantities, float(asked.case.options["reg"])
    sums = {"l2": np.sum(W * W), "l1": np.sum(np.abs(W))}
    slopes = {"l2": 2 * W, "l1": np.sign(W)}
    shares = {"l2": reg * asked.case.options.get("beta", 0.5), "l1": reg}
    for part, share in shares.items() if asked.at == "penalties.elastic_net" else ():
        for word, factor in PARTS:
            change = (factor - 1) * share
            predicted = {"value": t["value"] + change * sums[part], "dW": t["dW"] + change * slopes[part]}
            yield Suspicion(f"{part} part {word}", predicted)
    for name in ("l2",) if asked.at == "penalties.elastic_net" else ("l2", "l1"):  # its l1 alone is its l2 missing
        yield Suspicion(f"{name} in its place", {"value": np.asarray(reg * sums[name]), "dW": reg * slopes[name]})
    yield Suspicion("the square root of the sum of squares", {"value": np.asarray(reg * np.sqrt(sums["l2"]))})
    yield Suspicion("|W| taken as W in the value", {"value": t["value"] + reg * (np.sum(W) - sums["l1"])})
    yield Suspicion("sign(W) missing", {"dW": t["dW"] + reg * (1 - np.sign(W))})


def misplaced(asked: Asked, quantity: str) -> Iterator[Suspicion]:
    """The right numbers in other places, with the regulariser or before it is added."""
    t, penalty = asked.quantities[quantity], asked.penalty[quantity]
    yield from (Suspicion(cause, {quantity: moved}) for cause, moved in _moved(t, quantity))
    if np.any(penalty):
        for cause, moved in _moved(t - penalty, quantity):
            if moved.shape == t.shape:
                yield Suspicion(f"{cause}, the regulariser in place", {quantity: moved + penalty})


def _moved(x: Array, quantity: str) -> Iterator[tuple[str, Array]]:
    """Transposed, in another order of rows, columns or channels."""
    if x.ndim == 1 and len(x) > 1:
        yield "entries in reversed order", x[::-1]
        yield "entries shifted by one", np.roll(x, 1)
    if x.ndim != 2:
        return
    yield "transposed", x.T
    yield "rows in reversed order", x[::-1]
    yield "columns in reversed order", x[:, ::-1]
    for name, axis in (("rows", 0), ("columns", 1)):
        yield f"{name} shifted by one", np.roll(x, 1, axis)
        yield f"{name} shifted by one, backwards", np.roll(x, -1, axis)
    if x.shape[0] != x.shape[1] and min(x.shape) > 1:
        yield "transposed, then forced into its shape", x.T.reshape(x.shape)
    if quantity.startswith("dW") and len(x) % 3 == 0:
        pixels = x.reshape(-1, 3, x.shape[1])
        reversed_, first = pixels[:, ::-1], pixels.swapaxes(0, 1)
        yield "channels in reversed order (BGR for RGB), in the gradient alone", reversed_.reshape(x.shape)
        yield "channels first for channels last, in the gradient alone", first.reshape(x.shape)


def products(asked: Asked, quantity: str) -> Iterator[Suspicion]:
    """Gradients of an affine layer from the wrong product: they fit where shapes happen to."""
    if asked.at != "layers.affine":
        return
    X, W, dout = (asked.case.inputs[n] for n in ("X", "W", "dout"))
    shape = asked.quantities[quantity].shape
    wrong: dict[str, list[tuple[str, Array]]] = {
        "dX": [("W for Wᵀ", dout @ W)] if W.shape[0] == W.shape[1] else [],
        "dW": [("X for Xᵀ", X @ dout)] if X.shape[0] == X.shape[1] else [],
        "db": [("summed over the wrong axis: the classes, not the examples", dout.sum(axis=1))],
    }
    for cause, other in wrong.get(quantity, []):
        if other.shape == shape:
            yield Suspicion(cause, {quantity: other})
