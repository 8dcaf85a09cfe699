"""A wrong gradient is named: each fault is planted in the softmax or hinge objective, and the first cause is read."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compare.check import check, generator
from compare.diagnose import SURE, UNKNOWN, recognise
from compare.pairs import select
from compare.records import Cause
from compare.sides import standing_in
from scratch import linear

Change = Callable[..., Any]


def causes(
    change: Change, name: str = "softmax_objective", quantity: str = "dW", case: str = "typical"
) -> tuple[Cause, ...]:
    """What diagnose says of one quantity while change(params, X, y, value, grads, options) alters the right answer."""
    pair = next(p for p in select([name]) if p.name == name)
    asked = next(c for c in pair.cases(generator(0, pair.name)) if c.name == case)

    def objective(params: Any, X: Any, y: Any, **options: Any) -> Any:
        return change(params, X, y, *getattr(linear, name)(params, X, y, **options), options)

    with standing_in({"scratch.linear": SimpleNamespace(**{name: objective})}):
        return next(f.causes for f in check(pair, asked, "float64") if f.quantity == quantity)


def altering(f: Callable[[Any], Any]) -> Change:
    return lambda p, X, y, value, grads, options: (value, {**grads, "W": f(grads["W"])})


def asking(f: Callable[..., Any], name: str = "softmax_objective") -> Change:
    """The right objective of a wrong question."""
    return lambda p, X, y, value, grads, options: f(getattr(linear, name), p, X, y, options)


def changed(a: Any, where: Any, value: Any) -> Any:
    a = a.copy()
    a[where] = value
    return a


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
    "entry [5, 2]": altering(lambda g: changed(g, (5, 2), 1.0)),
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


@pytest.mark.parametrize(("cause", "added"), [("stale: the answer to the call before", 0), ("added to the answer", 1)])
def test_an_answer_left_over_from_the_call_before_is_named(cause: str, added: int) -> None:
    last: list[Any] = []

    def stale(p: Any, X: Any, y: Any, value: Any, grads: Any, options: Any) -> Any:
        last.append(grads)
        old = last[max(len(last) - 2, 0)]
        return value, {n: old[n] + added * grads[n] for n in grads}

    assert causes(stale)[0].cause.startswith(cause)


def test_the_hinge_at_its_margin_is_named_where_margins_are_met_exactly() -> None:
    def inclusive(p: Any, X: Any, y: Any, value: Any, grads: Any, options: Any) -> Any:
        s = X @ p["W"] + p["b"]
        hit = (s - s[np.arange(len(y)), y][:, None] + 1 >= 0).astype(float)
        hit[np.arange(len(y)), y] = 0
        hit[np.arange(len(y)), y] = -hit.sum(axis=1)
        return value, {**grads, "W": X.T @ hit / len(y) + 2 * options["reg"] * p["W"]}

    assert causes(inclusive, "svm_objective", case="at a kink")[0].cause == "≥ for > at the margin"


def test_what_no_cause_explains_is_unknown_and_says_so() -> None:
    noise = np.random.default_rng(0).normal(size=(60, 10))
    first = causes(altering(lambda g: g + noise))[0]
    assert first == Cause(UNKNOWN, 1.0)


def test_at_most_three_causes_are_named() -> None:
    assert len(causes(altering(lambda g: 2 * g))) <= 3


@pytest.mark.parametrize(
    ("factor", "word"),
    [
        (64.0, "a sum, not a mean"),
        (1 / 64, "divided by N once too often"),
        (64 / 63, "divided by N − 1"),
        (-2.0, "wrong sign"),
    ],
)
def test_factors_are_recognised(factor: float, word: str) -> None:
    value, told = recognise(factor, 64, 10)
    assert value == factor
    assert word in told


def test_a_factor_of_no_meaning_is_told_as_it_is() -> None:
    assert recognise(1.2345, 64, 10) == (1.2345, "scaled by 1.2345")
