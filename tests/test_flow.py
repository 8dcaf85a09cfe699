"""What flows through a model in training: measured by hand, the same on both sides, logged."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from compare import board_images, flow, lockstep, models
from compare.board import Board
from compare.data import from_arrays
from compare.events import new_folder
from compare.lockstep import Step
from compare.parties import Plan
from compare.timing import equal_threads
from scratch import linear, two_layer

PLAN = Plan("two-layer", "momentum", "cosine", 3, 16, 0.05, 2e-3, "l2", hidden=(12,))


def images():
    """Six by six pixels, brighter in one channel for each of three classes."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 160)
    pixels = rng.integers(0, 226, (160, 6, 6, 3))
    pixels[np.arange(160), :, :, labels] += 30
    return from_arrays(pixels.astype(np.uint8), labels)


DATA = images()


@pytest.fixture(autouse=True)
def _one_thread():
    with equal_threads(1):
        yield


def watched(plan, data=DATA):
    """The watch of a whole training, and the curves it gave by step."""
    watch, curves = flow.Watch(plan, data, lockstep.steps_of(plan, data)), {}
    for record in lockstep.train(plan, data):
        if isinstance(record, Step):
            curves[record.step] = watch.step(record)
    return watch, curves


def test_a_network_by_hand():
    """Two units, the second off for both examples; scores are 0, so both classes have probability ½."""
    before = {
        "W1": np.array([[1.0, -1.0]]), "b1": np.zeros(2), "W2": np.array([[0.0, 0.0], [3.0, 4.0]]), "b2": np.zeros(2),
    }  # fmt: skip
    after = before | {"W1": np.array([[1.0, -1.0]]) + 0.01, "W2": before["W2"] * 0.5}
    grads = {name: np.full_like(p, 2.0) for name, p in before.items()}
    X, y = np.array([[3.0], [4.0]]), np.array([0, 1])
    for name in ("scratch", "ref"):
        first, last = flow.measure(PLAN, name, after, grads, before, X, y)
        assert (first.name, last.name) == ("W1", "W2")
        assert first.activation == pytest.approx(np.sqrt((9 + 16) / 4))  # (3, 0) and (4, 0)
        assert first.dead == 0.5
        assert first.upstream == 0  # the unit that is on has no weight above it, the other passes nothing
        assert first.update == pytest.approx(0.01)
        assert first.gradient == 2
        assert last.activation == 0
        assert last.upstream == pytest.approx(0.5)  # each entry of p - 1 is ±½
        assert last.update == pytest.approx(0.5)
        assert last.dead is None


def test_a_weight_of_zero_that_moves_moves_without_bound():
    zero, one = {"W": np.zeros((1, 2)), "b": np.zeros(2)}, {"W": np.ones((1, 2)), "b": np.zeros(2)}
    X, y = np.ones((1, 1)), np.array([0])
    plan = replace(PLAN, model="softmax", hidden=())
    assert flow.measure(plan, "scratch", one, zero, zero, X, y)[0].update == np.inf
    assert flow.measure(plan, "scratch", zero, zero, zero, X, y)[0].update == 0


@pytest.mark.parametrize("model", ["softmax", "svm"])
def test_a_linear_model_is_one_layer_and_both_sides_measure_the_same(model):
    plan = replace(PLAN, model=model, hidden=(), lr=0.01, dtype="float64")
    watch, _ = watched(plan)
    for _, found in watch.history:
        (mine,), (theirs,) = found["scratch"], found["ref"]
        assert mine.dead is None
        for what in ("activation", "upstream", "gradient", "update"):
            assert getattr(mine, what) == pytest.approx(getattr(theirs, what), rel=1e-9)


def test_both_sides_of_a_deep_network_measure_the_same():
    watch, _ = watched(replace(PLAN, hidden=(9, 5), dtype="float64"))
    for _, found in watch.history:
        assert [layer.name for layer in found["ref"]] == ["W1", "W2", "W3"]
        for mine, theirs in zip(found["scratch"], found["ref"], strict=True):
            assert mine.dead == theirs.dead
            for what in ("activation", "upstream", "gradient", "update"):
                assert getattr(mine, what) == pytest.approx(getattr(theirs, what), rel=1e-9)


@pytest.mark.parametrize(("penalty", "reg"), [("l2", 0.5), ("l1", 0.5), ("elastic_net", 0.1), ("l2", 0.0)])
@pytest.mark.parametrize("model", ["softmax", "two-layer"])
def test_the_first_loss_is_that_of_the_start_weights_without_the_penalty(model, penalty, reg):
    """The weights move far in the first step: their penalty before it, not after it, was in the loss."""
    hidden = (12,) if model == "two-layer" else ()
    plan = replace(PLAN, model=model, hidden=hidden, penalty=penalty, reg=reg, lr=0.5, epochs=1, dtype="float64",
                   batch_size=0)  # fmt: skip
    watch, _ = watched(plan)
    start = models.start(models.model(model), np.random.default_rng(plan.seed), 108, 3, hidden)
    X = (DATA.train.images.reshape(-1, 108) - DATA.mean.astype(np.float64)) / 128
    objective = two_layer.objective if hidden else linear.softmax_objective
    expected = objective(start, X, DATA.train.labels)[0]
    assert watch.first_loss["scratch"] == pytest.approx(expected, rel=1e-12)
    assert watch.first_loss["ref"] == pytest.approx(expected, rel=1e-12)


def test_the_first_step_is_measured_at_the_start_weights():
    watch, _ = watched(PLAN)
    start = models.start(models.model("two-layer"), np.random.default_rng(PLAN.seed), 108, 3, (12,))
    X = (DATA.validation.images.reshape(-1, 108) - DATA.mean) / 128
    out = np.maximum(X @ start["W1"], 0)
    step, found = watch.history[0]
    assert step == 1
    assert found["ref"][0].activation == pytest.approx(np.sqrt((out**2).mean()), rel=1e-5)


def test_some_fifty_steps_are_measured():
    watch, curves = watched(replace(PLAN, epochs=20))  # of 121 images, 7 batches an epoch
    steps = [step for step, _ in watch.history]
    assert steps == [1, *range(2, 141, 2)]
    assert [step for step, found in curves.items() if found] == steps


def test_the_curves_are_the_measurements():
    watch, curves = watched(PLAN)
    step, found = watch.history[3]
    assert curves[step]["ref"]["flow: activation/W1"] == found["ref"][0].activation
    assert curves[step]["scratch"]["flow: gradient by the output/W2"] == found["scratch"][1].upstream
    assert set(curves[step]["scratch"]) == set(curves[step]["ref"]) == {
        *(f"flow: {what}/{name}" for name in ("W1", "W2") for what in (
            "activation", "gradient by the output", "gradient of the weights", "update over weight")),
        "flow: dead ReLUs/W1",
    }  # fmt: skip


def test_the_charts_of_the_custom_page_hold_every_curve_of_a_network():
    _, curves = watched(PLAN)
    patterns = [pattern for _, found in flow.LAYOUT["Flow: all layers in one chart"].values() for pattern in found]
    for tag in curves[1]["ref"]:
        assert sum(re.fullmatch(pattern, tag) is not None for pattern in patterns) == 1


def test_a_log_holds_the_charts_of_both_pages(tmp_path):
    board = Board(new_folder(tmp_path, "softmax", "sgd"), 10)
    board.close()
    events = EventAccumulator(str(board.folder / "drift")).Reload()
    layout = layout_pb2.Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    assert [c.title for c in layout.category] == [*board_images.LAYOUT, *flow.LAYOUT]
