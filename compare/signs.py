"""The warning signs of a training that goes wrong, each with what was measured, what is healthy and what to try.

Where a limit comes from is said beside it. A sign is advice and no verdict: both sides may show it and agree.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compare import models

if TYPE_CHECKING:
    from compare.flow import Layer, Watch

# A first loss is near what equal scores give: log C, or C - 1 for the hinge (CS231n notes, "Neural networks 3").
# Scores that differ by s before anything is learnt raise log C by s²/2: half as much again is s = 1.5 for ten classes.
# Below it lies no start without knowledge of the labels, but for the chance of a small batch.
FIRST_LOSS = (0.8, 1.5)
# An update is about 1e-3 of its weights (the same notes). On CIFAR-10 the default network, trained for three epochs,
# learnt best at 4e-3 to 2e-2; at 1e-4 it was 14 points behind, at 0.1 it fell apart.
UPDATE = (1e-4, 5e-2)
# What flows may fall, or rise, by this much through all layers. He et al. (2015, section 2.2): at Xavier's scale ReLUs
# lose √½ a layer; 22 layers, 5e-4, learn late, and 30 layers, 3e-5, do not learn at all.
FADED = 1e-3
# A gradient may rise to so many times its median so far. Pascanu et al. (2013) clip at ½ to 10 times the mean.
GROWN = 10.0
# Up to 40 % of the units may be dead where the rate is too high (the notes, 1); a warning from a quarter of that.
DEAD = 0.1


@dataclass(frozen=True)
class Sign:
    """A warning sign of one side: its name, the number measured, and a sentence with advice."""

    sign: str
    side: str
    measured: float
    message: str


def signs(watch: Watch) -> list[Sign]:
    """The warning signs of either side in a training, or in what was seen of it."""
    return [
        Sign(sign, name, value, message)
        for name, loss in watch.first_loss.items()
        for sign, value, message in (
            *_first_loss(loss, watch),
            *_updates(_of(watch, name)),
            *_through_layers(_of(watch, name)[0], watch.plan.init),
            *_in_time(_of(watch, name)),
            *_dead(_of(watch, name)),
        )
    ]


def as_json(found: list[Sign]) -> list[dict[str, Any]]:
    """The field "warnings" of `train`."""
    return [{"sign": s.sign, "side": s.side, "measured": s.measured, "message": s.message} for s in found]


def remarks(found: list[Sign]) -> list[str]:
    """A line for each sign; what both sides show is said once."""
    told: dict[str, list[Sign]] = {}
    for s in found:
        told.setdefault(s.sign, []).append(s)
    return [f"warning sign ({' and '.join(s.side for s in same)}): {same[0].message}" for same in told.values()]


Told = Iterator[tuple[str, float, str]]


def _of(watch: Watch, name: str) -> list[list[Layer]]:
    return [measured[name] for _, measured in watch.history]


def _first_loss(loss: float, watch: Watch) -> Told:
    C = len(watch.data.classes)
    hinge = models.model(watch.plan.model).loss == "losses.hinge"
    expected, formula = (C - 1.0, "C - 1") if hinge else (math.log(C), "log C")
    if not FIRST_LOSS[0] * expected <= loss <= FIRST_LOSS[1] * expected:
        message = (
            f"the first loss, its penalty left out, is {loss:.3g}, where scores that know nothing give {formula} = "
            f"{expected:.3g}: look at the size of the start weights and of the data, and at the labels"
        )
        yield "first loss", loss, message


def _updates(history: list[list[Layer]]) -> Told:
    ratios = {layer.name: statistics.median(found[k].update for found in history) for k, layer in enumerate(history[0])}
    small = {name: ratio for name, ratio in ratios.items() if ratio < UPDATE[0]}
    large = {name: ratio for name, ratio in ratios.items() if not ratio <= UPDATE[1]}
    for size, other, odd in (("small", "larger", small), ("large", "smaller", large)):
        if odd:
            worst = (min if size == "small" else max)(odd, key=lambda name: odd[name])
            message = (
                f"updates are {size}: of {_many(list(odd))} {odd[worst]:.1g} of the weights a step (median), where "
                f"1e-3 is healthy: try a {other} --lr"
            )
            yield f"{size} updates", odd[worst], message


def _through_layers(start: list[Layer], init: str) -> Told:
    """As training starts, activations flow from the first layer to the last, gradients back."""
    first, last, better = start[0], start[-1], "fewer layers" if init == "he" else "--init he, or fewer layers"
    passed = {
        "activations": _share(last.activation, first.activation),
        "gradients": _share(first.upstream, last.upstream),
    }
    for what, share in passed.items():
        if not FADED <= share <= 1 / FADED:
            verb, change = ("vanish", "fall") if share < FADED else ("explode", "rise")
            message = (
                f"{what} {verb}: at the start {len(start)} layers let them {change} to {share:.1g} of their size: "
                f"try {better}"
            )
            yield f"{what} {verb}", share, message


def _in_time(history: list[list[Layer]]) -> Told:
    sizes = {layer.name: [found[k].gradient for found in history] for k, layer in enumerate(history[0])}
    growth = {
        name: max((_share(size, statistics.median(found[:t])) for t, size in enumerate(found) if t), default=1.0)
        for name, found in sizes.items()
    }
    grown = {name: ratio for name, ratio in growth.items() if not ratio <= GROWN}
    if grown:
        worst = max(grown, key=lambda name: grown[name])
        message = (
            f"gradients explode in time: of {_many(list(grown))} to {grown[worst]:.2g} times their median until then: "
            f"try a smaller --lr"
        )
        yield "gradients explode in time", grown[worst], message


def _dead(history: list[list[Layer]]) -> Told:
    dead = {layer.name: layer.dead for layer in history[-1] if layer.dead is not None and layer.dead > DEAD}
    if dead:
        worst = max(dead, key=lambda name: dead[name])
        born = any(layer.dead is not None and layer.dead > DEAD for layer in history[0])
        better = "they were so at the start: try fewer layers, or wider ones" if born else "try a smaller --lr"
        message = (
            f"units are dead: up to {dead[worst]:.0%} of those after {_many(list(dead))} are off for every withheld "
            f"image tried; {better}"
        )
        yield "dead units", dead[worst], message


def _many(names: list[str]) -> str:
    """Names, the middle left out where there are many."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} … {names[-1]} ({len(names)} of them)"


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.inf if part else 1.0
