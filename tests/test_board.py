import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from compare import board_images, lockstep, outcome
from compare.board import Board, _one_minus_cosine
from compare.commands.board import check, command
from compare.data import Dataset, from_arrays
from compare.events import Run, new_folder
from compare.lockstep import Step
from compare.outcome import Tally
from compare.parties import Plan
from compare.records import Refusal
from compare.timing import equal_threads

PLAN = Plan("softmax", "momentum", "cosine", epochs=3, batch_size=16, lr=0.05, reg=1e-2, penalty="l2")


def images() -> Dataset:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 6, 6, 3)).astype(np.uint8)
    return from_arrays(pixels, np.arange(120) % 3, ("ant", "bee", "cat"))


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step], outcome.Result]:
    """One training, logged whole; the losses are noted as they came."""
    data, tally, seen = images(), Tally(), []
    steps = lockstep.steps_of(PLAN, data)
    board = Board(new_folder(tmp_path_factory.mktemp("runs"), "softmax", "momentum"), steps)
    with equal_threads(1):
        for record in lockstep.train(PLAN, data):
            if isinstance(record, Step):
                tally.add(record)
                seen.append(record)
                board.step(record)
            else:
                board.epoch(record)
        result = outcome.conclude(PLAN, data, tally, steps, complete=True)
    board.end(result.last, data, result.scores)
    board.settings(outcome.hyperparameters(PLAN), outcome.figures(result), result.last.step)
    board.text("result", outcome.markdown(result))
    board.close()
    return board.folder, seen, result


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "images": 0}).Reload()


def test_losses_come_back_step_by_step(logged: tuple[Path, list[Step], outcome.Result]) -> None:
    folder, seen, _ = logged
    for name in ("scratch", "ref"):
        points = read(folder / name).Scalars("train/loss")
        assert [p.step for p in points] == list(range(1, len(seen) + 1))
        assert [p.value for p in points] == [getattr(s, name).loss for s in seen]


def test_both_sides_carry_the_same_tags(logged: tuple[Path, list[Step], outcome.Result]) -> None:
    folder, _, _ = logged
    scratch, ref = read(folder / "scratch").Tags(), read(folder / "ref").Tags()
    assert scratch == ref
    assert {"train/loss", "train/lr", "accuracy/train", "accuracy/validation", "accuracy/test"} <= set(
        scratch["scalars"]
    )
    assert set(scratch["images"]) == {"test/misclassified", "weights/templates"}
    assert {"weights/W", "gradients/b", "log10 update over weight/W"} <= set(scratch["histograms"])
    assert {"test/ant", "test/bee", "test/cat"} <= set(scratch["tensors"])


def test_rates_and_accuracies_are_those_of_the_training(
    logged: tuple[Path, list[Step], outcome.Result],
) -> None:
    folder, seen, result = logged
    events = read(folder / "ref")
    assert events.Scalars("train/lr")[-1].value == pytest.approx(seen[-1].ref.lr, rel=1e-6)
    assert events.Scalars("accuracy/test")[0].value == pytest.approx(result.test_accuracy["ref"], rel=1e-6)
    assert len(events.Scalars("accuracy/validation")) == PLAN.epochs


