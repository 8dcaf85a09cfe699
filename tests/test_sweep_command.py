"""gradtwin sweep: what it writes, refuses and goes on with, and when the test part is looked at."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from compare import alone, lockstep, sweep
from compare.alone import Material, Trace
from compare.cli import main
from compare.data import Dataset, Images
from compare.parties import Plan
from compare.records import Refusal
from compare.space import Choice


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["sweep", *arguments])
    return int(ended.value.code or 0)


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
