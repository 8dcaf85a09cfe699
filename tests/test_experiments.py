"""Experiments in tiny sizes, and their verdicts with planted results."""

import json
import types
from collections.abc import Callable, Collection
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratch.losses
from compare import alone
from compare.alone import Material, Point, Trace
from compare.cli import main
from compare.data import Dataset, load
from compare.experiments import batch_size, decay, rates, registry, rules, search
from compare.experiments.claims import Result, judge
from compare.experiments.setting import Setting
from compare.parties import Plan
from compare.sides import standing_in


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three classes, 6 × 6 pixels, each brighter in its own third; 182 + 18 images, and 40 for testing."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = rng.integers(0, 200, (240, 6, 6, 3))
    for k in range(3):
        images[labels == k, 2 * k : 2 * k + 2] += 50
    path = tmp_path_factory.mktemp("data") / "a.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return f"npz:{path}"


@pytest.fixture
def images(source: str) -> Dataset:
    return load(source, None, 0)


def finished(running: Any) -> Any:
    """What a generator returns, and it must have yielded something to follow it by."""
    said = []
    while True:
        try:
            said.append(next(running))
        except StopIteration as end:
            assert said
            return end.value


@pytest.mark.parametrize(
    ("better", "worse", "least", "holds", "told"),
    [
        ([0.40, 0.41, 0.42], [0.30, 0.31, 0.31], 0.0, True, "holds: apart by 10.33 % on average over 3 seeds"),
        ([0.40, 0.41, 0.42], [0.30, 0.31, 0.31], 0.2, False, "does not hold: apart by 10.33 %"),
        ([0.30, 0.31, 0.31], [0.40, 0.41, 0.42], 0.0, False, "does not hold, the opposite does"),
        (
            [0.40, 0.42, 0.38],
            [0.39, 0.40, 0.40],
            0.0,
            False,
            "does not hold beyond the spread of the seeds: apart by 0.33 %",
        ),
        ([0.40, 0.40], [0.40, 0.40], 0.0, False, "does not hold beyond the spread of the seeds: apart by 0.00 %"),
        ([0.90], [0.10], 0.0, None, "undecided: apart by 80.00 % for one seed"),
    ],
)
def test_a_claim_holds_only_beyond_the_spread_of_the_seeds(
    better: list[float], worse: list[float], least: float, holds: bool | None, told: str
) -> None:
    found = judge(better, worse, least)
    assert found.holds is holds
    assert found.told.startswith(told)


