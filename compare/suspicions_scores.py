"""What the answer would be if … : mistakes with labels, margins and the softmax, which all pass through the scores.

G (N, C) is the gradient by the scores. Of a linear model dW = Xᵀ G and db = Σ_i G_i; of a network G goes back through
the layers. A mistake in G is worked out once, and reaches every quantity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from compare.suspicions import Asked, Suspicion

if TYPE_CHECKING:
    from compare.records import Array


@dataclass(frozen=True)
class Scored:
    """A classifier's case seen through its scores S (N, C): how a change of G reaches each quantity."""

    asked: Asked

    @cached_property
    def layers(self) -> list[tuple[str, Array, Array]]:
        """Of each affine layer its number ("" for a linear model), what enters it (N, n), and that before its ReLU."""
        inputs = self.asked.case.inputs
        if "W" in inputs:
            return [("", inputs["X"], inputs["X"])]
        found = []
        into = before = inputs.get("X", np.empty(0))
        for k in range(1, 1 + sum(n.startswith("W") for n in inputs)):
            found.append((str(k), into, before))
            before = into @ inputs[f"W{k}"] + inputs[f"b{k}"]
            into = np.maximum(before, 0)
        return found

    @cached_property
    def S(self) -> Array:  # noqa: N802 # the field's symbol
        """Scores (N, C)."""
        inputs = self.asked.case.inputs
        if "scores" in inputs:
            return np.asarray(inputs["scores"], np.float64)
        k, into, _ = self.layers[-1]
        return np.asarray(into @ inputs[f"W{k}"] + inputs[f"b{k}"])

    @property
    def y(self) -> Array:
        """Labels (N,)."""
        return self.asked.case.inputs["y"]

    @cached_property
    def margin(self) -> float:
        """The hinge's."""
        return float(self.asked.case.options.get("margin", 1.0))

    @cached_property
    def G(self) -> Array:  # noqa: N802 # the field's symbol
        """Gradient by the scores (N, C)."""
        return gradient(self.asked.loss, self.S, self.y, self.margin)

    @cached_property
    def losses(self) -> Array:
        """Loss of each example (N,)."""
        return self.losses_as(self.y)

    def losses_as(self, y: Array) -> Array:
        """Loss of each example (N,) if these were the labels."""
        if self.asked.loss == "softmax":
            shifted = self.S - self.S.max(axis=1, keepdims=True)
            return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y])
        return _hinge_losses(self.S, y, self.margin)

    def back(
        self, G: Array, passes: Callable[[Array, Array], Array] = lambda before, dout: before > 0
    ) -> dict[str, tuple[Array, Array]]:
        """Of each gradient the factors A (N, n) and δ (N, m) whose rows' products it sums, when G is the scores'.

        passes says what a ReLU lets through on the way back, from what entered it and from what arrives.
        """
        inputs, found = self.asked.case.inputs, {}
        if not self.layers:
            return {"dscores": (np.eye(len(G)), G)}
        for k, into, before in reversed(self.layers):
            found[f"dW{k}"], found[f"db{k}"] = (into, G), (np.ones((len(G), 1)), G)
            G = G @ inputs[f"W{k}"].T
            G = G * passes(before, G)
        return found

    def reach(self, change: Array, value: Array | float | None = None) -> dict[str, Array]:
        """The quantities after G has changed by so much, and the value by so much, if told."""
        t = self.asked.quantities
        told = {} if value is None else {"value": t["value"] + np.asarray(value)}
        if not self.layers:
            return {"dscores": t["dscores"] + change, **told}
        return {q: t[q] + (A.T @ d).reshape(t[q].shape) for q, (A, d) in self.back(change).items()} | told


def gradient(loss: str, S: Array, y: Array, margin: float = 1.0, inclusive: bool = False) -> Array:
    """G (N, C) of the loss by its definition; inclusive counts a margin met exactly as violated."""
    rows = np.arange(len(y))
    if loss == "softmax":
        G = np.exp(S - S.max(axis=1, keepdims=True))
        G /= G.sum(axis=1, keepdims=True)
        G[rows, y] -= 1
    else:
        violation = S - S[rows, y][:, None] + margin
        G = (violation >= 0 if inclusive else violation > 0).astype(np.float64)
        G[rows, y] = 0
        G[rows, y] = -G.sum(axis=1)
    return np.asarray(G / len(y))


def _hinge_losses(S: Array, y: Array, margin: float) -> Array:
    violation = np.maximum(S - S[np.arange(len(y)), y][:, None] + margin, 0)
    violation[np.arange(len(y)), y] = 0
    return np.asarray(violation.sum(axis=1))


def through_scores(s: Scored) -> Iterator[Suspicion]:
    """Mistakes in G: the label's term, the true-class column, the kink, the margin, the axis of the softmax."""
    G, onehot = s.G, np.eye(s.S.shape[1])[s.y] / len(s.y)
    yield Suspicion("the true class's entry is zero", s.reach(np.where(onehot > 0, 0.0, G) - G))
    for cause, wrong, value in _softmax(s, onehot) if s.asked.loss == "softmax" else _hinge(s, onehot):
        yield Suspicion(cause, s.reach(wrong - G, value))
    if s.asked.loss == "hinge":
        yield from _margins(s)
    if len(s.layers) > 1:
        yield from _network(s)


