"""The gradient of the gradient: known by hand, and a fault planted in it is seen."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compare.check import generator
from compare.kinds import cast
from compare.pairs import select
from compare.records import Finding, Verdict
from compare.second import second_order
from compare.sides import standing_in
from scratch import losses
from scratch.numgrad import gradient_along


def found(name: str) -> list[Finding]:
    pair = next(p for p in select([name]) if p.name == name)
    case = cast(next(iter(pair.cases(generator(0, pair.name)))), "float64")
    return list(second_order(pair, case, np.random.default_rng(0)))


def test_the_slope_of_a_cubic_gradient_is_known() -> None:
    x, v = np.array([1.0, -2.0, 3.0]), np.array([1.0, 1.0, -1.0])
    Hv, error = gradient_along(lambda x: x**3, x, v)  # H v = 3 x² v
    np.testing.assert_array_less(np.abs(Hv - [3.0, 12.0, -27.0]), error)
    assert error.max() < 1e-8


def test_a_jump_of_the_gradient_is_stepped_around() -> None:
    Hv, _ = gradient_along(np.sign, np.array([0.1, -3.0]), np.ones(2))
    np.testing.assert_array_equal(Hv, 0)


@pytest.mark.parametrize("name", ["softmax", "hinge", "l1", "softmax_objective", "svm_objective", "two_layer"])
def test_autograds_second_derivative_agrees(name: str) -> None:
    rows = found(name)
    assert rows
    assert [f.message for f in rows if f.verdict is not Verdict.AGREE] == []


def test_a_gradient_whose_slope_is_wrong_is_seen_even_where_the_gradient_is_right() -> None:
    (pair,) = (p for p in select(["softmax"]) if p.name == "softmax")
    here = next(iter(pair.cases(generator(0, pair.name)))).inputs["scores"]

    def softmax(scores: Any, y: Any) -> Any:  # right at this very point, and nowhere else
        value, grads = losses.softmax(scores, y)
        return value, {"scores": grads["scores"] + 1e-3 * (scores - here)}

    with standing_in({"scratch.losses": SimpleNamespace(softmax=softmax)}):
        (row,) = found("softmax")
    assert row.verdict is Verdict.DIFFER
    assert "autograd's second derivative" in row.message
