"""The search for settings: what is drawn, what is chosen by, what is tested and when."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from compare import alone, lockstep, models, space, sweep
from compare.alone import Material, Point, Trace
from compare.cli import main
from compare.data import Dataset, Images, load
from compare.parties import Plan
from compare.records import Refusal
from compare.space import Choice, Range


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three classes, 6 × 6 pixels, each brighter in its own third, 200 images not for testing and 40 that are."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = rng.integers(0, 200, (240, 6, 6, 3))
    for k in range(3):
        images[labels == k, 2 * k : 2 * k + 2] += 40
    path = tmp_path_factory.mktemp("data") / "a.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return f"npz:{path}"


@pytest.fixture
def images(source: str) -> Dataset:
    return load(source, None, 0)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *arguments])
    return int(ended.value.code or 0)


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


class Spy:
    """A test part that says when it is looked at."""

    def __init__(self, part: Images, seen: list[str]) -> None:
        self._part, self._seen = part, seen

    def __getattr__(self, name: str) -> Any:
        self._seen.append("test part")
        return getattr(self._part, name)


def test_the_test_part_is_looked_at_only_when_all_is_chosen(
    source: str, images: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    spied = replace(images, test=Spy(images.test, seen))  # type: ignore[arg-type] # it stands in for the part
    monkeypatch.setattr("compare.data.load", lambda *_: spied)
    own = alone.train

    def train(plan: Plan, material: Material, at: Any = (), *rest: Any) -> Trace:
        seen.append("trial")
        return own(plan, material, at, *rest)

    monkeypatch.setattr(alone, "train", train)
    assert run("softmax", "--no-log", "--trials", "3", "epochs=1", "lr=0.1x..10x", "--json", "-") == 0
    assert seen[:3] == ["trial"] * 3
    assert set(seen[3:]) == {"test part"}
    result = json.loads(capsys.readouterr().out)
    right = result["test_accuracy"]["scratch"]
    assert right == result["test_accuracy"]["ref"]
    assert right * len(images.test.labels) == pytest.approx(round(right * len(images.test.labels)))


def test_choosing_goes_by_the_validation_part_not_by_the_test_part(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Test labels that say the opposite change the test accuracy and nothing that was chosen."""
    results = []
    for labels in (images.test.labels, (images.test.labels + 1) % 3):
        other = replace(images, test=Images(images.test.images, labels))
        monkeypatch.setattr("compare.data.load", lambda *_, other=other: other)
        assert run("softmax", "--no-log", "--trials", "4", "epochs=2", "lr=0.01x..10x", "--json", "-", "-q") == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0]["best"]["settings"] == results[1]["best"]["settings"]
    assert results[0]["test_accuracy"] != results[1]["test_accuracy"]


def test_a_study_is_logged_gone_on_with_and_tested_once(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ("--runs", str(tmp_path / "runs"), "--data", source)
    words = ("rule=sgd,momentum", "epochs=1", "--study", "mine", "--json", "-", *runs)
    assert run("softmax", *words) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["schema"], first["command"], first["study"], first["complete"]) == (1, "sweep", "mine", True)
    assert {t["settings"]["rule"] for t in first["trials"]} == {"sgd", "momentum"}
    assert first["verdict"] == "agree"
    names = {p.name for p in (tmp_path / "runs" / "mine").iterdir()}
    assert names == {"trial-0000", "trial-0001", "winner"}
    assert (tmp_path / "runs" / "studies.db").exists()
    assert run("softmax", "--study", "mine", "--json", "-", *runs) == 0
    told = capsys.readouterr()
    assert "was tested before" in told.err
    assert {k: v for k, v in json.loads(told.out).items() if k != "versions"} == {
        k: v for k, v in first.items() if k != "versions"
    }


