"""A term too small to be seen is named, with the size from which on it would be."""

from dataclasses import replace

import numpy as np
import pytest

from compare.check import check, generator, verify
from compare.pairs import select
from compare.records import Case, Finding, Pair, Verdict
from compare.visibility import without_terms


def typical(name: str) -> tuple[Pair, Case]:
    pair = next(p for p in select([name]) if p.name == name)
    return pair, next(c for c in pair.cases(generator(0, pair.name)) if c.name == "typical")


def asked(reg: float) -> dict[str, Finding]:
    pair, case = typical("softmax_objective")
    return {f.quantity: f for f in check(pair, replace(case, options={"reg": reg}), "float32")}


def test_a_tiny_regulariser_does_not_pass_silently() -> None:
    found = asked(1e-9)["dW"]
    assert found.verdict is Verdict.AGREE
    assert "cannot see the term reg = 1e-09" in found.message
    assert "would be visible" in found.message


def test_the_size_that_would_be_visible_is_visible() -> None:
    told = asked(1e-9)["dW"].message
    needed = float(told.split("reg from ")[1].split(" on")[0])
    assert 1e-9 < needed < 1e-4
    assert "cannot see" not in asked(1.2 * needed)["dW"].message


def test_a_quantity_that_does_not_depend_on_the_term_is_not_blamed() -> None:
    assert "reg" not in asked(1e-9)["db"].message  # biases are not penalised


@pytest.mark.parametrize("name", ["softmax_objective", "svm_objective", "two_layer", "hinge", "affine"])
def test_verify_picks_cases_that_see_every_term(name: str) -> None:
    pair, _ = typical(name)
    assert not [f for f in verify([pair], None, dtypes=["float32"]) if "no case sees it" in f.message]


def test_verify_says_when_no_case_sees_a_term() -> None:
    pair, case = typical("softmax_objective")
    blind = replace(pair, refuses=(), cases=lambda rng, batch=None: [replace(case, options={"reg": 1e-9})])
    told = [f for f in verify([blind], None, dtypes=["float32"]) if f.verdict is Verdict.INCONCLUSIVE]
    assert {f.quantity for f in told} == {"value", "dW"}
    assert all("no case sees it" in f.message for f in told)


def test_a_reg_that_large_images_drown_is_named_with_the_size_that_would_be_seen() -> None:
    """Raw pixels, 0 … 255, weights of 0.001 and reg = 5e-6: in float32 the penalty moves nothing."""
    rng = np.random.default_rng(0)
    inputs = {"W": 1e-3 * rng.normal(0, 1, (300, 10)), "b": np.zeros(10),
              "X": rng.integers(0, 256, (64, 300)).astype(float), "y": rng.integers(0, 10, 64)}  # fmt: skip
    pair, _ = typical("svm_objective")
    case = Case("raw pixels", inputs, ("W", "b"), {"reg": 5e-6})
    found = {f.quantity: f for f in check(pair, case, "float32")}
    assert found["dW"].verdict is Verdict.AGREE
    told = found["dW"].message
    assert "cannot see the term reg = 5e-06: it moves dW by" in told
    needed = float(told.split("reg from ")[1].split(" on")[0])
    again = {f.quantity: f for f in check(pair, replace(case, options={"reg": 1.2 * needed}), "float32")}
    assert "cannot see" not in again["dW"].message
    assert "cannot see" not in {f.quantity: f for f in check(pair, case, "float64")}["dW"].message


def test_every_bias_of_a_network_is_a_term() -> None:
    pair, case = typical("two_layer")
    assert [term for term, _, _ in without_terms(pair, case)] == ["reg", "bias b1", "bias b2", "data"]
    blind = {**case.inputs, "b1": np.zeros_like(case.inputs["b1"])}
    assert "bias b1" not in [term for term, _, _ in without_terms(pair, replace(case, inputs=blind))]
