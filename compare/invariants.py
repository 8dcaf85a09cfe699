"""Checks that need no oracle and run first: what must hold of any classifier's loss, whoever wrote it.

Both sides of each statement are scratch's own answers, in float64. They may part by γ_n = n u / (1 - n u) of the
size of what was summed, n the number of terms: the bound for any order of summation (Higham, 2002, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from compare.kinds import ask_scratch
from compare.records import REFUSAL, Case, Finding, Outcome, Pair, Verdict

if TYPE_CHECKING:
    from compare.records import Array

Claims = Iterator[tuple["Array", "Array", float]]  # what is, what must be, and the size of what was summed
U = float(np.finfo(np.float64).eps) / 2


def invariants(pair: Pair, case: Case, rng: np.random.Generator) -> Iterator[Finding]:
    """One finding a statement that applies to the pair; case in float64, of the pair's own form."""
    if pair.kind not in ("loss", "objective") or len(case.inputs.get("y", ())) < 2:
        return
    base = ask_scratch(pair, case)
    terms = max(x.size for x in case.inputs.values())
    for name, statement in STATEMENTS.items():
        applies = "scores" in case.inputs or name not in OVER_SCORES
        if not applies:
            continue
        row = Finding(pair.name, pair.at, "invariants", "float64", name, Verdict.AGREE)
        worst = 0.0
        for have, must, size in statement(pair, case, base, rng):
            allowed = 4 * terms * U / (1 - terms * U) * size + np.finfo(np.float64).tiny
            worst = max(worst, float(np.max(np.abs(have - must))) / allowed)
        if worst > 1 or not np.isfinite(worst):
            much = (
                f": off by {worst:.3g} times what rounding may do" if worst < 1e100 else ""
            )  # a yes or no has no size
            row = replace(row, verdict=Verdict.DIFFER, message=f"does not hold{much}")
        yield row


def refusals(pair: Pair) -> Iterator[Finding]:
    """Inputs that mean nothing must raise ValueError, not answer."""
    for name, inputs in pair.refuses:
        row = Finding(
            pair.name,
            pair.at,
            name,
            "float64",
            REFUSAL,
            Verdict.DIFFER,
            message="answered instead of refusing",
        )
        wrt = tuple(n for n in inputs if n not in ("X", "y")) if pair.kind == "objective" else ("scores",)
        try:
            ask_scratch(pair, Case(name, inputs, wrt))
        except ValueError as error:
            row = replace(row, verdict=Verdict.AGREE, message=str(error))
        except Exception as error:  # any other exception is not the refusal that is promised
            row = replace(row, message=f"raised {type(error).__name__} instead of ValueError: {error}")
        yield row


def _chance(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """All scores equal, every class is as likely: log C, or under the hinge C - 1 times the margin."""
    C = case.inputs[case.wrt[-1]].shape[-1]
    equal = ask_scratch(pair, _with(case, **{n: np.zeros_like(case.inputs[n]) for n in case.wrt}))
    margin = float(case.options.get("margin", 1.0))
    yield np.asarray(equal.value), np.asarray((C - 1) * margin if pair.loss == "hinge" else np.log(C)), float(C)


def _rows_sum_to_zero(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """A shift of all scores changes nothing, so the derivative along it is zero."""
    G = base.grads["scores"]
    yield G.sum(axis=1), np.zeros(len(G)), float(np.abs(G).max()) + 1 / len(G)


def _shift(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """Adding a constant to an example's scores changes nothing."""
    S = case.inputs["scores"]
    shift = np.round(rng.normal(0, 8, (len(S), 1)))
    other = ask_scratch(pair, _with(case, scores=S + shift))
    yield from _same(other, base, base, float(np.abs(S).max() + np.abs(shift).max()))


def _examples(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """Another order of the examples: the same value, the same gradients."""
    order = rng.permutation(len(case.inputs["y"]))
    other = ask_scratch(pair, _taken(case, order))
    expected = {n: g[order] if n == "scores" else g for n, g in base.grads.items()}
    yield from _same(other, Outcome(base.value, expected), base, 1.0)


def _classes(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """Another numbering of the classes: the same value, the columns renumbered."""
    named = case.wrt[-2:]  # the scores, or the weights and the bias of the layer that puts them out
    order = rng.permutation(case.inputs[named[0]].shape[-1])
    columns = {n: case.inputs[n][..., order] for n in named}
    other = ask_scratch(pair, _with(case, y=np.argsort(order)[case.inputs["y"]], **columns))
    expected = Outcome(base.value, {n: g[..., order] if n in named else g for n, g in base.grads.items()})
    yield from _same(other, expected, base, 1.0)


def _doubled(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """Every example twice: the mean stays."""
    N = len(case.inputs["y"])
    other = ask_scratch(pair, _taken(case, np.tile(np.arange(N), 2)))
    expected = {n: np.tile(g / 2, (2, 1)) if n == "scores" else g for n, g in base.grads.items()}
    yield from _same(other, Outcome(base.value, expected), base, 1.0)


def _halves(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """The answer over the whole is the mean of the answers over two halves."""
    N = len(case.inputs["y"]) // 2 * 2
    whole = ask_scratch(pair, _taken(case, np.arange(N)))
    first, second = (ask_scratch(pair, _taken(case, half)) for half in np.split(np.arange(N), 2))
    grads = {
        n: np.concatenate([first.grads[n], second.grads[n]]) / 2
        if n == "scores"
        else (first.grads[n] + second.grads[n]) / 2
        for n in base.grads
    }
    yield from _same(whole, Outcome((first.value + second.value) / 2, grads), base, 1.0)


def _downhill(pair: Pair, case: Case, base: Outcome, rng: np.random.Generator) -> Claims:
    """A small enough step against the gradient lowers the value, by about the step times its squared norm."""
    slope = sum(float(np.sum(g * g)) for g in base.grads.values())
    if slope == 0:
        return
    step, lowered = 1.0, False
    for _ in range(40):
        other = ask_scratch(pair, _with(case, **{n: case.inputs[n] - step * g for n, g in base.grads.items()}))
        gained = float(base.value - other.value)
        if gained >= step * slope / 4:  # an honest gradient promises the whole of it for small steps
            lowered = True
            break
        step /= 4
    yield np.array(0.0 if lowered else 1.0), np.array(0.0), 0.0


OVER_SCORES = ("rows sum to zero", "shift invariance")
STATEMENTS: dict[str, Callable[[Pair, Case, Outcome, np.random.Generator], Claims]] = {
    "chance loss": _chance,
    "rows sum to zero": _rows_sum_to_zero,
    "shift invariance": _shift,
    "order of examples": _examples,
    "order of classes": _classes,
    "doubled batch": _doubled,
    "mean of two halves": _halves,
    "a step downhill": _downhill,
}


def _same(have: Outcome, must: Outcome, base: Outcome, factor: float) -> Claims:
    """Value and gradients; what was summed is as large as the scores or inputs make it."""
    scale = factor * max(1.0, float(np.abs(base.value)))
    yield np.asarray(have.value), np.asarray(must.value), scale
    for name, g in must.grads.items():
        yield have.grads[name], g, factor * max(float(np.abs(g).max()), 1.0 / len(g))


def _with(case: Case, **inputs: Array) -> Case:
    return replace(case, inputs={**case.inputs, **inputs})


def _taken(case: Case, order: Array) -> Case:
    """The case with these examples, in this order."""
    along = {n: x[order] for n, x in case.inputs.items() if n in ("scores", "X", "y")}
    return _with(case, **along)