def test_trials_lie_on_the_hparams_page(source: str, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    assert (
        run("svm", "lr=0.001,0.002", "epochs=2", "--study", "h", "--runs", str(tmp_path), "--data", source, "-q") == 0
    )
    rates = set()
    for number in range(2):
        events = EventAccumulator(str(tmp_path / "h" / f"trial-{number:04d}"))
        events.Reload()
        content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        rates.add(HParamsPluginData.FromString(content).session_start_info.hparams["lr"].number_value)
        assert {"final/validation accuracy", "validation/accuracy", "train/loss"} <= set(events.Tags()["scalars"])
        assert len(events.Scalars("validation/accuracy")) == 2
    assert rates == {0.001, 0.002}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lrr=1"], "no setting of a sweep is called 'lrr': did you mean lr?"),
        (["lr=0"], "lr=0: 0 must be a finite number above 0"),
        (["lr=-1,1"], "lr=-1,1: -1 must be a finite number above 0"),
        (["lr=nan"], "lr=nan: nan must be a finite number above 0"),
        (["lr="], "lr=: a value is missing"),
        (["lr=0.1..0.01"], "lr=0.1..0.01: the range is empty"),
        (["reg=0..1"], "reg=0..1: a range runs over orders of magnitude and begins above 0"),
        (["lr=x"], "lr=x: 'x' is no number"),
        (["rule=sdg"], "did you mean sgd?"),
        (["rule=a..b"], "no rule (rule=a..b) is called 'a'"),
        (["hidden=3"], "hidden=3: for a network only"),
        (["epochs=1.5"], "epochs=1.5: '1.5' must be a whole number from 1"),
        (["batch-size=9999"], "a batch of 9999"),
        (["lr=1", "lr=2"], "lr=2: lr is given twice"),
        (["lr"], "lr: settings are written NAME=VALUES"),
        (["--processes", "0"], "--processes 0: at least 1"),
        (["--trials", "0"], "--trials 0: at least 1"),
        (["--validation", "1"], "--validation 1: from "),
        (["--validation", "200"], "--validation 200: from "),
        (["--sampler", "tpee"], "did you mean tpe?"),
        (["--study", "a/b"], "--study a/b: letters, digits, dots"),
        (["--store", "nosuch://x"], "--store nosuch://x: cannot be used"),
        (["--no-log", "--study", "x"], "--no-log keeps no study"),
    ],
)
def test_bad_input_is_one_line_and_keeps_nothing(
    arguments: list[str], told: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("softmax", *arguments, "--data", source, "--runs", str(tmp_path / "runs"), "--quiet") == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1
    assert not [p for p in (tmp_path / "runs").glob("*") if p.is_dir()]


@pytest.mark.parametrize(
    ("other", "told"),
    [({"seed": 1}, "begun with seed 0, not 1"), ({"model": "svm"}, "begun with model softmax, not svm")],
)
def test_a_study_that_was_asked_otherwise_is_refused(other: dict[str, Any], told: str, tmp_path: Path) -> None:
    asked, store = {"model": "softmax", "seed": 0}, f"sqlite:///{tmp_path / 'a.db'}"
    wanted = {"lr": Choice((0.1, 0.2))}
    sweep.open_study("s", store, asked, wanted)
    assert sweep.open_study("s", store, asked, {})[1] == wanted
    with pytest.raises(Refusal, match=told):
        sweep.open_study("s", store, asked | other, {})
    with pytest.raises(Refusal, match=r"it searches lr=0.1,0.2; take another name"):
        sweep.open_study("s", store, asked, {"lr": Choice((0.1,))})


def test_a_folder_with_trials_of_a_study_that_is_gone_is_refused(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine" / "trial-0000").mkdir(parents=True)
    assert run("softmax", "--study", "mine", "--data", source, "--runs", str(tmp_path), "-q") == 2
    assert "holds trials of another study; take another name" in capsys.readouterr().err


def test_a_winner_whose_training_was_interrupted_is_trained_anew(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("svm", "lr=0.001", "epochs=1", "--study", "w", "--data", source, "--runs", str(tmp_path), "--json", "-")
    own = lockstep.train

    def interrupted(plan: Plan, data: Dataset) -> Iterator[Any]:
        yield next(iter(own(plan, data)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(lockstep, "train", interrupted)
        assert run(*words) == 130
    first = json.loads(capsys.readouterr().out)
    assert (first["complete"], first["test_accuracy"], len(first["trials"])) == (False, None, 1)
    assert run(*words) == 0
    assert Path(json.loads(capsys.readouterr().out)["run"]).name == "winner-2"


def test_when_every_training_fails_that_is_said(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("softmax", "lr=1e30,1e31", "epochs=3", "--no-log", "--data", source, "-q") == 2
    assert "every loss became infinite; try smaller learning rates" in capsys.readouterr().err


def test_processes_share_the_trials_and_ctrl_c_reports_what_was_done(source: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "compare", "sweep", "softmax", "epochs=3,100000", "--processes", "2"]
    arguments += ["--data", source, "--runs", str(tmp_path), "--study", "s", "--json", str(tmp_path / "out.json")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("trial "):
                break
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "gradtwin: interrupted\n")
    assert "interrupted after 1 of 2 trials: nothing was tested; to go on" in out
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["complete"], result["test_accuracy"]) == (False, None)
    assert [t["settings"]["epochs"] for t in result["trials"]] == [3]
    waiting = sweep.open_study("s", f"sqlite:///{tmp_path / 'studies.db'}", {}, {})[0]
    left = [t.system_attrs["fixed_params"] for t in waiting.get_trials(states=(optuna.trial.TrialState.WAITING,))]
    assert left == [{"epochs": 100_000}]
