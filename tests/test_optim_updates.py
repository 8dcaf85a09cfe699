"""Update rules: two steps by hand, what they allocate, memory layouts, refusals, and gradient clipping."""

import math
import tracemalloc

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import ref.optim
import scratch.blocks
import scratch.optim
from scratch.blocks import BLOCK

HAND = [  # θ starts at 1; learning rates 0.1, then 0.05
    ("sgd", {}, (2, 4), (0.8, 0.6)),
    ("sgd", {"weight_decay": 0.5}, (2, 4), (0.75, 0.53125)),
    ("momentum", {"momentum": 0.5}, (2, 4), (0.8, 0.8 - 0.05 * 5)),
    ("momentum", {"momentum": 0.5, "dampening": 0.5}, (2, 4), (0.8, 0.8 - 0.05 * 3)),
    ("momentum", {"momentum": 0.5, "convention": "velocity"}, (2, 4), (0.8, 0.8 - 0.3)),
    ("nesterov", {"momentum": 0.5}, (2, 4), (0.7, 0.7 - 0.05 * (4 + 0.5 * 5))),
    ("nesterov", {"momentum": 0.5, "convention": "velocity"}, (2, 4), (0.7, 0.7 + 0.5 * 0.2 - 1.5 * 0.3)),
    ("adagrad", {"eps": 0.0}, (3, 4), (0.9, 0.9 - 0.05 * 4 / 5)),
    ("adagrad", {"eps": 1.0}, (3, 4), (0.925, 0.925 - 0.05 * 4 / 6)),
    ("adagrad", {"eps": 0.0, "lr_decay": 1.0}, (3, 4), (0.9, 0.9 - 0.025 * 4 / 5)),
    ("adagrad", {"eps": 0.0, "initial_accumulator": 7.0}, (3, 3), (0.925, 0.925 - 0.05 * 3 / 5)),
    ("rmsprop", {"alpha": 0.75, "eps": 0.0}, (2, 1), (0.8, 0.75)),
    ("rmsprop", {"alpha": 0.75, "eps": 3.0}, (2, 1), (0.95, 0.9375)),
    ("rmsprop", {"alpha": 0.75, "eps": 3.0, "eps_inside": True}, (2, 1), (0.9, 0.875)),
    ("rmsprop", {"alpha": 0.75, "eps": 0.0, "momentum": 0.5}, (2, 1), (0.8, 0.7)),
    ("rmsprop", {"alpha": 0.5, "eps": 0.0, "centered": True}, (2, 1), (0.8, 0.8 - 0.05 / math.sqrt(0.5))),
    ("adam", {"beta1": 0.5, "beta2": 0.75, "eps": 0.0}, (2, 1), (0.9, 0.9 - 0.05 * math.sqrt(7) / 3)),
    (
        "adam",
        {"beta1": 0.5, "beta2": 0.75, "eps": 2.0},
        (2, 1),
        (0.95, 0.95 - 0.05 * 4 / 3 / (4 / math.sqrt(7) + 2)),
    ),
    (
        "adam",
        {"beta1": 0.5, "beta2": 0.75, "eps": 1.0, "convention": "keras"},
        (2, 1),
        (0.95, 0.95 - 0.05 * math.sqrt(0.4375) / 0.75 / 2),
    ),
    (
        "adamw",
        {"beta1": 0.5, "beta2": 0.75, "eps": 0.0, "weight_decay": 0.5},
        (2, 1),
        (0.85, 0.975 * 0.85 - 0.05 * math.sqrt(7) / 3),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "grads", "expected"), HAND)
def test_two_steps_by_hand(name, options, grads, expected):
    rule = scratch.optim.RULES[name](**options)
    param = np.array([1.0])
    state = rule.init(param)
    for grad, lr, value in zip(grads, (0.1, 0.05), expected, strict=True):
        rule.update(param, np.array([float(grad)]), state, lr)
        assert_allclose(param, [value], rtol=1e-15, atol=0)  # nine roundings


VARIANTS = [
    *[(name, {"weight_decay": decay}) for name in scratch.optim.RULES for decay in (0.0, 0.1)],
    ("momentum", {"convention": "velocity"}),
    ("momentum", {"dampening": 0.1}),
    ("nesterov", {"convention": "velocity"}),
    ("rmsprop", {"eps_inside": True, "centered": True, "momentum": 0.9}),
    ("adam", {"convention": "keras"}),
]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_update_allocates_nothing_large_and_leaves_grad_alone(name, options):
    rule = scratch.optim.RULES[name](**options)
    rng = np.random.default_rng(0)
    param, grad = rng.standard_normal((2, 3 * BLOCK + 5), dtype=np.float32)
    before = grad.copy()
    grad.flags.writeable = False
    state = rule.init(param)
    rule.update(param, grad, state, 0.01)
    tracemalloc.start()
    rule.update(param, grad, state, 0.01)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8192  # views and numbers; the parameter is 393,236 bytes
    assert_array_equal(grad, before)


