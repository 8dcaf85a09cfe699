"""Why a quantity differs: the most likely causes, each with the share of the difference that it leaves unexplained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import suspicions, suspicions_terms
from compare.records import Case, Cause, Outcome

if TYPE_CHECKING:
    from compare.records import Array
    from compare.suspicions import Ask, Suspicion

MOST = 3
ALIKE = 4  # causes named together at most
OR = " or: "  # between causes that this case cannot tell apart
SURE = 0.01  # a cause that leaves less than this unexplained is named with confidence
UNKNOWN = "unknown: no known cause explains it"


def diagnose(
    quantity: str, mine: Array, case: Case, truth: Outcome, loss: str, ask: Ask, noise: float, decoy: Case | None = None
) -> tuple[Cause, ...]:
    """At most three causes of mine ≠ truth, the most certain first; "unknown" when none explains it.

    case and ask are in float64; noise is the tensor's own ν, below which nothing is left to explain. decoy is
    the question that was put right before this one, for answers that are still its.
    """
    t = truth.quantities()[quantity]
    mine = np.asarray(mine, np.float64)
    off = float(np.linalg.norm(mine - t))
    if not np.isfinite(off) or off == 0:
        return _non_finite(mine)

    def share(predicted: Array) -> float:
        """What a prediction leaves, beyond the noise, of the difference."""
        return max(0.0, float(np.linalg.norm(mine - predicted)) - noise) / off

    suspected: list[tuple[str, Array]] = []
    with np.errstate(all="ignore"):
        fits = list(_fits(quantity, mine, case, truth, ask))
        for s in _all(quantity, mine, case, truth, loss, ask, decoy):
            predicted = np.asarray(s.predicts.get(quantity, np.nan))
            if predicted.shape == t.shape and float(np.linalg.norm(predicted - t)) > noise:
                suspected.append((s.cause, predicted))
        known = [(word, p) for word, p in fits if "scaled by" not in word] + suspected
        found: list[tuple[Cause, Array | None]] = [(Cause(word, share(p)), p) for word, p in known]
        if t.size > 1:
            found += [(cause, None) for cause in _places(quantity, mine - t, t, mine)]
        # a factor of no meaning comes last: it measures what happened and does not say why
        found += [(Cause(word, share(p)), p) for word, p in fits if "scaled by" in word]
    found = [(c, p) for c, p in found if np.isfinite(c.unexplained)]
    # one number is met by chance: there a cause must leave nothing but noise
    sure = [(c, p) for c, p in found if c.unexplained < (SURE if t.size > 1 else 1e-6)]
    if sure:
        # fits come before single mistakes and these before mere places: among equals the earlier is named first
        sure.sort(key=lambda pair: 0.0 if pair[0].unexplained < 1e-5 else pair[0].unexplained)
        return _merged(sure, noise)[:MOST]
    partial = sorted({c for c, _ in found if c.unexplained < 0.5}, key=lambda c: c.unexplained)[: MOST - 1]
    return (Cause(UNKNOWN, 1.0), *partial)


def _merged(sure: list[tuple[Cause, Array | None]], noise: float) -> tuple[Cause, ...]:
    """Causes that predict the same cannot be told apart here, and are named together: "A or: B"."""
    kept: list[tuple[list[str], float, Array | None]] = []
    for cause, predicted in sure:
        for words, _, other in kept:
            if cause.cause in words:
                break
            if predicted is not None and other is not None and float(np.linalg.norm(predicted - other)) <= noise:
                if "scaled by" not in cause.cause and len(words) < ALIKE:
                    words.append(cause.cause)
                break
        else:
            kept.append(([cause.cause], cause.unexplained, predicted))
    return tuple(Cause(OR.join(words), left) for words, left, _ in kept)


def _all(
    quantity: str, mine: Array, case: Case, truth: Outcome, loss: str, ask: Ask, decoy: Case | None
) -> Iterator[Suspicion]:
    s = suspicions.scored(case, truth, ask)
    if s is not None and loss:
        yield from suspicions.through_scores(loss, s)
        if loss == "hinge":
            yield from suspicions.margins(s, _margin_asked(case, ask))
    yield from suspicions.asked(case, ask)
    yield from suspicions_terms.bias(case, ask)
    yield from suspicions_terms.penalties(case, truth, ask)
    yield from suspicions_terms.sums(case, loss, s, truth, quantity, mine)
    if decoy is not None:
        yield from suspicions_terms.cached(case, decoy, ask)
        earlier = ask(decoy).quantities()
        yield suspicions.Suspicion("stale: the answer to the call before", earlier)
        both = {q: x + truth.quantities()[q] for q, x in earlier.items() if x.shape == truth.quantities()[q].shape}
        yield suspicions.Suspicion("added to the answer of the call before", both)
    if s is not None and loss:
        yield from suspicions.examples(loss, s, quantity, mine)
    yield from suspicions_terms.planes(case, truth, quantity)
    t = truth.quantities()[quantity]
    if t.ndim == 2:
        for cause, moved in (
            ("transposed", t.T),
            ("rows in reversed order", t[::-1]),
            ("columns in reversed order", t[:, ::-1]),
            ("rows shifted by one", np.roll(t, 1, axis=0)),
            ("columns shifted by one", np.roll(t, 1, axis=1)),
        ):
            yield suspicions.Suspicion(cause, {quantity: moved})
    if t.ndim == 1:
        yield suspicions.Suspicion("entries in reversed order", {quantity: t[::-1]})


def _margin_asked(case: Case, ask: Ask) -> Callable[[float], Mapping[str, Array] | None]:
    def asked(margin: float) -> Mapping[str, Array] | None:
        if "scores" not in case.inputs:
            return None
        return ask(replace(case, options={**case.options, "margin": margin})).quantities()

    return asked


def _fits(quantity: str, mine: Array, case: Case, truth: Outcome, ask: Ask) -> Iterator[tuple[str, Array]]:
    """Mine as α (data term) + β (regulariser), and the factors recognised."""
    t = truth.quantities()[quantity]
    N = next((len(case.inputs[name]) for name in ("y", "X", "W") if name in case.inputs), 1)
    C = t.shape[-1] if t.ndim else _classes(case)
    penalty = np.zeros_like(t)
    data = t
    if case.options.get("reg") and "y" in case.inputs:
        data = ask(replace(case, options={**case.options, "reg": 0.0})).quantities()[quantity]
        penalty = t - data
    if np.any(penalty) and mine.size > 1:
        basis = np.stack([data.reshape(-1), penalty.reshape(-1)], axis=1)
        alpha, beta = (float(v) for v in np.linalg.lstsq(basis, mine.reshape(-1), rcond=None)[0])
        a, data_word = recognise(alpha, N, C)
        b, penalty_word = recognise(beta, N, C)
        words = []
        if a != 1:
            words.append(f"data term {data_word}")
        if b != 1:
            words.append(f"regulariser {penalty_word}")
        if a == b and a != 1:
            words = [data_word]
        if words:
            yield " and ".join(words), a * data + b * penalty
    elif np.any(penalty):
        for factor in (0.0, 0.5, 2.0, -1.0, 1 / N, float(N)):
            yield f"regulariser {recognise(factor, N, C)[1]}", data + factor * penalty
        for factor in (0.0, float(N), 1 / N, float(C), 1 / C, N / (N - 1) if N > 1 else 1.0, 2.0, 0.5, -1.0):
            yield f"data term {recognise(factor, N, C)[1]}", factor * data + penalty
    if np.any(t):
        alpha = float(np.vdot(t, mine) / np.vdot(t, t))
        a, word = recognise(alpha, N, C)
        if a != 1 and (t.size > 1 or not word.startswith("scaled")):
            yield word, a * t


def recognise(factor: float, N: int, C: int) -> tuple[float, str]:
    """A fitted factor as one of those that mistakes produce, and what it then means."""
    known = [
        (1.0, "right"),
        (0.0, "missing"),
        (-1.0, "with the wrong sign"),
        (0.5, "halved (factor ½)"),
        (2.0, "doubled (factor 2)"),
    ]
    if N > 1:
        known += [
            (float(N), f"not divided by N (factor {N}: a sum, not a mean)"),
            (1 / N, f"divided by N once too often (factor 1/{N})"),
            (N / (N - 1), f"divided by N − 1 (factor {N}/{N - 1})"),
            ((N - 1) / N, f"multiplied by (N − 1)/N (factor {N - 1}/{N})"),
        ]
    if C > 1:
        known += [
            (float(C), f"not divided by C (factor {C})"),
            (1 / C, f"divided by C (factor 1/{C}, as multi_margin_loss does)"),
        ]
    if N > 1 and C > 1:
        known += [
            (float(N * C), f"divided neither by N nor by C (factor {N * C})"),
            (C / N, "divided by N, multiplied by C"),
            (N / C, f"divided by C, not by N (factor {N}/{C})"),
        ]
    batches = round(factor) if np.isfinite(factor) else 0
    if 2 < batches < N and all(batches != value for value, _ in known):
        known.append((float(batches), f"{batches} batches added, not averaged (factor {batches})"))
    for sign, tail in ((1.0, ""), (-1.0, ", and with the wrong sign")):
        usual = known if sign > 0 else [(value, word) for value, word in known if value not in (0.0, 1.0, -1.0)]
        near = [(v, word) for v, word in usual if abs(sign * factor - v) <= 1e-4 * max(abs(v), 1e-3)]
        if near:
            # with N = C, or N = 2, several mistakes give one factor
            return sign * near[0][0], OR.join(word + tail for v, word in near if v == near[0][0])
    return factor, f"scaled by {factor:.6g}"


def _places(quantity: str, residual: Array, t: Array, mine: Array) -> Iterator[Cause]:
    """Where the difference lives: one entry, one row, one column; and what happened to it there."""
    square = residual**2
    total = float(square.sum())
    names = {"dscores": ("example", "class"), "dW": ("row (feature)", "column (class)"), "db": ("class", "class")}
    row_name, column_name = names.get(quantity, ("row", "column"))

    def place(name: str, where: Any) -> Cause:
        inside = float(square[where].sum())
        t_in, mine_in = t[where], mine[where]
        scale = float(np.vdot(t_in, mine_in) / np.vdot(t_in, t_in)) if np.any(t_in) else float("nan")
        _, word = recognise(scale, 1, 1)
        fits = np.isfinite(scale) and float(np.linalg.norm(mine_in - scale * t_in)) <= 1e-3 * np.sqrt(inside)
        told = f" {word}" if fits and "scaled" not in word and "N" not in word and word != "right" else " wrong"
        return Cause(f"{name}{told}, the rest is right", float(np.sqrt(max(total - inside, 0.0) / total)))

    flat = int(square.argmax())
    at = tuple(int(i) for i in np.unravel_index(flat, square.shape))
    yield place(f"entry {list(at)}", at)
    if residual.ndim == 2 and min(residual.shape) > 1:
        i, j = int(square.sum(axis=1).argmax()), int(square.sum(axis=0).argmax())
        yield place(f"{row_name} {i}", (i, slice(None)))
        yield place(f"{column_name} {j}", (slice(None), j))


def _non_finite(mine: Array) -> tuple[Cause, ...]:
    if np.isfinite(mine).all():
        return ()
    return (Cause("overflow or 0/0: a stable form subtracts the largest score first", 0.0),)


def _classes(case: Case) -> int:
    x = case.inputs.get("scores", case.inputs.get("b"))
    return int(x.shape[-1]) if x is not None and x.ndim else 1
