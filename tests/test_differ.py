"""Arrays and noise to verdicts, with figures one can check by hand; planted errors judged by measured noise."""

import re

import numpy as np
import pytest

from compare import check
from compare.differ import BOUND, difference, form_fault, judge, scales_like_rounding, unstable, worst_case
from compare.pairs import select
from compare.records import Noise, Verdict

ONE = Noise(2.0, np.full((2, 2), 0.5))  # a tensor's noise of 2, an entry's of ½


def judged(scratch, truth=np.zeros((2, 2)), noise=ONE, **more):  # noqa: B008 never written to
    found = difference("dW", np.asarray(scratch, float), truth, noise, **more)
    return found, judge(found)


def test_noise_units_are_those_of_the_tensor_or_of_the_worst_entry():
    found, verdict = judged([[0, 0], [1.5, 0]])
    assert (found.tensor_units, found.entry_units, found.noise_units) == (0.75, 3.0, 3.0)
    assert (found.entry, found.scratch, found.ref, found.allowed) == ((1, 0), 1.5, 0.0, BOUND / 2)
    assert verdict is Verdict.AGREE
    found, _ = judged([[2, 2], [2, 2]], noise=Noise(1.0, np.full((2, 2), 8.0)))
    assert (found.tensor_units, found.entry_units, found.noise_units) == (4.0, 0.25, 4.0)


def test_the_bound_itself_agrees_and_more_differs():
    assert judged([[0, BOUND / 2], [0, 0]])[1] is Verdict.AGREE
    assert judged([[0, BOUND / 2 * (1 + 1e-9)], [0, 0]])[1] is Verdict.DIFFER


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_entry_on_one_side_differs_and_is_named(bad):
    for scratch, truth in (
        ([[0, bad], [0, bad]], np.zeros((2, 2))),
        (np.zeros((2, 2)), np.array([[0, bad], [0, bad]])),
    ):
        found, verdict = judged(scratch, truth)
        assert verdict is Verdict.DIFFER
        assert found.entry == (0, 1)
        assert "2 such entries" in found.fault
        assert str(float(bad)) in found.fault


def test_infinities_of_opposite_sign_differ():
    assert judged([[np.inf, 0], [0, 0]], np.array([[-np.inf, 0], [0, 0]]))[1] is Verdict.DIFFER


def test_the_same_non_finite_entry_on_both_sides_leaves_the_others_to_judge():
    truth = np.array([[np.nan, np.inf], [0, 0]])
    assert judged([[np.nan, np.inf], [0, 0]], truth)[1] is Verdict.AGREE
    assert judged([[np.nan, np.inf], [9, 0]], truth)[1] is Verdict.DIFFER


def test_nothing_finite_is_inconclusive():
    assert judged(np.full((2, 2), np.nan), np.full((2, 2), np.nan))[1] is Verdict.INCONCLUSIVE


def test_a_residual_takes_the_place_of_the_difference():
    found, verdict = judged([[100, 0], [0, 0]], residual=np.zeros((2, 2)), kinks=3)
    assert (found.noise_units, found.kinks, verdict) == (0.0, 3, Verdict.AGREE)


@pytest.mark.parametrize(
    ("scratch", "words"),
    [
        (None, "missing"),
        (np.zeros((3, 2), np.float32), r"shape \(3, 2\) where ref has \(2, 3\)"),
        (np.zeros((2, 3)), "dtype float64 where ref has float32"),
        ([[1, 2], [3]], "not an array of numbers"),
        (7.0, r"shape \(\) where"),
    ],
)
def test_faults_of_form_are_told_before_any_number(scratch, words):
    assert re.search(words, form_fault(scratch, np.zeros((2, 3), np.float32)))


def test_no_fault_of_form():
    assert form_fault(np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)) == ""


def test_rounding_shrinks_with_the_precision_and_a_bug_does_not():
    error = np.array([1e-6, -2e-6])
    assert scales_like_rounding(error, error * 2.0**-29)
    assert scales_like_rounding(error, error * 0.9e3 * 2.0**-29)
    assert not scales_like_rounding(error, error * 1.1e3 * 2.0**-29)
    assert not scales_like_rounding(error, error)
    assert not scales_like_rounding(np.array([np.nan]), np.zeros(1))
    assert worst_case(100) == 1000


def test_an_error_that_vanishes_with_the_precision_is_not_rounding_either():
    error = np.array([1e-6, -2e-6])
    assert unstable(error, error * 2.0**-29)
    assert unstable(error, error * 1.1e-3 * 2.0**-29)
    assert not unstable(error, error * 0.9e-3 * 2.0**-29)
    assert not unstable(error, error)


@pytest.fixture(scope="module")
def measured():
    """Truth and noise of typical cases, and a correct float32 answer to each."""
    found = {}
    for name in ("softmax_objective", "svm_objective", "affine"):
        (pair,) = select([name])
        case = check.cast(next(iter(pair.cases(check.generator(0, name), None))), "float32")
        found[name] = check.measure(pair, case, "float32"), check.ask_scratch(pair, case).quantities()
    return found


WHERE = {
    "one entry": (slice(3, 4), slice(2, 3)),
    "one row": (slice(5, 6), slice(None)),
    "one column": (slice(None), slice(4, 5)),
    "all": (slice(None), slice(None)),
}


@pytest.mark.parametrize("name", ["softmax_objective", "svm_objective", "affine"])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("units", [10, 30, 1000])
def test_an_error_of_ten_noise_units_is_found_wherever_it_is(measured, name, where, units):
    """Random signs, and a relative error of 1: of an entry's noise units at one entry, of the tensor's elsewhere."""
    known, answer = measured[name]
    noise = known.finer()["dW"]
    rng = np.random.default_rng(units)
    for _ in range(20):
        wrong = answer["dW"].astype(np.float64)
        part = wrong[WHERE[where]]
        push = rng.choice([-1.0, 1.0], part.shape) * np.abs(part)
        if where == "one entry":
            push *= units * noise.entry[WHERE[where]] / np.abs(push)
        else:
            push *= units * noise.tensor / np.linalg.norm(push)
        part += push
        found = check.compared("dW", wrong, known)
        assert judge(found) is Verdict.DIFFER
        assert found.noise_units >= units - BOUND
        if where == "one entry":
            assert found.entry == (3, 2)
        elif where == "one row":
            assert found.entry[0] == 5
        elif where == "one column":
            assert found.entry[1] == 4
    assert judge(check.compared("dW", answer["dW"], known)) is Verdict.AGREE
