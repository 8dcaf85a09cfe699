"""Seeded inputs for the layers and for networks of them: typical, extreme, at a kink, and real images.

As in compare.cases, floats are drawn in float64 and cast by the check.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.records import Case

if TYPE_CHECKING:
    from compare.cases import Batch
    from compare.records import Array


def elementwise(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a layer of X alone, entry by entry or row by row."""

    def case(name: str, X: Array, scale: float = 1.0, exact: bool = False) -> Case:
        dout = scale * rng.normal(0, 1, X.shape)
        return Case(name, {"X": X, "dout": np.round(4 * dout) / 4 if exact else dout}, ("X",), exact=exact)

    X = rng.normal(0, 1.5, (24, 10))
    yield case("typical", X)
    yield case("large scores", rng.choice([-300.0, -30.0, 0.5, 30.0, 300.0], X.shape) + X)
    yield case("tiny gradients", 1e-6 * X, scale=1e-9)
    yield case("one example", X[:1])
    yield case("at a kink", np.round(X), exact=True)
    if batch is not None:
        yield case("images", batch.X @ rng.normal(0, 1 / np.sqrt(batch.X.shape[1]), (batch.X.shape[1], batch.C)))


def leaky(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Those of elementwise, and two slopes that no operation rounds: a quarter, and none."""
    yield from elementwise(rng, batch)
    inputs: dict[str, Array] = {n: np.round(rng.normal(0, 2, (12, 10))) for n in ("X", "dout")}
    for name, slope in (("at a kink, slope 1/4", 0.25), ("at a kink, slope 0", 0.0)):
        yield Case(name, inputs, ("X",), {"slope": slope}, exact=True)


def dropout(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to dropout: masks of several shares, all kept and nearly all dropped among them."""

    def case(name: str, X: Array, p: float = 0.5, scale: float = 1.0) -> Case:
        inputs: dict[str, Array] = {"X": X, "mask": rng.random(X.shape) >= p}
        inputs["dout"] = scale * rng.normal(0, 1, X.shape)
        return Case(name, inputs, ("X",), {"p": p})

    X = rng.normal(0, 1.5, (24, 10))
    yield case("typical", X)
    yield case("large scores", 1e4 * X, 0.2)
    yield case("tiny gradients", 1e-6 * X, scale=1e-9)
    yield case("one example", X[:1])
    yield case("nothing dropped", X, 0.0)
    yield case("nearly all dropped", X, 0.9)
    if batch is not None:
        yield case("images", batch.X)


def norms(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to batch_norm and layer_norm: (X, gamma, beta, dout)."""

    def case(name: str, X: Array, scale: float = 1.0, **options: float) -> Case:
        D = X.shape[1]
        inputs: dict[str, Array] = {"X": X, "gamma": rng.normal(1, 0.3, (D,)), "beta": rng.normal(0, 1, (D,))}
        inputs["dout"] = scale * rng.normal(0, 1, X.shape)
        return Case(name, inputs, ("X", "gamma", "beta"), options)

    X = rng.normal(0.5, 1.5, (24, 10))
    yield case("typical", X)
    yield case("large scores", 1e4 * X)
    yield case("tiny gradients", X, scale=1e-9)
    yield case("variance near eps", 1e-2 * X, eps=1e-4)
    yield case("two examples", X[:2])
    if batch is not None:
        yield case("images", batch.X[:, rng.choice(batch.X.shape[1], 64, replace=False)])


def norms_eval(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to batch_norm at test time: those of norms, with running statistics near the batch's own."""
    for asked in norms(rng, batch):
        X = asked.inputs["X"]
        running = np.stack([X.mean(axis=0), X.var(axis=0)]) * rng.uniform(0.8, 1.25, (2, X.shape[1]))
        dout = asked.inputs["dout"]
        inputs = {n: x for n, x in asked.inputs.items() if n != "dout"} | {"running": running, "dout": dout}
        yield Case(asked.name, inputs, asked.wrt, asked.options)


def running(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to the running statistics of batch_norm: (X, running)."""

    def case(name: str, X: Array, **options: float) -> Case:
        D = X.shape[1]
        before = np.stack([rng.normal(0, 1, D), rng.uniform(0.5, 2, D)])
        return Case(name, {"X": X, "running": before}, (), options)

    X = rng.normal(0.5, 1.5, (24, 10))
    yield case("typical", X)
    yield case("large scores", 1e4 * X, momentum=0.5)
    yield case("tiny gradients", 1e-6 * X)
    yield case("two examples", X[:2], momentum=1.0)
    if batch is not None:
        yield case("images", batch.X[:, ::7], momentum=0.3)


def networks(rng: np.random.Generator, batch: Batch | None = None) -> Iterator[Case]:
    """Questions to a network of affine layers with ReLUs between, over {W1, b1, …}: two layers, and three."""

    def case(name: str, X: Array, y: Array, widths: tuple[int, ...], scale: float = 1.0, **options: Any) -> Case:
        params = _weights(rng, (X.shape[1], *widths), scale)
        return Case(name, {**params, "X": X, "y": y}, tuple(params), options)

    N, D, H, C = 24, 30, 12, 5
    X, y = rng.normal(0, 1, (N, D)), rng.integers(0, C, N)
    yield case("typical", X, y, (H, C), reg=0.05)
    yield case("three layers", X, y, (H, 7, C), reg=0.05)
    yield case("l1 penalty", X, y, (H, C), reg=0.05, penalty="l1")
    yield case("bias decayed", X, y, (H, C), reg=0.05, decay_bias=True)
    yield case("no penalty", X, y, (H, C))
    yield case("large scores", 1e2 * X, y, (H, C), scale=10.0, reg=0.05)
    yield case("tiny gradients", 1e-2 * X, y, (H, C), reg=1e-3)
    yield case("one example", X[:1], y[:1], (H, C), reg=0.05)
    yield _at_kinks(rng)
    if batch is not None:
        yield case("images", batch.X[:32], batch.y[:32], (8, batch.C), reg=0.05)


def _weights(rng: np.random.Generator, widths: tuple[int, ...], scale: float = 1.0) -> dict[str, Array]:
    """W1, b1, W2, b2, …: normal, He's scale for the weights, and biases that can be seen."""
    params = {}
    for k, (n, m) in enumerate(pairwise(widths), start=1):
        params[f"W{k}"] = rng.normal(0, scale * np.sqrt(2 / n), (n, m))
        params[f"b{k}"] = rng.normal(0, 0.3 * scale, m)
    return params


def _at_kinks(rng: np.random.Generator) -> Case:
    """One input of each hidden unit is exactly 0, and the scores lie so far apart that softmax does not round.

    One feature an example: each weight moves one input of one unit. Where a weight moves two kinks at once, no
    convention holds: relu(t) - relu(-t) is t, of slope 1, and autograd says 0.
    """
    N, H, C = 16, 8, 2
    b1, W2 = rng.integers(-1, 2, H), 2048.0 * rng.integers(-2, 3, (H, C))
    before = rng.choice([-2, -1, 1, 2, 3], (N, H))
    before[rng.integers(0, N, H), np.arange(H)] = 0
    params = {"W1": (before - b1).astype(float), "b1": b1.astype(float), "W2": W2, "b2": np.array([0.0, 1024.0])}
    return Case("at a kink", {**params, "X": np.eye(N), "y": rng.integers(0, C, N)}, tuple(params), {"reg": 0.25}, True)
