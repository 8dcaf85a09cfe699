"""The stages of one training step, each judged by itself: scores, loss and gradients, the update.

A stage is asked in several ways. *Replayed*: scratch's functions and the ref are asked again, both from the ref's
weights, state and batch, so that no earlier drift has a part in it; first in float64, where what differs is no
rounding, then in the training's own precision. *As it happened*: what scratch did is held against the ref, asked
from scratch's own weights and state; this finds what a replay cannot repeat, a gradient left over from the step
before for example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from compare import models
from compare.bridge import to_array, to_tensor
from compare.check import compared, explained, generator, measure
from compare.controls import ulp
from compare.diagnose import confident
from compare.differ import BOUND, difference
from compare.kinds import cast
from compare.kinks import MOST
from compare.noise import MANY, Jitter, noise_of
from compare.pairs import objective_pair
from compare.parties import Plan, Scratch, penalty_of
from compare.records import Case, Cause, Difference, Outcome
from compare.reference import Ref
from compare.sides import side
from compare.states import Side, replaced, shared

if TYPE_CHECKING:
    from compare.records import Array
    from compare.states import States

ROWS = 2048  # examples that are replayed at most: every objective is a mean over them


@dataclass(frozen=True)
class Flag:
    """The first step outside the spread that is at fault: stage, tensor, worst entry, and both values there.

    replayed is the precision in which the fault shows when the step is asked again, "" if it does not: then it lies
    in what scratch remembers. causes are what would explain a wrong loss or gradient.
    """

    step: int
    stage: str
    tensor: str
    entry: tuple[int, ...] | None = None
    noise_units: float = float("inf")
    scratch: float | None = None
    ref: float | None = None
    replayed: str = "float64"
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Scene:
    """One step as both sides took it from X and y; each side's before holds where it stood."""

    step: int
    X: Array
    y: Array
    scratch: Scratch
    ref: Ref
    a: Side
    b: Side

    @property
    def plan(self) -> Plan:
        """The settings of the training."""
        return self.ref.plan

    def flag(self, stage: str, tensor: str, found: Difference, replayed: str, causes: tuple[Cause, ...] = ()) -> Flag:
        """The flag that a difference raises."""
        return Flag(
            self.step, stage, tensor, found.entry, found.noise_units, found.scratch, found.ref, replayed, causes
        )


def twin_of(scene: Scene, dtype: str) -> Scratch:
    """Scratch anew, in this precision, standing where the ref stood before this step."""
    start = {n: p.astype(dtype) for n, p in scene.ref.before.params.items()}
    plan = replace(scene.plan, dtype=dtype)
    twin = type(scene.scratch)(plan, start, scene.scratch.steps, scene.scratch.data_shape)
    twin.load(start, scene.scratch.before.states, scene.step - 1)
    twin.load(start, ref_states(scene), scene.step - 1)
    return twin


def ref_states(scene: Scene) -> dict[str, dict[str, Array]]:
    """What the ref remembered before this step; what torch makes at the first step only was zero."""
    after = scene.ref.states if scene.step == 1 else {}
    zeros = {name: {key: np.zeros_like(x) for key, x in state.items()} for name, state in after.items()}
    return {n: zeros.get(n, {}) | scene.ref.before.states.get(n, {}) for n in scene.ref.params}


def forward(scene: Scene) -> Iterator[Flag]:
    """The scores of the batch, replayed."""
    chosen, twin = models.model(scene.plan.model), twin_of(scene, "float64")
    scores = twin.scores
    if scores is None:
        return
    names, at = tuple(twin.params), side("ref", chosen.scores)
    case = Case(
        f"step {scene.step}", wide(scene.ref.before.params) | {"X": np.asarray(scene.X[:ROWS], np.float64)}, names
    )

    def ask(case: Case) -> Outcome:
        tensors = {n: to_tensor(x) for n, x in case.inputs.items()}
        return Outcome(to_array(at({n: tensors[n] for n in names}, tensors["X"])), {})

    pair = objective_pair(chosen.objective)
    within = tuple(axes for axes in pair.sums if "y" not in axes)  # the sum over examples is not this stage's
    measured = measure(replace(pair, sums=within, kinks=None), case, "float64", ask=ask)
    found = compared("value", scores(twin.params, case.inputs["X"]), measured)
    if found.noise_units > BOUND:
        yield scene.flag("forward", "scores", found, "float64")