@pytest.mark.parametrize(
    "layout", [lambda a: np.asfortranarray(a), lambda a: np.repeat(a, 2, 1)[:, ::2], lambda a: a.T.copy().T]
)
def test_any_memory_layout_gives_the_same_bits(layout, monkeypatch):
    monkeypatch.setattr(scratch.blocks, "BLOCK", 64)
    start, *pushes = np.random.default_rng(0).standard_normal((9, 32, 11), dtype=np.float32)
    rule, params = scratch.optim.Adam(weight_decay=0.1), [start.copy(), layout(start)]
    for param in params:
        state = rule.init(param)
        for push in pushes:
            rule.update(param, push, state, 0.1)
    assert not params[1].flags.c_contiguous
    assert_array_equal(*params)


def test_an_empty_parameter_is_no_trouble():
    rule, param = scratch.optim.Adam(), np.empty((0, 3))
    state = rule.init(param)
    rule.update(param, np.empty((0, 3)), state, 0.1)
    assert state["step"] == 1


@pytest.mark.parametrize("grad", [np.ones(3), np.ones((2, 3), np.float32)])
def test_a_gradient_of_another_shape_or_dtype_is_refused(grad):
    rule, param = scratch.optim.SGD(), np.ones((2, 3))
    state = rule.init(param)
    with pytest.raises(ValueError, match=r"grad must be float64 of shape \(2, 3\)"):
        rule.update(param, grad, state, 0.1)
    assert state["step"] == 0


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adam", "adamw"])
def test_an_unknown_convention_is_refused_on_both_sides(name):
    with pytest.raises(ValueError, match=r"convention must be torch or .*, not 'tf'"):
        scratch.optim.RULES[name](convention="tf")
    with pytest.raises(ValueError, match=r"convention must be torch or .*, not 'tf'"):
        ref.optim.RULES[name]([torch.zeros(1)], 0.1, convention="tf")


def test_dampening_with_velocity_is_refused_on_both_sides():
    with pytest.raises(ValueError, match="dampening belongs to the torch convention"):
        scratch.optim.Momentum(dampening=0.1, convention="velocity")
    with pytest.raises(ValueError, match="dampening belongs to the torch convention"):
        ref.optim.Momentum([torch.zeros(1)], 0.1, dampening=0.1, convention="velocity")


@pytest.mark.parametrize("betas", [{"beta1": 1.0}, {"beta2": 1.0}, {"beta1": -0.1}])
def test_betas_that_leave_nothing_to_average_are_refused(betas):
    with pytest.raises(ValueError, match="betas must be in"):
        scratch.optim.Adam(**betas)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("max_norm", [0.1, 1.0, 1e6])
def test_clip_by_norm_is_torch(max_norm, dtype):
    rng = np.random.default_rng(0)
    grads = {"W": rng.standard_normal((30, 10)).astype(dtype), "b": rng.standard_normal(10).astype(dtype)}
    params = [torch.nn.Parameter(torch.zeros_like(torch.tensor(grad))) for grad in grads.values()]
    for param, grad in zip(params, grads.values(), strict=True):
        param.grad = torch.tensor(grad)
    bound = 313 * float(np.finfo(dtype).eps) / 2  # γ_n of a sum of 310 squares, a root and a product
    norm = float(ref.optim.clip_by_norm(params, max_norm))
    assert scratch.optim.clip_by_norm(grads, max_norm) == pytest.approx(norm, rel=bound)
    for param, grad in zip(params, grads.values(), strict=True):
        assert grad.dtype == dtype
        assert_allclose(grad, param.grad.numpy(), rtol=2 * bound, atol=0)


def test_clip_by_norm_by_hand():
    grads = {"W": np.array([3.0, 0.0]), "b": np.array([4.0])}
    assert scratch.optim.clip_by_norm(grads, 5.1) == 5.0
    assert_array_equal(grads["W"], [3.0, 0.0])
    assert scratch.optim.clip_by_norm(grads, 1.0) == 5.0
    assert_allclose(grads["b"], [4 / 5.000001], rtol=1e-15)
    assert math.isnan(scratch.optim.clip_by_norm({"b": np.array([math.nan])}, 1.0))