def test_the_spread_is_that_of_the_differences_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, standard deviation 1, so just not beyond two of them; 1.1, 2, 2.9 is."""
    assert judge([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).holds is False
    assert judge([1.1, 2.0, 2.9], [0.0, 0.0, 0.0]).holds is True


def answering(accuracy: Callable[[Plan], float]) -> Callable[..., "Future[Trace]"]:
    """Trainings that end at once with the accuracy that is planted."""

    def submit(plan: Plan, at: Collection[int] = ()) -> "Future[Trace]":
        future: Future[Trace] = Future()
        future.set_result(planted_trace(plan, accuracy(plan)))
        return future

    return submit


def planted_trace(plan: Plan, accuracy: float, losses: tuple[float, ...] = (1.0,)) -> Trace:
    points = tuple(Point(k, 40 * k, loss, loss, accuracy) for k, loss in enumerate(losses, 1))
    return Trace(plan, points, {"accuracy": np.array(accuracy)}, 0.1)


@pytest.mark.parametrize("best", [0.01, 0.08, 1.28])
def test_the_ladder_of_rates_grows_until_the_best_lies_inside(best: float) -> None:
    plan = Plan("softmax", "sgd", "constant", 1, 0, 0.04, 0.0, "l2")
    submit = answering(lambda p: 0.9 - abs(np.log2(p.lr / best)) / 20)
    found = finished(rates.best_rate("x", plan, (0, 1), submit))
    assert found.rate == pytest.approx(best)
    assert not found.edge
    assert [t.plan.seed for t in found.traces] == [0, 1]
    assert {t.plan.lr for t in found.traces} == {found.rate}


def test_a_ladder_without_end_is_told() -> None:
    plan = Plan("softmax", "sgd", "constant", 1, 0, 0.04, 0.0, "l2")
    found = finished(rates.best_rate("x", plan, (0,), answering(lambda p: p.lr)))
    assert found.edge
    assert found.tried == rates.MOST


def planted(monkeypatch: pytest.MonkeyPatch, train: Callable[[Plan], Trace]) -> None:
    """Let every training be what train says; a look at the test part finds the accuracy in its params."""
    monkeypatch.setattr(alone, "train", lambda plan, material, at=(), stop=None: train(plan))
    monkeypatch.setattr(alone, "look", lambda plan, params, part, mean: (1.0, float(params["accuracy"])))


@pytest.mark.parametrize(("gain", "holds"), [(0.02, True), (0.0, False), (-0.02, False)])
def test_decay_is_judged_on_what_was_planted(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, gain: float, holds: bool
) -> None:
    """All schedules but the constant one are better by gain, the cosine one a little more; seeds vary by less."""

    def train(plan: Plan) -> Trace:
        more = {"constant": 0.0, "cosine": gain + 0.001}.get(plan.schedule, gain)
        seed = 0.002 * (-1) ** (plan.seed + (plan.schedule == "constant"))
        return planted_trace(plan, 0.4 + more - abs(np.log2(plan.lr / 0.01)) / 100 + seed)

    planted(monkeypatch, train)
    result: Result = finished(decay.decay(Setting(images, (0, 1, 2))))
    assert result.judgement.holds is holds
    assert result.judgement.told.startswith("holds" if holds else "does not hold")
    assert "judged: cosine" in result.remarks[0]
    assert [row.method for row in result.rows] == ["constant", "step", "exponential", "1/t", "cosine"]
    assert result.rows[0].ours == pytest.approx(0.4 - 0.002 / 3)


@pytest.mark.parametrize(
    ("losses", "holds", "told"),
    [
        ((0.9, 0.5, 0.1), True, "holds: apart by"),
        ((0.9, 0.9, 0.9), False, "does not hold: the sample never got there for 3 of 3 seeds"),
    ],
)
def test_batch_size_is_judged_on_the_work_until_the_full_batch_s_loss(
    images: Dataset, monkeypatch: pytest.MonkeyPatch, losses: tuple[float, ...], holds: bool, told: str
) -> None:
    def train(plan: Plan) -> Trace:
        return planted_trace(plan, 0.5 - abs(np.log2(plan.lr / 0.1)) / 100, losses if plan.batch_size else (0.8, 0.6))

    planted(monkeypatch, train)
    result: Result = finished(batch_size.batch_size(Setting(images, (0, 1, 2), passes=3)))
    assert result.judgement.holds is holds
    assert result.judgement.told.startswith(told)
    assert [row.method for row in result.rows] == ["full batch (180)", "batch of 32"]
    wanted = 80 / 180 if holds else np.inf  # the second point, with a loss of 0.5, is the first at most 0.6
    assert result.rows[1].figures["passes to get there"] == pytest.approx(wanted)


def test_searches_ask_the_loss_as_often_as_is_said(images: Dataset) -> None:
    asked: list[int] = []

    def hinge(scores: Any, y: Any) -> Any:
        asked.append(len(y))
        return scratch.losses.hinge(scores, y)

    spied = types.SimpleNamespace(hinge=hinge, softmax=scratch.losses.softmax)
    with standing_in({"scratch.losses": spied}):
        result: Result = finished(search.search(Setting(images, (4, 5), evaluations=30)))
    on_train = [n for n in asked if n == len(images.train.labels)]
    assert len(on_train) == 2 * 2 * 30  # two searches, two seeds; gradient descent has its own fused loss
    assert [row.method for row in result.rows] == ["random search", "random local search", "gradient descent"]
    assert [row.published for row in result.rows] == [0.155, 0.214, None]
    assert all(curve.x[0] == 1 and curve.x[-1] == 30 for curve in result.curves)
    assert result.rows[2].ours > 0.6


def test_far_worse_means_by_ten_points(images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted weights: gradient descent right in all, the searches in as many as is planted."""

    def walk(share: float, name: str, seed: int, count: int, material: Material) -> Any:
        yield from [{"share": 0.9 if name == "gradient descent" else share + 0.01 * seed}] * count

    monkeypatch.setattr(search, "_right", lambda params, part, mean: params["share"])
    for share, holds in ((0.5, True), (0.82, False), (0.95, False)):
        monkeypatch.setattr(search, "_walk", lambda *args, share=share: walk(share, *args))
        result = finished(search.search(Setting(images, (0, 1, 2), evaluations=5)))
        assert result.judgement.holds is holds, share


def test_the_walks_give_weights_for_pixels(images: Dataset) -> None:
    """Gradient descent works on scaled rows; what it gives must classify unscaled ones as its own do."""
    material = Material(images.train, images.validation, images.mean, len(images.classes))
    plan = Plan("svm", "sgd", "constant", 7, 0, 0.01, 0.0, "l2", seed=2)
    own = alone.train(plan, material, at=[7])
    (*_, params) = search._walk("gradient descent", 2, 7, material)
    assert own.last is not None
    assert search._right(params, images.validation, images.mean) == own.last.validation_accuracy


def test_rules_are_a_table_of_six(images: Dataset) -> None:
    result: Result = finished(rules.rules(Setting(images, (0,), passes=2)))
    assert [row.method for row in result.rows] == ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"]
    assert result.judgement.holds is None
    assert all(0 <= row.ours <= 1 for row in result.rows)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["experiment", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", list(registry.EXPERIMENTS))
def test_every_experiment_tells_and_draws(
    name: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = ("--passes", "2", "--evaluations", "20", "--seeds", "2", "--data", source, "--runs", str(tmp_path))
    status = run(name, *fast, "--json", "-")
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert (result["command"], result["name"]) == ("experiment", name)
    assert status == (0 if result["holds"] or not result["claim"] else 1)
    assert all({"method", "published", "ours"} <= row.keys() and len(row["seeds"]) == 2 for row in result["rows"])
    assert result["verdict"] in told.err
    (folder,) = tmp_path.iterdir()
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "result").glob("events.*"))


def test_one_seed_cannot_tell(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    fast = ("--passes", "1", "--seeds", "1", "--data", source, "--no-log", "-q", "--json", "-")
    assert run("decay", *fast) == 3
    assert json.loads(capsys.readouterr().out)["holds"] is None


def test_without_a_name_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(registry.EXPERIMENTS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serch"], "no experiment is called 'serch': did you mean search?"),
        (["search", "--seeds", "0"], "--seeds 0: at least 1"),
        (["search", "--evaluations", "0"], "--evaluations 0: at least 1"),
        (["decay", "--passes", "0"], "--passes 0: at least 1"),
        (["decay", "--model", "sofmax"], "did you mean softmax?"),
        (["decay", "rules", "--json", "-"], "JSON holds one result"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments, "--quiet", "--no-log") == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1
