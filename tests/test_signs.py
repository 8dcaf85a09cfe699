"""The warning signs: silent where all is well, found where a fault is planted, each limit tried from both sides."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from compare import flow, lockstep, models, signs
from compare.data import from_arrays, load
from compare.flow import Layer
from compare.lockstep import Step
from compare.parties import Plan
from compare.timing import equal_threads
from scratch import two_layer

PLAN = Plan("two-layer", "momentum", "cosine", 3, 16, 0.02, 2e-3, "l2", hidden=(20,), controls=0)
HEALTHY = Layer("W1", activation=1.0, upstream=0.1, gradient=0.01, update=1e-3, dead=0.0)
TOP = Layer("W2", activation=1.0, upstream=0.3, gradient=0.01, update=1e-3, dead=None)


def images():
    """Six by six pixels, brighter in one channel for each of three classes; hard enough not to be learnt at once."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    pixels = rng.integers(0, 226, (400, 6, 6, 3))
    pixels[np.arange(400), :, :, labels] += 30
    return from_arrays(pixels.astype(np.uint8), labels)


DATA = images()


@pytest.fixture(autouse=True)
def _one_thread():
    with equal_threads(1):
        yield


def found(plan, data=DATA):
    """Signs of a whole training by name; both sides show the same."""
    watch = flow.Watch(plan, data, lockstep.steps_of(plan, data))
    for record in lockstep.train(plan, data):
        if isinstance(record, Step):
            watch.step(record)
    told = signs.signs(watch)
    assert {s.sign for s in told if s.side == "scratch"} == {s.sign for s in told if s.side == "ref"}
    return {s.sign: s for s in told}


