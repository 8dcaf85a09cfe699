"""Correct update rules and schedules other than scratch's own: the formulas, as a page of notes has them.

A rule here is a function (param, grad, state, t, lr, options) -> the new param, t counted from 1, state a dict that
is empty before the first update.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

Formula = Callable[["Array", "Array", dict[str, Any], int, float, dict[str, Any]], "Array"]
Schedule = Callable[..., float]


def rule(formula: Formula, wide: bool = False, **defaults: Any) -> Callable[..., Any]:
    """What scratch's rules look like, around a formula; wide: float64 inside, rounded once an update."""

    class Rule:
        def __init__(self, **options: Any) -> None:
            self.options = {**defaults, **options}

        def init(self, param: Array) -> dict[str, Any]:
            return {"t": 0, "memory": {}}

        def update(self, param: Array, grad: Array, state: dict[str, Any], lr: float) -> None:
            state["t"] += 1
            dtype = np.float64 if wide else param.dtype
            new = formula(param.astype(dtype), grad.astype(dtype), state["memory"], state["t"], lr, self.options)
            param[...] = new

    return Rule


def _decayed(p: Array, g: Array, o: dict[str, Any]) -> Array:
    return g + o["weight_decay"] * p if o.get("weight_decay") else g


def _sgd(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    return p - lr * _decayed(p, g, o)


def _momentum(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    g = _decayed(p, g, o)
    memory["b"] = g if t == 1 else o["momentum"] * memory["b"] + g
    return np.asarray(p - lr * memory["b"])


def _momentum_rescaled(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    """The course's velocity, v ← μ v - η g, rescaled by η / η_old when the rate changes."""
    v = memory.get("v", np.zeros_like(p)) * (lr / memory.get("lr", lr))
    memory["v"], memory["lr"] = o["momentum"] * v - lr * _decayed(p, g, o), lr
    return np.asarray(p + memory["v"])


def _nesterov(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    g = _decayed(p, g, o)
    memory["b"] = o["momentum"] * memory.get("b", 0) + g
    return np.asarray(p - (lr * g + lr * o["momentum"] * memory["b"]))


def _adagrad(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    g = _decayed(p, g, o)
    memory["G"] = memory.get("G", o["initial_accumulator"]) + g**2
    return np.asarray(p - lr / (1 + (t - 1) * o["lr_decay"]) * g / (np.sqrt(memory["G"]) + o["eps"]))


def _rmsprop(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    g = _decayed(p, g, o)
    c = memory.get("c", np.zeros_like(p))
    memory["c"] = c + (1 - o["alpha"]) * (g**2 - c)
    return np.asarray(p - g / (np.sqrt(memory["c"]) + o["eps"]) * lr)


def _adam(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    """m̂ and v̂ written out, as in the paper."""
    g = _decayed(p, g, o)
    memory["m"] = o["beta1"] * memory.get("m", 0) + (1 - o["beta1"]) * g
    memory["v"] = o["beta2"] * memory.get("v", 0) + (1 - o["beta2"]) * g * g
    m, v = memory["m"] / (1 - o["beta1"] ** t), memory["v"] / (1 - o["beta2"] ** t)
    return np.asarray(p - lr * m / (np.sqrt(v) + o["eps"]))


def _adamw(p: Array, g: Array, memory: dict[str, Any], t: int, lr: float, o: dict[str, Any]) -> Array:
    """The decay subtracted beside Adam's step, not before it."""
    return np.asarray(_adam(p, g, memory, t, lr, {**o, "weight_decay": 0.0}) - lr * o["weight_decay"] * p)


ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
FORMULAS: dict[str, tuple[dict[str, Formula], dict[str, Any]]] = {  # by dotted name: forms, and torch's defaults
    "optim.SGD": ({"formula": _sgd}, {}),
    "optim.Momentum": ({"formula": _momentum, "velocity, rescaled": _momentum_rescaled}, {"momentum": 0.9}),
    "optim.Nesterov": ({"formula": _nesterov}, {"momentum": 0.9}),
    "adaptive.Adagrad": ({"formula": _adagrad}, {"eps": 1e-10, "lr_decay": 0.0, "initial_accumulator": 0.0}),
    "adaptive.RMSprop": ({"formula": _rmsprop}, {"alpha": 0.99, "eps": 1e-8}),
    "adaptive.Adam": ({"formula": _adam}, ADAM),
    "adaptive.AdamW": ({"formula": _adamw}, ADAM | {"weight_decay": 1e-2}),
}


def rules(at: str) -> dict[str, Callable[..., Any]]:
    """Every form of one rule, and each with float64 inside."""
    formulas, defaults = FORMULAS.get(at, ({}, {}))
    made = {name: rule(f, **defaults) for name, f in formulas.items()}
    return made | {f"{name}, float64 inside": rule(f, wide=True, **defaults) for name, f in formulas.items()}


def _warmed(decay: Callable[..., float]) -> Schedule:
    """A schedule of (t, T, lr, …) after a linear warm-up."""

    def schedule(step: int, lr: float, steps: int, warmup: int = 0, **options: Any) -> float:
        return lr * (step + 1) / (warmup + 1) if step < warmup else decay(step - warmup, steps - warmup, lr, **options)

    return schedule


def _chained(factor: Callable[..., float]) -> Schedule:
    """Multiplied by factor(t, T, …) at every step t, as a training loop does it."""

    def decay(t: int, T: int, lr: float, **options: Any) -> float:
        for k in range(1, t + 1):
            lr *= factor(k, T, **options)
        return lr

    return _warmed(decay)


def _low(t: int, T: int, lr: float, final: float = 0.0) -> float:
    return final * lr + (1 - final) * lr * math.cos(math.pi * t / (2 * T)) ** 2


SCHEDULES: dict[str, dict[str, Schedule]] = {
    "constant": {"formula": _warmed(lambda t, T, lr: lr)},
    "step": {
        "formula": _warmed(lambda t, T, lr, drops=2, factor=0.1: lr * factor ** (t // -(-T // (drops + 1)))),
        "chained": _chained(lambda k, T, drops=2, factor=0.1: factor if k % -(-T // (drops + 1)) == 0 else 1.0),
    },
    "exponential": {
        "exp of a log": _warmed(lambda t, T, lr, final=0.01: lr * math.exp(math.log(final) * t / T)),
        "chained": _chained(lambda k, T, final=0.01: final ** (1 / T)),
    },
    "inverse": {"over T": _warmed(lambda t, T, lr, final=0.1: lr * T / (T + (1 / final - 1) * t))},
    "cosine": {"cos² of the half": _warmed(_low)},
}
