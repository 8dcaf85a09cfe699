# ruff: noqa: N802 - a builder carries the name of the optimizer that it builds
"""Update rules: each builder makes the torch.optim optimizer for a rule's hyperparameters.

params is what torch.optim takes: tensors, or groups of them with options of their own (weight_decay 0 for
biases). torch's loop over single tensors is chosen everywhere, so that the order of operations is the same
on every device. The conventions that torch lacks are in ref/conventions.py.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from ref.adaptive import Adagrad, Adam, AdamW, RMSprop
from ref.conventions import Velocity, check_convention


def SGD(params: ParamsT, lr: float, weight_decay: float = 0.0) -> Optimizer:
    """Gradient descent."""
    return torch.optim.SGD(params, lr, weight_decay=weight_decay, foreach=False)


def Momentum(
    params: ParamsT,
    lr: float,
    momentum: float = 0.9,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    convention: Literal["torch", "velocity"] = "torch",
) -> Optimizer:
    """Momentum; "velocity" is the course's form, which torch lacks: the rate goes into the buffer."""
    check_convention(convention, "torch", "velocity")
    if convention == "velocity":
        if dampening:
            raise ValueError("dampening belongs to the torch convention; with velocity it must be 0")
        return Velocity(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=False)
    return torch.optim.SGD(params, lr, momentum, dampening, weight_decay, foreach=False)


def Nesterov(
    params: ParamsT,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    convention: Literal["torch", "velocity"] = "torch",
) -> Optimizer:
    """Nesterov's momentum; "velocity" is the course's form, which torch lacks."""
    check_convention(convention, "torch", "velocity")
    if convention == "velocity":
        return Velocity(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True)
    return torch.optim.SGD(params, lr, momentum, weight_decay=weight_decay, nesterov=True, foreach=False)


def clip_by_norm(params: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale the gradients of params in place to a norm of at most max_norm; return the norm before."""
    return torch.nn.utils.clip_grad_norm_(params, max_norm, foreach=False)


RULES: dict[str, Callable[..., Optimizer]] = {  # by the names of the command line
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
