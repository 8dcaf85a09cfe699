"""Checkpoints and what goes on from them: bit for bit the training that was never ended."""

import errno
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

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compare import checkpoint, session
from compare.cli import main
from compare.data import from_arrays
from compare.events import Run
from compare.lockstep import Epoch, Step, Training
from compare.parties import Plan
from compare.records import Refusal
from compare.timing import equal_threads

PIXELS = np.random.default_rng(0).integers(0, 256, (120, 6, 6, 3)).astype(np.uint8)
DATA = from_arrays(PIXELS, np.arange(120) % 3)
PLAN = Plan("softmax", "adam", "cosine", 3, 16, 0.01, 1e-2, "l2", seed=3)
UNLIKE = ("run", "seconds_per_step")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with equal_threads(1):
        yield


@pytest.fixture
def source(tmp_path: Path) -> str:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.arange(120) % 3)
    return f"npz:{tmp_path / 'a.npz'}"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments])
    return int(ended.value.code or 0)


def figures(record: Step | Epoch) -> tuple[Any, ...]:
    """Everything of a record that a number can tell."""
    if isinstance(record, Epoch):
        return record.epoch, record.step, record.accuracy
    arrays = [
        x.tobytes() for side in (record.scratch, record.ref) for x in (*side.params.values(), *side.grads.values())
    ]
    drifts = [(dict(d.distance), dict(d.noise)) for d in (record.loss, record.grads, record.params)]
    return record.step, record.scratch.loss, record.ref.lr, record.batch.tobytes(), arrays, drifts, record.excused


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": "float64", "rule": "momentum", "schedule": "exponential", "schedule_options": {"warmup": 3}},
        {"rule": "rmsprop", "rule_options": {"centered": True, "momentum": 0.9}, "augment": "flip", "clip": 0.1},
        {"rule": "momentum", "rule_options": {"convention": "velocity"}, "schedule": "step", "controls": 3},
        {"rule": "adam", "rule_options": {"convention": "keras"}, "resync": True},
        {"model": "svm", "rule": "adagrad", "schedule": "inverse", "batch_size": 0, "epochs": 12},
        {"model": "two-layer", "hidden": (7, 5), "rule": "nesterov", "schedule": "constant"},
    ],
    ids=str,
)
@pytest.mark.parametrize("stop", [1, 7])
def test_what_goes_on_is_bit_for_bit_what_was_never_ended(settings: dict[str, Any], stop: int, tmp_path: Path) -> None:
    """Stopped after its first step, and inside its second epoch (for full batches: after an epoch)."""
    plan = replace(PLAN, **settings)
    whole = [figures(record) for record in Training(plan, DATA).run()]
    begun, seen = Training(plan, DATA), 0
    for _ in begun.run():
        seen += 1
        if begun.step >= stop and begun.settled:
            break
    checkpoint.save(tmp_path, begun.step, {"training": begun.state()})
    going = Training(plan, DATA)
    going.restore(checkpoint.load(tmp_path).tree["training"])
    assert [figures(r) for r in going.run()] == whole[seen:]


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {"a": np.float32([1, 2]), "b": [{"c": np.int64(3) * np.ones((2, 0), np.int64)}, None, "word"], "d": 2**100,
            "e": [0.1, float("inf")], "f": {}, "g": np.array(7)}  # fmt: skip
    back = checkpoint.load(checkpoint.save(tmp_path, 5, tree).parent)
    assert back.step == 5
    assert back.tree["a"].dtype == np.float32
    assert back.tree["b"][0]["c"].shape == (2, 0)
    assert (back.tree["b"][1:], back.tree["d"], back.tree["e"]) == ([None, "word"], 2**100, [0.1, float("inf")])
    assert (back.tree["f"], back.tree["g"].shape) == ({}, ())
    with np.load(tmp_path / "checkpoint-000000005.npz", allow_pickle=False) as stored:
        assert "/a" in stored.files


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for step in (0, 9, 10, 11):
        checkpoint.save(tmp_path, step, {})
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["checkpoint-000000010.npz", "checkpoint-000000011.npz"]


