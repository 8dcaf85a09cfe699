"""Why a quantity differs: the most likely causes, each with the share of the difference that it leaves unexplained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import suspicions
from compare.records import Case, Cause, Outcome

if TYPE_CHECKING:
    from compare.records import Array
    from compare.suspicions import Ask, Suspicion

MOST = 3
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

    named: list[Cause] = []
    seen: list[Array] = []
    with np.errstate(all="ignore"):
        for s in _all(quantity, mine, case, truth, loss, ask, decoy):
            if quantity in s.predicts and np.shape(s.predicts[quantity]) == t.shape:
                left = share(np.asarray(s.predicts[quantity]))
                moved = float(np.linalg.norm(s.predicts[quantity] - t))
                if not np.isfinite(left) or moved <= noise:
                    continue
                predicted = np.asarray(s.predicts[quantity])
                twin = left < SURE and any(float(np.linalg.norm(predicted - p)) <= noise for p in seen)
                if not twin:  # what predicts the same cannot be told apart here: the earlier stands for both
                    named.append(Cause(s.cause, left))
                    seen.append(predicted)
        named = list(_fits(quantity, mine, case, truth, ask, share)) + named
        if t.size > 1:
            named += _places(quantity, mine - t, t, mine)
    # one number is met by chance: there a cause must leave nothing but noise
    sure = [c for c in _distinct(named) if c.unexplained < (SURE if t.size > 1 else 1e-6)]
    if sure:
        # fits come before single mistakes and these before mere places: among equals the earlier is named first
        return tuple(sorted(sure, key=lambda c: 0.0 if c.unexplained < 1e-4 else c.unexplained)[:MOST])
    partial = sorted((c for c in _distinct(named) if c.unexplained < 0.5), key=lambda c: c.unexplained)[: MOST - 1]
    return (Cause(UNKNOWN, 1.0), *partial)


def _all(
    quantity: str, mine: Array, case: Case, truth: Outcome, loss: str, ask: Ask, decoy: Case | None
) -> Iterator[Suspicion]:
    s = suspicions.scored(case, truth, ask)
    if s is not None and loss:
        yield from suspicions.through_scores(loss, s)
        if loss == "hinge":
            yield from suspicions.margins(s, _margin_asked(case, ask))
    yield from suspicions.asked(case, ask)
    if decoy is not None:
        earlier = ask(decoy).quantities()
        yield suspicions.Suspicion("stale: the answer to the call before", earlier)
        both = {q: x + truth.quantities()[q] for q, x in earlier.items() if x.shape == truth.quantities()[q].shape}
        yield suspicions.Suspicion("added to the answer of the call before", both)
    if s is not None and loss:
        yield from suspicions.examples(loss, s, quantity, mine)
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


def _fits(
    quantity: str, mine: Array, case: Case, truth: Outcome, ask: Ask, share: Callable[[Array], float]
) -> Iterator[Cause]:
    """Mine as α (data term) + β (regulariser), and the factors recognised."""
    t = truth.quantities()[quantity]
    N = next(len(case.inputs[name]) for name in ("y", "X", "W") if name in case.inputs)
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
            yield Cause(" and ".join(words), share(a * data + b * penalty))
    elif np.any(penalty):
        for factor in (0.0, 0.5, 2.0, -1.0, 1 / N, float(N)):
            yield Cause(f"regulariser {recognise(factor, N, C)[1]}", share(data + factor * penalty))
        for factor in (0.0, float(N), 1 / N, float(C), 1 / C, N / (N - 1) if N > 1 else 1.0, 2.0, 0.5, -1.0):
            yield Cause(f"data term {recognise(factor, N, C)[1]}", share(factor * data + penalty))
    if np.any(t):
        alpha = float(np.vdot(t, mine) / np.vdot(t, t))
        a, word = recognise(alpha, N, C)
        if a != 1 and (t.size > 1 or not word.startswith("scaled")):
            yield Cause(word, share(a * t))


def recognise(factor: float, N: int, C: int) -> tuple[float, str]:
    """A fitted factor as one of those that mistakes produce, and what it then means."""
    known = {
        1.0: "right",
        0.0: "missing",
        -1.0: "with the wrong sign",
        0.5: "halved (factor ½)",
        2.0: "doubled (factor 2)",
        float(N): f"not divided by N (factor {N}: a sum, not a mean)",
        1 / N: f"divided by N once too often (factor 1/{N})",
        float(C): f"not divided by C (factor {C})",
        1 / C: f"divided by C (factor 1/{C}, as multi_margin_loss does)",
        N * C * 1.0: f"divided neither by N nor by C (factor {N * C})",
        C / N: "divided by N, multiplied by C",
        N / C: f"divided by C, not by N (factor {N}/{C})",
    }
    if N > 1:
        known[N / (N - 1)] = f"divided by N − 1 (factor {N}/{N - 1})"
        known[(N - 1) / N] = f"multiplied by (N − 1)/N (factor {N - 1}/{N})"
    for value, word in known.items():
        if abs(factor - value) <= 1e-4 * max(abs(value), 1e-3):
            return value, word
    for value, word in known.items():
        if value not in (0.0, 1.0, -1.0) and abs(factor + value) <= 1e-4 * abs(value):
            return -value, f"{word}, and with the wrong sign"
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


def _distinct(causes: list[Cause]) -> list[Cause]:
    return list({c.cause: c for c in reversed(causes)}.values())[::-1]
