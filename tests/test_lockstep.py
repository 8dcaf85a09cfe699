from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from compare import controls, lockstep, models
from compare.data import Dataset, from_arrays
from compare.lockstep import Epoch, Step
from compare.parties import Plan
from compare.records import Refusal
from compare.timing import equal_threads
from scratch import linear, optim


def images(count: int = 120, classes: int = 3) -> Dataset:
    """Six by six pixels: noise, brighter in one channel for each class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count)
    labels[:classes] = np.arange(classes)
    pixels = rng.integers(0, 200, (count, 6, 6, 3))
    pixels[np.arange(count), :, :, labels % 3] += 55
    return from_arrays(pixels.astype(np.uint8), labels, seed=1)


DATA = images()
PLAN = Plan("softmax", "momentum", "cosine", epochs=3, batch_size=16, lr=0.05, reg=1e-2, penalty="l2", seed=3)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the command does; more threads would wait for each other longer than these batches take."""
    with equal_threads(1):
        yield


def steps(plan: Plan, data: Dataset = DATA) -> list[Step]:
    return [record for record in lockstep.train(plan, data) if isinstance(record, Step)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", ["softmax", "svm"])
@pytest.mark.parametrize("batch", [16, 0])
def test_sides_stay_within_the_noise(model: str, dtype: str, batch: int) -> None:
    taken = steps(replace(PLAN, model=model, dtype=dtype, batch_size=batch, lr=0.01, epochs=4))
    assert len(taken) == 4 * (1 if batch == 0 else len(DATA.train.labels) // 16)
    assert taken[-1].flagged is None
    assert max(step.params.noise_units for step in taken) < lockstep.BOUND
    if taken[-1].excused == 0:  # a few hundred roundings of each weight, and no more
        assert taken[-1].params.relative < 500 * np.finfo(dtype).eps


@pytest.mark.parametrize("rule", list(models.rules("scratch")))
@pytest.mark.parametrize("schedule", list(models.schedules("scratch")))
def test_every_rule_and_schedule_agrees(rule: str, schedule: str) -> None:
    taken = steps(replace(PLAN, rule=rule, schedule=schedule, dtype="float64", lr=0.01))
    assert taken[-1].flagged is None
    assert taken[0].scratch.lr == pytest.approx(taken[0].ref.lr, rel=1e-12)


def test_the_first_step_is_what_paper_says() -> None:
    """One full-batch SGD step from the drawn weights: W - lr dW, worked out here with the textbook objective."""
    plan = replace(PLAN, rule="sgd", schedule="constant", epochs=1, batch_size=0, dtype="float64")
    start = linear.init(np.random.default_rng(plan.seed), 108, 3)
    X = (DATA.train.images.reshape(-1, 108) - DATA.mean.astype(np.float64)) / 128
    value, grads = linear.softmax_objective(start, X, DATA.train.labels, reg=plan.reg)
    only = steps(plan)[0]
    assert only.scratch.loss == pytest.approx(value, rel=1e-13)
    for name in ("W", "b"):
        want = start[name] - plan.lr * grads[name]
        for side in (only.scratch, only.ref):
            np.testing.assert_allclose(side.params[name], want, rtol=0, atol=1e-14)


def test_batches_go_once_through_the_set_in_an_order_drawn_anew() -> None:
    taken = steps(PLAN)
    a_epoch = len(DATA.train.labels) // 16
    epochs = [np.concatenate([s.batch for s in taken[i : i + a_epoch]]) for i in (0, a_epoch)]
    assert all(len(np.unique(order)) == 16 * a_epoch for order in epochs)
    assert (epochs[0] != epochs[1]).any()


def test_one_seed_gives_the_same_numbers_twice_and_another_does_not() -> None:
    first, again = steps(PLAN)[-1], steps(PLAN)[-1]
    np.testing.assert_array_equal(first.scratch.params["W"], again.scratch.params["W"])
    np.testing.assert_array_equal(first.ref.params["W"], again.ref.params["W"])
    assert first.params == again.params
    assert steps(replace(PLAN, seed=4))[-1].scratch.loss != first.scratch.loss


def test_control_runs_do_not_change_the_training() -> None:
    with_, without = steps(PLAN)[-1], steps(replace(PLAN, controls=0))[-1]
    np.testing.assert_array_equal(with_.scratch.params["W"], without.scratch.params["W"])


def test_a_batch_in_parts_is_the_same_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "PART", 8)
    last = steps(replace(PLAN, dtype="float64"))[-1]
    assert last.flagged is None
    assert last.params.relative_noise < 500 * np.finfo(float).eps


class Planted:
    """Scratch's objective with a fault from the third call on, or in one call only."""

    def __init__(self, fault: Any, only: int = 0) -> None:
        self.fault, self.only, self.calls = fault, only, 0

    def __call__(self, params: Any, X: Any, y: Any, reg: float, penalty: str) -> Any:
        value, grads = linear.softmax_objective(params, X, y, reg, penalty)
        self.calls += 1
        acts = self.calls == self.only if self.only else self.calls >= 3
        return self.fault(value, grads) if acts else (value, grads)


def one_entry(value: Any, grads: Any) -> Any:
    grads["W"][7, 2] *= 1.01
    return value, grads


@pytest.mark.parametrize(
    ("fault", "stage", "tensor"),
    [
        (one_entry, "gradient", "W"),
        (lambda value, grads: (value, grads | {"b": 2 * grads["b"]}), "gradient", "b"),
        (lambda value, grads: (value * 1.001, grads), "loss", "loss"),
    ],
)
def test_a_planted_fault_is_flagged_where_it_first_acts(
    fault: Any, stage: str, tensor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "scratch_objective", lambda *_: Planted(fault))
    last = steps(PLAN)[-1]
    assert last.flagged is not None
    assert (last.flagged.step, last.flagged.stage, last.flagged.tensor) == (3, stage, tensor)
    if fault is one_entry:
        assert last.flagged.entry == (7, 2)


def test_a_wrong_rule_is_flagged_at_the_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nesterov for momentum: both are other from the first step on."""
    rules = dict(models.rules("scratch"))
    monkeypatch.setattr(
        models, "rules", lambda package: rules | {"momentum": optim.Nesterov} if package == "scratch" else torch_rules
    )
    last = steps(PLAN)[-1]
    assert last.flagged is not None
    assert (last.flagged.step, last.flagged.stage) == (1, "update")


def test_a_rate_that_comes_late_is_flagged_at_the_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    schedules = dict(models.schedules("scratch"))
    late = {"cosine": lambda step, lr, steps: schedules["cosine"](max(step - 1, 0), lr, steps)}
    ref = models.schedules("ref")
    monkeypatch.setattr(models, "schedules", lambda package: schedules | late if package == "scratch" else ref)
    last = steps(PLAN)[-1]
    assert last.flagged is not None
    assert (last.flagged.step, last.flagged.stage) == (2, "learning rate")


torch_rules = models.rules("ref")


def at_a_kink(monkeypatch: pytest.MonkeyPatch, sides_apart: float) -> list[Step]:
    """SGD on a hinge whose margins are met exactly at the start: the ref takes 0 there, scratch one rounding beyond.

    All images are alike and their rows 0, so that the scores are the biases: nothing else rounds.
    """
    data = from_arrays(np.full((40, 2, 2, 3), 7, np.uint8), np.arange(40) % 2)
    data = replace(data, train=replace(data.train, labels=0 * data.train.labels))
    start = {"W": np.zeros((12, 2)), "b": np.array([1.0, 0.0])}
    monkeypatch.setattr(models, "start", lambda *_: start)

    def beyond(params: Any, X: Any, y: Any, reg: float, penalty: str) -> Any:
        nudge = np.array([sides_apart * np.finfo(X.dtype).eps, 0], X.dtype)
        return linear.svm_objective(params | {"b": params["b"] - nudge}, X, y, reg, penalty)

    monkeypatch.setattr(models, "scratch_objective", lambda *_: beyond)
    plan = replace(PLAN, model="svm", rule="sgd", schedule="constant", lr=0.01, batch_size=8, epochs=3, reg=0.0)
    return steps(plan, data)


def test_a_kink_on_two_sides_is_chaos_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = at_a_kink(monkeypatch, sides_apart=1)
    assert taken[0].ref.grads["b"].tolist() == [0, 0]  # live arrays: the last step's, and the same at each
    assert (taken[0].excused, taken[-1].flagged) == (1, None)
    assert taken[-1].params.relative > 1e-3  # far more than rounding, and the control that went along says so
    assert taken[-1].params.noise_units <= lockstep.BOUND


def test_beyond_a_kink_by_more_than_rounding_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    flag = at_a_kink(monkeypatch, sides_apart=1e5)[-1].flagged
    assert flag is not None
    assert (flag.step, flag.stage) == (1, "loss")


@pytest.mark.parametrize("rule", ["momentum", "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_step_starts_from_the_refs_weights_with_resync(rule: str, dtype: str) -> None:
    plan = replace(PLAN, rule=rule, dtype=dtype, resync=True, lr=0.01)
    taken = steps(plan)
    free = steps(replace(plan, resync=False))
    assert taken[-1].flagged is None
    assert taken[-1].params.relative_noise < free[-1].params.relative_noise
    np.testing.assert_array_equal(taken[-1].ref.params["W"], free[-1].ref.params["W"])


def test_resync_forgets_an_earlier_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in one step alone: with resync the sides meet again at the next, without it they stay apart."""
    monkeypatch.setattr(models, "scratch_objective", lambda *_: Planted(one_entry, only=3))
    taken, free = steps(replace(PLAN, resync=True)), steps(PLAN)
    for run in (taken, free):
        assert next(s.step for s in run if s.flagged) == 3
    assert taken[2].params.noise_units > lockstep.BOUND > max(s.params.noise_units for s in taken[3:])
    assert free[-1].params.noise_units > lockstep.BOUND


@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_the_first_loss_that_is_not_finite_ends_the_training(lr: float) -> None:
    with pytest.raises(Refusal, match=r"not finite at step \d+ \(epoch 1\) on both sides .*--lr"):
        steps(replace(PLAN, lr=lr, schedule="constant"))


def test_a_loss_that_is_not_finite_on_one_side_is_flagged_and_ends_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "scratch_objective", lambda *_: Planted(lambda v, g: (v * np.inf, g)))
    taken = steps(PLAN)
    assert len(taken) == 3
    flag = taken[-1].flagged
    assert flag is not None
    assert (flag.step, flag.stage, flag.scratch, flag.replayed) == (3, "loss", np.inf, "")
    assert flag.ref == pytest.approx(taken[-1].ref.loss, rel=1e-6)


def test_a_batch_larger_than_the_set_is_refused() -> None:
    with pytest.raises(Refusal, match="--batch-size 1000: the training set has"):
        steps(replace(PLAN, batch_size=1000))


def test_accuracy_counts_right_answers() -> None:
    records = list(lockstep.train(replace(PLAN, epochs=1), DATA))
    last, epoch = records[-2], records[-1]
    assert isinstance(last, Step)
    assert isinstance(epoch, Epoch)
    X = (DATA.validation.images.reshape(-1, 108) - DATA.mean) / 128
    right = (X @ last.ref.params["W"] + last.ref.params["b"]).argmax(axis=1) == DATA.validation.labels
    assert epoch.accuracy["validation"] == {"scratch": right.mean(), "ref": right.mean()}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_ref_trains_on_the_gpu() -> None:
    assert steps(replace(PLAN, device="cuda"))[-1].flagged is None


def test_models_name_the_closest() -> None:
    with pytest.raises(Refusal, match="no model is called 'softmx': did you mean softmax"):
        models.model("softmx")
