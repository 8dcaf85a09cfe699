import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compare import models
from compare.cli import main

FAST = ["--epochs", "2", "--batch-size", "20"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Noise in three classes, 6 × 6 pixels: 91 / 9 / 20 images."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "a.npz"
    np.savez(path, images=rng.integers(0, 256, (120, 6, 6, 3)).astype(np.uint8), labels=np.arange(120) % 3)
    return f"npz:{path}"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    return int(ended.value.code or 0)


def test_a_training_reports_and_logs(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("softmax", "--data", source, "--runs", str(tmp_path / "runs"), *FAST, "--json", "-") == 0
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert (result["schema"], result["command"], result["model"], result["rule"]) == (1, "train", "softmax", "momentum")
    assert (result["steps"], result["complete"], result["verdict"], result["flagged"]) == (8, True, "agree", None)
    assert set(result["test_accuracy"]) == set(result["loss"]) == set(result["seconds_per_step"]) == {"scratch", "ref"}
    assert 0 <= result["drift"]["relative"] < 1e-5
    assert json.loads((Path(result["run"]) / "result.json").read_text()) == result
    assert {p.name for p in Path(result["run"]).iterdir()} == {"scratch", "ref", "drift", "result.json"}
    assert "agree: in all 8 steps" in told.err
    assert "arrays from npz" in told.err.splitlines()[0]


@pytest.mark.parametrize("model", ["softmax", "svm"])
def test_one_seed_gives_the_same_json_but_for_times(
    model: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results: list[dict[str, Any]] = []
    for _ in range(2):
        assert run(model, "--data", source, "--runs", str(tmp_path), *FAST, "--json", "-", "--seed", "5") == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0].pop("run") != results[1].pop("run")
    assert [r.pop("seconds_per_step") for r in results]
    assert results[0] == results[1]


def test_no_log_writes_nothing_and_quiet_says_nothing(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("svm", "--data", source, "--no-log", "--quiet", *FAST) == 0
    told = capsys.readouterr()
    assert told.out == told.err == ""
    assert list(tmp_path.iterdir()) == []


def test_full_batches_and_every_option_together(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--batch-size full --epochs 3 --lr 0.01 --reg 0.1 --penalty l1 --rule adam --schedule step --dtype float64"
    )
    assert run("svm", "--data", source, "--no-log", "--json", "-", "--quiet", *options.split()) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 3
    assert result["settings"]["batch size"] == "full"
    assert (result["settings"]["penalty"], result["settings"]["dtype"]) == ("l1", "float64")


def test_sides_that_differ_exit_with_1(
    source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scratch import linear

    def doubled(*_: object) -> Any:
        def objective(params: Any, X: Any, y: Any, reg: float, penalty: str) -> Any:
            value, grads = linear.softmax_objective(params, X, y, 2 * reg, penalty)
            return value, grads

        return objective

    monkeypatch.setattr(models, "scratch_objective", doubled)
    assert run("softmax", "--data", source, "--no-log", "--json", "-", "--reg", "1", *FAST) == 1
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert result["verdict"] == "differ"
    assert (result["flagged"]["step"], result["flagged"]["stage"]) == (1, "loss")
    assert result["flagged"]["causes"][0]["cause"].startswith("regulariser doubled")
    assert "differ: from step 1 on, in the loss: loss: scratch has " in told.err
    assert "likely: regulariser doubled" in told.err


def test_a_loss_that_overflows_on_one_side_is_flagged_and_logged(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scratch import linear

    def naive(params: Any, X: Any, y: Any, reg: float, penalty: str) -> Any:
        value, grads = linear.softmax_objective(params, X, y, reg, penalty)
        return value + 0 * np.exp(X.dtype.type(1e6) * np.abs(params["b"]).max()), grads

    monkeypatch.setattr(models, "scratch_objective", lambda *_: naive)
    assert run("softmax", "--data", source, "--runs", str(tmp_path), *FAST, "--json", "-") == 1
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert (result["complete"], result["steps"], result["flagged"]["step"]) == (False, 2, 2)
    assert (result["flagged"]["stage"], result["flagged"]["scratch"]) == ("loss", "nan")
    assert "ended after step 2 of 8" in told.err
    texts = EventAccumulator(str(Path(result["run"]) / "drift")).Reload().Tensors("flagged/text_summary")
    assert "step 2 on, in the loss" in texts[0].tensor_proto.string_val[0].decode()


def test_options_reach_both_sides(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that a rule and a schedule may be told, six control runs, each step from the ref's weights."""
    options = (
        "--rule rmsprop:centered=true,alpha=0.9 --momentum 0.5 --weight-decay 0.1 --no-decay-bias --clip 0.5 "
        "--schedule step:drops=1,factor=0.5 --warmup 2 --control --resync"
    )
    assert run("softmax", "--data", source, "--no-log", "--json", "-", *FAST, *options.split()) == 0
    result = json.loads(capsys.readouterr().out)
    settings = result["settings"]
    assert settings["rule options"] == "centered=true,alpha=0.9,momentum=0.5,weight_decay=0.1"
    assert settings["schedule options"] == "drops=1,factor=0.5,warmup=2"
    assert (settings["clip"], settings["decay bias"], settings["control runs"]) == (0.5, False, 7)
    assert (result["verdict"], settings["resync"]) == ("agree", True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["softmx"], "no model is called 'softmx': did you mean softmax?"),
        (["svm", "--rule", "nestrov"], "no rule (--rule) is called 'nestrov': did you mean nesterov?"),
        (["svm", "--rule", "adam:beta3=1"], "--rule adam:beta3=1: adam has no option 'beta3': did you mean beta2?"),
        (["svm", "--rule", "adam:beta2"], "--rule adam:beta2: beta2 needs a value, such as beta2=0.999"),
        (["svm", "--rule", "adam:beta2=2"], "--rule adam: betas must be in [0, 1), not 0.9 and 2.0"),
        (["svm", "--rule", "adam:eps=tiny"], "eps=tiny: a number"),
        (["svm", "--rule", "adam:eps=inf"], "eps=inf: a finite number"),
        (["svm", "--rule", "rmsprop:centered=maybe"], "centered=maybe: true or false"),
        (["svm", "--rule", "momentum:convention=nag"], "convention must be torch or velocity, not 'nag'"),
        (["svm", "--momentum", "-1"], "--rule momentum: Invalid momentum value: -1.0"),
        (["svm", "--rule", "adam", "--momentum", "0.5"], "adam has no momentum; momentum, nesterov, rmsprop have"),
        (["svm", "--rule", "momentum:momentum=0.5", "--momentum", "0.9"], "--rule says momentum=0.5 already"),
        (["svm", "--clip", "0"], "--clip 0: a finite number above 0"),
        (["svm", "--schedule", "step:drops=two"], "drops=two: a whole number"),
        (["svm", "--schedule", "inverse:final=0"], "--schedule inverse, 12 steps: float division by zero"),
        (["svm", "--schedule", "cosine:final=-1"], "--schedule cosine: rates from 0.001 to -"),
        (["svm", "--warmup", "12"], "warmup must be at least 0 and less than steps = 12, not 12"),
        (["svm", "--schedule", "cosin"], "did you mean cosine?"),
        (["svm", "--penalty", "l3"], "no penalty (--penalty) is called 'l3'"),
        (["svm", "--batch-size", "0"], "--batch-size 0: a batch needs at least one image"),
        (["svm", "--batch-size", "92"], "--batch-size 92: the training set has 91 images"),
        (["svm", "--batch-size", "many"], "--batch-size many: a whole number from 1, or full"),
        (["svm", "--epochs", "0"], "--epochs 0: at least 1"),
        (["svm", "--lr", "nan"], "--lr nan: a finite number above 0"),
        (["svm", "--lr", "inf"], "--lr inf: a finite number above 0"),
        (["svm", "--lr", "-1"], "--lr -1: a finite number above 0"),
        (["svm", "--reg", "-1"], "--reg -1: a finite number, 0 or above"),
        (["svm", "--device", "tpu"], "--device tpu"),
        (["svm", "--data", "folder:/no/such"], "/no/such"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str], told: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments if "--data" in arguments else [*arguments, "--data", source]
    assert run(*given, "--runs", str(tmp_path / "runs"), "--quiet") == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_runs_that_cannot_be_written_are_refused(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "below"):
        assert run("svm", "--data", source, "--runs", str(runs)) == 2
        assert f"--runs {runs}: {tmp_path / 'file'} is a file" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here: nothing to refuse")
def test_cuda_where_there_is_none_is_said(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("svm", "--data", source, "--no-log", "--device", "cuda") == 2
    assert "0 CUDA devices here; use cpu" in capsys.readouterr().err


def test_a_rate_that_blows_up_names_step_side_and_log(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("softmax", "--data", source, "--runs", str(tmp_path), "--lr", "1e30", "--quiet", *FAST) == 2
    error = capsys.readouterr().err
    assert "the loss is not finite at step 2 (epoch 1) on both sides (scratch " in error
    (folder,) = tmp_path.iterdir()
    assert f"logged until then in {folder}" in error
    assert sorted(p.name for p in folder.iterdir()) == ["drift", "ref", "scratch"]  # nothing to go on from
    assert run("--resume", str(folder)) == 2
    assert "its loss was not finite; start it again" in capsys.readouterr().err


def test_more_threads_than_cores_are_refused(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    cores = os.cpu_count() or 1
    assert run("svm", "--data", source, "--no-log", "--threads", str(cores + 1)) == 2
    assert f"--threads {cores + 1}: this machine has {cores} cores" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["nan", "inf"])
def test_a_weight_decay_that_is_not_finite_is_refused(
    source: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("svm", "--data", source, "--no-log", "--weight-decay", word) == 2
    assert f"--weight-decay {word}: a finite number" in capsys.readouterr().err


def test_figures_are_told_even_where_the_json_cannot_be_written(
    source: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("compare.report.write_json", full)
    assert run("svm", "--data", source, "--no-log", "--json", "-", *FAST) == 2
    told = capsys.readouterr()
    assert "no space left" in told.err
    assert "test accuracy" in told.out + told.err


def test_ctrl_c_reports_what_was_done(source: str, tmp_path: Path) -> None:
    """The training would take hours; the signal comes once its first events are on disk."""
    arguments = [sys.executable, "-m", "compare", "train", "softmax", "--data", source, "--runs", str(tmp_path)]
    arguments += ["--epochs", "1000000", "--batch-size", "20", "--json", str(tmp_path / "out.json")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 100
        while not any(p.stat().st_size > 500 for p in tmp_path.glob("*/scratch/*")) and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=60)
    result = json.loads((tmp_path / "out.json").read_text())
    assert process.returncode == 130
    assert error == "gradtwin: interrupted\n"
    assert f"interrupted after step {result['steps']:,} of 4,000,000" in out
    assert (result["complete"], result["verdict"], result["steps_planned"]) == (False, "agree", 4_000_000)
    assert (Path(result["run"]) / "result.json").exists()
