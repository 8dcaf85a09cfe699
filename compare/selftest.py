"""The checker, checked: known bugs planted one by one, correct variants beside them; what is caught, and how named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from compare import peers, variants, witness_trial
from compare.bugs_linear import LAYER, LINEAR
from compare.bugs_losses import HINGE, PENALTY, SOFTMAX
from compare.bugs_numgrad import NUMGRAD
from compare.check import DTYPES, Measured, check, generator, measure
from compare.kinds import ask_ref, ask_scratch, cast
from compare.pairs import TABLE
from compare.plants import Plant
from compare.records import Case, Cause, Finding, Outcome, Pair, Verdict
from compare.sides import standing_in

CATALOGUE: tuple[Plant, ...] = (*SOFTMAX, *HINGE, *PENALTY, *LAYER, *LINEAR, *NUMGRAD)
SCALES = (1e-2, 1.0, 1e2)
SURE = 0.01
WRONG = (Verdict.DIFFER, Verdict.CRASHED)
SHORT = ("typical", "at a kink", "large scores", "bias decayed", "elastic net")


@dataclass(frozen=True)
class Trial:
    """One bug at one scale: whether it was caught, what it was called, and which of the usual criteria saw it."""

    bug: str
    pair: str
    scale: float
    caught: bool
    named: bool
    misnamed: bool  # a cause that leaves less than 1 % unexplained, and is false
    cause: str
    unexplained: float | None
    truth: str
    findings: int  # that differ
    noise_units: float
    peers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clean:
    """One correct variant at one scale: how many quantities were judged, and who called it wrong."""

    pair: str
    variant: str
    scale: float
    judged: int
    false_alarms: int
    peers: tuple[str, ...] = ()
    told: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Question:
    """A case in one dtype with what the ref said of it."""

    pair: Pair
    case: Case
    dtype: str
    measured: Measured
    ref: Outcome


def trials(
    plants: Sequence[Plant] = CATALOGUE, scales: Sequence[float] = SCALES, seed: int = 0, short: bool = False
) -> Iterator[Trial]:
    """Every bug at every scale; the witness's own bugs are tried on functions known by heart instead."""
    for plant in plants:
        for scale in scales:
            if plant.module.startswith("numgrad"):
                with standing_in(plant.modules()):
                    yield _concluded(plant, scale, list(witness_trial.checks(scale, seed)), {})
                continue
            pair = next(p for p in TABLE if p.name == plant.pair)
            findings, objected = [], set()
            questions = _questions(pair.name, scale, seed, short)
            for q in questions:
                found, said = _asked(q, plant.modules, seed)
                findings += found
                objected |= said
            first = questions[0].case.inputs
            sizes = {"last": len(next(iter(first.values()))) - 1, "lastrow": len(first["W"]) - 1 if "W" in first else 0}
            if "X" in first:
                sizes["last"] = len(first["X"]) - 1
            yield _concluded(plant, scale, findings, sizes, tuple(n for n in peers.NAMES if n in objected))


def clean(scales: Sequence[float] = SCALES, seed: int = 0, short: bool = False) -> Iterator[Clean]:
    """Every correct variant at every scale, on the same questions."""
    for pair in TABLE:
        for variant in variants.of(pair):
            for scale in scales:
                findings, objected = [], set()
                for q in _questions(pair.name, scale, seed, short):
                    found, said = _asked(q, lambda v=variant: v.modules, seed)  # type: ignore[misc] # a default binds it
                    findings += found
                    objected |= said
                wrong = [f for f in findings if f.verdict in WRONG]
                told = tuple(f"{f.case}, {f.dtype}, {f.quantity}: {f.message}" for f in wrong)
                names = tuple(n for n in peers.NAMES if n in objected)
                yield Clean(pair.name, variant.name, scale, len(findings), len(wrong), names, told)


def _asked(q: Question, modules: Callable[[], Any], seed: int) -> tuple[list[Finding], set[str]]:
    with standing_in(modules()):  # a fresh copy for each question: some bugs remember
        found = list(check(q.pair, q.case, q.dtype, seed, known=q.measured))
    with standing_in(modules()), np.errstate(all="ignore"):
        try:
            mine = ask_scratch(q.pair, q.case)
        except Exception:
            return found, set(peers.NAMES)
        return found, peers.objections(q.pair, q.case, mine, q.ref, generator(seed, q.case.name))


