"""Random questions to every kind of pair, over sizes, scales and kinds of entries: what the calibration asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import cases
from compare.records import Case, Pair

if TYPE_CHECKING:
    from compare.records import Array

WIDE = 3072  # features of a 32×32 colour image
PENALTIES = ("l2", "l1", "elastic_net")


def draw(pair: Pair, rng: np.random.Generator) -> Case:
    """One question to a pair, its floats in float64; of a kind that no one draws for, one of verify's own."""
    make = BY_NAME.get(pair.name) or BY_KIND.get(pair.kind)
    return make(rng) if make else rng.choice(np.array(list(pair.cases(rng)), dtype=object))


def _size(rng: np.random.Generator, most: int, least: int = 1) -> int:
    return round(float(np.exp(rng.uniform(np.log(least), np.log(most)))))


def _scale(rng: np.random.Generator, decades: float = 3.0) -> float:
    return float(10 ** rng.uniform(-decades, decades))


def _values(rng: np.random.Generator, *shape: int) -> Array:
    """Entries as data have them: normal, or whole numbers (pixels: roundings repeat), or skewed with a large mean."""
    kind = rng.integers(4)
    if kind == 0:
        return np.asarray(rng.integers(0, 256, shape) / 64 - 2)
    if kind == 1:
        return np.asarray(rng.normal(3, 1, shape))
    if kind == 2:
        return np.asarray(rng.normal(0, 1, shape) ** 3)
    return np.asarray(rng.normal(0, 1, shape))


def _loss(rng: np.random.Generator) -> Case:
    N, C = _size(rng, 256), int(rng.integers(2, 13))
    return Case("draw", {"scores": _scale(rng) * _values(rng, N, C), "y": rng.integers(0, C, N)}, ("scores",))


def _margins(rng: np.random.Generator) -> Case:
    case = _loss(rng)
    return Case("draw", case.inputs, (), {"margin": float(rng.choice([1.0, _scale(rng)]))})


def _penalty(rng: np.random.Generator) -> Case:
    D, C = _size(rng, 400), int(rng.integers(1, 13))
    return Case("draw", {"W": _scale(rng) * _values(rng, D, C)}, ("W",), {"reg": _scale(rng)})


def _shape(rng: np.random.Generator) -> tuple[int, int, int]:
    D = WIDE if rng.random() < 0.01 else _size(rng, 400)
    return _size(rng, 64 if D == WIDE else 256), D, int(rng.integers(2, 13))


def _affine(rng: np.random.Generator) -> Case:
    N, D, C = _shape(rng)
    inputs = {"X": _scale(rng) * _values(rng, N, D), "W": _scale(rng) * _values(rng, D, C),
              "b": _scale(rng) * _values(rng, C), "dout": _scale(rng) * _values(rng, N, C)}  # fmt: skip
    return Case("draw", inputs, ("X", "W", "b"))


def _elementwise(rng: np.random.Generator) -> Case:
    N, C = _size(rng, 256), int(rng.integers(1, 13))
    return Case("draw", {n: _scale(rng) * _values(rng, N, C) for n in ("X", "dout")}, ("X",))


def _leaky(rng: np.random.Generator) -> Case:
    case = _elementwise(rng)
    return Case("draw", case.inputs, case.wrt, {"slope": float(rng.uniform(0, 1))})


def _dropout(rng: np.random.Generator) -> Case:
    case, p = _elementwise(rng), float(rng.choice([0.0, rng.uniform(0, 0.95)]))
    inputs = {"X": case.inputs["X"], "mask": rng.random(case.inputs["X"].shape) >= p, "dout": case.inputs["dout"]}
    return Case("draw", inputs, ("X",), {"p": p})


def _norm(rng: np.random.Generator) -> Case:
    N, D = _size(rng, 256, 2), _size(rng, 100, 2)
    inputs = {"X": _scale(rng) * _values(rng, N, D) + float(rng.choice([0.0, _scale(rng, 1)])),
              "gamma": _values(rng, D), "beta": _scale(rng) * _values(rng, D),
              "dout": _scale(rng) * _values(rng, N, D)}  # fmt: skip
    return Case("draw", inputs, ("X", "gamma", "beta"), {"eps": float(10 ** rng.uniform(-8, -2))})


def _norm_eval(rng: np.random.Generator) -> Case:
    case = _norm(rng)
    X = case.inputs["X"]
    running = np.stack([X.mean(axis=0), X.var(axis=0)]) * rng.uniform(0.5, 2, (2, X.shape[1]))
    inputs = {**{n: case.inputs[n] for n in ("X", "gamma", "beta")}, "running": running, "dout": case.inputs["dout"]}
    return Case("draw", inputs, case.wrt, case.options)


