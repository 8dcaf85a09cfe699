"""What is fed to an update rule to find out its convention: one run, each entry a short history of its own.

No rule lets one entry see another, so that one run asks many questions side by side. The learning rate changes twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

STEPS = 12
LATE = 4  # steps without gradient before the entries that begin late
GROUPS = ("random", "from zero", "impulse", "late start", "change of sign", "sizes", "no gradient", "large weights")


@dataclass(frozen=True)
class Probe:
    """param (n,), grads (T, n) and lr (T,); names says which group each entry belongs to."""

    names: tuple[str, ...]
    param: Array
    grads: Array
    lr: Array


def probe() -> Probe:
    """The run: 48 entries, 12 steps, the learning rate lowered after 5 and raised after 9.

    random          weights and gradients near 1
    from zero       gradients near 1 from weight 0: nothing hides the last digits of a step
    impulse         one gradient of 1, at step 1, 2, 4 or 8, and 0 otherwise: what is remembered, and the first step
    late start      no gradient for 1 or 4 steps: bias corrections and first-step rules
    change of sign  1 for half of the steps, then −1
    sizes           from 1e-14 to 1e4: ε, where it stands, and what an accumulator starts from
    no gradient     weights of 1e3, 1, −1e-3 and 1e-7, gradient 0: weight decay
    large weights   weights of 100, −30 and 5 with gradients near 1: coupled or decoupled decay
    """
    rng = np.random.default_rng(20231)
    entries: list[tuple[str, float, Array]] = []
    near_one = rng.normal(size=(STEPS, 6, 2))
    entries += [("random", w, near_one[:, k, 0]) for k, w in enumerate(rng.normal(size=6))]
    entries += [("from zero", 0.0, near_one[:, k, 1]) for k in range(6)]
    entries += [("impulse", 0.0, np.eye(STEPS)[k]) for k in (0, 1, 3, 7)]
    for wait in (1, LATE, LATE):
        entries.append(("late start", 0.0, np.where(np.arange(STEPS) < wait, 0.0, rng.normal(size=STEPS))))
    turned = np.where(np.arange(STEPS) < STEPS // 2, 1.0, -1.0)
    entries += [("change of sign", w, sign * turned) for w, sign in ((0.0, 1), (0.5, -1))]
    for power in range(-14, 5):
        signs = np.where(rng.random(STEPS) < 0.3, -1, 1)
        entries.append(("sizes", 0.0, 10.0**power * signs * rng.uniform(0.5, 2, STEPS)))
    entries += [("no gradient", w, np.zeros(STEPS)) for w in (1e3, 1.0, -1e-3, 1e-7)]
    entries += [("large weights", w, rng.normal(size=STEPS)) for w in (100.0, -30.0, 5.0)]
    names, weights, grads = zip(*entries, strict=True)
    return Probe(names, np.array(weights), np.stack(grads, axis=1), np.repeat([0.05, 0.02, 0.03], [5, 4, 3]))