def objective(scene: Scene, replayed: str) -> Iterator[Flag]:
    """Loss and gradients, clipped where that was asked for; replayed in a precision, or "" for as it happened."""
    pair, ask = objective_pair(models.model(scene.plan.model).objective), _asked(scene.plan)
    dtype = replayed or scene.plan.dtype
    if replayed:
        twin, X = twin_of(scene, dtype), scene.X[:ROWS].astype(dtype)
        inputs = {n: p.copy() for n, p in twin.params.items()} | {"X": X, "y": scene.y[:ROWS]}
        X, y = inputs["X"].copy(), inputs["y"].copy()
        value, grads = twin.gradient(X, y)
        for name, x in (("X", X), ("y", y), *twin.params.items()):
            if not np.array_equal(x, inputs[name], equal_nan=True):  # it wrote to what it only may read
                yield Flag(scene.step, "batch" if name in ("X", "y") else "update", name, replayed=replayed)
    else:
        value, grads = scene.a.loss, dict(scene.a.grads)
        inputs = dict(scene.scratch.before.params) | dict(zip("Xy", scene.scratch.seen, strict=True))
        if len(scene.y) > ROWS:
            return  # to measure the rounding of so many takes minutes; the replay has judged a part of them
    case = cast(Case(f"step {scene.step}", inputs, tuple(scene.ref.params), penalty_of(scene.plan)), dtype)
    measured = measure(pair, case, dtype, ask=ask)
    if len(measured.flips) > MOST:
        return  # so many kinks lie within rounding that nothing can be told
    answer = Outcome(np.asarray(value, dtype), grads)
    for quantity, mine in answer.quantities().items():
        stage, name = ("loss", "loss") if quantity == "value" else ("gradient", quantity.removeprefix("d"))
        found = compared(quantity, mine, measured)
        if found.noise_units > BOUND:
            causes = explained(quantity, dtype, measured, answer)
            yield scene.flag(stage, name, found, replayed, tuple(confident(causes)))


def _asked(plan: Plan) -> Callable[[Case], Outcome]:
    """Loss and gradients of the ref, clipped as the plan says, in the dtype of the case's inputs."""
    at = side("ref", models.model(plan.model).objective)

    def ask(case: Case) -> Outcome:
        params = {n: to_tensor(case.inputs[n].copy()).requires_grad_() for n in case.wrt}
        value = at(params, to_tensor(case.inputs["X"]), to_tensor(case.inputs["y"]), **case.options)
        value.backward()
        if plan.clip:
            side("ref", "optim.clip_by_norm")(params.values(), plan.clip)
        return Outcome(to_array(value), {n: to_array(p.grad) for n, p in params.items() if p.grad is not None})

    return ask


def update(scene: Scene, replayed: str) -> Iterator[Flag]:
    """What the rule remembers after the update, and the weights; replayed as objective has it."""
    dtype = replayed or scene.plan.dtype
    if replayed:
        twin, lr = twin_of(scene, dtype), scene.b.lr
        params, states, grads = scene.ref.before.params, scene.ref.before.states, scene.b.grads
        twin.update({n: g.astype(dtype) for n, g in grads.items()}, lr)
        mine = named(twin.params, twin.states)
    else:
        lr = scene.a.lr
        before, known = scene.scratch.before, scene.ref.before.states
        if len(list(shared(known, before.states))) < sum(key != "step" for s in known.values() for key in s):
            return  # the ref cannot stand where scratch stood
        params, grads = before.params, scene.a.grads
        states = replaced(known, before.states)
        mine = named(scene.a.params, scene.scratch.states)
    truth = _updated(scene, wide(params), {n: wide(s) for n, s in states.items()}, wide(grads), lr)
    rng, errors = generator(scene.plan.seed, "update", str(scene.step)), []
    for _ in range(MANY):
        moved = [_moved(x, dtype, rng) for x in (params, *states.values(), grads)]
        with Jitter(rng):
            again = _updated(scene, moved[0], dict(zip(states, moved[1:-1], strict=True)), moved[-1], lr)
        errors.append({name: np.asarray(x - truth[name], np.float64) for name, x in again.items()})
    for name, t in sorted(truth.items(), key=lambda item: ":" not in item[0]):  # states first: weights follow them
        if name in mine and mine[name].shape == t.shape:
            found = difference(name, mine[name], t, noise_of([e[name] for e in errors], t, np.dtype(dtype)))
            if found.noise_units > BOUND:
                yield scene.flag("optimizer state" if ":" in name else "update", name, found, replayed)


def _updated(
    scene: Scene, params: Mapping[str, Array], states: States, grads: Mapping[str, Array], lr: float
) -> dict[str, Array]:
    """Weights and states after one update of the ref from these, in their dtype."""
    plan = replace(scene.plan, dtype=next(iter(params.values())).dtype.name, device="cpu")
    twin = Ref(plan, params, scene.scratch.steps, torch.device("cpu"))
    twin.load(params, states)
    for group in twin.optimizer.param_groups:
        group["lr"] = lr
    for name, p in twin.params.items():
        p.grad = to_tensor(np.array(grads[name]))
    twin.optimizer.step()
    return named({n: to_array(p) for n, p in twin.params.items()}, twin.states)


def named(params: Mapping[str, Array], states: States) -> dict[str, Array]:
    """Weights, and states under names such as "W: exp_avg", in one dict."""
    arrays = {f"{n}: {key}": x for n, state in states.items() for key, x in state.items() if key != "step"}
    return {**params, **arrays}


def wide(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Copies, floats in float64."""
    return {n: np.array(x, np.float64) if x.dtype.kind == "f" else x for n, x in arrays.items()}


def _moved(arrays: Mapping[str, Array], dtype: str, rng: np.random.Generator) -> dict[str, Array]:
    """These arrays in another dtype and moved by 1 ulp; a count of steps stays."""
    return {n: ulp(x.astype(dtype), rng) if x.ndim else x for n, x in arrays.items()}
