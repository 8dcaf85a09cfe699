"""Learning rates: f(step, lr, steps, ...) is the rate of one step, a pure function of the step's number.

step counts from 0; a run has steps of them, and the formulas hold for step = steps too, where a decay ends.
Every schedule can be preceded by a linear warm-up of the given number of steps; it then has T = steps −
warmup steps left, and t = step − warmup. Closed forms throughout; torch's schedulers multiply the last rate
by a factor instead, so that after n steps the two may differ by about n roundings of lr, and by nothing
else.

Source: CS231n notes, "Annealing the learning rate".
"""

import math
from collections.abc import Callable


def warm_up(step: int, lr: float, warmup: int) -> float:
    """Rise linearly, lr (step + 1) / (warmup + 1): never 0, and lr itself at step = warmup."""
    return lr * min(1.0, (step + 1) / (warmup + 1))


def constant(step: int, lr: float, steps: int, warmup: int = 0) -> float:
    """Keep lr."""
    t, _ = _after_warm_up(step, steps, warmup)
    return warm_up(step, lr, warmup) if t < 0 else lr


def step(step: int, lr: float, steps: int, drops: int = 2, factor: float = 0.1, warmup: int = 0) -> float:
    """Fall by factor, drops times in T steps: lr · factor^⌊t / period⌋ with period = ⌈T / (drops + 1)⌉."""
    t, T = _after_warm_up(step, steps, warmup)
    if drops < 0:
        raise ValueError(f"drops must be at least 0, not {drops}")
    return warm_up(step, lr, warmup) if t < 0 else lr * factor ** (t // math.ceil(T / (drops + 1)))


def exponential(step: int, lr: float, steps: int, final: float = 0.01, warmup: int = 0) -> float:
    """Decay as lr · γ^t, with γ = final^(1/T): final · lr is reached at t = T. exp(−kt) with k = −log γ."""
    t, T = _after_warm_up(step, steps, warmup)
    return warm_up(step, lr, warmup) if t < 0 else lr * (final ** (1 / T)) ** t


def inverse(step: int, lr: float, steps: int, final: float = 0.1, warmup: int = 0) -> float:
    """Decay as lr / (1 + kt), with k = (1/final − 1) / T, so that final · lr is reached at t = T."""
    t, T = _after_warm_up(step, steps, warmup)
    return warm_up(step, lr, warmup) if t < 0 else lr / (1 + (1 / final - 1) / T * t)


def cosine(step: int, lr: float, steps: int, final: float = 0.0, warmup: int = 0) -> float:
    """Half a cosine from lr to low = final · lr: low + (lr − low)(1 + cos(πt/T))/2.

    Source: Loshchilov and Hutter, 2017, without restarts.
    """
    t, T = _after_warm_up(step, steps, warmup)
    low = final * lr
    return warm_up(step, lr, warmup) if t < 0 else low + (lr - low) * (1 + math.cos(math.pi * t / T)) / 2


def _after_warm_up(step: int, steps: int, warmup: int) -> tuple[int, int]:
    """Return (t, T); t is negative during the warm-up."""
    if not 0 <= warmup < steps:
        raise ValueError(f"warmup must be at least 0 and less than steps = {steps}, not {warmup}")
    return step - warmup, steps - warmup


SCHEDULES: dict[str, Callable[..., float]] = {  # by the names of the command line
    "constant": constant,
    "step": step,
    "exponential": exponential,
    "inverse": inverse,
    "cosine": cosine,
}
