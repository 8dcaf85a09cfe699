import math
import types
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

from compare.check import verify
from compare.pairs import select
from compare.records import Verdict
from compare.sides import side, standing_in
from scratch import search
from scratch.arrays import Params


def squares(params: Params) -> float:
    """Sum of (p - 1)² over all entries: lowest, 0, where every entry is 1."""
    return float(sum(((p - 1) ** 2).sum() for p in params.values()))


def test_random_search_keeps_the_best_of_points_drawn_one_by_one() -> None:
    like = {"W": np.zeros((2, 3)), "b": np.zeros(3)}
    path = list(search.random_search(squares, like, np.random.default_rng(1), tries=50, scale=2.0))
    rng = np.random.default_rng(1)
    points = [{"W": 2 * rng.standard_normal((2, 3)), "b": 2 * rng.standard_normal(3)} for _ in range(50)]
    losses = [squares(p) for p in points]
    assert [best for best, _ in path] == np.minimum.accumulate(losses).tolist()
    best = points[int(np.argmin(losses))]
    assert all(np.array_equal(path[-1][1][name], best[name]) for name in like)
    assert min(losses) < losses[0]


def test_local_search_by_hand() -> None:
    """From 0 under (w − 1)²: a try is accepted exactly where it lies nearer to 1 than what was kept."""
    rng = np.random.default_rng(3)
    w, kept = 0.0, [0.0]
    for step in 0.2 * rng.standard_normal(29):
        w = w + step if abs(w + step - 1) < abs(w - 1) else w
        kept.append(w)
    path = list(search.local_search(squares, {"w": np.zeros(1)}, np.random.default_rng(3), tries=30, step=0.2))
    assert [float(params["w"][0]) for _, params in path] == kept
    assert [best for best, _ in path] == [(w - 1) ** 2 for w in kept]
    assert 2 < len(set(kept)) < 30
    assert path[0][0] == 1.0


def test_the_loss_is_asked_once_a_try_and_not_ahead_of_whoever_follows() -> None:
    asked = []

    def loss(params: Params) -> float:
        asked.append(params["w"])
        return squares(params)

    for find in (search.random_search, search.local_search):
        asked.clear()
        list(islice(find(loss, {"w": np.zeros(2)}, np.random.default_rng(0)), 7))
        assert len(asked) == 7


def test_nothing_is_changed_in_place_and_dtypes_stay() -> None:
    start = {"w": np.ones(3, np.float32)}
    for find in (search.random_search, search.local_search):
        path = list(find(squares, start, np.random.default_rng(0), tries=9))
        assert (start["w"] == 1).all()
        assert {params["w"].dtype for _, params in path} == {np.dtype(np.float32)}


def test_a_loss_that_is_no_number_is_never_kept() -> None:
    values = iter([math.nan, 5.0, math.nan, 4.0])
    path = list(search.local_search(lambda params: next(values), {"w": np.zeros(1)}, np.random.default_rng(0), tries=4))
    assert [best for best, _ in path] == [math.inf, 5.0, 5.0, 4.0]


def test_both_sides_try_the_same_points() -> None:
    import torch

    for name in ("random_search", "local_search"):
        mine = list(side("scratch", f"search.{name}")(squares, {"w": np.zeros(4)}, np.random.default_rng(5), tries=20))
        start = {"w": torch.zeros(4, dtype=torch.float64)}
        theirs = list(side("ref", f"search.{name}")(squares, start, np.random.default_rng(5), tries=20))
        assert mine[-1][0] == pytest.approx(theirs[-1][0], rel=1e-12)
        assert mine[-1][1]["w"] == pytest.approx(theirs[-1][1]["w"].numpy(), rel=1e-12)


def verdicts(names: list[str]) -> set[Verdict]:
    return {f.verdict for f in verify(select(names), None)}


def walks(accept: Callable[[float, float, float], bool], factor: float = 1.0) -> Callable[..., Iterator[Any]]:
    """A local search that moves where accept(value, best, last) says, by factor times the step."""

    def find(loss: Any, params: Params, rng: np.random.Generator, tries: int, step: float) -> Iterator[Any]:
        best, last, kept, trial = math.inf, math.inf, params, params
        for _ in range(tries):
            value = float(loss(trial))
            if accept(value, best, last):
                best, kept = value, trial
            last = value
            yield best, kept
            trial = {n: p + factor * step * rng.standard_normal(p.shape).astype(p.dtype) for n, p in kept.items()}

    return find


@pytest.mark.parametrize(
    ("accept", "factor", "right"),
    [
        (lambda value, best, last: value < best, 1.0, True),
        (lambda value, best, last: value < last, 1.0, False),  # lower than the last try, not than the best
        (lambda value, best, last: True, 1.0, False),
        (lambda value, best, last: value < best, 1.001, False),
        (lambda value, best, last: value < best, -1.0, False),
    ],
)
def test_verify_sees_a_search_that_walks_otherwise(
    accept: Callable[[float, float, float], bool], factor: float, right: bool
) -> None:
    planted = types.ModuleType("planted")
    vars(planted)["local_search"] = walks(accept, factor)
    with standing_in({"scratch.search": planted}):
        assert (verdicts(["local_search"]) == {Verdict.AGREE}) is right
    assert verdicts(["search"]) == {Verdict.AGREE}
