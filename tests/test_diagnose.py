"""A wrong gradient is named: each fault is planted in the softmax or hinge objective, and the first cause is read."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compare.check import check, generator
from compare.diagnose import ALIKE, COARSE, MOST, SURE, UNKNOWN, confident, foremost
from compare.factors import Sizes, recognise
from compare.pairs import select
from compare.records import Cause, Finding, Verdict
from compare.sides import standing_in
from scratch import linear

Change = Callable[..., Any]


def causes(
    change: Change,
    name: str = "softmax_objective",
    quantity: str = "dW",
    case: str = "typical",
    dtype: str = "float64",
) -> tuple[Cause, ...]:
    """What diagnose says of one quantity while change(params, X, y, value, grads, options) alters the right answer."""
    pair = next(p for p in select([name]) if p.name == name)
    asked = next(c for c in pair.cases(generator(0, pair.name)) if c.name == case)

    def objective(params: Any, X: Any, y: Any, **options: Any) -> Any:
        return change(params, X, y, *getattr(linear, name)(params, X, y, **options), options)

    with standing_in({"scratch.linear": SimpleNamespace(**{name: objective})}):
        return next(f.causes for f in check(pair, asked, dtype) if f.quantity == quantity)


def altering(f: Callable[[Any], Any]) -> Change:
    return lambda p, X, y, value, grads, options: (value, {**grads, "W": f(grads["W"])})


def asking(f: Callable[..., Any], name: str = "softmax_objective") -> Change:
    """The right objective of a wrong question."""
    return lambda p, X, y, value, grads, options: f(getattr(linear, name), p, X, y, options)


def changed(a: Any, where: Any, value: Any) -> Any:
    a = a.copy()
    a[where] = value
    return a


def summing(where: slice, share: float) -> Change:
    """The data term of some examples alone, and the penalty as it should be."""

    def change(f: Any, p: Any, X: Any, y: Any, o: Any) -> Any:
        part, (value, whole), (_, bare) = f(p, X[where], y[where])[1], f(p, X, y, **o), f(p, X, y)
        return value, {n: share * part[n] + whole[n] - bare[n] for n in part}

    return asking(change)


N = 48
NAMED: dict[str, Change] = {
    "not divided by N (factor 48": altering(lambda g: g * N),
    "with the wrong sign": altering(lambda g: -g),
    "doubled (factor 2)": altering(lambda g: 2 * g),
    "halved (factor ½)": altering(lambda g: g / 2),
    "divided by N − 1 (factor 48/47)": altering(lambda g: g * (N / (N - 1))),
    "divided by C (factor 1/10": altering(lambda g: g / 10),
    "missing": altering(lambda g: 0 * g),
    "regulariser missing": asking(lambda f, p, X, y, o: f(p, X, y, reg=0.0)),
    "regulariser halved": asking(lambda f, p, X, y, o: f(p, X, y, reg=o["reg"] / 2)),
    "regulariser doubled": asking(lambda f, p, X, y, o: f(p, X, y, reg=o["reg"] * 2)),
    "regulariser divided by N once too often": asking(lambda f, p, X, y, o: f(p, X, y, reg=o["reg"] / N)),
    "labels shifted by one class up": asking(lambda f, p, X, y, o: f(p, X, (y + 1) % 10, **o)),
    "channels in reversed order": asking(
        lambda f, p, X, y, o: f(p, X.reshape(len(X), -1, 3)[:, :, ::-1].reshape(X.shape), y, **o)
    ),
    "example 7 dropped, the mean over the others": asking(
        lambda f, p, X, y, o: f(p, np.delete(X, 7, axis=0), np.delete(y, 7), **o)
    ),
    "row (feature) 17 doubled": altering(lambda g: changed(g, 17, 2 * g[17])),
    "column (class) 3 missing": altering(lambda g: changed(g, (slice(None), 3), 0)),
    "entry [5, 2] wrong, the rest is right": altering(lambda g: changed(g, (5, 2), 1.0)),
    "rows 3, 41 wrong, the rest is right": altering(lambda g: changed(g, [3, 41], g[[4, 5]] + 1)),
    "rows 20 to 29 missing, the rest is right": altering(lambda g: changed(g, slice(20, 30), 0)),
    "row (feature) 7 scaled by 0.3, the rest is right": altering(lambda g: changed(g, 7, 0.3 * g[7])),
    "row (feature) 3 and 41 exchanged, the rest is right": altering(lambda g: changed(g, [3, 41], g[[41, 3]])),
    "examples 40 to 47 dropped, the mean still over all": summing(slice(40), 40 / 48),
    "gradient of example 47 alone, not the sum over the batch": summing(slice(47, 48), 1 / 48),
    "gradient of example 47 alone, not divided by N": summing(slice(47, 48), 1.0),
    "labels shifted by one class up; and not divided by N (factor 48: a sum, not a mean)": asking(
        lambda f, p, X, y, o: (lambda value, g: (value, {**g, "W": N * g["W"]}))(*f(p, X, (y + 1) % 10, **o))
    ),
    "scaled by 1.37": altering(lambda g: 1.37 * g),
    "rows in reversed order": altering(lambda g: g[::-1].copy()),
    "columns shifted by one": altering(lambda g: np.roll(g, 1, axis=1)),
    "transposed": altering(lambda g: g.T.copy()),
}


@pytest.mark.parametrize("cause", NAMED)
def test_the_first_cause_is_the_true_one(cause: str) -> None:
    first = causes(NAMED[cause])[0]
    assert first.cause.startswith(cause)
    assert first.unexplained < SURE


def test_a_mislabelled_example_is_named_with_both_labels() -> None:
    def mislabelled(f: Any, p: Any, X: Any, y: Any, o: Any) -> Any:
        return f(p, X, changed(y, 4, (y[4] + 3) % 10), **o)

    assert causes(asking(mislabelled))[0].cause.startswith("example 4 mislabelled")


def test_a_regulariser_on_the_bias_is_named_by_the_bias() -> None:
    first = causes(asking(lambda f, p, X, y, o: f(p, X, y, decay_bias=True, **o)), quantity="db")[0]
    assert first.cause == "regulariser applied on the bias"


@pytest.mark.parametrize(("cause", "added"), [("the answer of the call before", 0), ("added to the answer", 1)])
def test_an_answer_left_over_from_the_call_before_is_named(cause: str, added: int) -> None:
    last: list[Any] = []

    def stale(p: Any, X: Any, y: Any, value: Any, grads: Any, options: Any) -> Any:
        last.append(grads)
        old = last[max(len(last) - 2, 0)]
        return value, {n: old[n] + added * grads[n] for n in grads}

    assert causes(stale)[0].cause.startswith(cause)
    assert causes(stale)[0].cause.endswith(", in the gradient alone")


def test_the_hinge_at_its_margin_is_named_where_margins_are_met_exactly() -> None:
    def inclusive(p: Any, X: Any, y: Any, value: Any, grads: Any, options: Any) -> Any:
        s = X @ p["W"] + p["b"]
        hit = (s - s[np.arange(len(y)), y][:, None] + 1 >= 0).astype(float)
        hit[np.arange(len(y)), y] = 0
        hit[np.arange(len(y)), y] = -hit.sum(axis=1)
        return value, {**grads, "W": X.T @ hit / len(y) + 2 * options["reg"] * p["W"]}

    assert causes(inclusive, "svm_objective", case="at a kink")[0].cause == "≥ for > at the margin, in dW alone"


def test_what_no_cause_explains_is_unknown_and_says_so() -> None:
    noise = np.random.default_rng(0).normal(size=(60, 10))
    assert causes(altering(lambda g: g + noise)) == (Cause(UNKNOWN, 1.0),)


def test_a_cause_that_comes_close_is_told_after_unknown_with_what_it_leaves() -> None:
    found = causes(altering(lambda g: changed(2 * g, (slice(None, None, 2), 0), 2.02 * g[::2, 0])))
    assert found[0] == Cause(UNKNOWN, 1.0)
    assert found[1].cause.startswith("doubled")
    assert 0 < found[1].unexplained < 0.05
    assert confident(found) == []


def test_where_numbers_are_few_no_cause_is_read_out_of_them() -> None:
    def off(p: Any, X: Any, y: Any, value: Any, grads: Any, options: Any) -> Any:
        return value * np.float32(1 + 1e-4), grads

    assert causes(off, quantity="value", dtype="float32") == (Cause(COARSE, 1.0),)


def test_what_fits_more_causes_than_are_told_is_called_so() -> None:
    # of one example a missing gradient may be anything
    found = causes(altering(lambda g: 0 * g), "svm_objective", case="one example")
    bare = causes(asking(lambda f, p, X, y, o: nothing(f, p, X, y, o), "svm_objective"), "svm_objective", "db",
                  case="one example")  # fmt: skip
    assert found[0].cause == "missing"
    assert bare[0].cause.startswith(ALIKE.split("{}")[0])
    assert len(bare) == MOST


def nothing(f: Any, p: Any, X: Any, y: Any, o: Any) -> Any:
    value, grads = f(p, X, y, **o)
    return value, {n: 0 * g for n, g in grads.items()}


def test_a_cause_says_where_it_stops() -> None:
    alone = causes(lambda p, X, y, value, grads, o: (value, linear.softmax_objective(p, X, (y + 1) % 10, **o)[1]))
    assert alone[0].cause == "labels shifted by one class up, in the gradient alone"
    one = causes(lambda p, X, y, value, grads, o: (
        value, {**grads, "b": linear.softmax_objective(p, X, (y + 1) % 10, **o)[1]["b"]}), quantity="db")  # fmt: skip
    assert one[0].cause == "labels shifted by one class up, in db alone"


def test_at_most_three_causes_are_named() -> None:
    assert len(causes(altering(lambda g: 2 * g))) <= MOST


def told(*names: str, quantity: str = "dW", dtype: str = "float64", unexplained: float = 0.0) -> Finding:
    first = [Cause(n, 1.0 if n == UNKNOWN else unexplained) for n in names]
    return Finding("p", "f", "c", dtype, quantity, Verdict.DIFFER, causes=tuple(first))


def test_the_foremost_cause_explains_most_findings() -> None:
    found = foremost([told("A", "B"), told("B", "A"), told("A"), told(UNKNOWN)])
    assert found is not None
    assert ([c.cause for c in found.causes], found.explains, found.of) == (["A"], 3, 4)


def test_what_no_finding_tells_apart_is_told_together() -> None:
    found = foremost([told("A", "B"), told("B", "A")])
    assert found is not None
    assert [c.cause for c in found.causes] == ["A", "B"]


def test_gradients_are_heard_before_values_and_float64_before_float32_but_those_settle_a_tie() -> None:
    value, coarse = told("B", quantity="value"), told("C", dtype="float32")
    first = foremost([told("A"), value, value, coarse, coarse])
    tie = foremost([told("A", "B"), value])
    assert first is not None
    assert tie is not None
    assert [c.cause for c in first.causes] == ["A"]
    assert [c.cause for c in tie.causes] == ["B"]


def test_unknown_in_most_findings_is_unknown_and_a_factor_counts_as_one_cause_whatever_its_size() -> None:
    lost = foremost([told("A"), told(UNKNOWN), told(UNKNOWN)])
    same = foremost(
        [told("not divided by N (factor 48: a sum)"), told("not divided by N (factor 2: a sum)"), told("A")]
    )
    assert lost is not None
    assert same is not None
    assert lost.causes == (Cause(UNKNOWN, 1.0),)
    assert (same.explains, same.of) == (2, 3)


def test_without_a_cause_there_is_no_foremost() -> None:
    assert foremost([]) is None
    assert foremost([Finding("p", "f", "c", "float64", "dW", Verdict.DIFFER)]) is None


@pytest.mark.parametrize(
    ("factor", "word"),
    [
        (64.0, "a sum, not a mean"),
        (1 / 64, "divided by N once too often"),
        (64 / 63, "divided by N − 1"),
        (-2.0, "wrong sign"),
        (3.0, "as if 3 batches were added"),
    ],
)
def test_factors_are_recognised(factor: float, word: str) -> None:
    value, words = recognise(factor, Sizes(64, 10, batches=True))[0]
    assert value == pytest.approx(factor)
    assert word in words


def test_factors_near_each_other_are_all_tried() -> None:
    # with 10,000 examples a mean over one less differs by a ten-thousandth: the numbers decide, not a tolerance
    assert {v for v, _ in recognise(1.0, Sizes(10_000, 10))} == {1.0, 10_000 / 9_999, 9_999 / 10_000}


def test_a_factor_of_no_meaning_is_none() -> None:
    assert recognise(1.2345, Sizes(64, 10)) == []
    assert recognise(float("nan"), Sizes(64, 10)) == []
