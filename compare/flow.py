"""How activations and gradients flow through a model in training, and the warning signs that the course's notes name.

Norms are root mean squares, so that layers of different widths compare. Sources: CS231n notes, "Neural networks 2"
(initialisation) and "Neural networks 3" (sanity checks, ratio of updates to weights, activations by layer).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import models
from compare.bridge import to_array, to_tensor
from compare.data import rows
from compare.sides import side

if TYPE_CHECKING:
    from compare.data import Dataset
    from compare.lockstep import Step
    from compare.parties import Plan
    from compare.records import Array

POINTS = 50  # measurements a training
PROBE = 256  # withheld images that activations are measured on
LOSS = (0.8, 1.5)  # a first loss outside these times its expectation is off
RATIO = (1e-4, 1e-2)  # of update to weight; the notes' rule of thumb is 1e-3
FADED = 1e-3  # of the last layer's flow: less in the first is vanishing
GROWN = 100.0  # times the typical flow: more is exploding
DEAD = 0.1  # share of hidden units that no image of the probe turns on


@dataclass(frozen=True)
class Layer:
    """One weight matrix of one side at one step; activation and dead are of what this layer puts out.

    dead is the share of its units that are off for every image of the probe, None where no ReLU follows.
    """

    name: str
    activation: float
    gradient: float
    update: float  # norm of the last update over the norm of the weights
    dead: float | None


@dataclass(frozen=True)
class Sign:
    """A warning sign: what was measured on one side, what is healthy, and what to try."""

    sign: str
    side: str
    measured: float
    message: str


@dataclass
class Watch:
    """Measures a training as it runs; remembers every measurement, and the weights before the next one."""

    plan: Plan
    data: Dataset
    steps: int
    history: list[tuple[int, dict[str, list[Layer]]]] = field(default_factory=list)
    first_loss: dict[str, float] = field(default_factory=dict)
    _before: dict[str, dict[str, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        part = self.data.validation
        X = rows(part.images[:PROBE], self.data.mean, self.plan.dtype)
        self.probe: Array = X * X.dtype.type(models.SCALE)
        self.every = max(2, self.steps // POINTS)

    def step(self, step: Step) -> dict[str, dict[str, float]]:
        """Take one step in; on every so-manyth, the curves of both sides, {"scratch": {tag: value}, …}, else {}."""
        sides = {"scratch": step.scratch, "ref": step.ref}
        if step.step == 1:
            with np.errstate(all="ignore"):  # a rate that blows up is told by the loss
                self.first_loss = {name: one.loss - _penalty(self.plan, one.params) for name, one in sides.items()}
        curves = {}
        if self._before:
            measured = {
                name: layers(self.plan, name, one.params, one.grads, self._before[name], self.probe)
                for name, one in sides.items()
            }
            self.history.append((step.step, measured))
            curves = {name: dict(_curves(found)) for name, found in measured.items()}
            self._before = {}
        if (step.step + 1) % self.every == 0:
            self._before = {n: {p: a.copy() for p, a in one.params.items()} for n, one in sides.items()}
        return curves

    def signs(self) -> list[Sign]:
        """The warning signs of the whole training so far, of either side."""
        found: list[Sign] = []
        for name in self.first_loss:
            found += _loss_sign(self, name)
            history = [measured[name] for _, measured in self.history]
            if history:
                found += _flow_signs(name, history)
        return found


def layers(
    plan: Plan,
    name: str,
    params: Mapping[str, Array],
    grads: Mapping[str, Array],
    before: Mapping[str, Array],
    X: Array,
) -> list[Layer]:
    """Measure every weight matrix of one side, "scratch" or "ref", with its activations on X (N, D)."""
    outs = _outputs(plan, name, params, X)
    found = []
    for k, weight in enumerate((p for p in params if p.startswith("W")), start=1):
        last = k == len(outs)
        out = outs[k - 1] if last else np.maximum(outs[k - 1], 0)
        dead = None if last else float(np.mean(~(out > 0).any(axis=0)))
        size = _rms(before[weight])
        update = _rms(params[weight] - before[weight]) / size if size else math.inf
        found.append(Layer(weight, _rms(out), _rms(grads[weight]), update, dead))
    return found


def as_json(signs: list[Sign]) -> list[dict[str, Any]]:
    """The field "warnings" of `train`."""
    return [{"sign": s.sign, "side": s.side, "measured": s.measured, "message": s.message} for s in signs]


def remarks(signs: list[Sign]) -> list[str]:
    """A line for each sign; what both sides show is said once."""
    told: dict[str, list[Sign]] = {}
    for s in signs:
        told.setdefault(s.sign, []).append(s)
    return [f"warning sign ({' and '.join(s.side for s in group)}): {group[0].message}" for group in told.values()]


def _outputs(plan: Plan, name: str, params: Mapping[str, Array], X: Array) -> list[Array]:
    chosen = models.model(plan.model)
    at = chosen.scores.rsplit(".", 1)[0] + ".outputs" if chosen.hidden else chosen.scores
    f = side(name, at)
    if name == "scratch":
        out = f(params, X)
        return list(out) if chosen.hidden else [out]
    out = f({n: to_tensor(np.asarray(p)) for n, p in params.items()}, to_tensor(X))
    return [to_array(o) for o in (out if chosen.hidden else [out])]


def _penalty(plan: Plan, params: Mapping[str, Array]) -> float:
    f = models.penalties("scratch")[plan.penalty]
    return sum(float(f(p, plan.reg)[0]) for n, p in params.items() if n.startswith("W"))


def _curves(found: list[Layer]) -> Iterator[tuple[str, float]]:
    for layer in found:
        yield f"flow activation/{layer.name}", layer.activation
        yield f"flow gradient/{layer.name}", layer.gradient
        yield f"flow update over weight/{layer.name}", layer.update
        if layer.dead is not None:
            yield f"flow dead ReLUs/{layer.name}", layer.dead


def _loss_sign(watch: Watch, name: str) -> Iterator[Sign]:
    C, loss = len(watch.data.classes), watch.first_loss[name]
    hinge = models.model(watch.plan.model).loss == "losses.hinge"
    expected = C - 1.0 if hinge else math.log(C)
    if not LOSS[0] * expected <= loss <= LOSS[1] * expected:
        formula = "C − 1" if hinge else "log C"
        message = (
            f"the first loss, without the penalty, is {loss:.3g}; small start weights give about {formula} = "
            f"{expected:.3g}. Look at the scale of the start weights and of the data, and at the labels"
        )
        yield Sign("initial loss", name, loss, message)


def _flow_signs(name: str, history: list[list[Layer]]) -> Iterator[Sign]:
    number = len(history[0])
    typical = {
        what: [statistics.median(getattr(found[k], what) for found in history) for k in range(number)]
        for what in ("activation", "gradient", "update")
    }
    for k, ratio in enumerate(typical["update"]):
        if not RATIO[0] <= ratio <= RATIO[1]:
            small = ratio < RATIO[0]
            message = (
                f"updates of {history[0][k].name} are {ratio:.1g} of its weights, where 1e-3 is healthy: try a "
                f"{'larger' if small else 'smaller'} --lr"
            )
            yield Sign(f"update ratio of {history[0][k].name}", name, ratio, message)
    for what in ("activation", "gradient"):
        first, last = typical[what][0], typical[what][-1]
        low, high = (last, first) if what == "activation" else (first, last)  # one flows forward, the other back
        share = low / high if high else 1.0
        if number > 1 and share < FADED:
            message = (
                f"{what}s vanish: through the layers they fall to {share:.1g} of their size; start with He's scale, or "
                f"normalise"
            )
            yield Sign(f"vanishing {what}s", name, share, message)
        for k, middle in enumerate(typical[what]):
            peak = max(getattr(found[k], what) for found in history)
            if middle and not peak <= GROWN * middle:
                message = (
                    f"{what}s of {history[0][k].name} explode, to {peak / middle:.2g} times their median: try a "
                    f"smaller --lr"
                )
                yield Sign(f"exploding {what}s", name, peak / middle, message)
    for layer in history[-1]:
        if layer.dead is not None and layer.dead > DEAD:
            message = (
                f"{layer.dead:.0%} of the hidden units after {layer.name} are dead: no withheld image turns them on. "
                f"Try a smaller --lr"
            )
            yield Sign(f"dead units after {layer.name}", name, layer.dead, message)


def _rms(x: Array) -> float:
    x = np.asarray(x, np.float64).ravel()
    return math.sqrt(float(x @ x) / x.size)
