"""Why a quantity differs: the most likely causes, each with the share of the difference that it leaves unexplained.

A cause is a prediction of the whole array, and is named with confidence only if that is met down to rounding; then
nothing is left to explain. A prediction that comes close is told as what it is, after "unknown".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from compare.factors import Sizes, fits
from compare.places import places
from compare.records import Cause, Finding
from compare.suspicions import Asked, Suspicion, classes, other_questions
from compare.suspicions_layers import layers
from compare.suspicions_scores import Scored, through_scores
from compare.suspicions_sums import VAGUE, sums
from compare.suspicions_terms import misplaced, penalties, products

if TYPE_CHECKING:
    from compare.records import Array

MOST = 3
SURE = 0.01  # a cause that leaves less than this unexplained is named with confidence
FITTED = 2  # the level of guesses from which on numbers are fitted: to come close is then no sign
FEW = 8  # numbers, or less, say little
ROUNDING = 4.0  # noise units within which a prediction is met
UNKNOWN = "unknown: no known cause explains it"
COARSE = "unknown: numbers so few or so coarse fit too many causes"
ALIKE = "unknown: {} causes fit alike here"


def diagnose(
    quantity: str,
    answer: Mapping[str, Array],
    asked: Asked,
    noise: Mapping[str, float],
    settle: Callable[[str, Array], Array] = lambda _, residual: residual,
) -> tuple[Cause, ...]:
    """At most three causes of answer[quantity] ≠ truth, the most certain first; "unknown" when none explains it.

    noise is each tensor's own ν. Causes that leave equally little cannot be told apart in this case. The other
    quantities of the answer tell how far a cause reaches: to the value alone, or the gradient. settle takes out of a
    quantity's residual what kinks within rounding explain.
    """
    t = asked.quantities[quantity]
    mine = np.asarray(answer[quantity], np.float64)
    if not np.isfinite(mine).all():
        hint = ": a stable form subtracts the largest score first" if "softmax" in (asked.loss, asked.at[7:]) else ""
        return (Cause(f"overflow or 0/0{hint}", 0.0),)
    off = float(np.linalg.norm(settle(quantity, mine - t)))
    if off == 0:
        return ()

    def left(q: str, predicted: Array) -> tuple[float, float]:
        """How far the answer lies from a prediction, and how far rounding alone may put it."""
        size = max(float(np.linalg.norm(asked.quantities[q])), noise[q])
        rounding = ROUNDING * noise[q] * max(1.0, float(np.linalg.norm(predicted)) / size)
        return float(np.linalg.norm(settle(q, answer[q] - predicted))), rounding

    few = t.size <= FEW  # numbers that are met by chance: there a difference must be known to many digits
    resolved = off * (1e-5 if few else SURE)

    def met(predicted: Array) -> bool:
        far, rounding = left(quantity, predicted)
        return far <= rounding <= resolved

    def told(s: Suspicion) -> str:
        """The cause, and in which quantities alone, where others that it would change are right."""
        others = {q: p for q, p in s.predicts.items() if q in answer and answer[q].shape == np.shape(p)}
        changed = [q for q, p in others.items() if np.linalg.norm(p - asked.quantities[q]) > 2 * left(q, p)[1]]
        right = [q for q in changed if left(q, asked.quantities[q])[0] <= left(q, others[q])[1]]
        there = [q for q in changed if left(q, others[q])[0] <= left(q, others[q])[1]]
        if not right or len(right) + len(there) < len(changed):
            return s.cause
        return f"{s.cause}, {_within(there, changed)}"

    close: dict[str, float] = {}
    with np.errstate(all="ignore"):
        for level, guesses in enumerate(_guesses(quantity, mine, asked, noise[quantity])):
            sure = [s for s in guesses if met(s.predicts[quantity])]
            if sure:
                causes = tuple(dict.fromkeys(Cause(told(s), 0.0) for s in sure))
                return causes if len(causes) <= MOST else (Cause(ALIKE.format(len(causes)), 1.0), *causes[: MOST - 1])
            for s in guesses if level < FITTED else ():
                close.setdefault(s.cause, left(quantity, s.predicts[quantity])[0] / off)
    if ROUNDING * noise[quantity] > resolved:
        return (Cause(COARSE, 1.0),)
    near = sorted((share, word) for word, share in close.items() if share < 0.5 and not few)
    return (Cause(UNKNOWN, 1.0), *(Cause(word, share) for share, word in near[: MOST - 1]))


def confident(causes: Sequence[Cause]) -> list[Cause]:
    """Those that are named with confidence: none where the first says that the cause is unknown."""
    return [c for c in causes if c.unexplained < SURE] if causes and not unknown(causes[0]) else []


def unknown(cause: Cause) -> bool:
    """Whether a cause says that there is none to name."""
    return cause.cause.startswith("unknown:")


def _within(there: Sequence[str], changed: Sequence[str]) -> str:
    """Those quantities that a mistake reaches, of those that it would change."""
    if there == ["value"]:
        return "in the value alone"
    if all(q in there for q in changed if q != "value"):
        return "in the gradient alone"
    return f"in {' and '.join(there)} alone"


def _guesses(quantity: str, mine: Array, asked: Asked, noise: float) -> Iterator[list[Suspicion]]:
    """What may have happened, the most meaningful first: mistakes, wrong places, mere factors, two mistakes at once."""

    def alone(guesses: Iterable[tuple[str, Array]]) -> list[Suspicion]:
        return [Suspicion(word, {quantity: predicted}) for word, predicted in guesses]

    t, penalty = asked.quantities[quantity], asked.penalty[quantity]
    factors = list(fits(quantity, mine, t - penalty, penalty, _sizes(asked), noise))
    mistakes = alone((word, p) for word, p, meaning in factors if meaning)
    for s in _suspicions(quantity, mine, asked, noise):
        predicted = s.predicts.get(quantity)
        # a prediction of no change is none
        if predicted is not None and np.shape(predicted) == t.shape and not np.linalg.norm(predicted - t) <= noise:
            mistakes.append(s)
    yield mistakes
    yield alone(places(quantity, mine, t, ROUNDING * noise))
    yield alone((word, p) for word, p, meaning in factors if not meaning)
    yield alone(_two_at_once(quantity, mine, asked, mistakes, noise))


def _suspicions(quantity: str, mine: Array, asked: Asked, noise: float) -> Iterator[Suspicion]:
    s, known = _known(asked)
    yield from known
    yield from products(asked, quantity)
    yield from sums(asked, s, quantity, mine, noise)
    yield from misplaced(asked, quantity)


@lru_cache(maxsize=24)
def _known(asked: Asked) -> tuple[Scored | None, list[Suspicion]]:
    """The suspicions that do not depend on the answer: many answers to one case may be diagnosed."""
    s = Scored(asked) if asked.loss else None
    return s, [*(through_scores(s) if s else ()), *layers(asked), *other_questions(asked), *penalties(asked)]


def _sizes(asked: Asked) -> Sizes:
    N = next((len(asked.case.inputs[name]) for name in ("y", "X", "W") if name in asked.case.inputs), 1)
    return Sizes(N, classes(asked.case), batches=bool(asked.loss))


def _two_at_once(
    quantity: str, mine: Array, asked: Asked, named: Sequence[Suspicion], noise: float
) -> Iterator[tuple[str, Array]]:
    """Two mistakes: one with a factor on top, or two whose changes add up."""
    t, penalty = asked.quantities[quantity], asked.penalty[quantity]
    if t.size <= FEW:
        return  # too few numbers to tell so many pairs apart
    for s in named:
        data = s.predicts[quantity] - penalty
        for factor, p, meaning in fits(quantity, mine, data, penalty, _sizes(asked), noise):
            if meaning:
                yield f"{s.cause}; and {factor}", p
    if len(named) < 2:
        return
    changes = np.stack([(s.predicts[quantity] - t).reshape(-1) for s in named])
    r = (mine - t).reshape(-1)
    along, gram = changes @ r, changes @ changes.T
    cost = 2 * gram + np.add.outer(np.diag(gram) - 2 * along, np.diag(gram) - 2 * along)
    cost = np.where(np.isfinite(cost), cost, np.inf)
    np.fill_diagonal(cost, np.inf)
    for flat in np.argsort(cost, axis=None)[: 2 * MOST : 2]:
        i, j = (int(k) for k in np.unravel_index(int(flat), cost.shape))
        yield f"{named[min(i, j)].cause}; and {named[max(i, j)].cause}", t + (changes[i] + changes[j]).reshape(t.shape)


@dataclass(frozen=True)
class Conclusion:
    """The one cause of many findings; several, where none of the findings tells them apart."""

    causes: tuple[Cause, ...]
    explains: int  # findings
    of: int


def foremost(findings: Sequence[Finding]) -> Conclusion | None:
    """One mistake behind all findings that differ: that which explains most of them; None if none has a cause.

    A mistake is one, a coincidence fits here and there. Every finding votes for the causes that explain it, or for
    "unknown". Gradients are heard before values, of which one number can be met by chance, and float64 before
    float32, which resolves less; the others settle a tie.
    """
    told = [f for f in findings if f.causes]
    heard = [f for f in told if f.quantity != "value"] or told
    heard = [f for f in heard if f.dtype == "float64"] or heard
    rounds = (heard, [f for f in told if f not in heard])
    winners: dict[str, Cause] = {}
    for round_ in rounds:
        found = _votes(round_)
        if winners:  # what remained a tie is settled by the rest, if that can
            found = {key: causes for key, causes in found.items() if key in winners}
        if found:
            most = max(len(causes) for causes in found.values())
            winners = {key: causes[0] for key, causes in found.items() if len(causes) == most}
        if len(winners) == 1:
            break
    # a mistake that would change more than it did is the less likely one; one without its example says less
    plain = {k: cause for k, cause in winners.items() if not k.endswith(" alone") and VAGUE not in k}
    winners = plain or winners
    if UNKNOWN in winners:
        winners = {UNKNOWN: winners[UNKNOWN]}
    causes = tuple(winners.values())[:MOST] or tuple(f.causes[0] for f in told[:1])
    explained = sum(any(bare(c.cause) in winners for c in confident(f.causes)) for f in told)
    return Conclusion(causes, explained, len(told)) if causes else None


def _votes(findings: Sequence[Finding]) -> dict[str, list[Cause]]:
    """Each cause, without the numbers of its case, with the times that it explains a finding.

    What is too coarse to tell, or fits too many causes, has no vote.
    """
    found: dict[str, list[Cause]] = {}
    for f in findings:
        for cause in confident(f.causes) or [c for c in f.causes[:1] if c.cause == UNKNOWN]:
            found.setdefault(bare(cause.cause), []).append(cause)
    return found


def bare(cause: str) -> str:
    """A cause without the factor of its case in figures: 48 here is 16 there."""
    return re.sub(r" \(factor[^)]*\)", "", cause)
