"""The selftest: every bug of the catalogue can be planted, is caught and named; and the selftest can itself fail."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare import cli, dose, selftest, trials, variants
from compare.check import DTYPES
from compare.pairs import TABLE
from compare.plants import Plant
from compare.records import Cause, Finding, Refusal, Verdict
from compare.sides import side
from compare.variants import Variant

SQUARES = "return reg * np.sum(W * W)"
HARMLESS = Plant("harmless", "penalties", "l2", ("missing",), ((SQUARES, SQUARES.replace("W * W", "W**2")),))
SLOW = {"fused_two_layer", "softmax_fused", "svm_fused", "two_layer", "softmax_objective", "svm_objective"}
Found = tuple[trials.Score, list[trials.Trial], list[trials.Clean]]


@pytest.fixture(scope="module")
def short() -> Found:
    """The short form: every bug once, at one scale."""
    tried: list[trials.Trial] = []
    answered: list[trials.Clean] = []
    for some, others in selftest.selftest(selftest.jobs((1.0,), short=True)):
        tried += some
        answered += others
    return trials.score(tried, answered), tried, answered


def test_the_catalogue_holds_more_than_sixty_bugs_in_every_place() -> None:
    names = {p.name for p in selftest.CATALOGUE}
    assert len(names) == len(selftest.CATALOGUE) >= 60
    modules = {p.module for p in selftest.CATALOGUE}
    assert modules == {"losses", "penalties", "layers", "norms", "linear", "two_layer", "numgrad", "numgrad_linear"}


def test_every_bug_still_fits_the_source_that_it_is_planted_in() -> None:
    """If this fails, scratch was changed: look the bug up in compare/bugs_*.py and quote the new source."""
    for plant in selftest.CATALOGUE:
        assert plant.modules()


@pytest.mark.parametrize(("old", "new"), [("no such text", ""), ("W", "V"), ("np.sum(W * W)", "np.sum(W * W)")])
def test_a_bug_that_fits_nowhere_or_twice_or_changes_nothing_is_refused(old: str, new: str) -> None:
    with pytest.raises(Refusal, match=r"once|changes nothing"):
        replace(HARMLESS, edits=((old, new),)).modules()


def test_every_bug_is_caught(short: Found) -> None:
    score, tried, _ = short
    assert len(tried) == len(selftest.CATALOGUE)
    assert score.survivors == ()
    assert score.caught == score.planted == len(tried)


def test_no_bug_is_caught_for_being_broken_code(short: Found) -> None:
    assert [t.bug for t in short[1] if t.crashed] == []


def test_nine_in_ten_are_named_and_none_falsely(short: Found) -> None:
    score, tried, _ = short
    assert score.named >= 0.9 * score.planted
    assert score.misnamed == ()
    # nor would single findings mislead: at most one in a hundred
    assert sum(t.misled for t in tried) <= 0.01 * sum(t.findings for t in tried)


def test_no_correct_implementation_is_called_wrong(short: Found) -> None:
    score, _, answered = short
    assert [c.told for c in answered if c.false_alarms] == []
    assert score.draws > 500
    assert score.passes


def test_the_usual_criteria_miss_some_and_accuse_some(short: Found) -> None:
    score, _, _ = short
    assert set(score.peers) == {"assert_close", "allclose", "JAX", "gradcheck", "CS231n"}
    assert all(peer.of == len(selftest.CATALOGUE) - 19 for peer in score.peers.values())
    assert score.peers["JAX"].caught < score.peers["assert_close"].caught < score.planted
    assert score.peers["allclose"].false_alarms > 0


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_a_rescaled_case_keeps_its_scores_and_the_share_of_its_penalty(scale: float) -> None:
    pair = next(p for p in TABLE if p.name == "softmax_objective")
    for case in pair.cases(np.random.default_rng(0)):
        if case.name in ("typical", "l1 penalty", "at a kink"):
            other = selftest.rescaled(pair, case, scale)
            value = [float(side("scratch", pair.at)({n: c.inputs[n] for n in "Wb"}, c.inputs["X"], c.inputs["y"],
                                                    **c.options)[0]) for c in (case, other)]  # fmt: skip
            assert value[1] == pytest.approx(value[0], rel=1e-12)
            assert other.inputs["X"].std() != pytest.approx(case.inputs["X"].std(), rel=0.5)


def a_trial(*causes: str, truth: str = "halved", unexplained: float = 0.0) -> trials.Trial:
    plant = replace(HARMLESS, truth=(truth,))
    told = tuple(Cause(c, unexplained) for c in causes)
    found = Finding("l2", "", "", "float64", "dW", Verdict.DIFFER, 1e9, causes=told)
    return trials.concluded(plant, 1.0, [(found, plant.truth)])


def test_named_is_the_true_cause_word_for_word_alone_and_first() -> None:
    assert a_trial("halved (factor ½)").named
    assert a_trial("data term halved (factor ½)").named
    for causes in (("halved, and with the wrong sign",), ("halved; and transposed",), ("halved", "transposed")):
        assert not a_trial(*causes).named
    assert not a_trial("unknown: no known cause explains it", "halved").named


def test_misnamed_is_a_false_cause_told_with_confidence() -> None:
    assert a_trial("transposed").misnamed
    assert a_trial("transposed").misled == 1
    assert not a_trial("transposed", unexplained=0.02).misnamed
    assert not a_trial("halved", "transposed").misnamed  # told together: this case cannot tell them apart
    assert not a_trial("row (feature) 3 wrong, the rest is right").misnamed  # where, not why
    assert not a_trial("scaled by 1.37").misnamed


def test_a_crash_is_caught_and_said_to_be_one() -> None:
    crash = Finding("l2", "", "", "float64", "value", Verdict.CRASHED)
    trial = trials.concluded(HARMLESS, 1.0, [(crash, HARMLESS.truth)])
    assert (trial.caught, trial.crashed, trial.named) == (True, True, False)


def run(capsys: Any, *arguments: str) -> tuple[int, Any]:
    with pytest.raises(SystemExit) as end:
        cli.main(["selftest", "--processes", "1", *arguments])
    return int(str(end.value.code)), capsys.readouterr()


@pytest.fixture
def l2_alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A catalogue of two bugs in one pair."""
    monkeypatch.setattr(selftest, "TABLE", tuple(p for p in TABLE if p.name == "l2"))
    two = tuple(p for p in selftest.CATALOGUE if p.name in ("l2: gradient uphill", "numgrad: one-sided"))
    monkeypatch.setattr(selftest, "CATALOGUE", two)
    return monkeypatch


