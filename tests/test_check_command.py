"""gradtwin check, from the command line to its findings."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from compare import checkup
from compare.adapters import Adapter, Described, described, suggested
from compare.calls import Wish
from compare.cli import main
from compare.kinds import ask_ref, ask_scratch
from compare.pairs import TABLE
from compare.plugin import executed
from compare.records import Finding, Verdict
from compare.sides import standing_in
from compare.user import User


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "mine.py"
    path.write_bytes(Path(__file__).with_name("user_functions.py").read_bytes())
    return path


@pytest.fixture
def check(file: Path, capsys: pytest.CaptureFixture[str]):
    """Run the command on one name of the file; gives the status, the JSON, and what else was told."""

    def run(name: str, *arguments: str):
        with pytest.raises(SystemExit) as ended:
            main(["check", name if ":" in name else f"{file}:{name}", "--data", "synthetic", "--json", "-", *arguments])
        told = capsys.readouterr()
        return ended.value.code, json.loads(told.out) if told.out else None, told.err

    return run


@pytest.fixture
def asked(file: Path):
    """What a function of the file answers to a pair's questions, asked in this very process."""

    def ask(name: str, pair: str, dtypes: Sequence[str] = ("float64",)) -> list[Finding]:
        return list(checkup.function(User(f"{file}:{name}", executed(file)), pair, None, 0, dtypes))

    return ask


def wrong(findings: Sequence[Finding]) -> list[Finding]:
    return [f for f in findings if f.verdict not in (Verdict.AGREE, Verdict.SKIPPED)]


def test_a_rule_is_told_with_its_convention_and_held_against_the_ref(check) -> None:
    status, result, told = check("adam")
    assert status == 0
    assert (result["command"], result["form"], result["found"]) == ("check", "config", True)
    convention = result["convention"]
    assert (convention["name"], convention["torch"]) == ("Adam", None)
    assert convention["hyperparameters"]["eps"] == 1e-7
    assert convention["note"].startswith("ε comes before the bias correction")
    assert "in torch          inexpressible in torch.optim: ε comes before" in told
    assert {f["quantity"] for f in result["findings"]} == {"path", "value"}
    assert {f["dtype"] for f in result["findings"]} == {"float32", "float64"}
    assert result["summary"]["agree"] == len(result["findings"]) == 16


def test_a_rule_is_held_against_a_named_one(file: Path) -> None:
    user = User(f"{file}:adam", executed(file))  # ε is 1e-7, before the correction
    options = {"eps": 1e-7, "convention": "keras"}
    assert wrong(list(checkup.held(user, Wish({}), "adam", options, 0, ("float32", "float64")))) == []
    found = wrong(list(checkup.held(user, Wish({}), "adam", {}, 0, ("float64",))))
    assert {f.verdict for f in found} == {Verdict.DIFFER}
    assert "tiny gradients" in {f.case for f in found}


def test_an_unknown_rule_names_the_step_and_what_would_explain_it(check) -> None:
    status, result, told = check("reset")
    assert (status, result["found"]) == (1, False)
    first = next(f for f in result["findings"] if f["causes"])
    assert first["entry"][0] == 7
    assert first["causes"][0]["cause"] == "step 7 is as if the state were new"
    assert "parts at step 7 of 12" in told
    assert "convention: unknown; the closest is momentum" in told


def test_a_rule_that_mixes_entries_is_told_so(check) -> None:
    status, result, told = check("norm_clipped")
    assert (status, result["mixes"]) == (1, True)
    assert "moves entries other than its own" in told


def test_a_rule_that_raises_names_step_and_line(check) -> None:
    status, result, _ = check("fails_late")
    assert (status, result["convention"], result["summary"]["crashed"]) == (1, None, 1)
    assert "raised at step 4 of 12: line " in result["findings"][0]["message"]


def test_a_rule_that_loops_is_a_finding(check) -> None:
    status, result, _ = check("loops", "--timeout", "1")
    assert (status, result["summary"]["crashed"]) == (1, 1)
    assert result["findings"][0]["message"] == "it took longer than 1 s and was ended"


# --- losses, objectives and layers ---

AGREE = {"softmax_loss": "softmax", "two_layer": "two_layer", "l2": "l2", "affine_backward": "affine",
         "margins": "margins", "softmax_three": "softmax_objective"}  # fmt: skip


@pytest.mark.parametrize(("name", "pair"), AGREE.items())
def test_a_right_function_agrees(asked, name: str, pair: str) -> None:
    findings = asked(name, pair)
    assert [f.message for f in wrong(findings)] == []
    assert sum(f.verdict is Verdict.AGREE for f in findings) > 1
    assert {f.function.rpartition(":")[2] for f in findings} == {name}


def test_the_courses_dict_of_settings_is_understood(file: Path) -> None:
    user, pair = User(f"{file}:batchnorm", executed(file)), next(p for p in TABLE if p.name == "batch_norm")
    adapter = Adapter(user, pair, Described(*described(user)))
    case = next(c for c in adapter.asked().cases(np.random.default_rng(0)) if c.options)  # another eps
    with standing_in(adapter.modules()):
        mine = ask_scratch(pair, case).quantities()
    for quantity, truth in ask_ref(pair, case).quantities().items():
        assert mine[quantity] == pytest.approx(truth, rel=1e-9, abs=1e-12)


