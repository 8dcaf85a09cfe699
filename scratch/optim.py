"""Update rules. A rule is its hyperparameters; what it remembers of one parameter lies in a state dict.

    state = rule.init(param)
    rule.update(param, grad, state, lr)    # param and state change in place; grad does not

Below, θ is the parameter, η the learning rate lr of this step, t the number of the update, counted from 1,
and g the gradient with the coupled weight decay in it: g = grad + λθ, λ = weight_decay, the gradient of
½λ‖θ‖². Products and roots are taken entry by entry. Conventions and defaults are PyTorch's; where the
course or another library differs, its form has a name. A state holds "step" (updates done), arrays shaped
like param under PyTorch's names, and work space (names with an underscore) that means nothing between
updates. lr and the hyperparameters are Python floats: float32 parameters are then updated in float32
arithmetic, as torch does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from scratch.adaptive import Adagrad, Adam, AdamW, RMSprop
from scratch.arrays import Array
from scratch.blocks import State, blocks, check_convention, start


class Rule(Protocol):
    """What every update rule offers."""

    def init(self, param: Array) -> State:
        """Make the state of a parameter that has not been updated yet."""

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place. Raises ValueError where grad has another shape or dtype than param."""


@dataclass(frozen=True)
class SGD:
    """Gradient descent: θ ← θ − η g."""

    weight_decay: float = 0.0

    def init(self, param: Array) -> State:
        """Nothing is remembered."""
        return start(param, self.weight_decay)

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place."""
        for p, g, t in blocks(param, grad, state, self.weight_decay):
            p -= np.multiply(g, lr, out=t)


@dataclass(frozen=True)
class Momentum:
    """Momentum (Polyak, 1964). The two conventions are equal until the learning rate changes.

    "torch":     b ← μ b + (1 − dampening) g,  θ ← θ − η b    the first b is g itself, undampened
    "velocity":  v ← μ v − η g,                θ ← θ + v      the course's notes: v keeps the η of its time

    Scaling b by η_old/η_new when the rate changes turns "torch" into "velocity".
    """

    momentum: float = 0.9
    dampening: float = 0.0
    weight_decay: float = 0.0
    convention: Literal["torch", "velocity"] = "torch"

    def __post_init__(self) -> None:
        check_convention(self.convention, "torch", "velocity")
        if self.dampening and self.convention == "velocity":
            raise ValueError("dampening belongs to the torch convention; with velocity it must be 0")

    def init(self, param: Array) -> State:
        """Remember "momentum_buffer" (b) or "velocity" (v)."""
        return start(param, self.weight_decay, _BUFFER[self.convention])

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place."""
        gain = 1.0 if state["step"] == 0 else 1 - self.dampening
        for p, g, b, t in blocks(param, grad, state, self.weight_decay, _BUFFER[self.convention]):
            b *= self.momentum
            if self.convention == "velocity":
                b -= np.multiply(g, lr, out=t)
                p += b
            else:
                b += g if gain == 1 else np.multiply(g, gain, out=t)
                p -= np.multiply(b, lr, out=t)


@dataclass(frozen=True)
class Nesterov:
    """Nesterov's momentum, with the gradient taken where θ stands (Bengio et al., 2013).

    "torch":     b ← μ b + g,      θ ← θ − η (g + μ b)
    "velocity":  v' ← μ v − η g,   θ ← θ − μ v + (1 + μ) v', which is θ − η g + μ v'    the course's notes
    """

    momentum: float = 0.9
    weight_decay: float = 0.0
    convention: Literal["torch", "velocity"] = "torch"

    def __post_init__(self) -> None:
        check_convention(self.convention, "torch", "velocity")

    def init(self, param: Array) -> State:
        """Remember "momentum_buffer" (b) or "velocity" (v)."""
        return start(param, self.weight_decay, _BUFFER[self.convention])

    def update(self, param: Array, grad: Array, state: State, lr: float) -> None:
        """Make one step, in place."""
        for p, g, b, t in blocks(param, grad, state, self.weight_decay, _BUFFER[self.convention]):
            b *= self.momentum
            if self.convention == "velocity":
                np.multiply(g, lr, out=t)
                b -= t
                p -= t
                p += np.multiply(b, self.momentum, out=t)
            else:
                b += g
                np.multiply(b, self.momentum, out=t)
                t += g
                t *= lr
                p -= t


def clip_by_norm(grads: Mapping[str, Array], max_norm: float) -> float:
    """Scale all gradients in place by min(1, max_norm / (‖g‖ + 1e-6)), ‖g‖ the norm of all entries together.

    Returns ‖g‖ as it was before. The 1e-6 is torch's: a clipped norm ends a little below max_norm.
    Source: Pascanu et al., 2013; torch.nn.utils.clip_grad_norm_.
    """
    norm = math.hypot(*(float(np.linalg.norm(grad)) for grad in grads.values()))
    scale = min(max_norm / (norm + 1e-6), 1.0)  # in this order NaN stays NaN
    if scale != 1:
        for grad in grads.values():
            grad *= scale
    return norm


_BUFFER = {"torch": "momentum_buffer", "velocity": "velocity"}

RULES: dict[str, type[Any]] = {  # by the names of the command line; each makes a Rule from its fields
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
