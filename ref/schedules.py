"""Learning rates, by torch's schedulers: f(optimizer, steps, ...); call .step() after each update.

Every schedule can be preceded by a linear warm-up of the given number of steps, from lr / (warmup + 1) to lr.
"""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    SequentialLR,
    StepLR,
)


def warm_up(optimizer: Optimizer, warmup: int) -> LRScheduler:
    """Rise linearly, then keep the rate."""
    return LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)


def constant(optimizer: Optimizer, steps: int, warmup: int = 0) -> LRScheduler:
    """Keep the rate."""
    _left(steps, warmup)
    return _warmed(LambdaLR(optimizer, lambda t: 1.0), warmup)


def step(optimizer: Optimizer, steps: int, drops: int = 2, factor: float = 0.1, warmup: int = 0) -> LRScheduler:
    """Fall by factor, drops times."""
    if drops < 0:
        raise ValueError(f"drops must be at least 0, not {drops}")
    return _warmed(StepLR(optimizer, math.ceil(_left(steps, warmup) / (drops + 1)), factor), warmup)


def exponential(optimizer: Optimizer, steps: int, final: float = 0.01, warmup: int = 0) -> LRScheduler:
    """Decay by a constant factor a step, to final times the rate."""
    return _warmed(ExponentialLR(optimizer, final ** (1 / _left(steps, warmup))), warmup)


def inverse(optimizer: Optimizer, steps: int, final: float = 0.1, warmup: int = 0) -> LRScheduler:
    """Decay as 1 / (1 + kt), to final times the rate; torch has no scheduler of its own for it."""
    k = (1 / final - 1) / _left(steps, warmup)
    return _warmed(LambdaLR(optimizer, lambda t: 1 / (1 + k * t)), warmup)


def cosine(optimizer: Optimizer, steps: int, final: float = 0.0, warmup: int = 0) -> LRScheduler:
    """Half a cosine, to final times the rate.

    torch's eta_min is one number for all groups: ValueError if they have different rates and final is not 0.
    """
    rates = {group["lr"] for group in optimizer.param_groups}
    if final and len(rates) > 1:
        raise ValueError(f"with final = {final} all groups must have one learning rate, not {sorted(rates)}")
    return _warmed(CosineAnnealingLR(optimizer, _left(steps, warmup), final * max(rates)), warmup)


def _left(steps: int, warmup: int) -> int:
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup must be at least 0 and less than steps = {steps}, not {warmup}")
    return steps - warmup


def _warmed(schedule: LRScheduler, warmup: int) -> LRScheduler:
    if not warmup:
        return schedule
    return SequentialLR(schedule.optimizer, [warm_up(schedule.optimizer, warmup), schedule], [warmup])


SCHEDULES: dict[str, Callable[..., LRScheduler]] = {  # by the names of the command line
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "inverse": inverse,
    "cosine": cosine,
}
