"""Mismatches planted in scratch: each is flagged at the step where it first acts, and blamed on the right stage.

A fault first acts at the first step after which scratch with it and scratch without it, each trained alone in
float64, hold different weights, or had another loss. (Until then the two are the same program.)
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from compare import lockstep, models
from compare.blame import STAGES, blame
from compare.data import from_arrays
from compare.feed import Feed
from compare.parties import Plan, Scratch
from compare.stages import Scene
from compare.timing import equal_threads
from scratch import linear, optim

RNG = np.random.default_rng(0)
LABELS = np.arange(120) % 3
PIXELS = RNG.integers(0, 200, (120, 6, 6, 3))
PIXELS[np.arange(120), :, :, LABELS] += 55  # brighter in one channel for each class
DATA = from_arrays(PIXELS.astype(np.uint8), LABELS, seed=1)
PLAN = Plan("softmax", "momentum", "step", 3, 16, 0.05, 1e-2, "l2", "float64", seed=3, controls=6)
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with equal_threads(1):
        yield


def steps(plan: Plan) -> list[lockstep.Step]:
    """All steps, or those to the first that is flagged."""
    taken: list[lockstep.Step] = []
    for record in lockstep.train(plan, DATA):
        if isinstance(record, lockstep.Step):
            taken.append(record)
            if record.flagged:
                break
    return taken


def rule(build: Callable[..., Any]) -> Callable[[Patch, str], None]:
    """Plant another rule in scratch; it is built with the plan's options."""

    def plant(monkeypatch: Patch, name: str) -> None:
        real = models.rules
        monkeypatch.setattr(models, "rules", lambda p: real(p) | {name: build} if p == "scratch" else real(p))

    return plant


def schedule(build: Callable[..., float]) -> Callable[[Patch, str], None]:
    def plant(monkeypatch: Patch, name: str) -> None:
        real = models.schedules
        monkeypatch.setattr(models, "schedules", lambda p: real(p) | {"step": build} if p == "scratch" else real(p))

    return plant


def objective(make: Callable[[], Any]) -> Callable[[Patch, str], None]:
    return lambda monkeypatch, name: monkeypatch.setattr(models, "scratch_objective", lambda *_: make())


def method(name: str, build: Callable[[Any], Any]) -> Callable[[Patch, str], None]:
    """Plant another method in the party."""
    return lambda monkeypatch, _: monkeypatch.setattr(Scratch, name, build(getattr(Scratch, name)))


class Uncorrected(optim.Adam):
    """Adam that forgets that its averages start at 0."""

    def update(self, param: Any, grad: Any, state: Any, lr: float) -> None:
        state["step"] += 1
        state["exp_avg"] += (1 - self.beta1) * (grad - state["exp_avg"])
        state["exp_avg_sq"] += (1 - self.beta2) * (grad**2 - state["exp_avg_sq"])
        param -= lr * state["exp_avg"] / (np.sqrt(state["exp_avg_sq"]) + self.eps)


class CountsTwice(optim.Adam):
    """Adam whose count of steps goes up with every parameter: one count for all of them."""

    count = 0

    def update(self, param: Any, grad: Any, state: Any, lr: float) -> None:
        state["step"] = 2 * state["step"] + (param.ndim == 1)  # W at 0, 2, 4 …, b at 1, 3, 5 …
        super().update(param, grad, state, lr)
        state["step"] = state["step"] // 2 + (param.ndim == 2)


