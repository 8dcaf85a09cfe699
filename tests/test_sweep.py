"""The search for settings: what is drawn, what is chosen by, what is tested and when."""

import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from compare import alone, lockstep, models, space, sweep
from compare.alone import Material, Point, Trace
from compare.data import Dataset
from compare.interrupts import interruptible
from compare.parties import Plan
from compare.space import Choice, Range


def planted(monkeypatch: pytest.MonkeyPatch, accuracy: Any) -> list[Plan]:
    """Let trainings answer accuracy(plan) at once; the plans that were asked for come into the list."""
    asked: list[Plan] = []

    def train(plan: Plan, material: Material, at: Any = (), stop: Any = None) -> Trace:
        asked.append(plan)
        value = accuracy(plan)
        fault = "" if value is not None else "the loss is not finite at step 3"
        points = (Point(1, 1, 0.0, 1.0, value),) if value is not None else ()
        return Trace(plan, points, {}, 0.1, fault)

    monkeypatch.setattr(alone, "train", train)
    return asked


def study(wanted: space.Space) -> optuna.Study:
    return sweep.open_study("s", None, {}, wanted)[0]


def searched(wanted: space.Space, trials: int, images: Dataset, **options: Any) -> tuple[optuna.Study, Plan]:
    material = alone.withhold(images, 40)
    base = sweep.base("softmax", 0, material)
    opened = study(wanted)
    list(sweep.sweep(opened, base, wanted, material, trials, 1, **options))
    return opened, base


def test_words_become_lists_and_ranges() -> None:
    found = space.parse(
        models.model("two-layer"), ["lr=1e-4..1e-1", "rule=sgd,adam", "batch-size=32,full", "hidden=50,100x20", "reg=0"]
    )
    assert found == {
        "lr": Range(1e-4, 1e-1), "rule": Choice(("sgd", "adam")), "batch_size": Choice((32, "full")),
        "hidden": Choice(("50", "100x20")), "reg": Choice((0.0,)),
    }  # fmt: skip
    assert space.parse(models.model("svm"), ["lr=0.1x..10x"]) == {"lr": Range(0.1, 10, by_rule=True)}
    again = {name: str(values) for name, values in found.items()}
    assert space.parse(models.model("two-layer"), [f"{k}={v}" for k, v in again.items()]) == found
    assert space.options({"hidden": "100x20", "batch_size": "full", "lr": 0.5}) == {
        "hidden": (100, 20), "batch_size": 0, "lr": 0.5,
    }  # fmt: skip


def test_ranges_are_drawn_evenly_in_their_logarithm(images: Dataset) -> None:
    """Of 1e-4 … 1e-1 a third lies below 1e-3; 4,000 draws keep within 5 standard deviations of it."""
    base = sweep.base("softmax", 0, alone.withhold(images, 40))
    drawn = space.points({"lr": Range(1e-4, 1e-1), "epochs": Range(1, 100)}, 4000, 7, base)
    below = np.mean([float(p["lr"]) < 1e-3 for p in drawn])
    assert abs(below - 1 / 3) < 5 * math.sqrt(2 / 9 / 4000)
    assert all(1e-4 <= float(p["lr"]) <= 1e-1 for p in drawn)
    assert {type(p["epochs"]) for p in drawn} == {int}
    assert drawn[:10] == space.points({"lr": Range(1e-4, 1e-1), "epochs": Range(1, 100)}, 10, 7, base)


def test_a_range_in_multiples_follows_the_rule(images: Dataset) -> None:
    base = sweep.base("softmax", 0, alone.withhold(images, 40))
    wanted = {"rule": Choice(("sgd", "adam")), "lr": Range(0.5, 2.0, by_rule=True)}
    for point in space.points(wanted, 50, 0, base):
        own = {"sgd": 0.1, "adam": 3e-4}[str(point["rule"])]
        assert own / 2 <= float(point["lr"]) <= own * 2


