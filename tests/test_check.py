"""One case put to scratch and ref: every fault of form, imprecision apart from bugs, and what the findings say."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from compare import check
from compare.pairs import TABLE, select
from compare.records import Case, Verdict
from compare.report import exit_status
from compare.sides import side, standing_in
from scratch import linear, losses

PAIR = {p.name: p for p in TABLE}


def first_case(name):
    return next(iter(PAIR[name].cases(check.generator(0, name), None)))


@contextmanager
def softmax_is(function):
    with standing_in({"scratch.losses": SimpleNamespace(softmax=function)}):
        yield


def findings(function, dtype="float32"):
    with softmax_is(function):
        return list(check.check(PAIR["softmax"], first_case("softmax"), dtype))


def test_scratch_as_it_is_agrees_with_figures_in_every_field():
    found = findings(losses.softmax, "float64")
    assert [(f.quantity, f.verdict) for f in found] == [("value", Verdict.AGREE), ("dscores", Verdict.AGREE)]
    assert all(f.noise_units <= 5 and f.scratch == pytest.approx(f.ref, rel=1e-9) for f in found)
    assert found[0].numerical is None
    assert found[1].numerical == pytest.approx(found[1].ref, rel=1e-5)
    assert found[1].convention == PAIR["softmax"].convention


def no_gradient(scores, y):
    return losses.softmax(scores, y)[0], {}


def none_for_a_gradient(scores, y):
    return losses.softmax(scores, y)[0], {"scores": None}


def wrong_shape(scores, y):
    value, grads = losses.softmax(scores, y)
    return value, {"scores": grads["scores"].T}


def value_as_vector(scores, y):
    value, grads = losses.softmax(scores, y)
    return np.array([value]), grads


def losses_not_averaged(scores, y):
    value, grads = losses.softmax(scores, y)
    return np.full(len(y), value), grads


def always_float64(scores, y):
    return losses.softmax(scores.astype(np.float64), y)


def ragged(scores, y):
    return losses.softmax(scores, y)[0], {"scores": [[1.0], [1.0, 2.0]]}


def one_nan(scores, y):
    value, grads = losses.softmax(scores, y)
    grads["scores"][3, 2] = np.nan
    return value, grads


def infinite_value(scores, y):
    return scores.dtype.type(np.inf), losses.softmax(scores, y)[1]


def writes_to_its_input(scores, y):
    scores -= scores.max(axis=1, keepdims=True)
    return losses.softmax(scores, y)


FORM = {
    no_gradient: ("dscores", "missing: scratch returned no such gradient"),
    none_for_a_gradient: ("dscores", "missing"),
    wrong_shape: ("dscores", "shape (10, 64) where ref has (64, 10)"),
    value_as_vector: ("value", "shape (1,) where ref has ()"),
    losses_not_averaged: ("value", "shape (64,) where ref has ()"),
    ragged: ("dscores", "not an array of numbers"),
    one_nan: ("dscores", "nan where ref has"),
    infinite_value: ("value", "inf where ref has"),
    writes_to_its_input: ("value", "wrote to its input scores"),
}


@pytest.mark.parametrize("function", FORM)
@pytest.mark.parametrize("dtype", check.DTYPES)
def test_faults_of_form_differ_and_are_told(function, dtype):
    quantity, words = FORM[function]
    wrong = [f for f in findings(function, dtype) if f.verdict is not Verdict.AGREE]
    assert {f.verdict for f in wrong} == {Verdict.DIFFER}
    assert (wrong[0].quantity, words in wrong[0].message) == (quantity, True), wrong[0].message
    assert exit_status(wrong) == 1


def test_another_dtype_differs_in_float32_and_is_right_in_float64():
    found = findings(always_float64)
    assert [f.verdict for f in found] == [Verdict.DIFFER] * 2
    assert all("dtype float64 where ref has float32" in f.message for f in found)
    assert {f.verdict for f in findings(always_float64, "float64")} == {Verdict.AGREE}


def test_an_answer_that_changes_between_identical_calls_differs():
    calls = []

    def drifting(scores, y):
        calls.append(1)
        value, grads = losses.softmax(scores, y)
        return value, {"scores": grads["scores"] * scores.dtype.type(1 + 1e-6 * len(calls))}

    found = {f.quantity: f for f in findings(drifting)}
    assert found["dscores"].verdict is Verdict.DIFFER
    assert found["dscores"].message == "two identical calls gave two answers"
    assert found["value"].verdict is Verdict.AGREE


def test_an_answer_left_over_from_the_last_question_differs():
    memory = []

    def stale(scores, y):
        memory.append(losses.softmax(scores, y))
        return memory[-2] if len(memory) > 1 else memory[-1]

    assert Verdict.DIFFER in {f.verdict for f in findings(stale)}


@pytest.mark.parametrize("error", [ValueError("scores too warm"), ZeroDivisionError("by N"), KeyError("W")])
def test_what_it_raises_is_its_answer(error):
    def raising(scores, y):
        raise error

    (found,) = findings(raising)
    assert found.verdict is Verdict.CRASHED
    assert found.message == f"raised {type(error).__name__}: {error}"
    assert exit_status([found]) == 1


def test_one_precision_alone_may_raise_and_the_other_is_still_told():
    """A float32 answer that differs is asked again in float64 to tell imprecision from a bug: there it may raise."""

    def float32_only(scores, y):
        if scores.dtype != np.float32:
            raise TypeError("float32 only")
        value, grads = losses.softmax(scores, y)
        return value, {"scores": 2 * grads["scores"]}

    found = {f.quantity: f.verdict for f in findings(float32_only)}
    assert found == {"value": Verdict.AGREE, "dscores": Verdict.DIFFER}


def test_a_failing_row_says_which_entry_both_values_and_what_was_allowed():
    def wrong(scores, y):
        value, grads = losses.softmax(scores, y)
        grads["scores"][5, 3] += scores.dtype.type(1e-4)
        return value, grads

    found = {f.quantity: f for f in findings(wrong)}["dscores"]
    assert (found.verdict, found.entry) == (Verdict.DIFFER, (5, 3))
    assert found.scratch - found.ref == pytest.approx(1e-4, rel=1e-3)
    assert found.message.startswith("entry [5, 3]: scratch ")
    assert all(word in found.message for word in (", ref ", "off by 0.0001", "allowed "))


# verify: pairs, cases, refusals, invariants.


def test_verify_asks_everything_and_all_of_it_agrees():
    found = list(check.verify(select(["svm"]), None, seed=3))
    assert {f.verdict for f in found} == {Verdict.AGREE}
    assert {f.dtype for f in found} == {"float32", "float64"}
    cases = {f.case for f in found if f.pair == "hinge"}
    assert {"typical", "large scores", "tiny gradients", "one example", "two classes", "empty classes"} <= cases
    assert {"at a kink", "another margin", "invariants"} <= cases
    assert {f.quantity for f in found if f.case == "typical"} == {"value", "dscores", "dW", "db"}
    assert len([f for f in found if f.quantity == "refusal" and f.pair == "hinge"]) == 6


def test_a_pairs_findings_do_not_depend_on_its_company():
    alone = list(check.verify(select(["l1"]), None))
    together = [f for f in check.verify(select(["penalty"]), None) if f.pair == "l1"]
    assert alone == together
    assert alone != list(check.verify(select(["l1"]), None, seed=1))


def test_answering_instead_of_refusing_differs():
    def lenient(scores, y):
        return losses.softmax(np.atleast_2d(np.zeros((2, 3))), np.array([0, 2]))

    with softmax_is(lenient):
        found = list(check.refusals(PAIR["softmax"]))
    assert [(f.verdict, f.message) for f in found] == [(Verdict.DIFFER, "answered instead of refusing")] * 6

    def careless(scores, y):
        raise IndexError("index 3 is out of bounds")

    with softmax_is(careless):
        found = list(check.refusals(PAIR["softmax"]))
    assert {f.verdict for f in found} == {Verdict.DIFFER}
    assert found[0].message == "raised IndexError instead of ValueError: index 3 is out of bounds"


@pytest.mark.parametrize(("scale", "offset"), [(2.0, 0.0), (1e-3, 0.0), (1.0, 0.3)])
def test_the_same_question_to_wrong_start_weights_differs(scale, offset):
    def init(rng, D, C, **options):
        params = linear.init(rng, D, C, **options)
        return {"W": params["W"] * scale, "b": params["b"] + offset}

    with standing_in({"scratch.linear": SimpleNamespace(init=init)}):
        found = {f.case: f.verdict for f in check.verify([PAIR["linear_init"]], None)}
    assert found["start of W"] is (Verdict.AGREE if scale == 1 else Verdict.DIFFER)
    assert found["start of b"] is (Verdict.AGREE if offset == 0 else Verdict.DIFFER)


def test_the_ref_answers_from_the_same_inputs_untouched():
    case = first_case("hinge")
    before = {n: x.copy() for n, x in case.inputs.items()}
    list(check.check(PAIR["hinge"], case, "float64"))
    for name, x in before.items():
        assert np.array_equal(case.inputs[name], x)


def test_stand_ins_end_with_their_context_even_after_an_error():
    seen = []

    def stand_in_and_fail():
        with softmax_is(len):
            seen.append(side("scratch", "losses.softmax"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stand_in_and_fail()
    assert seen == [len]
    assert side("scratch", "losses.softmax") is losses.softmax


def test_nothing_visible_is_told():
    """With reg = 1e-12 the penalty moves nothing: agreement says nothing of it, and the finding says so."""
    case = first_case("softmax_objective")
    blind = Case(case.name, case.inputs, case.wrt, {"reg": 1e-12})
    found = list(check.check(PAIR["softmax_objective"], blind, "float32"))
    assert {f.verdict for f in found} == {Verdict.AGREE}
    assert any("cannot see the term reg = 1e-12" in f.message and "would be visible" in f.message for f in found)