def test_a_function_is_checked_from_the_command_line_with_what_could_not_be_asked(check) -> None:
    status, result, told = check("svm_loss_vectorized")
    assert status == 0
    assert {f["pair"] for f in result["findings"]} == {"svm_objective"}  # by its name and arguments
    assert {f["quantity"] for f in result["findings"]} >= {"value", "dW", "db"}  # the bias is the last row of W
    skipped = [(f["case"], f["message"]) for f in result["findings"] if f["verdict"] == "skipped"]
    assert skipped == [
        ("l1 penalty", "not asked: svm_loss_vectorized takes no penalty"),
        ("elastic net", "not asked: svm_loss_vectorized takes no penalty"),
        ("all", "float32 comes in, float64 comes out"),
    ]
    assert result["summary"]["agree"] == len(result["findings"]) - 3 > 50
    assert "synthetic shapes" in told.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "pair", "quantity", "cause"),
    [
        ("softmax_loss_unmeaned", "softmax", "dscores", "not divided by N"),
        ("svm_loss_halved", "svm_objective", "dW", "regulariser"),
        ("relu", "relu", "dX", ""),
    ],
)
def test_a_wrong_function_differs_and_is_told_why(asked, name: str, pair: str, quantity: str, cause: str) -> None:
    found = [f for f in wrong(asked(name, pair)) if f.quantity == quantity]
    assert found
    assert {f.verdict for f in found} == {Verdict.DIFFER}
    assert any(cause in c.cause for f in found for c in f.causes)
    assert not any("scratch" in f.message for f in found)


def test_a_function_that_writes_to_its_input_is_told(asked) -> None:
    assert any("wrote to its input scores" in f.message for f in wrong(asked("writes_loss", "softmax")))


def test_a_function_without_a_value_is_told(asked) -> None:
    found = wrong(asked("softmax_grad_only", "softmax"))
    assert {f.verdict for f in found} == {Verdict.CRASHED}
    assert "it must return the value and the gradient" in found[0].message


def test_a_loop_and_a_crash_are_findings(check) -> None:
    status, result, _ = check("stuck_loss", "--as", "softmax", "--dtype", "float64", "--timeout", "1")
    bad = [(f["case"], f["message"]) for f in result["findings"] if f["verdict"] == "crashed"]
    assert status == 1
    assert bad == [
        ("one example", "raised TimeoutError: it took longer than 1 s"),
        ("the process", "its process ended: killed by SIGSEGV; nothing more was asked, after one example"),
    ]
    assert result["summary"]["agree"] > 5


def test_the_pair_is_suggested_by_name_and_arguments() -> None:
    known = {p.name: p for p in TABLE}

    def pair(name: str, *arguments: str) -> str:
        return suggested(Described(name, {name: dict.fromkeys(arguments, False)}), known)

    assert pair("softmax_loss", "x", "y") == "softmax"
    assert pair("my_cross_entropy_v2", "x", "y") == "softmax"
    assert pair("svm_loss", "x", "y", "delta") == "hinge"
    assert pair("svm_loss_vectorized", "W", "X", "y", "reg") == "svm_objective"
    assert pair("softmax_loss_naive", "W", "X", "y", "reg") == "softmax_objective"
    assert pair("l2_penalty", "W", "reg") == "l2"
    assert pair("sgd_l2", "w", "dw", "config") == ""
    assert pair("softmax_step", "params", "grads", "lr") == ""
    assert pair("adam", "w", "g", "lr") == ""
    layers = {"fc": "affine", "softmax": "softmax_layer", "batchnorm": "batch_norm", "adam": ""}
    for name, found in layers.items():
        told = Described(name, {f"{name}_forward": {"x": False}, f"{name}_backward": {"dout": False, "cache": False}})
        assert suggested(told, known) == found


# --- what is refused ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["adma"], "has no 'adma': did you mean adam?"),
        (["nowhere.py:adam"], "there is no file nowhere.py"),
        (["adam", "--as", "adm"], "did you mean adam?"),
        (["adam", "--as", "rule"], "is a family; name one pair of it"),
        (["adam", "--as", "linear_init"], "a pair of kind init is not checked"),
        (["softmax_loss", "--as", "relu"], "a layer needs softmax_loss_forward and softmax_loss_backward"),
        (["softmax_loss", "--set", "a=1"], "--set, --form and --rate are for update rules"),
        (["adam", "--set", "momentum"], "expected NAME=VALUE"),
        (["with_mu"], "argument mu has no default: give it a value, --set mu=…"),
        (["with_mu", "--set", "mu=0.9", "--set", "nu=2"], "--set nu: the code has no such argument"),
        (["no_rate"], "no_rate(w, g) has no learning rate (learning_rate, lr, eta, or --rate NAME)"),
        (["nothing"], "it returns float64"),
        (["leaves"], "it calls sys.exit"),
        (["made", "--as", "softmax"], "takes no argument, and so cannot be held against softmax"),
        (["adam", "--form", "torch"], "adam(w, dw, config=None) has not the form torch"),
        (["adam", "--form", "tensor"], "--form tensor: there are config, state"),
    ],
)
def test_bad_input_is_refused_in_one_line(check, arguments: list[str], told: str) -> None:
    status, result, error = check(*arguments)
    assert (status, result) == (2, None)
    assert told in error
    assert len(error.strip().splitlines()) == 1
