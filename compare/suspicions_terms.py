"""What the answer would be if … : mistakes with single terms (bias, penalty, cache) and with sums over the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from compare.records import Case, Outcome
from compare.suspicions import Ask, Scored, Suspicion, gradient

if TYPE_CHECKING:
    from compare.records import Array


def bias(case: Case, ask: Ask) -> Iterator[Suspicion]:
    """The bias left out of the scores, or subtracted."""
    if "b" not in case.inputs or "X" not in case.inputs:
        return
    for cause, sign in (("bias missing from the scores", 0.0), ("bias with the wrong sign in the scores", -1.0)):
        other = replace(case, inputs={**case.inputs, "b": sign * case.inputs["b"]})
        yield Suspicion(cause, ask(other).quantities())


def cached(case: Case, decoy: Case, ask: Ask) -> Iterator[Suspicion]:
    """A layer's backward pass that reads what the forward pass of the call before left."""
    if "dout" in case.inputs:
        stale = replace(case, inputs={**decoy.inputs, "dout": case.inputs["dout"]})
        yield Suspicion("stale cache: the inputs of the call before", ask(stale).quantities())


def penalties(case: Case, truth: Outcome, ask: Ask) -> Iterator[Suspicion]:
    """A penalty of W alone: parts missing or of another convention. reg Σ W² and reg Σ |W| are the parts."""
    reg = case.options.get("reg")
    if not reg:
        return
    yield Suspicion("reg twice", ask(replace(case, options={**case.options, "reg": reg * reg})).quantities())
    if set(case.inputs) != {"W"}:
        return
    W, t = case.inputs["W"], truth.quantities()
    beta = case.options.get("beta", 0.5)
    sums = {"l2": np.sum(W * W), "l1": np.sum(np.abs(W))}
    slopes = {"l2": 2 * W, "l1": np.sign(W)}
    both = bool(np.allclose(t["value"], reg * (beta * sums["l2"] + sums["l1"])))  # an elastic net has both parts
    for part, share in (("l2", reg * beta), ("l1", reg)) if both else ():
        for word, factor in (("missing", 0.0), ("halved", 0.5), ("doubled", 2.0), ("with the wrong sign", -1.0)):
            change = (factor - 1) * share
            yield Suspicion(f"{part} part {word}", _changed(t, change * sums[part], change * slopes[part]))
    for name in sums:
        whole = {"value": np.asarray(reg * sums[name]), "dW": reg * slopes[name]}
        yield Suspicion(f"{name} in its place", whole)
    yield Suspicion("the square root of the sum of squares", {"value": np.asarray(reg * np.sqrt(sums["l2"]))})
    plain = reg * (np.sum(W) - sums["l1"])
    yield Suspicion("|W| taken as W in the value", {"value": t["value"] + plain})
    yield Suspicion("sign(W) missing", {"dW": t["dW"] + reg * (1 - np.sign(W))})


def _changed(t: dict[str, Array], value: Array | float, dW: Array) -> dict[str, Array]:
    return {"value": t["value"] + value, "dW": t["dW"] + dW}


def sums(case: Case, loss: str, s: Scored | None, truth: Outcome, quantity: str, mine: Array) -> Iterator[Suspicion]:
    """One example's gradient in place of the sum, and a label subtracted in every row."""
    t = truth.quantities()
    G = case.inputs.get("dout")
    if s is not None and loss:
        G = gradient(loss, s.S, case.inputs["y"])
        if loss == "softmax":
            everywhere = G + np.eye(G.shape[1])[case.inputs["y"]] / len(G)
            everywhere[:, np.unique(case.inputs["y"])] -= 1 / len(G)
            yield Suspicion("−1 at every example's label in every row (scores[:, y] for scores[rows, y])",
                            s.reach(everywhere - G))  # fmt: skip
    if G is None or quantity not in ("dW", "db") or quantity not in t or len(G) < 2:
        return
    penalty = np.zeros_like(t[quantity]) if s is None else s.penalty.get(quantity, np.zeros_like(t[quantity]))
    X = case.inputs.get("X", np.zeros((len(G), 0)))
    of = [G[i] if quantity == "db" else np.outer(X[i], G[i]) for i in (0, len(G) - 1)]
    for i, one in zip((0, len(G) - 1), of, strict=True):
        if one.shape == t[quantity].shape:
            yield Suspicion(f"gradient of example {i} alone, not the sum over the batch", {quantity: one + penalty})


def planes(case: Case, truth: Outcome, quantity: str) -> Iterator[Suspicion]:
    """The rows of dW in another order of channels, the scores in the right one."""
    t = truth.quantities().get(quantity)
    if quantity != "dW" or t is None or "X" not in case.inputs or len(t) % 3:
        return
    pixels = t.reshape(-1, 3, *t.shape[1:])
    for cause, other in (
        ("channels in reversed order (BGR for RGB), in the gradient alone", pixels[:, ::-1]),
        ("channels first for channels last, in the gradient alone", pixels.swapaxes(0, 1)),
    ):
        yield Suspicion(cause, {quantity: other.reshape(t.shape)})
