"""The race of the whole numerical gradient of a linear softmax model: 30,730 weights, 128 examples, float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from compare.bench import Task
from compare.check import generator
from compare.races import C
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

NAME = "numerical_gradient"
N, D = 128, 3072
SAMPLE, STEP = 20, 1e-5  # weights that the loop moves; the rest of it is the same again and again
NOTE = (
    f"{NAME}: torch here is the loop that moves one weight after the other, in NumPy, its time worked out from "
    f"{SAMPLE} of {D * C + C:,} weights; GEMMs are one analytic gradient."
)


def tasks(seed: int = 0) -> Iterator[Task]:
    """All coordinates at once against one at a time, and against the analytic gradient."""
    rng = generator(seed, "bench", NAME)
    X, y = rng.normal(0, 1, (N, D)), rng.integers(0, C, N)
    params = {"W": rng.normal(0, 1 / np.sqrt(D), (D, C)), "b": rng.normal(0, 0.5, C)}
    objective, scores = side("scratch", "linear.softmax_objective"), side("scratch", "linear.scores")
    loss, numerical = side("scratch", "losses.softmax"), side("scratch", "numgrad_linear.linear_gradient")

    def value() -> float:
        return float(loss(scores(params, X), y)[0])

    def agree() -> str:
        """Both hold against the analytic gradient: all weights within the errors told, the loop's within its own."""
        exact = objective(params, X, y)[1]
        for name, (gradient, error) in numerical("softmax", params, X, y).items():
            off = np.abs(gradient - exact[name]) / error
            if not off.max() <= 1:
                return f"d{name}: {off.max():.3g} times the error that it tells"
        off = np.abs(one_by_one(params["W"], value) - exact["W"].reshape(-1)[:SAMPLE])
        return "" if off.max() <= 1e-8 else f"the loop is off by {off.max():.3g}"

    yield Task(
        NAME,
        "textbook",
        lambda: numerical("softmax", params, X, y),
        ref=lambda: one_by_one(params["W"], value),
        agree=agree,
        floor=lambda: objective(params, X, y),
        ref_times=(D * C + C) / SAMPLE,
        ref_in_numpy=True,
        note=NOTE,
    )


def one_by_one(W: Array, value: Callable[[], float]) -> Array:
    """The loop of the lecture: central differences of a value that is a function of W, W moved in place."""
    flat, slopes = W.reshape(-1), np.zeros(SAMPLE)
    for j in range(SAMPLE):
        centre = flat[j]
        flat[j] = centre + STEP
        above = value()
        flat[j] = centre - STEP
        slopes[j] = (above - value()) / (2 * STEP)
        flat[j] = centre
    return slopes
