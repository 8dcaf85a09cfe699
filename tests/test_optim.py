"""Update rules against torch.optim step by step, and mismatches that the same check must see."""

import inspect
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop

import ref.optim
import scratch.blocks
import scratch.optim

STEPS = 200
RATES = [0.02] * (STEPS // 2) + [0.005] * (STEPS // 2)  # changes midway: conventions part there

DECAY = {"weight_decay": 0.1}
CASES = [  # rule, hyperparameters, and the torch optimizer that is meant, where torch has it
    ("sgd", {}, (SGD, {})),
    ("sgd", DECAY, (SGD, DECAY)),
    ("momentum", {}, (SGD, {"momentum": 0.9})),
    ("momentum", {"momentum": 0.0}, (SGD, {})),
    ("momentum", {"dampening": 0.3}, (SGD, {"momentum": 0.9, "dampening": 0.3})),
    ("momentum", DECAY, (SGD, {"momentum": 0.9} | DECAY)),
    ("momentum", {"convention": "velocity"}, None),
    ("momentum", {"convention": "velocity"} | DECAY, None),
    ("nesterov", {}, (SGD, {"momentum": 0.9, "nesterov": True})),
    ("nesterov", DECAY, (SGD, {"momentum": 0.9, "nesterov": True} | DECAY)),
    ("nesterov", {"convention": "velocity"} | DECAY, None),
    ("adagrad", {}, (Adagrad, {})),
    ("adagrad", {"initial_accumulator": 0.1}, (Adagrad, {"initial_accumulator_value": 0.1})),
    ("adagrad", {"lr_decay": 0.01} | DECAY, (Adagrad, {"lr_decay": 0.01} | DECAY)),
    ("rmsprop", {}, (RMSprop, {})),
    ("rmsprop", {"momentum": 0.9} | DECAY, (RMSprop, {"momentum": 0.9} | DECAY)),
    ("rmsprop", {"centered": True, "alpha": 0.9}, (RMSprop, {"centered": True, "alpha": 0.9})),
    ("rmsprop", {"centered": True, "momentum": 0.5}, (RMSprop, {"centered": True, "momentum": 0.5})),
    ("rmsprop", {"eps_inside": True, "eps": 1e-2}, None),
    ("rmsprop", {"eps_inside": True, "centered": True, "momentum": 0.9} | DECAY, None),
    ("adam", {}, (Adam, {})),
    ("adam", {"beta1": 0.5, "eps": 1e-2}, (Adam, {"betas": (0.5, 0.999), "eps": 1e-2})),
    ("adam", DECAY, (Adam, DECAY)),
    ("adam", {"convention": "keras", "eps": 1e-2} | DECAY, None),
    ("adamw", {}, (AdamW, {})),
    ("adamw", {"weight_decay": 0.5}, (AdamW, {"weight_decay": 0.5})),
    ("adamw", {"convention": "keras", "eps": 1e-2}, None),
]  # fmt: skip


def problem(shape, dtype, seed=0):
    """A start and gradients curvature · θ + push_t that depend on θ and keep varying."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(shape).astype(dtype)
    curvature = rng.uniform(0.5, 2.0, shape).astype(dtype)
    pushes = [rng.standard_normal(shape).astype(dtype) for _ in range(8)]
    return start, curvature, pushes


def scratch_path(rule, shape, dtype, rates=RATES):
    """Every θ of a run with scratch's rule, and its last state."""
    param, curvature, pushes = problem(shape, dtype)
    state, path = rule.init(param), []
    for t, lr in enumerate(rates):
        rule.update(param, np.asarray(curvature * param + pushes[t % 8]), state, lr)
        path.append(param.copy())
    return np.array(path), state


def torch_path(build, shape, dtype, rates=RATES, before_step=lambda optimizer, t: None):
    start, curvature, pushes = problem(shape, dtype)
    param = torch.nn.Parameter(torch.tensor(start))
    curvature, pushes = torch.tensor(curvature), [torch.tensor(push) for push in pushes]
    optimizer, path = build([param], lr=rates[0]), []
    for t, lr in enumerate(rates):
        optimizer.param_groups[0]["lr"] = lr
        param.grad = curvature * param.detach() + pushes[t % 8]
        before_step(optimizer, t)
        optimizer.step()
        path.append(param.detach().numpy().copy())
    return np.array(path), optimizer.state[param]


def allowed(path):
    """How far two correct runs may lie apart at each step, one number a step.

    In each update a side commits one rounding of θ and at most a dozen of the step. The problem contracts, so
    old errors shrink, but momentum 0.9 repeats the error of a step in those after it: 1/(1 − 0.9) = 10 times.
    Correct runs reach 0.16 of this bound.
    """
    path = path.reshape(len(path), -1)
    u = np.finfo(path.dtype).eps / 2
    size = np.abs(path).max()
    longest = np.abs(np.diff(path, axis=0)).max()
    return 2 * np.arange(1, len(path) + 1) * u * (size + 12 * 10 * longest)


def first_departure(ours, theirs):
    """The first step at which the paths lie further apart than rounding, or None."""
    apart = np.abs(ours - theirs).reshape(len(ours), -1).max(axis=1)
    beyond = np.flatnonzero(~(apart <= allowed(theirs)))
    return int(beyond[0]) if beyond.size else None


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(), (32, 11)])
@pytest.mark.parametrize(("name", "options", "meant"), CASES)
def test_rule_follows_torch(name, options, meant, shape, dtype, monkeypatch):
    monkeypatch.setattr(scratch.blocks, "BLOCK", 64)  # five rows: seven blocks, the last not full
    ours, state = scratch_path(scratch.optim.RULES[name](**options), shape, dtype)
    theirs, their_state = torch_path(lambda p, lr: ref.optim.RULES[name](p, lr, **options), shape, dtype)
    assert ours.dtype == theirs.dtype == dtype
    assert {array.dtype for array in state.values() if isinstance(array, np.ndarray)} == {np.dtype(dtype)}
    assert first_departure(ours, theirs) is None
    assert their_state.keys() <= state.keys()
    assert state["step"] == STEPS


