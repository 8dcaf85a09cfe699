"""Seeded inputs: typical, extreme, at a kink, and real images. Floats are drawn in float64 and cast by the check.

Every term is made large enough to be seen: a penalty of 5e-6 would let its own absence pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compare.records import Case

if TYPE_CHECKING:
    from compare.records import Array


@dataclass(frozen=True)
class Batch:
    """Real images as a model sees them: X (N, D) float64 rows near unit scale, y (N,) labels, C classes."""

    X: Array
    y: Array
    C: int


def losses(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a loss of (scores, y)."""

    def case(name: str, scores: Array, y: Array, exact: bool = False) -> Case:
        return Case(name, {"scores": scores, "y": y}, ("scores",), exact=exact)

    N, C = 64, 10
    y = rng.integers(0, C, N)
    yield case("typical", rng.normal(0, 1.5, (N, C)), y)
    yield case("large scores", rng.choice([-1e4, -3e3, 0.0, 3e3, 1e4], (N, C)) + rng.normal(0, 2, (N, C)), y)
    confident = rng.normal(0, 1, (N, C))
    confident[np.arange(N), y] += rng.uniform(0, 30, N)
    yield case("tiny gradients", confident, y)
    yield case("one example", rng.normal(0, 1.5, (1, C)), y[:1])
    yield case("two classes", rng.normal(0, 1.5, (N, 2)), y % 2)
    yield case("empty classes", rng.normal(0, 1.5, (N, C)), np.where(y < 2, y, 7))
    yield case("at a kink", *_tied(rng.integers(-8, 9, (16, 4)) / 4, y[:16] % 4, rng), exact=True)
    if batch is not None:
        W = rng.normal(0, 1 / np.sqrt(batch.X.shape[1]), (batch.X.shape[1], batch.C))
        yield case("images", batch.X @ W, batch.y)