def test_a_full_disk_is_said_and_the_older_checkpoint_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, 4, {"x": np.ones(3)})

    def full(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    told = r"checkpoint-000000008.npz cannot be written \(No space left on device\): free some room, then go on; "
    with pytest.raises(Refusal, match=told + r"checkpoint-000000004.npz is kept: gradtwin train --resume"):
        checkpoint.save(tmp_path, 8, {})
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-000000004.npz"]
    np.testing.assert_array_equal(checkpoint.load(tmp_path).tree["x"], np.ones(3))


@pytest.mark.parametrize("damage", ["cut", "byte"])
def test_a_damaged_checkpoint_is_said_and_the_older_one_named(damage: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 4, {"x": np.ones(3)})
    path = checkpoint.save(tmp_path, 8, {"x": np.ones(1000)})
    whole = bytearray(path.read_bytes())
    if damage == "cut":
        del whole[-100:]
    else:
        whole[2000] ^= 1
    path.write_bytes(whole)
    with pytest.raises(Refusal, match=r"000000008.npz is damaged \(.*\): remove it to go on from checkpoint-000000004"):
        checkpoint.load(tmp_path)
    path.unlink()
    assert checkpoint.load(tmp_path).step == 4


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    checkpoint.save(tmp_path, 1, {})
    monkeypatch.setattr(checkpoint, "FORMAT", 1)
    with pytest.raises(Refusal, match="has format 2, this version reads 1"):
        checkpoint.load(tmp_path)


def test_a_folder_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no such folder"):
        checkpoint.load(tmp_path / "none")
    with pytest.raises(Refusal, match="it ended before its first one, or its loss was not finite"):
        checkpoint.load(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(Refusal, match="it is complete"):
        checkpoint.load(tmp_path)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    found = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    steps = {tag: [(e.step, 0.0) for e in read.Tensors(tag)] for tag in read.Tags()["tensors"]}
    return {tag: x for tag, x in (found | steps).items() if "ms per step" not in tag}


def test_killed_and_resumed_is_the_same_in_every_file(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL once the second checkpoint is there; then on to the end, beside a training that was never ended."""
    arguments = ["softmax", "--data", source, "--epochs", "50", "--batch-size", "20", "--seed", "7"]
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "compare", "train", *arguments, "--runs", str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        until = time.monotonic() + 100
        while not list(killed.glob("*/checkpoint-*[1-9]*.npz")) and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    (folder,) = killed.iterdir()
    assert not (folder / "result.json").exists()
    assert run("--resume", str(folder)) == 0
    assert "going on with" in capsys.readouterr().out
    assert run(*arguments, "--runs", str(tmp_path / "whole")) == 0
    (whole,) = (tmp_path / "whole").iterdir()
    results = [json.loads((f / "result.json").read_text()) for f in (folder, whole)]
    assert [{k: x for k, x in r.items() if k not in UNLIKE} for r in results[:1]] == [
        {k: x for k, x in results[1].items() if k not in UNLIKE}
    ]
    for name in ("scratch", "ref", "drift"):
        assert scalars(folder / name) == scalars(whole / name)
    assert {p.name for p in folder.iterdir()} == {"scratch", "ref", "drift", "result.json"}
    assert run("--resume", str(folder)) == 2
    assert "it is complete" in capsys.readouterr().err


def begun(source: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that died after its third step."""

    def dies(self: Any, record: Any, runs: Any) -> None:
        real(self, record, runs)
        if record.step == 3:
            raise KeyboardInterrupt

    real = session.Session.take
    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "take", dies)
        assert (
            run("svm", "--data", source, "--epochs", "2", "--batch-size", "20", "--runs", str(runs), "--lr", "0.01") > 0
        )
    (folder,) = runs.iterdir()
    return folder


def test_other_settings_or_images_are_refused(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begun(source, tmp_path / "runs", monkeypatch)
    assert run("svm", "--resume", str(folder), "--lr", "0.02") == 2
    told = capsys.readouterr().err
    assert "it was started with --lr 0.01, not 0.02; leave --lr out, or start a new training" in told
    assert run("softmax", "--resume", str(folder)) == 2
    assert "it was started with MODEL svm, not softmax" in capsys.readouterr().err
    np.savez(source.removeprefix("npz:"), images=PIXELS[::-1], labels=np.arange(120) % 3)
    assert run("svm", "--resume", str(folder)) == 2
    assert "are not those that it was trained on" in capsys.readouterr().err
    np.savez(source.removeprefix("npz:"), images=PIXELS, labels=np.arange(120) % 3)
    assert run("svm", "--resume", str(folder), "--lr", "0.01", "--quiet") == 0


def test_a_run_that_is_being_trained_is_not_resumed(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = begun(source, tmp_path / "runs", monkeypatch)
    with session.locked(folder):
        assert run("--resume", str(folder)) == 2
    assert "another process is training there" in capsys.readouterr().err
    assert run("--resume", str(folder), "--quiet") == 0


def test_a_disk_that_fills_while_logging_is_said(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Run) -> None:
        if self._kept:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Run, "flush", full)
    assert run("svm", "--data", source, "--epochs", "2", "--batch-size", "20", "--runs", str(tmp_path / "runs")) == 2
    assert "the log cannot be written: No space left on device; logged until then in" in capsys.readouterr().err