def of_history(history, loss=1.1, init="he", classes=3, model="two-layer"):
    """Signs of measurements made up; the same on both sides."""
    watch = SimpleNamespace(
        plan=replace(PLAN, init=init, model=model),
        data=SimpleNamespace(classes=tuple("abcdefghij"[:classes])),
        first_loss={"scratch": loss, "ref": loss},
        history=[(step, {"scratch": layers, "ref": layers}) for step, layers in enumerate(history, start=1)],
    )
    told = signs.signs(watch)
    assert [s.side for s in told] == ["scratch"] * (len(told) // 2) + ["ref"] * (len(told) // 2)
    return {s.sign: s for s in told}


# healthy


@pytest.mark.parametrize("hidden", [(20,), (20, 20, 20)])
def test_a_healthy_training_shows_no_sign(hidden):
    assert found(replace(PLAN, hidden=hidden)) == {}


def test_an_epoch_of_the_default_training_shows_no_sign():
    chosen = models.model("two-layer")
    plan = replace(
        PLAN, epochs=1, batch_size=chosen.batch_size, lr=chosen.lr["momentum"], reg=chosen.reg, hidden=chosen.hidden,
        augment=chosen.augment,
    )  # fmt: skip
    assert found(plan, load("synthetic")) == {}


def test_measurements_that_are_healthy_show_no_sign():
    assert of_history([[HEALTHY, TOP]] * 5) == {}


# planted in a training


def scaled(monkeypatch, factor):
    """He's start weights, all of them times a factor."""
    he = two_layer.SCHEMES["he"]
    monkeypatch.setitem(two_layer.SCHEMES, "he", lambda n, m: factor * he(n, m))


def test_huge_start_weights_show_in_the_first_loss(monkeypatch):
    scaled(monkeypatch, 5.0)
    sign = found(PLAN)["first loss"]
    assert sign.measured > 1.5 * np.log(3)
    assert "scores that know nothing give log C = 1.1" in sign.message


def test_tiny_start_weights_let_activations_and_gradients_vanish(monkeypatch):
    scaled(monkeypatch, 0.02)
    told = found(replace(PLAN, hidden=(20, 20, 20)))
    assert {"activations vanish", "gradients vanish"} <= set(told)
    assert told["gradients vanish"].measured == pytest.approx(0.02**3, rel=0.9)
    assert "at the start 4 layers let them fall to" in told["gradients vanish"].message


def test_huge_start_weights_let_activations_and_gradients_explode_through_the_layers(monkeypatch):
    scaled(monkeypatch, 30.0)
    told = found(replace(PLAN, hidden=(20, 20, 20), lr=1e-9))
    assert told["activations explode"].measured > 1e3
    assert told["gradients explode"].measured > 1e3


def test_xavier_vanishes_through_thirty_layers_and_he_does_not():
    """√½ a layer for the activations, as He et al. have it."""
    deep = replace(PLAN, hidden=(30,) * 29, epochs=1)
    told = found(replace(deep, init="xavier"))
    assert "try --init he, or fewer layers" in told["gradients vanish"].message
    assert not {"gradients vanish", "activations vanish"} & set(found(deep))


def test_a_rate_too_small_shows_in_the_updates():
    sign = found(replace(PLAN, lr=1e-5))["small updates"]
    assert sign.measured < 1e-4
    assert sign.message.endswith("try a larger --lr")


def test_a_rate_too_large_shows_in_the_updates_and_kills_units():
    """Behind a ReLU all inputs are positive: weights that fall at once leave a unit off for every image."""
    told = found(replace(PLAN, hidden=(20, 20), schedule="constant", lr=1.0, epochs=2))
    assert told["large updates"].measured > 0.1
    assert told["large updates"].message.endswith("try a smaller --lr")
    assert told["dead units"].measured > 0.4
    assert told["dead units"].message.endswith("try a smaller --lr")


def test_a_rate_too_large_lets_gradients_explode_in_time():
    told = found(replace(PLAN, schedule="constant", lr=2.0, epochs=2))
    assert told["gradients explode in time"].measured > 10


# each limit from both sides


@pytest.mark.parametrize(
    ("model", "classes", "healthy", "odd"),
    [("two-layer", 3, 1.49 * np.log(3), 1.51 * np.log(3)), ("two-layer", 10, 0.81 * np.log(10), 0.79 * np.log(10)),
     ("svm", 10, 13.4, 13.6), ("svm", 10, 7.3, 7.1), ("softmax", 3, np.log(3), np.nan)],
)  # fmt: skip
def test_a_first_loss_is_off_beyond_its_limits(model, classes, healthy, odd):
    layers = [HEALTHY, TOP] if model == "two-layer" else [TOP]
    assert of_history([layers], healthy, model=model, classes=classes) == {}
    assert set(of_history([layers], odd, model=model, classes=classes)) == {"first loss"}


@pytest.mark.parametrize(
    ("name", "healthy", "odd", "sign"),
    [
        ("update", 1.1e-4, 0.9e-4, "small updates"),
        ("update", 4.9e-2, 5.1e-2, "large updates"),
        ("update", 1e-3, np.inf, "large updates"),
        ("activation", 900.0, 1100.0, "activations vanish"),
        ("activation", 1.1e-3, 0.9e-3, "activations explode"),
        ("upstream", 3.1e-4, 2.9e-4, "gradients vanish"),
        ("upstream", 290.0, 310.0, "gradients explode"),
        ("dead", 0.09, 0.11, "dead units"),
    ],
)
def test_a_measurement_is_odd_beyond_its_limit(name, healthy, odd, sign):
    """Of the first of two layers; what flows is compared with that of the second."""
    assert of_history([[replace(HEALTHY, **{name: healthy}), TOP]] * 3) == {}
    told = of_history([[replace(HEALTHY, **{name: odd}), TOP]] * 3)
    assert set(told) == {sign}


def test_a_gradient_explodes_beyond_ten_times_its_median_until_then():
    def history(*sizes):
        return [[replace(HEALTHY, gradient=size), TOP] for size in sizes]

    assert of_history(history(1.0, 3.0, 2.0, 19.0)) == {}
    told = of_history(history(1.0, 3.0, 2.0, 21.0))
    assert told["gradients explode in time"].measured == pytest.approx(10.5)
    assert of_history(history(100.0, 10.0, 1.0, 0.1, 0.01)) == {}  # learnt by heart: it falls
    assert set(of_history(history(1.0, 2.0, np.nan))) == set()  # the loss has told it already


def test_what_flows_is_judged_at_the_start_and_dead_units_at_the_end():
    faded, dead = replace(HEALTHY, upstream=1e-9), replace(HEALTHY, dead=0.5)
    assert of_history([[HEALTHY, TOP], [faded, TOP]]) == {}
    assert of_history([[dead, TOP], [HEALTHY, TOP]]) == {}
    assert "try a smaller --lr" in of_history([[HEALTHY, TOP], [dead, TOP]])["dead units"].message
    assert "so at the start: try fewer layers" in of_history([[dead, TOP], [dead, TOP]])["dead units"].message


# told


def test_one_line_names_the_layers_and_the_worst_of_them():
    layers = [replace(HEALTHY, name=f"W{k}", update=10.0**-k) for k in (5, 7, 6, 8, 9)]
    told = of_history([[*layers, TOP]])
    assert told["small updates"].message.startswith("updates are small: of W5 … W9 (5 of them) 1e-09 of the weights")
    two = of_history([[replace(HEALTHY, update=0.5), replace(TOP, update=0.25)]])
    assert "of W1, W2 0.5 of the weights" in two["large updates"].message


def test_what_both_sides_show_is_said_once_and_in_json_for_each():
    small = signs.Sign("small updates", "scratch", 1e-6, "updates are small")
    other = signs.Sign("dead units", "ref", 0.5, "units are dead")
    told = [small, replace(small, side="ref"), other]
    assert signs.remarks(told) == [
        "warning sign (scratch and ref): updates are small",
        "warning sign (ref): units are dead",
    ]
    assert signs.as_json(told)[2] == {"sign": "dead units", "side": "ref", "measured": 0.5, "message": "units are dead"}


def test_a_training_that_was_not_seen_shows_no_sign():
    watch = flow.Watch(PLAN, DATA, 10)
    assert signs.signs(watch) == []