def test_drift_stands_beside_the_spread(logged: tuple[Path, list[Step], outcome.Result]) -> None:
    folder, seen, _ = logged
    events = read(folder / "drift")
    assert events.Scalars("drift/weights")[-1].value == pytest.approx(seen[-1].params.relative, rel=1e-6)
    assert events.Scalars("drift/weights, spread")[-1].value == pytest.approx(seen[-1].params.relative_noise, rel=1e-6)
    assert "drift of direction/1 - cosine, W" in events.Tags()["scalars"]
    assert events.Tags()["images"] == ["weights/scratch minus ref"]
    text = events.Tensors("result/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| test accuracy |" in text
    assert "agree: in all" in text


def test_histograms_count_every_entry(logged: tuple[Path, list[Step], outcome.Result]) -> None:
    folder, _, _ = logged
    one = read(folder / "scratch").Histograms("weights/W")[-1].histogram_value
    assert one.num == sum(one.bucket) == 108 * 3


def test_hyperparameters_carry_conventions_and_final_figures(
    logged: tuple[Path, list[Step], outcome.Result],
) -> None:
    folder, _, result = logged
    events = read(folder / "scratch")
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert started["rule"].string_value == "momentum"
    assert started["lr"].number_value == PLAN.lr
    assert "penalty on W" in started["loss convention"].string_value
    final = events.Scalars("final/test accuracy")[0].value
    assert final == pytest.approx(result.test_accuracy["scratch"], rel=1e-6)


def test_long_trainings_log_a_bounded_number_of_points(tmp_path: Path) -> None:
    board = Board(new_folder(tmp_path, "m", "r"), 1_000_000)
    board.close()
    assert board.every == 200


def test_a_tensorboard_that_is_open_forgets_what_a_resumed_run_writes_again(tmp_path: Path) -> None:
    """It has read 30 points when the training is killed; the checkpoint is of step 20."""
    run = Run(tmp_path / "run")
    for step in range(1, 31):
        run.scalars(step, {"loss": float(step)})
        if step == 20:
            sizes = run.sizes()
    run.close()
    opened = read(tmp_path / "run")
    assert len(opened.Scalars("loss")) == 30
    again = Run(tmp_path / "run", sizes, 20)
    for step in range(21, 41):
        again.scalars(step, {"loss": -float(step)})
    again.close()
    for events in (opened.Reload(), read(tmp_path / "run")):
        assert [(p.step, p.value > 0) for p in events.Scalars("loss")] == [(k, k <= 20) for k in range(1, 41)]


def test_two_trainings_of_one_second_have_two_folders(tmp_path: Path) -> None:
    assert len({new_folder(tmp_path, "svm", "sgd") for _ in range(3)}) == 3


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(Refusal, match=r"--runs .*runs: cannot be written"):
        new_folder(tmp_path / "runs", "svm", "sgd")


def test_one_minus_cosine_of_near_vectors_does_not_cancel() -> None:
    """At a right angle e the cosine is 1/√(1 + e²), so 1 - cosine is e²/2: 5e-21, far below eps."""
    assert _one_minus_cosine(np.array([1.0, 0.0]), np.array([1.0, 1e-10])) == pytest.approx(5e-21, rel=1e-6)
    assert _one_minus_cosine(np.array([1.0, 0.0]), np.array([0.0, 2.0])) == pytest.approx(1)
    assert _one_minus_cosine(np.zeros(2), np.zeros(2)) == 0
    assert _one_minus_cosine(np.zeros(2), np.ones(2)) == 1


def test_templates_show_each_class_in_its_own_range() -> None:
    """Class 0 has weight 0 but for one pixel's red at 2: grey, and that pixel 255 in red."""
    data, W = images(), np.zeros((108, 3))
    W[0, 0] = 2.0
    sheet = board_images.templates({"W": W}, data)
    left, top = board_images.GAP, board_images.GAP
    assert sheet[top, left].tolist() == [255, 128, 128]
    assert sheet[top + board_images.TILE - 1, left + board_images.TILE - 1].tolist() == [128, 128, 128]


def test_misclassified_shows_the_surest_error_first() -> None:
    data = images()
    labels = data.test.labels
    scores = np.eye(3)[labels].astype(np.float64)
    scores[4] = 0
    scores[4, (labels[4] + 1) % 3] = 9.0
    sheet = board_images.misclassified(data, scores)
    at, side = board_images.GAP, board_images.TILE
    assert sheet.shape[1] == side + 2 * at  # one picture, and it is number 4
    assert sheet[at, at].tolist() == data.test.images[4][0, 0].tolist()


def test_nothing_misclassified_is_an_empty_sheet() -> None:
    data = images()
    assert board_images.misclassified(data, np.eye(3)[data.test.labels]).ndim == 3


def test_board_refuses_what_it_cannot_show(tmp_path: Path, logged: tuple[Path, list[Step], outcome.Result]) -> None:
    with pytest.raises(Refusal, match=r"no such folder; `gradtwin train` makes"):
        check(tmp_path / "none", 6006, "127.0.0.1")
    with pytest.raises(Refusal, match=r"no runs in it yet"):
        check(tmp_path, 6006, "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Refusal, match=f"--port {port}: .* choose another --port"):
            check(logged[0], port, "127.0.0.1")
    check(logged[0], port, "127.0.0.1")  # free again
    assert command(logged[0], port, "127.0.0.1")[1:3] == ["-m", "tensorboard.main"]


@pytest.mark.parametrize(("seconds", "told"), [(2.0, "(0.10 s, 5.0% of the training)"), (0.5, "(0.10 s)")])
def test_the_share_of_logging_is_told_of_no_training_of_a_moment(
    logged: tuple[Path, list[Step], outcome.Result], seconds: float, told: str
) -> None:
    line = outcome.remarks(replace(logged[2], training=seconds), "runs/a", logging=0.1)[-1]
    assert line == f"logged in runs/a {told}: gradtwin board"
