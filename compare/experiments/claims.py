"""What an experiment measures, and whether a claim holds by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

SPREADS = 2.0  # a difference counts beyond so many standard deviations of it over the seeds


@dataclass(frozen=True)
class Row:
    """One method: its test accuracy for each seed, what is published, and other figures, a mean over the seeds."""

    method: str
    accuracy: tuple[float, ...]
    published: float | None = None
    settings: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def ours(self) -> float:
        """Mean test accuracy."""
        return float(np.mean(self.accuracy))

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None of one seed."""
        return float(np.std(self.accuracy, ddof=1)) if len(self.accuracy) > 1 else None


@dataclass(frozen=True)
class Curve:
    """A line of the picture: x (n,), and y (seeds, n)."""

    name: str
    x: tuple[float, ...]
    y: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Judgement:
    """Whether a claim holds; None where it cannot be told, or where there is none."""

    holds: bool | None
    told: str


@dataclass(frozen=True)
class Result:
    """What an experiment came to. x_label, y_label and log_x are the picture's axes."""

    name: str
    claim: str
    judgement: Judgement
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    x_label: str
    y_label: str
    log_x: bool = False
    remarks: tuple[str, ...] = ()


def judge(better: Sequence[float], worse: Sequence[float], least: float = 0.0, unit: str = "%") -> Judgement:
    """Whether the first is larger than the second, seed by seed, by more than least and than the seeds' spread.

    The spread is the standard deviation of the differences; the claim holds where their mean is beyond SPREADS of it.
    """
    apart = np.subtract(better, worse)
    n, mean = len(apart), float(apart.mean())
    if n < 2:
        return Judgement(None, f"undecided: apart by {_in(mean, unit)} for one seed; how seeds differ is not known")
    spread = float(apart.std(ddof=1)) if np.isfinite(apart).all() else math.inf
    told = f"apart by {_in(mean, unit)} on average over {n} seeds, standard deviation {_in(spread, unit)}"
    if mean > max(least, SPREADS * spread):
        return Judgement(True, f"holds: {told}")
    if -mean > SPREADS * spread:
        return Judgement(False, f"does not hold, the opposite does: {told}")
    if mean > SPREADS * spread:
        return Judgement(False, f"does not hold: {told}; {_in(least, unit)} were asked for")
    return Judgement(False, f"does not hold beyond the spread of the seeds: {told}; {SPREADS:g} of them are asked for")


def _in(x: float, unit: str) -> str:
    return f"{100 * x:.2f} %" if unit == "%" else f"{x:.3g} {unit}"