@cache
def _questions(name: str, scale: float, seed: int, short: bool) -> list[Question]:
    pair = next(p for p in TABLE if p.name == name)
    asked = []
    for case in pair.cases(generator(seed, pair.name), None):
        if case.name == "tiny gradients" or (short and case.name not in SHORT):
            continue
        for dtype in DTYPES:
            if short and dtype == "float64":
                continue
            q = cast(rescaled(pair, case, scale), dtype)
            asked.append(Question(pair, q, dtype, measure(pair, q, dtype, seed), ask_ref(pair, q)))
    return asked


def rescaled(pair: Pair, case: Case, scale: float) -> Case:
    """The case in other units: what comes in is multiplied by scale.

    X of a linear model takes W / scale and reg · scale² (l1: reg · scale) with it, so that scores, losses and the
    share of each term stay what they are, and only dW changes its size. A layer's X, b and dout are scaled, a
    loss's scores, a penalty's W. Exact cases take the nearest power of two, or, where a margin of 1 forbids that,
    stay as they are, as do the large scores.
    """
    if case.name == "large scores" or (case.exact and pair.kind == "loss" and pair.loss):
        return case
    s = 2.0 ** round(float(np.log2(scale))) if case.exact else scale
    factors = {"loss": {"scores": s, "W": s}, "layer": {"X": s, "b": s, "dout": s}, "objective": {"X": s, "W": 1 / s}}
    inputs = {n: x * factors[pair.kind].get(n, 1.0) if x.dtype.kind == "f" else x for n, x in case.inputs.items()}
    options = dict(case.options)
    if pair.kind == "objective" and "reg" in options:
        options["reg"] *= s if options.get("penalty", "l2") != "l2" else s * s
    return replace(case, inputs=inputs, options=options)


def _concluded(
    plant: Plant, scale: float, findings: list[Finding], sizes: dict[str, int], objected: tuple[str, ...] = ()
) -> Trial:
    wrong = [f for f in findings if f.verdict in WRONG]
    cause = foremost(wrong)
    truth = tuple(t.format(**sizes) for t in plant.truth)
    named = cause is not None and matches(cause.cause, truth)
    sure = cause is not None and cause.unexplained < SURE and not is_place(cause.cause)
    units = max((f.noise_units or 0.0 for f in wrong), default=0.0)
    return Trial(
        plant.name, plant.pair, scale, bool(wrong), named, sure and not named, cause.cause if cause else "",
        cause.unexplained if cause else None, " or ".join(truth), len(wrong), units, objected,
    )  # fmt: skip


def foremost(findings: Sequence[Finding]) -> Cause | None:
    """The one cause of many findings: that which explains most of them, gradients before values.

    A bug is one; a coincidence fits here and there. Votes are the causes that leave less than 1 % unexplained;
    without any, the one that leaves least. Among equals the one that is named first more often, then earlier.
    """
    gradients = [f for f in findings if f.quantity != "value" and f.causes] or [f for f in findings if f.causes]
    votes: Counter[str] = Counter()
    first: Counter[str] = Counter()
    best: dict[str, Cause] = {}
    for f in gradients:
        for rank, cause in enumerate(f.causes):
            if cause.unexplained < SURE:
                votes[cause.cause] += 1
                first[cause.cause] += rank == 0
            if cause.cause not in best or cause.unexplained < best[cause.cause].unexplained:
                best[cause.cause] = cause
    if not best:
        return None
    if not votes:
        return min(best.values(), key=lambda c: c.unexplained)
    order = list(best)
    return best[min(votes, key=lambda c: (-votes[c], -first[c], order.index(c)))]


def matches(cause: str, truth: Sequence[str]) -> bool:
    """Whether a cause begins as one of the true ones does; the data term's factor is the factor."""
    return any(told.removeprefix("data term ").startswith(t) for told in cause.split(" or: ") for t in truth)


def is_place(cause: str) -> bool:
    """Whether a cause only says where the difference lives, which is measured and cannot be false."""
    return cause.endswith("the rest is right")
