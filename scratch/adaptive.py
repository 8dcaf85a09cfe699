"""Update rules that divide a step by the size of the gradients so far, entry by entry; contract as in scratch.optim."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scratch.arrays import Array
from scratch.blocks import State, add_square, blocks, check_convention, move_towards, start


@dataclass(frozen=True)
class Adagrad:
    """G ← G + g²,  θ ← θ − η_t g / (√G + ε),  η_t = η / (1 + (t − 1) lr_decay) (Duchi et al., 2011).

    G starts at initial_accumulator: 0 here, in the course's notes and in torch, 0.1 in Keras and Optax.
    """

    eps: float = 1e-10
    lr_decay: float = 0.0
    initial_accumulator: float = 0.0
    weight_decay: float = 0.0

    def init(self, param: Array) -> State:
        """Remember "sum" (G)."""
        state = start(param, self.weight_decay, "sum")
        state["sum"].fill(self.initial_accumulator)
        return state

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place."""
        lr = lr / (1 + state["step"] * self.lr_decay)
        for p, g, total, t in blocks(param, grad, state, self.weight_decay, "sum"):
            total += np.multiply(g, g, out=t)
            np.sqrt(total, out=t)
            t += self.eps
            np.divide(g, t, out=t)
            t *= lr
            p -= t


@dataclass(frozen=True)
class RMSprop:
    """c ← α c + (1 − α) g²,  θ ← θ − η g / (√c + ε) (Tieleman and Hinton, 2012).

    centered:   √(c − a²) for √c, a standard deviation, with a ← α a + (1 − α) g (Graves, 2013). As in torch,
                where g hardly varies c − a² may round below 0, and its root is NaN.
    momentum:   b ← μ b + g / (√c + ε),  θ ← θ − η b
    eps_inside: √(c + ε) in place of √c + ε, as TensorFlow 1 had it and Optax has; torch cannot.
    """

    alpha: float = 0.99
    eps: float = 1e-8
    eps_inside: bool = False
    centered: bool = False
    momentum: float = 0.0
    weight_decay: float = 0.0

    def init(self, param: Array) -> State:
        """Remember "square_avg" (c), if centered "grad_avg" (a), with momentum "momentum_buffer" (b)."""
        return start(param, self.weight_decay, *self._names())

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place."""
        for p, g, c, *rest, t in blocks(param, grad, state, self.weight_decay, *self._names()):
            c *= self.alpha
            add_square(c, g, 1 - self.alpha, t)
            spread = c
            if self.centered:
                move_towards(rest[0], g, 1 - self.alpha, t)
                spread = np.subtract(c, np.multiply(rest[0], rest[0], out=t), out=t)
            if self.eps_inside:
                np.sqrt(np.add(spread, self.eps, out=t), out=t)
            else:
                np.sqrt(spread, out=t)
                t += self.eps
            step = np.divide(g, t, out=t)
            if self.momentum:
                rest[-1] *= self.momentum
                rest[-1] += step
                step = rest[-1]
            p -= np.multiply(step, lr, out=t)

    def _names(self) -> tuple[str, ...]:
        return ("square_avg",) + ("grad_avg",) * self.centered + ("momentum_buffer",) * (self.momentum > 0)


@dataclass(frozen=True)
class Adam:
    """m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  corrected for their start at 0 (Kingma and Ba, 2015).

    "torch":  θ ← θ − η m̂ / (√v̂ + ε) with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)    also the course's notes
    "keras":  θ ← θ − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)    ε before the correction: the paper's ε̂

    The first is computed in the form of the second, with ε √(1 − β₂ᵗ) for ε: a pass less over the array.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    convention: Literal["torch", "keras"] = "torch"

    def __post_init__(self) -> None:
        check_convention(self.convention, "torch", "keras")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"betas must be in [0, 1), not {self.beta1} and {self.beta2}")

    def init(self, param: Array) -> State:
        """Remember "exp_avg" (m) and "exp_avg_sq" (v)."""
        return start(param, self.weight_decay, "exp_avg", "exp_avg_sq")

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place."""
        self._update(param, grad, state, lr, coupled=self.weight_decay, shrink=1.0)

    def _update(self, param: Array, grad: Array, state: State, lr: float, *, coupled: float, shrink: float) -> None:
        step = state["step"] + 1
        root = math.sqrt(1 - self.beta2**step)
        rate = lr * root / (1 - self.beta1**step)
        eps = self.eps if self.convention == "keras" else self.eps * root
        for p, g, m, v, t in blocks(param, grad, state, coupled, "exp_avg", "exp_avg_sq"):
            if shrink != 1:
                p *= shrink
            move_towards(m, g, 1 - self.beta1, t)
            v *= self.beta2
            add_square(v, g, 1 - self.beta2, t)
            np.sqrt(v, out=t)
            t += eps
            np.divide(m, t, out=t)
            t *= rate
            p -= t


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam after decoupled decay: θ ← (1 − η λ) θ, then Adam with g = grad (Loshchilov and Hutter, 2019).

    As in torch, decay scales with η; in the paper it scales with the schedule alone, without the base rate.
    """

    weight_decay: float = 1e-2

    def init(self, param: Array) -> State:
        """Remember as Adam does."""
        return start(param, 0.0, "exp_avg", "exp_avg_sq")

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place."""
        self._update(param, grad, state, lr, coupled=0.0, shrink=1 - lr * self.weight_decay)