Mistakes = Iterator[tuple[str, "Array", "Array | float | None"]]  # a cause, its G, the change of the value if any


def _softmax(s: Scored, onehot: Array) -> Mistakes:
    S, y, G = s.S, s.y, s.G
    N, rows = len(y), np.arange(len(y))
    p = G + onehot
    yield "−1 at the label missing", p, None
    yield "+1 for −1 at the label", p + onehot, None
    yield "−1 at the label before dividing by N is −1 after it", p - N * onehot, None
    yield "−1 at the label alone: the probabilities missing", -onehot, None
    shifted = float(np.mean(S[rows, y] - S.max(axis=1)))
    yield "the true class's score missing from the value", G, shifted
    yield "the true class's score added, not subtracted", G, 2 * shifted
    yield "probabilities in the value, not their logarithms", G, -float(np.mean(N * p[rows, y]) + np.mean(s.losses))
    with np.errstate(all="ignore"):
        high = np.exp(S - S.max(axis=0))
        yield "softmax over the examples, not the classes", high / high.sum(axis=0) / N - onehot, None
        yield "probabilities not normalised", np.exp(S - S.max(axis=1, keepdims=True)) / N - onehot, None
        yield "sigmoid in place of softmax", 1 / (1 + np.exp(-S)) / N - onehot, None
    yield "the derivative p (1 − p) of a sigmoid on top", G * (1 - N * p) * N * p, None
    everywhere = p.copy()
    everywhere[:, np.unique(y)] -= 1 / N
    yield "−1 at every example's label in every row ([:, y] for [rows, y])", everywhere, None


def _hinge(s: Scored, onehot: Array) -> Mistakes:
    S, y, G = s.S, s.y, s.G
    N, C = S.shape
    rows = np.arange(N)
    violation = np.maximum(S - S[rows, y][:, None] + s.margin, 0)
    violation[rows, y] = 0
    hit = (violation > 0) / N
    count = hit.sum(axis=1, keepdims=True) * N * onehot
    yield "≥ for > at the margin", gradient("hinge", S, y, s.margin, inclusive=True), None
    yield (
        "≥ for > at the margin, the true class included",
        gradient("hinge", S, y, s.margin, inclusive=True) - onehot,
        None,
    )
    absolute = np.abs(S - S[rows, y][:, None] + s.margin)
    nonzero = (absolute > 0) * (onehot == 0) / N
    nonzero -= nonzero.sum(axis=1, keepdims=True) * N * onehot
    yield "absolute value for max", nonzero, float(np.sum(absolute - violation)) / N - s.margin
    yield "every class counted as a violation", 1 / N - C * onehot, None
    yield "every class, the true one too, counted as a violation", 1 / N - (C + 1) * onehot, None
    yield "true class gets −1, not minus the number of violations", hit - onehot, None
    yield (
        "true class gets −1, not minus the number of violations, where there are any",
        hit - onehot * (count > 0),
        None,
    )
    yield "true class gets plus the number of violations", hit + count, None
    yield "true class counted among the violations", G + onehot, s.margin
    yield "true class counted among the violations, and subtracted", G - onehot, None
    squared = 2 * violation / N
    value = float(np.sum(violation**2 - violation)) / N
    yield "squared hinge", squared - squared.sum(axis=1, keepdims=True) * N * onehot, value
    linear = violation / N
    yield (
        "violations themselves, not whether they are positive",
        linear - linear.sum(axis=1, keepdims=True) * N * onehot,
        None,
    )
    worst = np.zeros_like(G)
    worst[rows, violation.argmax(axis=1)] = (violation.max(axis=1) > 0) / N
    value = float(np.sum(violation.max(axis=1) - violation.sum(axis=1))) / N
    yield "only the worst violation of each example", worst - worst.sum(axis=1, keepdims=True) * N * onehot, value


def _margins(s: Scored) -> Iterator[Suspicion]:
    """The hinge with another margin."""
    for margin in (0.0, 0.5, 1.0, 2.0, 10.0, -1.0):
        if margin == s.margin:
            continue
        change = gradient("hinge", s.S, s.y, margin) - s.G
        predicted = s.reach(change, float(np.mean(_hinge_losses(s.S, s.y, margin) - s.losses)))
        yield Suspicion(f"margin {margin:g} for {s.margin:g}", predicted)


def _network(s: Scored) -> Iterator[Suspicion]:
    """Mistakes with the ReLUs between layers, on the way back."""
    right, t = s.back(s.G), s.asked.quantities

    def supposing(cause: str, wrong: dict[str, tuple[Array, Array]]) -> Suspicion:
        change = {q: (A.T @ d - right[q][0].T @ right[q][1]).reshape(t[q].shape) for q, (A, d) in wrong.items()}
        return Suspicion(cause, {q: t[q] + x for q, x in change.items()})

    yield supposing("the ReLU's mask missing on the way back", s.back(s.G, lambda before, dout: np.ones_like(dout)))
    yield supposing("the ReLU's mask taken from dout", s.back(s.G, lambda before, dout: dout > 0))
    yield supposing("≥ for > at the ReLU's kink", s.back(s.G, lambda before, dout: before >= 0))
    unmasked = {f"dW{k}": (before, right[f"dW{k}"][1]) for k, _, before in s.layers}
    yield supposing("the ReLU's inputs for its outputs", unmasked)
