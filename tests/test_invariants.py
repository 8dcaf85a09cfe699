"""What must hold of any classifier's loss: it holds, and each statement sees the fault that breaks it."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compare.check import generator
from compare.invariants import STATEMENTS, invariants
from compare.kinds import cast
from compare.pairs import select
from compare.records import Verdict
from compare.sides import standing_in
from scratch import linear, losses, two_layer

PAIRS = ("softmax", "hinge", "softmax_objective", "svm_objective", "two_layer", "fused_two_layer", "svm_fused")


def broken(name: str, by: Mapping[str, Any] | None = None, place: str = "scratch.losses") -> set[str]:
    """The statements about one pair that do not hold while other functions stand in."""
    pair = next(p for p in select([name]) if p.name == name)
    case = cast(next(iter(pair.cases(generator(0, pair.name)))), "float64")
    with standing_in({place: SimpleNamespace(**by)} if by else {}):
        found = list(invariants(pair, case, np.random.default_rng(1)))
    assert found
    return {f.quantity for f in found if f.verdict is not Verdict.AGREE}


@pytest.mark.parametrize("name", PAIRS)
def test_every_statement_holds_of_what_is_right(name: str) -> None:
    assert broken(name) == set()


def softmax_with(change: Any) -> dict[str, Any]:
    def softmax(scores: Any, y: Any) -> Any:
        return change(scores, y, *losses.softmax(scores, y))

    return {"softmax": softmax}


def objective_with(change: Any) -> dict[str, Any]:
    def softmax_objective(params: Any, X: Any, y: Any, **options: Any) -> Any:
        return change(params, X, y, *linear.softmax_objective(params, X, y, **options))

    return {"softmax_objective": softmax_objective}


def test_a_missing_label_term_leaves_rows_that_do_not_sum_to_zero() -> None:
    def change(s: Any, y: Any, value: Any, grads: Any) -> Any:
        return value, {"scores": grads["scores"] + np.eye(s.shape[1])[y] / len(y)}

    assert "rows sum to zero" in broken("softmax", softmax_with(change))


def test_a_score_that_enters_the_value_by_itself_breaks_shift_invariance() -> None:
    def change(s: Any, y: Any, value: Any, grads: Any) -> Any:
        return value + 1e-6 * s[0, 0], grads

    assert {"shift invariance", "order of examples"} <= broken("softmax", softmax_with(change))


def test_a_class_treated_apart_breaks_the_order_of_classes() -> None:
    def change(s: Any, y: Any, value: Any, grads: Any) -> Any:
        return value, {"scores": grads["scores"] * np.where(np.arange(s.shape[1]) == 2, 1.001, 1.0)}

    assert "order of classes" in broken("softmax", softmax_with(change))


def test_a_sum_in_place_of_the_mean_changes_with_a_doubled_batch_and_with_halves() -> None:
    def change(p: Any, X: Any, y: Any, value: Any, grads: Any) -> Any:
        return value * len(y), {n: g * len(y) for n, g in grads.items()}

    assert {"doubled batch", "mean of two halves"} <= broken(
        "softmax_objective", objective_with(change), "scratch.linear"
    )


def test_an_example_left_out_breaks_their_order() -> None:
    def softmax_objective(params: Any, X: Any, y: Any, **options: Any) -> Any:
        return linear.softmax_objective(params, X[1:], y[1:], **options)

    found = broken("softmax_objective", {"softmax_objective": softmax_objective}, "scratch.linear")
    assert "order of examples" in found


def test_the_wrong_sign_does_not_go_downhill() -> None:
    def change(p: Any, X: Any, y: Any, value: Any, grads: Any) -> Any:
        return value, {n: -g for n, g in grads.items()}

    assert broken("softmax_objective", objective_with(change), "scratch.linear") == {"a step downhill"}


def test_a_loss_that_counts_the_true_class_is_off_at_equal_scores() -> None:
    """C classes with margin 1 each, and not C - 1."""

    def hinge(scores: Any, y: Any, **options: Any) -> Any:
        value, grads = losses.hinge(scores, y, **options)
        return value + scores.dtype.type(1), grads

    assert broken("hinge", {"hinge": hinge}) == {"chance loss"}


def test_a_temperature_is_seen_by_nothing_but_the_slope_of_the_loss() -> None:
    """At equal scores a temperature changes nothing; the gradient, left as it was, promises more than is gained."""

    def softmax(scores: Any, y: Any) -> Any:
        return losses.softmax(scores / 100, y)[0], losses.softmax(scores, y)[1]

    assert broken("softmax", {"softmax": softmax}) == {"a step downhill"}


def test_a_network_whose_classes_stand_in_another_order_is_seen() -> None:
    def objective(params: Any, X: Any, y: Any, **options: Any) -> Any:
        value, grads = two_layer.objective(params, X, y, **options)
        return value, {**grads, "W2": np.roll(grads["W2"], 1, axis=1)}

    assert "order of classes" in broken("two_layer", {"objective": objective}, "scratch.two_layer")


def test_every_statement_has_a_fault_in_this_file_that_breaks_it() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert len(STATEMENTS) == 8
    assert [name for name in STATEMENTS if f'"{name}"' not in source] == []
