"""Bug or chaos, and whose fault: the step at which drift left the spread, judged stage by stage (compare.stages).

If no stage is at fault, both sides did the same within rounding, and the drift is chaos.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from compare import stages
from compare.drift import BOUND, Drift, rates_differ
from compare.shadow import Shadow
from compare.stages import Flag, Scene
from compare.states import shared

if TYPE_CHECKING:
    from compare.records import Array

STAGES = ("batch", "forward", "loss", "gradient", "learning rate", "optimizer state", "update")


def blame(scene: Scene, shadow: Shadow | None = None, strayed: Drift | None = None) -> Flag | None:
    """The first stage at fault, None where the step is right within rounding.

    shadow, and how far scratch has strayed from it, judge the update of a rule that keeps its state to itself.
    """
    with np.errstate(all="ignore"):
        updates = _updates(scene) if shadow is None or strayed is None else _strayed(scene, shadow, strayed)
        return next(_accused(scene, updates), None)


def _accused(scene: Scene, updates: Iterator[Flag]) -> Iterator[Flag]:
    """Every stage at fault, in the order of a step; a later one may only pass on what an earlier one did.

    "optimizer state" is what the rule remembers, before the step and after it, "update" what it makes of it.
    """
    yield from _batch(scene)
    yield from stages.forward(scene)
    for how in _ways(scene):
        yield from stages.objective(scene, how)
    if rates_differ(scene.a.lr, scene.b.lr):
        yield Flag(scene.step, "learning rate", "lr", scratch=scene.a.lr, ref=scene.b.lr)
    yield from updates


def _ways(scene: Scene) -> tuple[str, ...]:
    """The precisions in which a stage is asked again, and "" for what happened."""
    return ("float64", "") if scene.plan.dtype == "float64" else ("float64", "float32", "")


def _updates(scene: Scene) -> Iterator[Flag]:
    first, *others = _ways(scene)
    yield from stages.update(scene, first)
    yield from _state(scene)
    for how in others:
        yield from stages.update(scene, how)


def _strayed(scene: Scene, shadow: Shadow, strayed: Drift) -> Iterator[Flag]:
    if strayed.noise_units > BOUND:
        name, wanted = strayed.tensor, shadow.params
        at = _worst(scene.a.params[name], wanted[name])
        mine, theirs = float(scene.a.params[name][at]), float(wanted[name][at])
        yield Flag(scene.step, "update", name, at, strayed.noise_units, mine, theirs)


def _batch(scene: Scene) -> Iterator[Flag]:
    """The batch as scratch saw it against the one it was given."""
    for name, seen, given in zip("Xy", scene.scratch.seen, (scene.X, scene.y), strict=True):
        if np.shape(seen) != given.shape:
            yield Flag(scene.step, "batch", name)
        elif seen is not given and (seen != given).any():
            at = tuple(int(i) for i in np.argwhere(seen != given)[0])
            yield Flag(scene.step, "batch", name, at, scratch=float(seen[at]), ref=float(given[at]))


def _state(scene: Scene) -> Iterator[Flag]:
    """What scratch stood on before this step: as its last step left it, or at the first step as the ref's is."""
    found, wanted = scene.scratch.before, scene.scratch.left
    expected = stages.ref_states(scene) if scene.step == 1 else wanted.states
    for name, key in shared(found.states, expected):
        yield from _unequal(scene, "optimizer state", f"{name}: {key}", found.states[name][key], expected[name][key])
    for name, p in wanted.params.items():
        yield from _unequal(scene, "update", name, found.params[name], p)


def _unequal(scene: Scene, stage: str, tensor: str, a: Array, b: Array) -> Iterator[Flag]:
    if not np.array_equal(a, b, equal_nan=True):
        at = _worst(a, b)
        yield Flag(scene.step, stage, tensor, at, scratch=float(a[at]), ref=float(b[at]), replayed="")


def _worst(a: Array, b: Array) -> tuple[int, ...]:
    """Where two arrays lie farthest apart."""
    return tuple(int(i) for i in np.unravel_index(int(np.abs(a - b).argmax()), a.shape))