def hinge(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to the hinge loss: those to any loss, and one with another margin than 1."""
    yield from losses(rng, batch)
    scores, y = rng.integers(-8, 9, (16, 4)) / 4, rng.integers(0, 4, 16)
    yield Case("another margin", {"scores": scores, "y": y}, ("scores",), {"margin": 0.5}, exact=True)


def margins(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to the margins: where the kinks are."""
    scores, y = rng.normal(0, 1.5, (16, 10)), rng.integers(0, 10, 16)
    yield Case("typical", {"scores": scores, "y": y}, ())
    yield Case("large scores", {"scores": 1e4 * scores, "y": y}, ())
    yield Case("another margin", {"scores": scores, "y": y}, (), {"margin": 0.5})


def _tied(scores: Array, y: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Put about half of the wrong classes exactly one below the true class: margins of exactly 0."""
    rows = np.arange(len(y))
    true = scores[rows, y]
    tied = np.where(rng.random(scores.shape) < 0.5, true[:, None] - 1, scores)
    tied[rows, y] = true
    return tied, y


def penalties(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a penalty of (W, reg)."""

    def case(name: str, W: Array, reg: float, exact: bool = False) -> Case:
        return Case(name, {"W": W}, ("W",), {"reg": reg}, exact)

    W = rng.normal(0, 1, (60, 10))
    yield case("typical", W, 0.37)
    yield case("large scores", 1e4 * W, 0.37)
    yield case("tiny gradients", 1e-6 * W, 1e-3)
    yield case("one example", W[:1], 0.37)
    yield case("at a kink", rng.integers(-2, 3, (12, 4)) / 2, 0.25, exact=True)
    if batch is not None:
        yield case("images", batch.X.T @ np.eye(batch.C)[batch.y] / len(batch.y), 0.37)


def affine(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to the affine layer, with the gradient dout that arrives from above."""

    def case(name: str, X: Array, W: Array, b: Array, scale: float = 1.0, exact: bool = False) -> Case:
        dout = scale * rng.normal(0, 1, (len(X), W.shape[1]))
        inputs = {"X": X, "W": W, "b": b, "dout": np.round(4 * dout) / 4 if exact else dout}
        return Case(name, inputs, ("X", "W", "b"), exact=exact)

    X, W, b = rng.normal(0, 1, (32, 48)), rng.normal(0, 0.1, (48, 10)), rng.normal(0, 1, 10)
    yield case("typical", X, W, b)
    yield case("large scores", 1e2 * X, 1e2 * W, 1e4 * b)
    yield case("tiny gradients", X, W, b, scale=1e-9)
    yield case("one example", X[:1], W, b)
    yield case("at a kink", np.round(X), np.round(8 * W) / 4, np.round(b), exact=True)
    if batch is not None:
        D = batch.X.shape[1]
        yield case("images", batch.X, rng.normal(0, 1 / np.sqrt(D), (D, batch.C)), b[: batch.C])


def objectives(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a linear objective over {W, b}: every penalty, biases with and without."""

    def case(
        name: str, X: Array, y: Array, W: Array, b: Array, exact: bool = False, **options: float | str | bool
    ) -> Case:
        return Case(name, {"W": W, "b": b, "X": X, "y": y}, ("W", "b"), options, exact)

    N, D, C = 48, 60, 10
    X, y = rng.normal(0, 1, (N, D)), rng.integers(0, C, N)
    W, b = rng.normal(0, 0.2, (D, C)), rng.normal(0, 0.5, C)
    yield case("typical", X, y, W, b, reg=0.05)
    yield case("l1 penalty", X, y, W, b, reg=0.05, penalty="l1")
    yield case("elastic net", X, y, W, b, reg=0.05, penalty="elastic_net")
    yield case("bias decayed", X, y, W, b, reg=0.05, decay_bias=True)
    yield case("no penalty", X, y, W, b)
    yield case("large scores", 1e2 * X, y, 1e2 * W, 1e4 * b, reg=0.05)
    yield case("tiny gradients", 1e-2 * X, y, W, b, reg=1e-3)
    yield case("one example", X[:1], y[:1], W, b, reg=0.05)
    yield case("two classes", X, y % 2, W[:, :2], b[:2], reg=0.05)
    yield _tied_objective(rng)
    if batch is not None:
        D = batch.X.shape[1]
        W, b = rng.normal(0, 1 / np.sqrt(D), (D, batch.C)), rng.normal(0, 0.5, batch.C)
        yield case("images", batch.X, batch.y, W, b, reg=0.05)


def _tied_objective(rng: np.random.Generator) -> Case:
    """One feature an example reads its tied scores straight from W: every product and sum is exact."""
    N, C = 16, 4
    tied, y = _tied(rng.integers(-8, 9, (N, C)) / 4, rng.integers(0, C, N), rng)
    b = rng.integers(-4, 5, C) / 4
    inputs = {"W": tied - b, "b": b, "X": np.eye(N), "y": y}
    return Case("at a kink", inputs, ("W", "b"), {"reg": 0.25}, exact=True)


def scores(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a linear model's scores."""
    X, W, b = rng.normal(0, 1, (32, 48)), rng.normal(0, 0.1, (48, 10)), rng.normal(0, 1, 10)
    yield Case("typical", {"W": W, "b": b, "X": X}, ())
    yield Case("large scores", {"W": 1e2 * W, "b": 1e4 * b, "X": 1e2 * X}, ())
    yield Case("one example", {"W": W, "b": b, "X": X[:1]}, ())


def starts(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a linear model's start weights: the same generator must give the same on both sides."""
    seed = {"seed": np.array(rng.integers(2**31))}
    for param in ("W", "b"):
        yield Case(f"start of {param}", seed, (), {"D": 30, "C": 10, "param": param})
    yield Case("another scale", seed, (), {"D": 30, "C": 10, "scale": 0.25, "param": "W"})


def schedules(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a schedule: every step of a training of 100."""
    yield Case("typical", {"lr": np.array(0.1)}, (), {"steps": 100})
    yield Case("tiny gradients", {"lr": np.array(1e-7)}, (), {"steps": 7})


def rules(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to an optimizer: ten steps of given gradients, the learning rate changing half-way."""

    def case(name: str, scale: float, *shape: int, **options: float) -> Case:
        param, grads = rng.normal(0, 1, shape), scale * rng.normal(0, 1, (10, *shape))
        return Case(name, {"param": param, "grads": grads, "lr": np.repeat([0.1, 0.03], 5)}, (), options)

    yield case("typical", 1.0, 20, 10)
    yield case("weight decay", 1.0, 20, 10, weight_decay=0.1)
    yield case("large scores", 1e4, 20, 10)
    yield case("tiny gradients", 1e-9, 20, 10)
    yield case("one example", 1.0, 1)


def random_searches(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to random search: the lowest losses, and the weights that have the last of them."""
    yield from _searches(rng, {"tries": 12, "scale": 1.0}, start=0.0)


def local_searches(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to random local search, from weights that are far from the best."""
    yield from _searches(rng, {"tries": 12, "step": 0.5}, start=1.0)


def _searches(rng: np.random.Generator, options: Mapping[str, float], start: float) -> Iterator[Case]:
    """The hinge loss of a linear model, for a seed whose every comparison is far outside rounding.

    Where two tries lie within rounding of each other, both sides may rightly part for good.
    """
    N, D, C = 24, 20, 4
    inputs = {"W": start * rng.normal(0, 1, (D, C)), "b": np.zeros(C), "X": rng.normal(0, 1, (N, D)),
              "y": rng.integers(0, C, N)}  # fmt: skip
    seed = next(s for s in rng.integers(0, 2**31, 100) if _gap(inputs, int(s), options) > 1e-3)
    for found in ("losses", "W", "b"):
        yield Case(found, inputs | {"seed": np.array(seed)}, (), {**options, "found": found})


def _gap(inputs: Mapping[str, Array], seed: int, options: Mapping[str, float]) -> float:
    """The smallest distance of a try's hinge loss from the lowest before it, on the path of a search."""
    rng, rows = np.random.default_rng(seed), np.arange(len(inputs["y"]))
    walks, size = "step" in options, options.get("step") or options["scale"]
    W, b, best, gaps = inputs["W"], inputs["b"], math.inf, [math.inf]
    for k in range(int(options["tries"])):
        tried = W, b
        if k or not walks:
            tried = walks * W + rng.normal(0, size, W.shape), walks * b + rng.normal(0, size, b.shape)
        s = inputs["X"] @ tried[0] + tried[1]
        loss = float(np.maximum(0, s - s[rows, inputs["y"]][:, None] + 1).sum()) / len(rows) - 1
        gaps.append(abs(loss - best))
        if loss < best:
            best, (W, b) = loss, tried
    return min(gaps)
