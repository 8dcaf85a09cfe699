"""How far scratch has drifted from the ref, beside the spread: what rounding and chaos alone do to this training.

The spread is the largest distance of a control run from the ref over the last MEMORY steps, tensor by tensor. The
distance of one tensor of few entries scatters, and now and then all controls lie close to the ref by luck.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

BOUND = 3.0  # times the spread: where drift is more, the step is judged by itself; healthy drift is about 1
MEMORY = 32
RATES = 1e-9  # of two learning rates: torch multiplies rate by rate, a closed form does not; n steps make n roundings


@dataclass(frozen=True)
class Drift:
    """Distance of scratch from the ref, tensor by tensor, beside that of the control runs (the noise)."""

    distance: Mapping[str, float]
    noise: Mapping[str, float]
    size: Mapping[str, float]  # norm on the ref's side

    @property
    def relative(self) -> float:
        """Distance over size, all tensors together."""
        return _norm(self.distance) / (_norm(self.size) or 1.0)

    @property
    def relative_noise(self) -> float:
        """Noise over size, all tensors together."""
        return _norm(self.noise) / (_norm(self.size) or 1.0)

    @property
    def noise_units(self) -> float:
        """Distance over noise, of the tensor where it is largest."""
        return self._units(self.tensor)

    @property
    def tensor(self) -> str:
        """The tensor that lies farthest outside the noise."""
        return max(self.distance, key=self._units)

    def _units(self, name: str) -> float:
        distance, noise = self.distance[name], self.noise[name]
        return distance / noise if math.isfinite(noise) else 0.0


class Spread:
    """Measures drift, and remembers the control runs' latest distances."""

    def __init__(self, eps: float) -> None:
        self.eps = eps
        self.past: dict[str, deque[float]] = {}

    def state(self) -> dict[str, list[float]]:
        """What is remembered, for a checkpoint."""
        return {name: list(past) for name, past in self.past.items()}

    def restore(self, state: Mapping[str, list[float]]) -> None:
        """Remember what state says."""
        self.past = {name: deque(past, maxlen=MEMORY) for name, past in state.items()}

    def drift(
        self,
        what: str,
        scratch: Mapping[str, Array],
        ref: Mapping[str, Array],
        controls: Sequence[Mapping[str, Array]],
        roundings: int = 1,
    ) -> Drift:
        """Drift of some arrays by name; what names them. The noise never falls below the rounding of their entries.

        roundings counts how often each entry was rounded so far: independent roundings add up as a random walk.
        """
        size = {name: distance_of(x) for name, x in ref.items()}
        distance = {name: distance_of(scratch[name], x) for name, x in ref.items()}
        noise = {}
        for name, x in ref.items():
            past = self.past.setdefault(f"{what} {name}", deque(maxlen=MEMORY))
            past.append(max((distance_of(c[name], x) for c in controls), default=0.0))
            floor = (0.5 if x.ndim else 2) * self.eps * math.sqrt(roundings) * size[name]
            noise[name] = max(*past, floor, float(np.finfo(float).tiny))
        return Drift(distance, noise, size)


def rates_differ(a: float, b: float) -> bool:
    """Whether two learning rates differ by more than roundings."""
    return not math.isclose(a, b, rel_tol=RATES, abs_tol=1e-300)


def distance_of(x: Array, y: Array | None = None) -> float:
    """Norm of x - y, or of x alone, added up in float64; infinite where an entry is no number."""
    with np.errstate(all="ignore"):
        gap = np.asarray(x if y is None else x - y, np.float64).ravel()
        norm = math.sqrt(float(gap @ gap))
    return math.inf if math.isnan(norm) else norm


def _norm(parts: Mapping[str, float]) -> float:
    return math.hypot(*parts.values())
