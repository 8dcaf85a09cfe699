"""Where a difference lives: a few entries, rows or columns, all else right to rounding; and what happened there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from compare.factors import Sizes, recognise
from compare.records import Case, Cause

if TYPE_CHECKING:
    from compare.records import Array

REST = ", the rest is right"
FEW = 3
NAMES = {"dscores": ("example", "class"), "dX": ("example", "feature"), "value": ("row", "column"), "db": ("class", "")}


def places(quantity: str, mine: Array, truth: Array, allowed: float) -> Iterator[tuple[str, Array]]:
    """The fewest entries, rows or columns outside of which mine is right within allowed (a norm): at most FEW of them.

    Each comes with what the answer would be if it were so, which is mine inside and the truth outside.
    """
    if truth.size < 2:
        return
    row, column = NAMES.get(quantity, ("row (feature)", "column (class)"))
    residual = np.nan_to_num(mine - truth)
    few = _fewest(residual.reshape(-1), allowed)
    if few is not None and len(few) <= FEW and 2 * len(few) <= truth.size:
        at = [list(map(int, np.unravel_index(i, truth.shape))) for i in few]
        name = row if truth.ndim == 1 and quantity == "db" else "entry"
        words = [str(a[0]) if name != "entry" else str(a) for a in at]
        yield _told(name, words, mine.reshape(-1)[few], truth.reshape(-1)[few]), mine
        return
    if truth.ndim != 2 or min(truth.shape) < 2:
        return
    for name, axis in ((row, 0), (column, 1)):
        lines = np.moveaxis(residual, axis, 0)
        few = _fewest(lines, allowed)
        if few is None or 2 * len(few) > len(lines):
            continue
        ordered = sorted(int(i) for i in few)
        inside = [np.moveaxis(x, axis, 0)[ordered] for x in (mine, truth)]
        if len(ordered) == 2 and np.linalg.norm(inside[0] - inside[1][::-1]) <= allowed:
            yield f"{name} {ordered[0]} and {ordered[1]} exchanged{REST}", mine
        elif len(ordered) <= FEW:
            yield _told(name, [str(i) for i in ordered], inside[0], inside[1]), mine
        elif ordered[-1] - ordered[0] == len(ordered) - 1:
            yield _told(name, [f"{ordered[0]} to {ordered[-1]}"], inside[0], inside[1]), mine


def _fewest(lines: Array, allowed: float) -> Array | None:
    """The lines (first axis) that hold all of the residual but what is allowed; None if that is none."""
    square = (lines.reshape(len(lines), -1) ** 2).sum(axis=1)
    order = np.argsort(square)[::-1]
    outside = np.sqrt(np.maximum(np.cumsum(square[order][::-1])[::-1], 0))
    count = int((outside > allowed).sum())
    return order[:count] if count else None


def _told(name: str, words: list[str], inside: Array, expected: Array) -> str:
    """What happened inside: a factor with a meaning, a factor, or just wrong."""
    many = {"class": "classes", "entry": "entries"}.get(name, f"{name.split(' ')[0]}s")
    where = f"{name} {words[0]}" if len(words) == 1 and " to " not in words[0] else f"{many} {', '.join(words)}"
    size = float(np.vdot(expected, expected))
    scale = float(np.vdot(expected, inside)) / size if size else np.nan
    off = float(np.linalg.norm(inside - scale * expected)) if np.isfinite(scale) else np.inf
    happened = "wrong"
    if off <= 1e-4 * float(np.linalg.norm(inside - expected)):
        exact = recognise(scale, Sizes(), 1e-4)
        happened = exact[0][1] if exact and exact[0][0] != 1.0 else f"scaled by {scale:.6g}"
        happened = happened.split(" (factor")[0] if inside.size > 1 or "scaled" not in happened else "wrong"
    return f"{where} {happened}{REST}"


def turned(case: Case, mine: Array | None, truth: Array, allowed: float) -> tuple[Cause, ...]:
    """The one cause of a wrong shape that the numbers can confirm."""
    if not isinstance(mine, np.ndarray) or mine.shape == truth.shape:
        return ()
    dout = case.inputs.get("dout")
    if dout is not None and dout.ndim == 2 and np.shape(mine) == dout.shape[:1] and truth.shape == dout.shape[1:]:
        other = np.linalg.norm(np.asarray(mine) - dout.sum(axis=1)) <= 1e-3 * np.linalg.norm(mine)
        return (Cause("summed over the wrong axis: the classes, not the examples", 0.0),) if other else ()
    if np.shape(mine)[::-1] != truth.shape:
        return ()
    return (Cause("transposed", 0.0),) if np.linalg.norm(np.asarray(mine).T - truth) <= allowed else ()
