"""Optimisation without a gradient: the loss is asked at random points, and the best of them is kept.

loss is any function from a params dict to a number, asked once a try. A search yields after every try: the lowest
loss so far and the params that have it, so that whoever follows may stop when it likes. A loss of NaN is never
kept. Draws are standard normal float64 numbers, one parameter after the other in the order of the dict, cast to
the parameter's dtype.

Source: CS231n notes, "Optimization: Stochastic Gradient Descent".
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from scratch.arrays import Array, Params

Loss = Callable[[Params], float | Array]


def random_search(
    loss: Loss, like: Params, rng: np.random.Generator, tries: int = 1000, scale: float = 1e-4
) -> Iterator[tuple[float, Params]]:
    """Try params = scale · N(0, 1), drawn anew each time with the names, shapes and dtypes of like."""
    best, kept = math.inf, like
    for _ in range(tries):
        trial = {name: (scale * rng.standard_normal(p.shape)).astype(p.dtype) for name, p in like.items()}
        value = float(loss(trial))
        if value < best:
            best, kept = value, trial
        yield best, kept


def local_search(
    loss: Loss, params: Params, rng: np.random.Generator, tries: int = 1000, step: float = 1e-4
) -> Iterator[tuple[float, Params]]:
    """Walk from params, themselves the first try: try kept + step · N(0, 1), move there if the loss is lower."""
    best, kept, trial = math.inf, params, params
    for _ in range(tries):
        value = float(loss(trial))
        if value < best:
            best, kept = value, trial
        yield best, kept
        trial = {name: p + (step * rng.standard_normal(p.shape)).astype(p.dtype) for name, p in kept.items()}
