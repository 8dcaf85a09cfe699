"""The factors that mistakes produce: a wrong array as α (data term) + β (regulariser), α and β recognised."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

NEAR = 0.02  # a known factor this close to the fitted one is tried; whether it is the one, the numbers decide
OF_A_MEAN = re.compile("N − 1|C")  # factors that a regulariser alone cannot have
RIGHT = (1.0, "right")
SIMPLE = (
    (0.0, "missing"),
    (-1.0, "with the wrong sign"),
    (0.5, "halved (factor ½)"),
    (2.0, "doubled (factor 2)"),
)


def known(N: int, C: int) -> list[tuple[float, str]]:
    """Every factor that is expected with N examples and C classes, and what it means."""
    found = [RIGHT, *SIMPLE]
    if N > 1:
        found += [
            (float(N), f"not divided by N (factor {N}: a sum, not a mean)"),
            (1 / N, f"divided by N once too often (factor 1/{N})"),
            (N / (N - 1), f"divided by N − 1 (factor {N}/{N - 1})"),
            ((N - 1) / N, f"multiplied by (N − 1)/N (factor {N - 1}/{N})"),
        ]
    if C > 1:
        found += [
            (float(C), f"not divided by C (factor {C})"),
            (1 / C, f"divided by C (factor 1/{C}, as multi_margin_loss does)"),
        ]
        found += [(N / C, f"divided by C, not by N (factor {N}/{C})")]
    if N > 1 and C > 1:
        found += [
            (float(N * C), f"divided neither by N nor by C (factor {N * C})"),
            (C / N, f"divided by N once too often, multiplied by C (factor {C}/{N})"),
        ]
    found += [(-v, f"{word}, and with the wrong sign") for v, word in found if v not in (0.0, 1.0, -1.0)]
    return found


@dataclass(frozen=True)
class Sizes:
    """What a factor may be made of: N examples, C classes (1 where there are none); whether batches may be added."""

    N: int = 1
    C: int = 1
    batches: bool = False


def recognise(factor: float, sizes: Sizes, near: float = NEAR) -> list[tuple[float, str]]:
    """The known factors near a fitted one, the nearest first: with N = C, or N = 2, several mistakes give one."""
    if not np.isfinite(factor):
        return []
    candidates = known(sizes.N, sizes.C)
    whole = round(factor)
    if sizes.batches and 2 < whole < sizes.N and all(whole != value for value, _ in candidates):
        word = f"{whole} times too large, as if {whole} batches were added and not averaged"
        candidates.append((float(whole), word))
    close = [(v, word) for v, word in candidates if abs(factor - v) <= near * max(abs(v), 0.5)]
    return sorted(close, key=lambda c: abs(factor - c[0]))


def fits(
    quantity: str, mine: Array, data: Array, penalty: Array, sizes: Sizes, noise: float
) -> Iterator[tuple[str, Array, bool]]:
    """Mine as α data + β penalty: the words, the prediction, and whether every factor has a meaning.

    A term smaller than the noise cannot be told, and is taken as right.
    """
    seen = [float(np.linalg.norm(x)) > noise for x in (data, penalty)]
    if not any(seen):
        return
    if mine.size == 1:
        yield from _scalar(quantity, data, penalty, sizes, seen)
        return
    alpha, beta = _fitted(mine, data, penalty, seen)
    alphas = recognise(alpha, sizes) if seen[0] else [RIGHT]
    betas = recognise(beta, replace(sizes, batches=False)) if seen[1] else [RIGHT]
    for a, b in product(alphas, betas):
        # the regulariser has a factor of its own only by N: it knows no classes and is no mean
        if (a[0], b[0]) != (1.0, 1.0) and (a == b or not OF_A_MEAN.search(b[1])):
            yield _told(quantity, a, b, seen), a[0] * data + b[0] * penalty, True
    words = [f"scaled by {x:.6g}" for x in (alpha, beta)]
    if words[0] == words[1] or not seen[1]:
        yield words[0], alpha * (data + penalty), False
        return
    scaled = [(x, word) if visible else RIGHT for x, word, visible in zip((alpha, beta), words, seen, strict=True)]
    yield _told(quantity, scaled[0], scaled[1], seen), alpha * data + beta * penalty, False


def _scalar(
    quantity: str, data: Array, penalty: Array, sizes: Sizes, seen: list[bool]
) -> Iterator[tuple[str, Array, bool]]:
    """One number cannot be fitted by two: every known factor is tried on either term, and on both."""
    for value, word in known(sizes.N, sizes.C):
        if value == 1.0:
            continue
        if all(seen):
            yield _told(quantity, (value, word), (value, word), seen), value * (data + penalty), True
        if seen[0]:
            yield _told(quantity, (value, word), RIGHT, seen), value * data + penalty, True
        if seen[1] and not OF_A_MEAN.search(word):
            yield _told(quantity, RIGHT, (value, word), seen), data + value * penalty, True


def _fitted(mine: Array, data: Array, penalty: Array, seen: list[bool]) -> tuple[float, float]:
    """The least-squares α and β; 1 for a term that cannot be seen."""
    terms = [x.reshape(-1) for x, visible in zip((data, penalty), seen, strict=True) if visible]
    sizes = [float(np.linalg.norm(x)) for x in terms]
    basis = np.stack([x / size for x, size in zip(terms, sizes, strict=True)], axis=1)
    found = iter(np.linalg.lstsq(basis, mine.reshape(-1), rcond=None)[0] / sizes)
    alpha, beta = (float(next(found)) if visible else 1.0 for visible in seen)
    return alpha, beta


def _told(quantity: str, data: tuple[float, str], penalty: tuple[float, str], seen: list[bool]) -> str:
    if data[0] == penalty[0] or not seen[1]:
        return data[1]
    where = " on the bias" if quantity.startswith("db") else ""
    told = [f"data term {data[1]}"] if seen[0] and data[0] != 1.0 else []
    return " and ".join([*told, *([f"regulariser {penalty[1]}{where}"] if penalty[0] != 1.0 else [])])