def test_the_command_prints_bugs_criteria_and_score_and_writes_json(
    capsys: pytest.CaptureFixture[str], l2_alone: pytest.MonkeyPatch
) -> None:
    code, seen = run(capsys, "--scale", "1", "--scale", "100", "--json", "-")
    body = json.loads(seen.out)
    assert code == 0
    assert body["command"] == "selftest"
    assert (body["planted"], body["caught"], body["named"]) == (2, 2, 2)
    assert (body["survivors"], body["misnamed"], body["unnamed"], body["false_alarms"]) == ([], [], [], 0)
    assert body["draws"] > 50
    assert body["peers"]["JAX"]["of"] == 2  # the one bug that they look at, at two scales
    assert [at["scale"] for at in body["scales"]] == [1, 100]
    assert body["trials"][0]["causes"] == [{"cause": "with the wrong sign", "unexplained": 0}]
    assert {c["variant"] for c in body["clean"]} >= {"as written", "loop"}
    assert "l2: gradient uphill" in seen.err
    assert "with the wrong sign" in seen.err
    assert "the checker holds: 2 of 2 bugs caught and 2 named" in seen.err


def test_a_survivor_ends_with_status_1(capsys: pytest.CaptureFixture[str], l2_alone: pytest.MonkeyPatch) -> None:
    l2_alone.setattr(selftest, "CATALOGUE", (HARMLESS,))
    code, seen = run(capsys, "--short")
    assert code == 1
    assert "survived bug harmless" in seen.out
    assert "the checker fails: 0 of 1 bugs caught" in seen.out


def test_a_correct_variant_that_fails_ends_with_status_1(
    capsys: pytest.CaptureFixture[str], l2_alone: pytest.MonkeyPatch
) -> None:
    wrong = Variant("wrong", next(p for p in selftest.CATALOGUE if p.module == "penalties").modules())
    l2_alone.setattr(selftest.variants, "of", lambda pair: [wrong])
    code, seen = run(capsys, "--short")
    assert code == 1
    assert "false alarm l2, wrong, scale 1" in seen.out


def test_a_useless_scale_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, seen = run(capsys, "--scale", "0")
    assert code == 2
    assert "--scale 0" in seen.err


def test_calibrate_counts_false_alarms(capsys: pytest.CaptureFixture[str]) -> None:
    code, seen = run(capsys, "--calibrate", "--draws", "8", "--json", "-")
    body = json.loads(seen.out)
    assert code == 0
    assert (body["draws"], body["false_alarms"]) == (8, 0)
    assert len(body["rows"]) == 8
    assert "0 false alarms in 8 draws" in seen.err


def test_dose_draws_the_curve_counts_and_logs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    png, runs = tmp_path / "curve.png", tmp_path / "runs"
    asked = ("--dose", str(png), "--draws", "8", "--log", "--runs", str(runs), "--json", "-")
    code, seen = run(capsys, *asked)
    assert code == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    body = json.loads(seen.out)
    assert (body["draws"], body["missed"]) == (8, 0)
    assert {r["place"] for r in body["doses"]} == {"one entry", "one row", "one column", "all of W"}
    assert all(r["found"] == r["planted"] for r in body["doses"] if r["units"] >= 10)
    assert "0 missed of" in seen.err
    (folder,) = runs.iterdir()
    assert {p.name for p in folder.iterdir()} == {"curve", "one entry", "one row", "one column", "all of W"}


def test_dose_refuses_what_it_cannot_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, seen = run(capsys, "--dose", str(tmp_path / "no" / "curve.png"))
    assert code == 2
    assert "--dose" in seen.err
    assert run(capsys, "--dose", str(tmp_path / "curve.png"), "--calibrate")[0] == 2


def test_a_dose_that_is_missed_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missed = [
        dose.Dose(0, "affine", dtype, place, units, 1e-6, False, False, 1.0)
        for dtype in DTYPES for place in dose.PLACES for units in dose.UNITS
    ]  # fmt: skip
    monkeypatch.setattr(dose, "doses", lambda *asked: iter(missed))
    code, seen = run(capsys, "--dose", str(tmp_path / "curve.png"))
    assert code == 1
    assert "missed of" in seen.out


@pytest.mark.parametrize("pair", sorted({p.name for p in TABLE} - SLOW))
def test_no_correct_form_is_accused_in_any_case(pair: str) -> None:
    """The short form leaves cases out, and pairs without known bugs."""
    job = selftest.Job(pair, 1.0, (), clean=True, seed=0, short=False)
    trials, cleans = selftest.done(job)
    assert trials == []
    assert [c.variant for c in cleans] == [v.name for v in variants.of(next(p for p in TABLE if p.name == pair))]
    assert [c.told for c in cleans if c.told] == []
    assert all(c.judged > 0 for c in cleans)
