"""What the answer would be if … : the well-known mistakes with labels, margins and examples, each worked out.

A suspicion is a name and the quantities that it predicts, made from the truth of the case and from the gradient by
the scores, G (N, C), which every mistake of a classifier's loss passes through: dW = Xᵀ G, db = Σ_i G_i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from compare.records import Case, Outcome

if TYPE_CHECKING:
    from compare.records import Array

Ask = Callable[[Case], Outcome]


@dataclass(frozen=True)
class Suspicion:
    """A cause in words, and what each quantity would then be."""

    cause: str
    predicts: Mapping[str, Array]


@dataclass(frozen=True)
class Scored:
    """A case seen through its scores S (N, C) and labels: how a change of G reaches each quantity."""

    case: Case
    S: Array
    truth: Mapping[str, Array]
    penalty: Mapping[str, Array]  # what the regulariser adds to each quantity; empty without one

    def reach(self, change: Array, value: Array | float | None = None) -> dict[str, Array]:
        """The quantities after G has changed by so much, and the value by so much, if told."""
        t = self.truth
        told = {} if value is None else {"value": t["value"] + np.asarray(value)}
        if "dscores" in t:
            return {"dscores": t["dscores"] + change, **told}
        return {"dW": t["dW"] + self.case.inputs["X"].T @ change, "db": t["db"] + change.sum(axis=0), **told}


def scored(case: Case, truth: Outcome, ask: Ask) -> Scored | None:
    """The scores of a loss or of a linear objective; None where there are none."""
    x, t = case.inputs, truth.quantities()
    if "y" not in x or not ("scores" in x or "W" in x):
        return None
    S = x["scores"] if "scores" in x else x["X"] @ x["W"] + x["b"]
    bare = replace(case, options={**case.options, "reg": 0.0})
    penalty = {q: t[q] - d for q, d in ask(bare).quantities().items()} if case.options.get("reg") else {}
    return Scored(case, np.asarray(S, np.float64), t, penalty)


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


def asked(case: Case, ask: Ask) -> Iterator[Suspicion]:
    """Mistakes that are another question: put to the ref as it is, they answer value and gradients alike."""
    if "y" in case.inputs:
        y = case.inputs["y"]
        biases = [x for n, x in case.inputs.items() if n.startswith("b")]  # the last holds one number a class
        C = case.inputs["scores"].shape[1] if "scores" in case.inputs else len(biases[-1])
        for name, labels in (
            ("labels shifted by one class up", (y + 1) % C),
            ("labels shifted by one class down", (y - 1) % C),
            ("labels in reversed order of examples", y[::-1]),
            ("labels shifted by one example", np.roll(y, 1)),
            ("labels shifted by one example, backwards", np.roll(y, -1)),
        ):
            if not np.array_equal(labels, y):
                yield Suspicion(name, ask(_with(case, y=np.ascontiguousarray(labels))).quantities())
    if "X" in case.inputs and case.inputs["X"].shape[1] % 3 == 0:
        X = case.inputs["X"]
        pixels = X.reshape(len(X), -1, 3)
        for name, other in (
            ("channels in reversed order (BGR for RGB)", pixels[:, :, ::-1]),
            ("channels first for channels last", pixels.transpose(0, 2, 1)),
        ):
            flat = np.ascontiguousarray(other.reshape(X.shape))
            yield Suspicion(name, ask(_with(case, X=flat)).quantities())
    if case.options.get("reg"):
        decayed = replace(case, options={**case.options, "decay_bias": not case.options.get("decay_bias", False)})
        if "b" in case.inputs and "y" in case.inputs:
            word = "missing" if case.options.get("decay_bias") else "applied"
            yield Suspicion(f"regulariser {word} on the bias", ask(decayed).quantities())
        for penalty in ("l1", "l2", "elastic_net"):
            if "y" in case.inputs and penalty != case.options.get("penalty", "l2"):
                other_penalty = replace(case, options={**case.options, "penalty": penalty})
                yield Suspicion(f"{penalty} penalty in its place", ask(other_penalty).quantities())


def margins(s: Scored, ask_margin: Callable[[float], Mapping[str, Array] | None]) -> Iterator[Suspicion]:
    """The hinge with another margin; ask_margin gives None where the pair has no such option."""
    y = s.case.inputs["y"]
    G = gradient("hinge", s.S, y)
    for margin in (0.0, 0.5, 2.0, 10.0, -1.0):
        predicted = {**s.reach(gradient("hinge", s.S, y, margin) - G), **(ask_margin(margin) or {})}
        yield Suspicion(f"margin {margin:g} for 1", predicted)


def through_scores(loss: str, s: Scored) -> Iterator[Suspicion]:
    """Mistakes in G: the label's term, the true-class column, the kink, the axis of the softmax."""
    S, y = s.S, s.case.inputs["y"]
    N, C = S.shape
    rows, G = np.arange(N), gradient(loss, S, y)
    onehot = np.eye(C)[y] / N

    def supposing(cause: str, wrong: Array, value: Array | float | None = None) -> Suspicion:
        return Suspicion(cause, s.reach(wrong - G, value))

    true = float(np.mean(S[rows, y]))
    yield supposing("the true class's entry is zero", np.where(onehot > 0, 0.0, G))
    if loss == "softmax":
        yield supposing("−1 at the label missing", G + onehot, true)
        yield supposing("+1 for −1 at the label", G + 2 * onehot, 2 * true)
        yield supposing("−1 at the label before dividing by N is −1 after it", G + onehot - N * onehot)
        with np.errstate(all="ignore"):
            across = np.exp(S - S.max(axis=0)) / np.exp(S - S.max(axis=0)).sum(axis=0) / N - onehot
            unnormalised = np.exp(S - S.max(axis=1, keepdims=True)) / N - onehot
            sigmoid = 1 / (1 + np.exp(-S)) / N - onehot
        shifted = float(np.mean(S[rows, y] - S.max(axis=1)))
        yield Suspicion("the true class's score missing from the value", s.reach(0 * G, shifted))
        yield Suspicion("the true class's score added, not subtracted", s.reach(0 * G, 2 * shifted))
        yield supposing("softmax over the examples, not the classes", across)
        yield supposing("probabilities not normalised", unnormalised)
        yield supposing("sigmoid in place of softmax", sigmoid)
        p = G + onehot
        yield supposing("the derivative p (1 − p) of a sigmoid on top", G * (1 - N * p) * N * p)
        return
    violation = np.maximum(S - S[rows, y][:, None] + 1, 0)
    violation[rows, y] = 0
    hit = (violation > 0) / N
    count = hit.sum(axis=1, keepdims=True) * N * onehot
    yield supposing("≥ for > at the margin", gradient(loss, S, y, inclusive=True))
    yield supposing("every class counted as a violation", 1 / N - C * onehot)
    yield supposing("every class, the true one too, counted as a violation", 1 / N - (C + 1) * onehot)
    yield supposing("true class gets −1, not minus the number of violations", hit - onehot)
    yield supposing(
        "true class gets −1, not minus the number of violations, where there are any", hit - onehot * (count > 0)
    )
    yield supposing("true class gets plus the number of violations", hit + count)
    yield supposing("true class counted among the violations", G + onehot, 1.0)
    yield supposing("true class counted among the violations, and subtracted", G - onehot, 1.0)
    yield supposing("true class counted among the violations, in the value alone", G, 1.0)
    yield supposing("≥ for > at the margin, the true class included", gradient(loss, S, y, inclusive=True) - onehot)
    squared = 2 * violation / N
    value = float(np.sum(violation**2 - violation)) / N
    yield supposing("squared hinge", squared - squared.sum(axis=1, keepdims=True) * N * onehot, value)
    linear = violation / N
    yield supposing(
        "violations themselves, not whether they are positive", linear - linear.sum(axis=1, keepdims=True) * N * onehot
    )
    worst = np.zeros_like(G)
    worst[rows, violation.argmax(axis=1)] = (violation.max(axis=1) > 0) / N
    value = float(np.sum(violation.max(axis=1) - violation.sum(axis=1))) / N
    yield supposing(
        "only the worst violation of each example", worst - worst.sum(axis=1, keepdims=True) * N * onehot, value
    )


