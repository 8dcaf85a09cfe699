"""How activations and gradients flow through a model while it trains, on both sides. What is wrong: compare.signs.

Sizes are root mean squares, so that layers of different widths compare. Source of what is watched: CS231n notes,
"Neural networks 3" (sanity checks, ratio of updates to weights, activations and gradients by layer).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
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
WATCHED = {  # tag of a curve by layer, and the field it shows
    "flow: activation": "activation",
    "flow: gradient by the output": "upstream",
    "flow: gradient of the weights": "gradient",
    "flow: update over weight": "update",
    "flow: dead ReLUs": "dead",
}
LAYOUT = {"Flow: all layers in one chart": {tag: ["Multiline", [f"{tag}/.*"]] for tag in WATCHED}}


@dataclass(frozen=True)
class Layer:
    """One weight matrix of one side at one step: what flows through it before the update, on the probe; the update.

    dead is the share of the layer's units that no image of the probe turns on, None where no ReLU follows.
    """

    name: str
    activation: float  # of what the layer puts out, behind its ReLU
    upstream: float  # of the gradient of an example's loss by what the layer puts out
    gradient: float  # of the weights' gradient
    update: float  # norm of the update over the norm of the weights
    dead: float | None


@dataclass
class Watch:
    """Measures a training as it runs; remembers every measurement, and the weights before the next one."""

    plan: Plan
    data: Dataset
    steps: int
    history: list[tuple[int, dict[str, list[Layer]]]] = field(default_factory=list)
    first_loss: dict[str, float] = field(default_factory=dict)  # by side, without the penalty

    def __post_init__(self) -> None:
        plan, part = self.plan, self.data.validation
        X = rows(part.images[:PROBE], self.data.mean, plan.dtype)
        self.probe: tuple[Array, Array] = X * X.dtype.type(models.SCALE), part.labels[:PROBE]
        self.every = max(1, self.steps // POINTS)
        rng = np.random.default_rng(plan.seed)  # the training's own: these are its start weights
        sizes = self.data.mean.size, len(self.data.classes)
        start = models.start(models.model(plan.model), rng, *sizes, plan.hidden, plan.init)
        start = {name: p.astype(plan.dtype) for name, p in start.items()}
        self._before: dict[str, dict[str, Array]] = {"scratch": start, "ref": start}

    def state(self) -> dict[str, Any]:
        """What is remembered, for a checkpoint."""
        history = [(at, {n: [asdict(x) for x in found] for n, found in one.items()}) for at, one in self.history]
        return {"history": history, "first_loss": self.first_loss, "before": self._before}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what state says."""
        self.history = [(at, {n: [Layer(**x) for x in f] for n, f in one.items()}) for at, one in state["history"]]
        self.first_loss, self._before = dict(state["first_loss"]), dict(state["before"])

    def step(self, step: Step) -> dict[str, dict[str, float]]:
        """Take one step in; on the first and every so-manyth, the curves of both sides by tag, else nothing."""
        sides, curves = {"scratch": step.scratch, "ref": step.ref}, {}
        if step.step == 1:
            penalty = _penalty(self.plan, self._before["scratch"])
            self.first_loss = {name: one.loss - penalty for name, one in sides.items()}
        if self._before:
            with np.errstate(all="ignore"):  # a rate that blows up is told by the signs
                measured = {
                    name: measure(self.plan, name, one.params, one.grads, self._before[name], *self.probe)
                    for name, one in sides.items()
                }
            self.history.append((step.step, measured))
            curves = {name: dict(_curves(found)) for name, found in measured.items()}
            self._before = {}
        if (step.step + 1) % self.every == 0:
            self._before = {n: {p: a.copy() for p, a in one.params.items()} for n, one in sides.items()}
        return curves


def measure(
    plan: Plan,
    name: str,
    params: Mapping[str, Array],
    grads: Mapping[str, Array],
    before: Mapping[str, Array],
    X: Array,
    y: Array,
) -> list[Layer]:
    """Measure every weight matrix of one side, "scratch" or "ref", with what flows through it for X (N, D), y (N,).

    before are the weights that grads belong to, params those after the update.
    """
    outs, douts = _flow(plan, name, before, X, y)
    found = []
    for k, weight in enumerate(p for p in params if p.startswith("W")):
        last = k == len(outs) - 1
        out = outs[k] if last else np.maximum(outs[k], 0)
        size, update = _rms(before[weight]), _rms(params[weight] - before[weight])
        found.append(
            Layer(
                name=weight,
                activation=_rms(out),
                upstream=len(X) * _rms(douts[k]),
                gradient=_rms(grads[weight]),
                update=update / size if size else math.inf if update else 0.0,
                dead=None if last else float(np.mean(~(out > 0).any(axis=0))),
            )
        )
    return found


def _flow(plan: Plan, name: str, params: Mapping[str, Array], X: Array, y: Array) -> tuple[list[Array], list[Array]]:
    """What each layer puts out before its ReLU, and the gradient of the mean loss by it."""
    chosen = models.model(plan.model)
    if name == "scratch":
        if chosen.hidden:
            outs, douts = side(name, "two_layer.flow")(params, X, y)
            return outs, douts
        scores = side(name, chosen.scores)(params, X)
        return [scores], [side(name, chosen.loss)(scores, y)[1]["scores"]]
    tensors, Xt, yt = {n: to_tensor(np.asarray(p)) for n, p in params.items()}, to_tensor(X), to_tensor(y)
    if chosen.hidden:
        outs, douts = side(name, "two_layer.flow")(tensors, Xt, yt)
    else:
        outs = [side(name, chosen.scores)(tensors, Xt).requires_grad_()]
        side(name, chosen.loss)(outs[0], yt).backward()
        douts = [outs[0].grad]
    return [to_array(o) for o in outs], [to_array(d) for d in douts]


def _penalty(plan: Plan, params: Mapping[str, Array]) -> float:
    f = models.penalties("scratch")[plan.penalty]
    return sum(float(f(p, plan.reg)[0]) for n, p in params.items() if n.startswith("W"))


def _curves(found: list[Layer]) -> Iterator[tuple[str, float]]:
    for layer in found:
        for tag, what in WATCHED.items():
            value = getattr(layer, what)
            if value is not None:
                yield f"{tag}/{layer.name}", value


def _rms(x: Array) -> float:
    x = np.asarray(x, np.float64).ravel()
    return math.sqrt(float(x @ x) / x.size)
