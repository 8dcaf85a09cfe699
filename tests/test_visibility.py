"""A term too small to be seen is named, with the size from which on it would be."""

from dataclasses import replace

import pytest

from compare.check import check, generator, verify
from compare.pairs import select
from compare.records import Case, Finding, Pair, Verdict


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


@pytest.mark.parametrize("name", ["softmax_objective", "svm_objective"])
def test_verify_picks_cases_that_see_every_term(name: str) -> None:
    pair, _ = typical(name)
    assert not [f for f in verify([pair], None, dtypes=["float32"]) if "no case sees it" in f.message]


def test_verify_says_when_no_case_sees_a_term() -> None:
    pair, case = typical("softmax_objective")
    blind = replace(pair, refuses=(), cases=lambda rng, batch=None: [replace(case, options={"reg": 1e-9})])
    told = [f for f in verify([blind], None, dtypes=["float32"]) if f.verdict is Verdict.INCONCLUSIVE]
    assert {f.quantity for f in told} == {"value", "dW"}
    assert all("no case sees it" in f.message for f in told)