@pytest.mark.parametrize(("name", "options", "meant"), [case for case in CASES if case[2]])
def test_ref_builds_the_torch_optimizer_that_is_meant(name, options, meant):
    optimizer, arguments = meant
    theirs, _ = torch_path(lambda p, lr: ref.optim.RULES[name](p, lr, **options), (7,), np.float32)
    direct, _ = torch_path(lambda p, lr: optimizer(p, lr=lr, **arguments), (7,), np.float32)
    assert_array_equal(theirs, direct)


@pytest.mark.parametrize(("name", "options", "meant"), CASES)
def test_state_can_be_taken_over_from_torch(name, options, meant):
    rule, taken = scratch.optim.RULES[name](**options), {}

    def take(optimizer, t):
        if t == STEPS // 2:
            (param,) = optimizer.param_groups[0]["params"]
            taken["param"] = param.detach().numpy().copy()
            taken["state"] = {key: torch.as_tensor(x).numpy().copy() for key, x in optimizer.state[param].items()}

    theirs, _ = torch_path(lambda p, lr: ref.optim.RULES[name](p, lr, **options), (7,), np.float64, RATES, take)
    _, curvature, pushes = problem((7,), np.float64)
    param = taken["param"]
    state = rule.init(param) | taken["state"] | {"step": STEPS // 2}
    path = []
    for t in range(STEPS // 2, STEPS):
        rule.update(param, curvature * param + pushes[t % 8], state, RATES[t])
        path.append(param.copy())
    assert first_departure(np.array(path), theirs[STEPS // 2 :]) is None


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_velocity_is_torch_until_the_rate_changes_and_then_torch_with_its_buffer_rescaled(name):
    velocity, _ = scratch_path(scratch.optim.RULES[name](convention="velocity"), (7,), np.float64)
    build = ref.optim.RULES[name]
    plain, _ = torch_path(build, (7,), np.float64)
    assert first_departure(velocity, plain) == STEPS // 2

    def rescale(optimizer, t):
        if t == STEPS // 2:
            (state,) = optimizer.state.values()
            state["momentum_buffer"] *= RATES[t - 1] / RATES[t]

    rescaled, _ = torch_path(build, (7,), np.float64, RATES, rescale)
    assert first_departure(velocity, rescaled) is None


@dataclass(frozen=True)
class Uncorrected(scratch.optim.Adam):
    def update(self, param, grad, state, lr):
        state["step"] = 10**6  # the correction of a step so late is 1
        super().update(param, grad, state, lr)


@dataclass(frozen=True)
class ForgetsAtFifty(scratch.optim.Momentum):
    def update(self, param, grad, state, lr):
        if state["step"] == 50:
            state["momentum_buffer"].fill(0)
        super().update(param, grad, state, lr)


@dataclass(frozen=True)
class StaleGradient(scratch.optim.SGD):
    def update(self, param, grad, state, lr):
        super().update(param, state.get("_last", grad), state, lr)
        state["_last"] = grad.copy()


LATE = [*RATES[:1], *RATES[:-1]]
MISMATCHES = [  # what scratch does, at which rates, against which of torch's, and the first step that shows
    (scratch.optim.Momentum(convention="velocity"), RATES, ("momentum", {}), 100),
    (scratch.optim.Nesterov(convention="velocity"), RATES, ("nesterov", {}), 100),
    (scratch.optim.Nesterov(), RATES, ("momentum", {}), 0),
    (scratch.optim.Momentum(dampening=0.1), RATES, ("momentum", {}), 1),
    (ForgetsAtFifty(), RATES, ("momentum", {}), 50),
    (scratch.optim.Adagrad(initial_accumulator=0.1), RATES, ("adagrad", {}), 0),
    (scratch.optim.Adagrad(eps=1e-7), RATES, ("adagrad", {}), 0),
    (scratch.optim.RMSprop(eps_inside=True), RATES, ("rmsprop", {}), 0),
    (scratch.optim.RMSprop(alpha=0.9), RATES, ("rmsprop", {}), 0),
    (scratch.optim.RMSprop(centered=True), RATES, ("rmsprop", {}), 0),
    (scratch.optim.Adam(convention="keras"), RATES, ("adam", {}), 0),
    (Uncorrected(), RATES, ("adam", {}), 0),
    (scratch.optim.Adam(weight_decay=0.01), RATES, ("adamw", {}), 0),
    (scratch.optim.SGD(weight_decay=0.01), RATES, ("sgd", {}), 0),
    (StaleGradient(), RATES, ("sgd", {}), 1),
    (scratch.optim.SGD(), LATE, ("sgd", {}), 100),
]


@pytest.mark.parametrize(("wrong", "rates", "twin", "step"), MISMATCHES)
def test_a_mismatch_is_seen_at_the_step_where_it_first_acts(wrong, rates, twin, step):
    name, options = twin
    ours, _ = scratch_path(wrong, (7,), np.float64, rates)
    theirs, _ = torch_path(lambda p, lr: ref.optim.RULES[name](p, lr, **options), (7,), np.float64)
    assert first_departure(ours, theirs) == step


@pytest.mark.parametrize("name", scratch.optim.RULES)
def test_both_sides_have_the_same_names_and_defaults(name):
    ours = inspect.signature(scratch.optim.RULES[name]).parameters.values()
    theirs = inspect.signature(ref.optim.RULES[name]).parameters.values()
    assert scratch.optim.RULES[name].__name__ == ref.optim.RULES[name].__name__
    assert list(scratch.optim.RULES) == list(ref.optim.RULES)
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs][2:]


@pytest.mark.parametrize(
    ("name", "options"),
    [("momentum", {"convention": "velocity"}), ("adam", {"convention": "keras"}), ("sgd", {})],
)
def test_ref_leaves_a_group_without_decay_undecayed(name, options):
    def moved(weight_decay, group):
        bias = torch.nn.Parameter(torch.ones(3))
        bias.grad = torch.full((3,), 0.5)
        ref.optim.RULES[name]([{"params": [bias]} | group], 0.1, weight_decay=weight_decay, **options).step()
        return bias.detach().numpy()

    assert_array_equal(moved(0.7, {"weight_decay": 0.0}), moved(0.0, {}))
