"""Kinks within rounding: either side is accepted and counted, and nothing else is excused."""

from dataclasses import replace

import numpy as np
import pytest

from compare import check, kinks
from compare.differ import judge
from compare.kinds import ask_ref
from compare.pairs import select
from compare.records import Case, Verdict

(HINGE,) = select(["hinge"])
ULP = float(np.finfo(np.float32).eps)


def close_case(gap, exact=False):
    """Two examples of four classes; example 0's class 2 lies gap above its kink, all others far from theirs."""
    scores = np.array([[3.0, 0.5, 2.0, -1.0], [0.25, 1.5, 3.75, 1.0]])
    scores[0, 2] = 2.0 + gap
    return Case("close", {"scores": scores, "y": np.array([0, 1])}, ("scores",), exact=exact)


def hinge(scores, y, inclusive=None):
    """The loss in the scores' dtype; entries named in inclusive count as violated whatever their margin."""
    rows = np.arange(len(y))
    m = scores - scores[rows, y][:, None] + 1
    hit = m > 0
    for entry, value in (inclusive or {}).items():
        hit[entry] = value
    hit[rows, y] = False
    grad = hit.astype(scores.dtype)
    grad[rows, y] = -grad.sum(axis=1)
    return np.where(hit, m, 0).sum() / len(y), grad / scores.dtype.type(len(y))


@pytest.mark.parametrize("gap", [2 * ULP, -2 * ULP])
@pytest.mark.parametrize("side", [True, False])
def test_a_margin_within_rounding_may_lie_on_either_side(gap, side):
    case = check.cast(close_case(gap), "float32")
    known = check.measure(HINGE, case, "float32")
    assert [f.kink for f in known.flips] == [2]
    assert known.flips[0].distance == pytest.approx(gap, abs=ULP)
    value, grad = hinge(case.inputs["scores"], case.inputs["y"], {(0, 2): side})
    found = check.compared("dscores", grad, known)
    assert judge(found) is Verdict.AGREE
    assert found.kinks == int(side != (gap > 0))  # counted when the other side was taken
    assert judge(check.compared("value", np.asarray(value, np.float32), known)) is Verdict.AGREE


def test_a_kink_nearby_excuses_no_other_entry():
    case = check.cast(close_case(2 * ULP), "float32")
    known = check.measure(HINGE, case, "float32")
    for entry in ((0, 1), (1, 0), (1, 2)):
        now = hinge(case.inputs["scores"], case.inputs["y"])[1][entry] > 0
        _, grad = hinge(case.inputs["scores"], case.inputs["y"], {entry: not now})
        found = check.compared("dscores", grad, known)
        assert judge(found) is Verdict.DIFFER
        assert found.entry[0] == entry[0]
    _, grad = hinge(case.inputs["scores"], case.inputs["y"], {(0, 2): False})
    grad[0, 0] = -1  # the true class forgets half of the flip
    assert judge(check.compared("dscores", grad, known)) is Verdict.DIFFER


def test_a_margin_further_away_must_be_on_its_side():
    case = check.cast(close_case(1e-3), "float32")
    known = check.measure(HINGE, case, "float32")
    assert known.flips == []
    _, grad = hinge(case.inputs["scores"], case.inputs["y"], {(0, 2): False})
    assert judge(check.compared("dscores", grad, known)) is Verdict.DIFFER


def test_in_float64_the_same_gap_is_no_kink_within_rounding():
    case = check.cast(close_case(2 * ULP), "float64")
    assert check.measure(HINGE, case, "float64").flips == []


@pytest.mark.parametrize("dtype", check.DTYPES)
def test_at_an_exact_kink_the_convention_is_one_and_greater_or_equal_is_refused(dtype):
    case = check.cast(close_case(0.0, exact=True), dtype)
    known = check.measure(HINGE, case, dtype)
    assert known.flips == []
    _, grad = hinge(case.inputs["scores"], case.inputs["y"])
    assert judge(check.compared("dscores", grad, known)) is Verdict.AGREE
    _, grad = hinge(case.inputs["scores"], case.inputs["y"], {(0, 2): True})
    found = check.compared("dscores", grad, known)
    assert judge(found) is Verdict.DIFFER
    assert found.entry[0] == 0


def test_what_crossing_does_is_the_jump_of_the_gradient():
    case = check.cast(close_case(2 * ULP), "float32")
    truth = ask_ref(HINGE, kinks.widened(case))
    (flip,) = kinks.flips(HINGE.kinks, case, lambda c: ask_ref(HINGE, c), truth, np.random.default_rng(0))
    expected = np.zeros((2, 4))
    expected[0, [0, 2]] = 0.5, -0.5
    assert np.array_equal(flip.change["dscores"], expected)
    assert abs(flip.change["value"]) < 100 * ULP  # the value is continuous


def test_too_many_kinks_within_rounding_judge_nothing():
    scores = np.zeros((30, 4))
    scores[:, 0] = 1 + 2 * ULP
    case = Case("all close", {"scores": scores, "y": np.zeros(30, np.int64)}, ("scores",))
    found = list(check.check(HINGE, case, "float32"))
    assert [f.verdict for f in found] == [Verdict.INCONCLUSIVE] * 2
    assert "90 kinks lie within rounding" in found[0].message


def test_explain_takes_a_flip_whole_or_not_at_all():
    flip = kinks.Flip(0, 0.0, {"dW": np.array([1.0, -1.0])})
    residual, taken = kinks.explain(np.array([1.0, -1.0]), [flip], "dW")
    assert (residual.tolist(), taken) == ([0, 0], 1)
    residual, taken = kinks.explain(np.array([0.4, -0.4]), [flip], "dW")
    assert (residual.tolist(), taken) == ([0.4, -0.4], 0)
    residual, taken = kinks.explain(np.array([1.0, 1.0]), [flip], "dW")
    assert (residual.tolist(), taken) == ([1, 1], 0)
    assert kinks.explain(np.array([1.0, -1.0]), [flip], "db")[1] == 0


def test_a_pair_without_kinks_has_none():
    assert check.measure(replace(HINGE, kinks=None), check.cast(close_case(0.0), "float32"), "float32").flips == []
