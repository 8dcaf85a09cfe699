"""Learning rates: by hand, and torch's schedulers step by step."""

import inspect
import math

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR, StepLR

import ref.schedules
import scratch.schedules

CASES = [
    ("constant", {}),
    ("step", {}),
    ("step", {"drops": 6, "factor": 0.5}),
    ("step", {"drops": 0}),
    ("exponential", {}),
    ("exponential", {"final": 0.5}),
    ("inverse", {}),
    ("inverse", {"final": 0.01}),
    ("cosine", {}),
    ("cosine", {"final": 0.1}),
]


def optimizer(lr):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)


def rates(scheduler, steps):
    """The optimizer's rate before the first step, and after each call of scheduler.step()."""
    out = []
    for _ in range(steps + 1):
        out.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return out


def allowed(lr, steps):
    """Bound the rounding: torch's recursions commit at most four a step, none above lr; ours a dozen."""
    return (4 * np.arange(steps + 1) + 12) * np.finfo(float).eps / 2 * lr


@pytest.mark.parametrize("warmup", [0, 1, 10, 99])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_schedule_is_the_torch_scheduler(name, options, warmup):
    lr, steps = 0.3, 100
    f = scratch.schedules.SCHEDULES[name]
    ours = [f(step, lr, steps, warmup=warmup, **options) for step in range(steps + 1)]
    theirs = rates(ref.schedules.SCHEDULES[name](optimizer(lr), steps, warmup=warmup, **options), steps)
    assert {type(rate) for rate in ours} == {float}
    assert np.all(np.abs(np.subtract(ours, theirs)) <= allowed(lr, steps))


@pytest.mark.parametrize(
    ("name", "options", "build"),
    [
        ("step", {"drops": 3, "factor": 0.5}, lambda opt: StepLR(opt, step_size=25, gamma=0.5)),
        ("exponential", {"final": 0.98**100}, lambda opt: ExponentialLR(opt, gamma=0.98)),
        ("cosine", {"final": 0.1}, lambda opt: CosineAnnealingLR(opt, T_max=100, eta_min=0.03)),
        ("constant", {"warmup": 9}, lambda opt: LinearLR(opt, start_factor=0.1, total_iters=9)),
    ],
)
def test_schedule_is_what_torch_users_write(name, options, build):
    ours = [scratch.schedules.SCHEDULES[name](step, 0.3, 100, **options) for step in range(101)]
    # 0.98^100 is rounded and its root taken again: 100 times the rounding of γ, added to the recursion's own
    assert np.all(np.abs(np.subtract(ours, rates(build(optimizer(0.3)), 100))) <= allowed(0.3, 100) + 2e-16 * 30)


@pytest.mark.parametrize(
    ("name", "options", "step", "expected"),
    [
        ("constant", {}, 57, 1.0),
        ("step", {}, 0, 1.0),
        ("step", {}, 33, 1.0),
        ("step", {}, 34, 0.1),  # 100 steps in three parts: 34, 34, 32
        ("step", {}, 99, 0.01),
        ("exponential", {"final": 0.25}, 50, 0.5),
        ("exponential", {"final": 0.25}, 100, 0.25),
        ("inverse", {"final": 0.2}, 25, 0.5),  # k = 4/100
        ("inverse", {"final": 0.2}, 100, 0.2),
        ("cosine", {}, 0, 1.0),
        ("cosine", {}, 50, 0.5),
        ("cosine", {}, 25, (1 + math.sqrt(0.5)) / 2),
        ("cosine", {}, 100, 0.0),
        ("cosine", {"final": 0.2}, 50, 0.6),
        ("cosine", {"final": 0.2}, 100, 0.2),
        ("cosine", {"warmup": 4}, 0, 0.2),
        ("cosine", {"warmup": 4}, 3, 0.8),
        ("cosine", {"warmup": 4}, 4, 1.0),
        ("cosine", {"warmup": 4}, 52, 0.5),
        ("step", {"warmup": 10}, 39, 1.0),  # 90 steps left: drops at 40 and 70
        ("step", {"warmup": 10}, 40, 0.1),
    ],
)
def test_rates_by_hand(name, options, step, expected):
    assert scratch.schedules.SCHEDULES[name](step, 1.0, 100, **options) == pytest.approx(expected, rel=1e-14, abs=1e-16)


def test_a_decay_one_step_late_is_seen():
    theirs = rates(ref.schedules.step(optimizer(0.3), 100), 100)
    late = [scratch.schedules.step(max(step - 1, 0), 0.3, 100) for step in range(101)]
    assert np.flatnonzero(np.abs(np.subtract(late, theirs)) > allowed(0.3, 100)).tolist() == [34, 68]


@pytest.mark.parametrize("name", scratch.schedules.SCHEDULES)
@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warm_up_as_long_as_the_run_is_refused_on_both_sides(name, warmup):
    with pytest.raises(ValueError, match="less than steps = 10"):
        scratch.schedules.SCHEDULES[name](0, 0.1, 10, warmup=warmup)
    with pytest.raises(ValueError, match="less than steps = 10"):
        ref.schedules.SCHEDULES[name](optimizer(0.1), 10, warmup=warmup)


def test_fewer_drops_than_none_are_refused_on_both_sides():
    with pytest.raises(ValueError, match="drops must be at least 0, not -1"):
        scratch.schedules.step(0, 0.1, 10, drops=-1)
    with pytest.raises(ValueError, match="drops must be at least 0, not -1"):
        ref.schedules.step(optimizer(0.1), 10, drops=-1)


def groups(*lrs):
    return torch.optim.SGD([{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in lrs], 0.1)


def test_cosine_keeps_the_ratio_of_groups_with_different_rates():
    scheduler = ref.schedules.cosine(groups(0.1, 0.4), 10, warmup=2)
    for step in range(10):
        for group, lr in zip(scheduler.optimizer.param_groups, (0.1, 0.4), strict=True):
            assert group["lr"] == pytest.approx(scratch.schedules.cosine(step, lr, 10, warmup=2), rel=1e-14)
        scheduler.optimizer.step()
        scheduler.step()


def test_cosine_refuses_one_lowest_rate_for_groups_with_different_rates():
    with pytest.raises(ValueError, match="one learning rate"):
        ref.schedules.cosine(groups(0.1, 0.4), 10, final=0.1)


@pytest.mark.parametrize("name", scratch.schedules.SCHEDULES)
def test_both_sides_have_the_same_names_and_defaults(name):
    ours = inspect.signature(scratch.schedules.SCHEDULES[name]).parameters.values()
    theirs = inspect.signature(ref.schedules.SCHEDULES[name]).parameters.values()
    assert list(scratch.schedules.SCHEDULES) == list(ref.schedules.SCHEDULES)
    assert [(p.name, p.default) for p in ours][2:] == [(p.name, p.default) for p in theirs][1:]