def _running(rng: np.random.Generator) -> Case:
    X = _norm(rng).inputs["X"]
    before = np.stack([_values(rng, X.shape[1]), rng.uniform(0.5, 2, X.shape[1])])
    return Case("draw", {"X": X, "running": before}, (), {"momentum": float(rng.choice([0.1, rng.uniform(0, 1)]))})


def _penalised(rng: np.random.Generator) -> dict[str, Any]:
    return {"reg": float(rng.choice([0.0, _scale(rng)])), "penalty": str(rng.choice(PENALTIES)),
            "decay_bias": bool(rng.integers(2))}  # fmt: skip


def _objective(rng: np.random.Generator) -> Case:
    N, D, C = _shape(rng)
    inputs = {"W": _scale(rng) * _values(rng, D, C), "b": _scale(rng) * _values(rng, C),
              "X": _scale(rng) * _values(rng, N, D), "y": rng.integers(0, C, N)}  # fmt: skip
    return Case("draw", inputs, ("W", "b"), _penalised(rng))


def _network(rng: np.random.Generator) -> Case:
    """Two layers, sometimes three: weights of He's size times up to ten either way."""
    N, D, C = _size(rng, 64), _size(rng, 200), int(rng.integers(2, 11))
    widths = [D, *(_size(rng, 40) for _ in range(1 + (rng.random() < 0.2))), C]
    params: dict[str, Array] = {}
    for k, (n, m) in enumerate(pairwise(widths), start=1):
        params[f"W{k}"] = _scale(rng, 1) * np.sqrt(2 / n) * _values(rng, n, m)
        params[f"b{k}"] = _scale(rng, 1) * _values(rng, m)
    X = _scale(rng, 2) * _values(rng, N, D)
    return Case("draw", {**params, "X": X, "y": rng.integers(0, C, N)}, tuple(params), _penalised(rng))


def _scores(rng: np.random.Generator) -> Case:
    case = _affine(rng)
    return Case("draw", {n: case.inputs[n] for n in ("W", "b", "X")}, ())


def _init(rng: np.random.Generator) -> Case:
    options = {"D": _size(rng, 200), "C": int(rng.integers(1, 13)), "scale": _scale(rng), "param": "W"}
    return Case("draw", {"seed": np.array(rng.integers(2**31))}, (), options)


def _rule(rng: np.random.Generator) -> Case:
    """Up to twenty updates, the rate changing at every one."""
    steps, shape = int(rng.integers(1, 21)), (_size(rng, 60), int(rng.integers(1, 13)))
    inputs = {"param": _scale(rng) * _values(rng, *shape), "grads": _scale(rng, 5) * _values(rng, steps, *shape),
              "lr": 10 ** rng.uniform(-4, 0, steps)}  # fmt: skip
    return Case("draw", inputs, (), {"weight_decay": float(rng.choice([0.0, 10 ** rng.uniform(-4, 0)]))})


def _schedule(name: str) -> Callable[[np.random.Generator], Case]:
    def make(rng: np.random.Generator) -> Case:
        steps = _size(rng, 600, 2)
        options: dict[str, Any] = {"steps": steps, "warmup": int(rng.integers(2) * rng.integers(steps))}
        if name == "step":
            options |= {"drops": int(rng.integers(1, 5)), "factor": float(rng.uniform(0.05, 0.95))}
        elif name != "constant":
            options["final"] = float(10 ** rng.uniform(-4, -0.1))
        return Case("draw", {"lr": np.array(_scale(rng))}, (), options)

    return make


def _search(questions: Callable[[np.random.Generator], Iterator[Case]]) -> Callable[[np.random.Generator], Case]:
    """One of verify's own questions, whose seed keeps every comparison outside rounding."""
    return lambda rng: list(questions(rng))[int(rng.integers(3))]


BY_KIND: dict[str, Callable[[np.random.Generator], Case]] = {
    "objective": _objective,
    "layer": _elementwise,
    "scores": _scores,
    "init": _init,
    "rule": _rule,
}
BY_NAME: dict[str, Callable[[np.random.Generator], Case]] = {
    "softmax": _loss,
    "hinge": _loss,
    "margins": _margins,
    **dict.fromkeys(PENALTIES, _penalty),
    "affine": _affine,
    "leaky_relu": _leaky,
    "dropout": _dropout,
    "batch_norm": _norm,
    "layer_norm": _norm,
    "batch_norm_eval": _norm_eval,
    "batch_norm_running": _running,
    "random_search": _search(cases.random_searches),
    "local_search": _search(cases.local_searches),
    "two_layer": _network,
    "fused_two_layer": _network,
    **{name: _schedule(name) for name in ("constant", "step", "exponential", "inverse", "cosine")},
}
