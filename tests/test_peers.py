"""The usual criteria, as compare.peers has them, against the tools themselves on the same arrays."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from compare import peers
from compare.check import generator
from compare.kinds import ask_ref, ask_scratch, cast
from compare.pairs import TABLE
from compare.records import Case, Outcome
from compare.sides import standing_in
from scratch import losses

PAIR = next(p for p in TABLE if p.name == "softmax")
CASE = next(c for c in PAIR.cases(generator(0, "softmax")) if c.name == "typical")


def outcome(grad: Any, value: float = 1.0) -> Outcome:
    return Outcome(np.asarray(value, grad.dtype), {"scores": grad})


def said(mine: Any, ref: Any) -> set[str]:
    case = cast(CASE, "float32")
    return peers.objections(PAIR, case, outcome(mine), outcome(ref), np.random.default_rng(0))


def near(rng: np.random.Generator, atol: float, rtol: float) -> tuple[Any, Any]:
    """Two float32 arrays that part by about a tolerance: as often within it as beyond."""
    b = (10.0 ** rng.uniform(-7, 3, (4, 3)) * rng.choice([-1, 1], (4, 3))).astype(np.float32)
    off = (atol + rtol * np.abs(b)) * rng.uniform(-1.05, 1.05, b.shape)
    return (b + off).astype(np.float32), b


def refused(f: Any, *arguments: Any, **options: Any) -> bool:
    try:
        f(*arguments, **options)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("seed", range(40))
def test_assert_close_says_what_torch_says(seed: int) -> None:
    a, b = near(np.random.default_rng(seed), 1e-5, 1.3e-6)
    objects = refused(torch.testing.assert_close, torch.from_numpy(a), torch.from_numpy(b))
    assert ("assert_close" in said(a, b)) is objects


@pytest.mark.parametrize("seed", range(40))
def test_allclose_says_what_numpy_says(seed: int) -> None:
    a, b = near(np.random.default_rng(seed), 1e-8, 1e-5)
    # float64 for both, as the tolerance of float32 arrays would itself round
    assert ("allclose" in said(a, b)) is not np.allclose(a.astype(float), b.astype(float))


@pytest.mark.parametrize("seed", range(40))
def test_jax_says_what_its_rule_says(seed: int) -> None:
    """jax.test_util's check_close: assert_allclose(a, b, atol=tol·a.size, rtol=tol·b.size), tol 2e-3 for float32."""
    a, b = near(np.random.default_rng(seed), 2e-3 * 12, 2e-3 * 12)
    told = {"atol": 2e-3 * a.size, "rtol": 2e-3 * b.size}
    objects = refused(np.testing.assert_allclose, a.astype(float), b.astype(float), **told)
    assert ("JAX" in said(a, b)) is objects


def test_the_tolerances_are_seen_from_either_side() -> None:
    objections = [bool(said(*near(np.random.default_rng(seed), 1e-5, 1.3e-6)) & {"assert_close"}) for seed in range(40)]
    assert 0 < sum(objections) < 40


class ByHand(torch.autograd.Function):
    """Scratch's softmax as torch's gradcheck wants it, its gradient changed by `change`."""

    change: Any = staticmethod(lambda g: g)

    @staticmethod
    def forward(ctx: Any, scores: Any, y: Any) -> Any:
        value, grads = losses.softmax(scores.detach().numpy(), y)
        ctx.save_for_backward(torch.from_numpy(np.array(ByHand.change(grads["scores"]))))
        return torch.tensor(value)

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        return ctx.saved_tensors[0] * outer[0], None


@pytest.mark.parametrize("share", [0.0, 5e-4, 9e-4, 1.1e-3, 2e-3, 1e-2, 1.0])
def test_gradcheck_says_what_torch_says(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, y = 30 * np.eye(4)[[0, 1, 2, 3]], np.array([1, 2, 3, 0])  # every gradient is 0 or ±1/4: no atol hides it

    def change(g: Any) -> Any:
        return g * (1 + share)

    monkeypatch.setattr(ByHand, "change", staticmethod(change))
    inputs = torch.from_numpy(scores).requires_grad_()
    accepts = torch.autograd.gradcheck(ByHand.apply, (inputs, y), raise_exception=False)

    def wrong(scores: Any, y: Any) -> Any:
        value, grads = losses.softmax(scores, y)
        return value, {"scores": change(grads["scores"])}

    case = Case("known", {"scores": scores, "y": y}, ("scores",))
    with standing_in({"scratch.losses": SimpleNamespace(softmax=wrong)}):
        mine = ask_scratch(PAIR, case)
        found = peers.objections(PAIR, case, mine, ask_ref(PAIR, case), np.random.default_rng(0))
    assert ("gradcheck" in found) is not accepts


@pytest.mark.parametrize(("share", "objects"), [(0.0, False), (5e-5, False), (2e-4, True), (1.0, True)])
def test_cs231n_takes_the_relative_error_over_the_larger(share: float, objects: bool) -> None:
    case = replace(CASE, inputs={**CASE.inputs, "scores": CASE.inputs["scores"] / 3})
    ref = ask_ref(PAIR, case)
    mine = Outcome(ref.value, {"scores": ref.grads["scores"] * (1 + share)})
    assert ("CS231n" in peers.objections(PAIR, case, mine, ref, np.random.default_rng(0))) is objects


def test_a_wrong_shape_is_seen_by_all() -> None:
    right = np.zeros((4, 3), np.float32)
    assert said(right[:2], right) == set(peers.NAMES)
