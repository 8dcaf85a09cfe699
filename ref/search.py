"""Optimisation without a gradient: the loss is asked at random points, and the best of them is kept.

loss is any function from a dict of tensors to a number. NumPy's generator draws, so that both sides can try the
same points.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

Params = dict[str, Tensor]
Loss = Callable[[Params], float | Tensor]


@torch.no_grad()
def random_search(
    loss: Loss, like: Params, rng: np.random.Generator, tries: int = 1000, scale: float = 1e-4
) -> Iterator[tuple[float, Params]]:
    """Try params = scale · N(0, 1), drawn anew each time with the names, shapes and dtypes of like."""
    best, kept = math.inf, like
    for _ in range(tries):
        trial = {name: _normal(p, rng, scale) for name, p in like.items()}
        value = float(loss(trial))
        if value < best:
            best, kept = value, trial
        yield best, kept


@torch.no_grad()
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
        trial = {name: p + _normal(p, rng, step) for name, p in kept.items()}


def _normal(like: Tensor, rng: np.random.Generator, scale: float) -> Tensor:
    return torch.from_numpy(rng.normal(0.0, scale, like.shape)).to(like)
