"""A user's own code in scratch's place: taken in the forms that people write, trained, and judged like scratch's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare import own
from compare.cli import main
from compare.records import Refusal

CODE = Path(__file__).with_name("user_parts.py").read_text()


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Noise in three classes, 6 × 6 pixels: 91 / 9 / 20 images."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "a.npz", images=rng.integers(0, 256, (120, 6, 6, 3)).astype(np.uint8), labels=np.arange(120) % 3
    )
    return f"npz:{tmp_path / 'a.npz'}"


def written(folder: Path, stuck: float = 1e9, wrong: int = 0) -> Path:
    """The code above, right or with its faults; each in a file of its own name."""
    path = folder / f"mine_{stuck:g}_{wrong}.py"
    path.write_text(CODE + f"\nSTUCK, WRONG = {stuck!r}, {wrong!r}\n")
    return path


def train(source: str, code: str, *arguments: str) -> dict[str, Any]:
    to = source.removeprefix("npz:") + ".json"
    with pytest.raises(SystemExit) as ended:
        main(["train", *arguments, "--scratch", code, "--data", source, "--no-log", "--quiet", "--json", to,
              "--epochs", "3", "--batch-size", "20"])  # fmt: skip
    assert ended.value.code in (0, 1)
    result: dict[str, Any] = json.loads(Path(to).read_text())
    assert (result["verdict"] == "differ") == (ended.value.code == 1)
    return result


KINDS = [
    ("adam", "rule", ("softmax", "--rule", "adam")),
    ("Momentum", "rule", ("softmax", "--momentum", "0.8")),
    ("softmax_loss", "loss", ("softmax",)),
    ("svm_loss", "objective", ("svm",)),
    ("TwoLayerNet", "model", ("two-layer", "--hidden", "5")),
    ("Renamed", "model", ("two-layer", "--hidden", "5")),
    ("Fields", "model", ("two-layer", "--hidden", "5")),
    ("momentum", "rule", ("softmax", "--momentum", "0.8", "--schedule", "constant")),  # 0.8: its config
    ("scribbles", "objective", ("softmax",)),
    ("centres", "objective", ("svm",)),
]


@pytest.mark.parametrize(("name", "kind", "arguments"), KINDS, ids=[k[0] for k in KINDS])
def test_what_is_right_agrees(name: str, kind: str, arguments: tuple[str, ...], source: str, tmp_path: Path) -> None:
    code = f"{written(tmp_path)}:{name}"
    assert own.taken(code).kind == kind
    assert train(source, code, *arguments)["flagged"] is None


FAULTS = [
    ("adam", {"stuck": 5}, 6, "update"),  # the count of steps ends at 5: a state that nobody sees
    ("Momentum", {"stuck": 4}, 4, "optimizer state"),
    ("softmax_loss", {"wrong": 1}, 1, "gradient"),
    ("svm_loss", {"wrong": 1}, 1, "gradient"),
    ("TwoLayerNet", {"wrong": 1}, 2, "forward"),
    ("scribbles", {"wrong": 1}, 1, "batch"),
    ("centres", {"wrong": 1}, 1, "batch"),
]


@pytest.mark.parametrize(("name", "fault", "step", "stage"), FAULTS, ids=[f[0] for f in FAULTS])
def test_what_is_wrong_is_flagged_where_it_first_acts(
    name: str, fault: dict[str, int], step: int, stage: str, source: str, tmp_path: Path
) -> None:
    arguments = next((k[2] for k in KINDS if k[0] == name), ("svm",))
    flag = train(source, f"{written(tmp_path, **fault)}:{name}", *arguments)["flagged"]
    assert (flag["step"], flag["stage"]) == (step, stage)
    if name == "softmax_loss":
        assert "divided by N − 1" in flag["causes"][0]["cause"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("softmax", "--scratch", "{}:raises"), "raised at step 1: OverflowError: too large (line"),
        (("softmax", "--scratch", "{}:none"), "has no 'none'"),
        (("softmax", "--scratch", "no.py:step"), "there is no file no.py"),
        (("softmax", "--rule", "adam", "--scratch", "{}:adam", "--resync"), "--resync: the rule of"),
        (("two-layer", "--scratch", "{}:softmax_loss"), "stands in for that of a linear model; two-layer is a network"),
        (("softmax", "--scratch", "{}:ends"), "is not understood as an update rule"),
        (("softmax", "--scratch", "{}:nothing"), "its value is None, not one number"),
        (("svm", "--scratch", "{}:vector"), "its value is an array of shape (20,), not one number"),
        (("svm", "--scratch", "{}:cut"), "the gradient of W has shape (108, 3), not (109, 3)"),
        (("two-layer", "--hidden", "5", "--scratch", "{}:Without"), "it has no dict of weights called params"),
        (("two-layer", "--hidden", "5", "--scratch", "{}:Other"), "its params are weights; the model has W1, b1"),
        (("two-layer", "--hidden", "5", "--scratch", "{}:Silent"), "must return the value and a dict of gradients"),
        (("softmax", "--scratch", "{}:Leaves"), "raised at step 1: SystemExit"),
        (("two-layer", "--hidden", "5", "--scratch", "{}:Short"), "it returns no gradient of b1"),
        (("two-layer", "--hidden", "5", "--scratch", "{}:Layers"), "Layers() raised TypeError"),
        (("two-layer", "--penalty", "l1", "--hidden", "5", "--scratch", "{}:TwoLayerNet"), "with an L2 penalty"),
    ],
)
def test_what_cannot_be_trained_is_said(
    arguments: tuple[str, ...], told: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, broken = written(tmp_path), written(tmp_path, stuck=0)
    given = [word.format(broken if "raises" in word else right) for word in arguments]
    with pytest.raises(SystemExit, match="2"):
        main(["train", *given, "--data", source, "--no-log", "--quiet", "--epochs", "2", "--batch-size", "20"])
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_what_it_prints_leaves_the_json_alone(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"{written(tmp_path)}:printing"
    with pytest.raises(SystemExit, match="0"):
        main(["train", "softmax", "--rule", "sgd", "--scratch", code, "--data", source, "--no-log", "--quiet",
              "--json", "-", "--epochs", "1", "--batch-size", "40"])  # fmt: skip
    told = capsys.readouterr()
    assert json.loads(told.out)["flagged"] is None
    assert "a line of its own" in told.err


def test_a_right_rule_of_another_convention_is_told_how_to_find_its_name(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(["train", "softmax", "--rule", "momentum", "--scratch", f"{written(tmp_path)}:printing", "--data", source,
              "--no-log", "--epochs", "1", "--batch-size", "40"])  # fmt: skip
    assert "which convention it follows: gradtwin check mine_1e+09_0.py:printing" in capsys.readouterr().out


def test_a_changed_file_is_not_gone_on_with(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from compare import session

    def dies(self: Any, record: Any, runs: Any) -> None:
        real(self, record, runs)
        if record.step == 3:
            raise KeyboardInterrupt

    real, path = session.Session.take, written(tmp_path)
    given = ["--data", source, "--runs", str(tmp_path / "runs"), "--quiet", "--batch-size", "20"]
    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "take", dies)
        with pytest.raises(SystemExit):
            main(["train", "softmax", "--scratch", f"{path}:softmax_loss", *given])
    (folder,) = (tmp_path / "runs").iterdir()
    path.write_text(path.read_text() + "\n")
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--resume", str(folder)])
    assert "has changed since; start a new training" in capsys.readouterr().err


def test_nothing_that_fits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text("def f(a, b, c, d, e):\n    return 1\n")
    with pytest.raises(Refusal, match="is not understood as an update rule"):
        own.taken(f"{tmp_path / 'odd.py'}:f")