class Stale:
    """Returns the gradient of the call before."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def __call__(self, params: Any, X: Any, y: Any, **options: Any) -> Any:
        value, grads = linear.softmax_objective(params, X, y, **options)
        old, self.kept = self.kept or grads, {n: g.copy() for n, g in grads.items()}
        return value, {n: g.copy() for n, g in old.items()}


class Biasless:
    """Leaves the bias out of the scores."""

    def scores(self, params: Any, X: Any) -> Any:
        return X @ params["W"]

    def __call__(self, params: Any, X: Any, y: Any, **options: Any) -> Any:
        return linear.softmax_objective(params | {"b": 0 * params["b"]}, X, y, **options)


def doubled(params: Any, X: Any, y: Any, reg: float, penalty: str) -> Any:
    return linear.softmax_objective(params, X, y, 2 * reg, penalty)


def halved_gradient(params: Any, X: Any, y: Any, reg: float, penalty: str) -> Any:
    value, grads = linear.softmax_objective(params, X, y, reg, penalty)
    return value, grads | {"W": grads["W"] - reg * params["W"]}


def normalises(params: Any, X: Any, y: Any, reg: float, penalty: str) -> Any:
    answer = linear.softmax_objective(params, X, y, reg, penalty)
    params["W"] *= 0.999
    return answer


def shuffled(batch: Any) -> Any:
    return lambda self, X, y: (X, y[::-1].copy())


def other_rows(batch: Any) -> Any:
    return lambda self, X, y: (X[::-1].copy(), y) if self.done == 3 else (X, y)


def reset(update: Any) -> Any:
    """As when the optimizer is made anew at the start of an epoch."""

    def step(self: Any, X: Any, y: Any) -> Any:
        if self.done == 6:
            self.own = {name: self.rules[name].init(p) for name, p in self.params.items()}
        return update(self, X, y)

    return step


def late(step: int, lr: float, steps: int) -> float:
    return models.schedules("ref") and scratch_step(max(step - 1, 0), lr, steps)


scratch_step = models.schedules("scratch")["step"]


@dataclass(frozen=True)
class Fault:
    name: str
    plant: Callable[[Patch, str], None]
    step: int
    stage: str
    tensor: str
    settings: dict[str, Any]
    replayed: str = "float64"


DECAY = {"rule_options": {"weight_decay": 0.1}}
FAULTS = [
    Fault("velocity form under a changing rate", rule(lambda: optim.Momentum(convention="velocity")), 6, "update",
          "W", {}),
    Fault("Keras's Adam epsilon", rule(lambda: optim.Adam(convention="keras")), 1, "update", "W", {"rule": "adam"}),
    Fault("epsilon inside RMSprop's root", rule(lambda: optim.RMSprop(eps_inside=True)), 1, "update", "W",
          {"rule": "rmsprop"}),
    Fault("Adagrad's accumulator from 0.1", rule(lambda: optim.Adagrad(initial_accumulator=0.1)), 1,
          "optimizer state", "W: sum", {"rule": "adagrad"}, replayed=""),
    Fault("missing bias correction", rule(Uncorrected), 1, "update", "W", {"rule": "adam"}),
    Fault("decay coupled for decoupled", rule(optim.Adam), 1, "optimizer state", "W: exp_avg",
          {"rule": "adamw"} | DECAY),
    Fault("decay decoupled for coupled", rule(optim.AdamW), 1, "optimizer state", "W: exp_avg",
          {"rule": "adam"} | DECAY),
    Fault("decay on biases", method("__init__", lambda init: decays_biases(init)), 2, "optimizer state",
          "b: momentum_buffer", {"decay_bias": False} | DECAY),
    Fault("Nesterov for momentum", rule(optim.Nesterov), 1, "update", "W", {}),
    Fault("stale gradient", objective(Stale), 2, "gradient", "W", {}, replayed=""),
    Fault("labels of a batch shuffled on one side", method("batch", shuffled), 1, "batch", "y", {}),
    Fault("rows of one batch shuffled on one side", method("batch", other_rows), 4, "batch", "X", {}),
    Fault("rate decayed one step late", schedule(late), 6, "learning rate", "lr", {}),
    Fault("momentum buffer reset", method("step", reset), 7, "optimizer state", "W: momentum_buffer", {},
          replayed=""),
    Fault("one count of steps for all parameters", rule(CountsTwice), 1, "update", "b", {"rule": "adam"}),
    Fault("twice the penalty", objective(lambda: doubled), 1, "loss", "loss", {}),
    Fault("half the penalty's gradient", objective(lambda: halved_gradient), 1, "gradient", "W", {}),
    Fault("no bias in the scores", objective(Biasless), 2, "forward", "scores", {}),
    Fault("no clipping", method("gradient", lambda gradient: unclipped), 1, "gradient", "W", {"clip": 0.1}),
    Fault("an objective that shrinks the weights", objective(lambda: normalises), 1, "update", "W", {}),
]  # fmt: skip


def decays_biases(init: Any) -> Any:
    def made(self: Any, plan: Plan, *rest: Any) -> None:
        init(self, replace(plan, decay_bias=True), *rest)

    return made


def unclipped(self: Any, X: Any, y: Any) -> Any:
    value, grads = self.objective(self.params, X, y, reg=self.plan.reg, penalty=self.plan.penalty)
    return float(value), grads


def alone(plan: Plan) -> list[dict[str, Any]]:
    """Loss and weights after every step of scratch, without the ref."""
    rng = np.random.default_rng(plan.seed)
    start = models.start(models.model(plan.model), rng, DATA.mean.size, len(DATA.classes))
    feed = Feed(plan, DATA, plan.batch_size, rng)
    party = Scratch(plan, start, lockstep.steps_of(plan, DATA), (DATA.mean.size, len(DATA.classes)))
    path = []
    for _ in range(plan.epochs):
        feed.start_epoch()
        while not feed.ended:
            _, X, y = feed.next()
            side = party.step(X, y)
            path.append({"loss": np.asarray(side.loss)} | {n: p.copy() for n, p in side.params.items()})
    return path


def first_apart(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> int:
    apart = [any(np.abs(x[n] - y[n]).max() > 1e-13 * np.abs(x[n]).max() for n in x) for x, y in zip(a, b, strict=True)]
    return 1 + apart.index(True)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_fault_is_flagged_where_it_first_acts_and_blamed_on_its_stage(fault: Fault, monkeypatch: Patch) -> None:
    plan = replace(PLAN, **fault.settings)
    healthy = alone(plan)
    fault.plant(monkeypatch, plan.rule)
    assert first_apart(healthy, alone(plan)) == fault.step
    taken = steps(plan)
    flag = taken[-1].flagged
    assert flag is not None
    assert (len(taken), flag.step, flag.stage, flag.tensor) == (fault.step, fault.step, fault.stage, fault.tensor)
    assert flag.replayed == fault.replayed
    assert taken[-1].excused == 0
    assert flag.stage in STAGES


RULES = [
    ("sgd", {}),
    ("momentum", {"momentum": 0.5, "dampening": 0.1}),
    ("momentum", {"convention": "velocity"}),
    ("nesterov", {"weight_decay": 0.1}),
    ("nesterov", {"convention": "velocity"}),
    ("adagrad", {"initial_accumulator": 0.1, "lr_decay": 0.01}),
    ("rmsprop", {"centered": True, "momentum": 0.9}),
    ("rmsprop", {"eps_inside": True}),
    ("adam", {"weight_decay": 0.1}),
    ("adam", {"convention": "keras"}),
    ("adamw", {"weight_decay": 0.1}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), RULES, ids=lambda x: str(x))
def test_a_step_that_is_right_is_not_blamed(name: str, options: dict[str, Any], dtype: str) -> None:
    """Asked without cause, at the first step and later ones, with clipping and with biases spared from decay."""
    plan = replace(PLAN, rule=name, rule_options=options, dtype=dtype, clip=0.05, decay_bias=False, controls=2)
    training = lockstep.Training(plan, DATA)
    for record in training.run():
        if isinstance(record, lockstep.Step) and record.step in (1, 7):
            X, y = training.feed.X, DATA.train.labels[record.batch]
            sides = training.scratch, training.ref, record.scratch, record.ref
            assert blame(Scene(record.step, X, y, *sides)) is None
            assert record.flagged is None


@pytest.mark.parametrize("model", ["svm", "two-layer"])
def test_steps_of_kinked_models_that_are_right_are_not_blamed(model: str) -> None:
    plan = replace(PLAN, model=model, dtype="float32", rule="sgd", hidden=(12,) if model == "two-layer" else ())
    training = lockstep.Training(plan, DATA)
    for record in training.run():
        if isinstance(record, lockstep.Step) and record.step in (1, 7, 15):
            X, y = training.feed.X, DATA.train.labels[record.batch]
            sides = training.scratch, training.ref, record.scratch, record.ref
            assert blame(Scene(record.step, X, y, *sides)) is None


def test_a_fault_below_rounding_is_flagged_once_it_exceeds_the_spread(monkeypatch: Patch) -> None:
    """The velocity form under a rate that falls by 2e-7 a step: it acts from step 2 on, in float32 below rounding."""
    slow = {"schedule": "exponential", "schedule_options": {"final": 0.99998}}
    plan = replace(PLAN, **slow, epochs=20, lr=0.01, controls=2)
    healthy = alone(plan)
    rule(lambda: optim.Momentum(convention="velocity"))(monkeypatch, "momentum")
    assert first_apart(healthy, alone(plan)) == 2
    assert steps(plan)[-1].step == 2
    taken = steps(replace(plan, dtype="float32"))
    flag = taken[-1].flagged
    assert flag is not None
    assert 2 < flag.step == taken[-1].step
    units = [max(d.noise_units for d in (s.loss, s.grads, s.params)) for s in taken]
    assert max(units[:-1]) <= lockstep.BOUND < units[-1]
    assert (flag.stage, flag.replayed) == ("update", "float64")