def test_a_grid_is_tried_whole_and_once(images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = planted(monkeypatch, lambda plan: 0.5)
    wanted = {"lr": Choice((0.1, 0.2, 0.3)), "rule": Choice(("sgd", "adam"))}
    opened, _ = searched(wanted, 6, images)
    assert sorted((p.rule, p.lr) for p in asked) == [(r, lr) for r in ("adam", "sgd") for lr in (0.1, 0.2, 0.3)]
    assert len(sweep.results(opened)) == 6


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_planted_optimum_is_found(images: Dataset, monkeypatch: pytest.MonkeyPatch, sampler: str) -> None:
    """Best at a rate of 0.01 with momentum, and worse by the distance in orders of magnitude."""
    planted(monkeypatch, lambda p: 0.9 - 0.1 * abs(math.log10(p.lr / 0.01)) - 0.2 * (p.rule != "momentum"))
    wanted = {"lr": Range(1e-5, 1.0), "rule": Choice(("sgd", "momentum", "adam"))}
    opened, base = searched(wanted, 60, images, sampler=sampler)
    found = sweep.best(sweep.results(opened))
    assert found is not None
    plan = sweep.plan_of(base, found.settings)
    assert plan.rule == "momentum"
    assert 0.005 < plan.lr < 0.02


def test_a_training_that_fails_is_never_chosen(images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    planted(monkeypatch, lambda p: None if p.lr > 1 else 0.3)
    opened, _ = searched({"lr": Choice((0.5, 2.0, 3.0))}, 3, images)
    found = {t.settings["lr"]: t for t in sweep.results(opened)}
    assert [found[lr].accuracy for lr in (0.5, 2.0, 3.0)] == [0.3, None, None]
    assert found[2.0].fault == "the loss is not finite at step 3"
    best = sweep.best(sweep.results(opened))
    assert best is not None
    assert best.settings == {"lr": 0.5}


def test_a_rule_that_is_searched_without_rates_takes_its_own(images: Dataset) -> None:
    base = sweep.base("softmax", 0, alone.withhold(images, 40))
    assert sweep.plan_of(base, {"rule": "adam"}).lr == models.model("softmax").lr["adam"]
    assert sweep.plan_of(base, {"rule": "adam", "lr": 0.5}).lr == 0.5


@pytest.mark.parametrize("stop_at", [0, 3])
def test_an_interrupted_study_goes_on_with_the_same_trials(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, stop_at: int, tmp_path: Path
) -> None:
    wanted: space.Space = {"lr": Range(1e-4, 1.0)}
    material = alone.withhold(images, 40)
    base = sweep.base("softmax", 3, material)
    whole = [p["lr"] for p in space.points(wanted, 7, 3, base)]

    def interrupt(plan: Plan) -> float:
        if len(asked) == stop_at + 1:
            raise KeyboardInterrupt
        return 0.5

    asked = planted(monkeypatch, interrupt)
    store = f"sqlite:///{tmp_path / 'a.db'}"
    opened, _ = sweep.open_study("s", store, {"model": "softmax"}, wanted)
    with pytest.raises(KeyboardInterrupt):
        list(sweep.sweep(opened, base, wanted, material, 7, 1))
    assert len(sweep.results(opened)) == stop_at
    again, own = sweep.open_study("s", store, {"model": "softmax"}, {})
    assert own == wanted
    list(sweep.sweep(again, base, own, material, 7, 1))
    done = sweep.results(again)
    assert sorted(float(t.settings["lr"]) for t in done) == sorted(float(lr) for lr in whole)


def test_trials_of_a_process_that_was_killed_are_tried_again(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = planted(monkeypatch, lambda plan: 0.5)
    wanted: space.Space = {"lr": Choice((0.1, 0.2))}
    opened, _ = sweep.open_study("s", f"sqlite:///{tmp_path / 'a.db'}", {}, wanted)
    opened.enqueue_trial({"lr": 0.7})
    for process in (2**22 + 1, 1):  # no process has such a number; process 1 always lives
        trial = opened.ask()
        trial.set_user_attr("host", os.uname().nodename)
        trial.set_user_attr("process", process)
        sweep.suggest(trial, {"lr": Choice((0.7, 0.1, 0.2))}, sweep.base("softmax", 0, alone.withhold(images, 40)))
    assert sweep.recover(opened) == 1
    assert sweep.elsewhere(opened) == 1
    assert asked == []
    assert [t.system_attrs["fixed_params"] for t in opened.get_trials(states=(optuna.trial.TrialState.WAITING,))] == [
        {"lr": 0.7}
    ]


def test_two_who_share_a_study_try_each_setting_once(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = planted(monkeypatch, lambda plan: 0.5)
    wanted: space.Space = {"lr": Range(1e-4, 1.0)}
    material = alone.withhold(images, 40)
    base, store = sweep.base("softmax", 0, material), f"sqlite:///{tmp_path / 'a.db'}"
    both: list[Iterator[sweep.Trial]] = [
        sweep.sweep(sweep.open_study("s", store, {"model": "softmax"}, wanted)[0], base, wanted, material, 8, 1)
        for _ in range(2)
    ]
    for _ in range(4):
        for one in both:
            next(one)
    assert all(next(one, None) is None for one in both)
    assert sorted(p.lr for p in asked) == sorted(p["lr"] for p in space.points(wanted, 8, 0, base))


def test_alone_scratch_trains_as_it_does_in_lockstep(images: Dataset) -> None:
    """The same draws and so the same bits, with flips and shuffled batches."""
    plan = replace(sweep.base("softmax", 5, alone.withhold(images, 20)), batch_size=30, epochs=2, augment="flip")
    data = Material(images.train, images.validation, images.mean, len(images.classes))
    trace = alone.train(plan, data)
    for record in lockstep.train(plan, images):
        if isinstance(record, lockstep.Step):
            last = record
    assert all(np.array_equal(last.scratch.params[name], p) for name, p in trace.params.items())
    assert [p.step for p in trace.points] == [last.step // 2, last.step]


def test_what_is_withheld_is_no_longer_trained_on(images: Dataset) -> None:
    material = alone.withhold(images, 50)
    assert len(material.validation.labels) == 50
    assert len(material.train.labels) + 50 == len(images.train.labels) + len(images.validation.labels)
    assert np.allclose(material.mean, material.train.images.reshape(len(material.train.labels), -1).mean(axis=0))
    train = {x.tobytes() for x in material.train.images}
    assert train & {x.tobytes() for x in material.validation.images} == set()


def test_a_loss_that_is_not_finite_ends_a_training(images: Dataset) -> None:
    plan = replace(sweep.base("softmax", 0, alone.withhold(images, 20)), lr=1e30)
    trace = alone.train(plan, alone.withhold(images, 20))
    assert len(trace.points) == 1
    assert trace.fault == "the loss is not finite at step 2"


def test_ctrl_c_ends_the_training_at_hand_and_queues_its_trial_again(images: Dataset) -> None:
    """Pressed in the middle of a training: noted there, and raised where nothing can swallow it."""
    material = alone.withhold(images, 40)
    wanted = space.parse(models.model("softmax"), ["epochs=3,100000"])
    opened, base, pressed = study(wanted), sweep.base("softmax", 0, material), []

    def asked() -> bool:
        pressed.append(True)
        return len(pressed) > 50

    with pytest.raises(KeyboardInterrupt):
        list(sweep.sweep(opened, base, wanted, material, 2, 1, interrupted=asked))
    waiting = opened.get_trials(states=(optuna.trial.TrialState.WAITING,))
    assert {t.system_attrs["fixed_params"]["epochs"] for t in waiting} >= {100_000}
    assert len(pressed) < 100  # and not after 100,000 passes


def test_interrupts_are_noted_once_and_raised_at_the_second() -> None:
    with interruptible() as noted:
        assert not noted()
        os.kill(os.getpid(), signal.SIGINT)
        assert noted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