def examples(loss: str, s: Scored, quantity: str, mine: Array) -> Iterator[Suspicion]:
    """One example dropped, counted twice or mislabelled: the best fit of each, found without trying them one by one."""
    S, y = s.S, s.case.inputs["y"]
    N, C = S.shape
    G = gradient(loss, S, y)
    if quantity not in ("dscores", "dW", "db") or N < 2:
        return
    X = {"dscores": None, "dW": s.case.inputs.get("X"), "db": np.ones((N, 1))}[quantity]
    residual = np.asarray(mine, np.float64) - s.truth[quantity]
    penalty = s.penalty.get(quantity, np.zeros_like(residual))  # a mean over fewer does not touch it
    rescaled = (N - 1) / N * (np.asarray(mine, np.float64) - penalty) - (s.truth[quantity] - penalty)

    def overlap(r: Array) -> tuple[Array, Array]:
        """Of each example: what of r lies along its features (N, C), and their squared length (N, 1)."""
        if X is None:
            return r, np.ones((N, 1))
        return X @ r.reshape(X.shape[1], C), np.sum(X * X, axis=1, keepdims=True)

    def best(r: Array, delta: Array) -> int:
        along, length = overlap(r)
        # ‖r − x δᵀ‖² − ‖r‖², smallest where the example explains most
        return int(np.argmin(np.sum(delta * delta, axis=1) * length[:, 0] - 2 * np.sum(along * delta, axis=1)))

    for cause, r, delta, scale in (
        ("example {i} dropped, the mean still over all", residual, -G, 1.0),
        ("example {i} dropped, the mean over the others", rescaled, -G, N / (N - 1)),
        ("example {i} counted twice", residual, G, 1.0),
    ):
        i = best(r, delta)
        change = np.zeros_like(G)
        change[i] = delta[i]
        kept = {q: s.penalty.get(q, 0.0) for q in s.truth}
        predicted = {q: scale * (p - kept[q]) + kept[q] for q, p in s.reach(change).items()}
        yield Suspicion(cause.format(i=i), predicted)
    found = []
    for c in range(C):
        delta = gradient(loss, S, np.full(N, c)) - G
        delta[y == c] = 0
        i = best(residual, delta)
        change = np.zeros_like(G)
        change[i] = delta[i]
        predicted = s.reach(change)
        found.append((float(np.linalg.norm(predicted[quantity] - mine)), i, c, predicted))
    _, i, c, predicted = min(found, key=lambda f: f[0])
    if y[i] != c:
        yield Suspicion(f"example {i} mislabelled: {c} for {y[i]}", predicted)


def _with(case: Case, **inputs: Array) -> Case:
    return replace(case, inputs={**case.inputs, **inputs})
