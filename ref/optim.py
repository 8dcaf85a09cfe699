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

from ref.conventions import KerasAdam, RMSpropInside, Velocity


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
    _check_convention(convention, "torch", "velocity")
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
    _check_convention(convention, "torch", "velocity")
    if convention == "velocity":
        return Velocity(params, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True)
    return torch.optim.SGD(params, lr, momentum, weight_decay=weight_decay, nesterov=True, foreach=False)


def Adagrad(
    params: ParamsT,
    lr: float,
    eps: float = 1e-10,
    lr_decay: float = 0.0,
    initial_accumulator: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adagrad."""
    return torch.optim.Adagrad(params, lr, lr_decay, weight_decay, initial_accumulator, eps, foreach=False)


def RMSprop(
    params: ParamsT,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    eps_inside: bool = False,
    centered: bool = False,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSprop; eps_inside puts ε under the root, which torch cannot."""
    if eps_inside:
        return RMSpropInside(
            params,
            lr=lr,
            alpha=alpha,
            eps=eps,
            centered=centered,
            momentum=momentum,
            weight_decay=weight_decay,
        )
    return torch.optim.RMSprop(params, lr, alpha, eps, weight_decay, momentum, centered, foreach=False)


def Adam(
    params: ParamsT,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    convention: Literal["torch", "keras"] = "torch",
) -> Optimizer:
    """Adam; with "keras" ε is added before the bias correction, which no constant ε of torch's expresses."""
    _check_convention(convention, "torch", "keras")
    if convention == "keras":
        options = {"weight_decay": weight_decay, "decoupled_decay": 0.0}
        return KerasAdam(params, lr=lr, betas=(beta1, beta2), eps=eps, **options)
    return torch.optim.Adam(params, lr, (beta1, beta2), eps, weight_decay, foreach=False)


def AdamW(
    params: ParamsT,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    convention: Literal["torch", "keras"] = "torch",
) -> Optimizer:
    """Adam with decoupled decay; convention as Adam."""
    _check_convention(convention, "torch", "keras")
    if convention == "keras":
        return KerasAdam(params, lr=lr, betas=(beta1, beta2), eps=eps, decoupled_decay=weight_decay)
    return torch.optim.AdamW(params, lr, (beta1, beta2), eps, weight_decay, foreach=False)


def clip_by_norm(params: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale the gradients of params in place to a norm of at most max_norm; return the norm before."""
    return torch.nn.utils.clip_grad_norm_(params, max_norm, foreach=False)


def _check_convention(convention: str, *known: str) -> None:
    if convention not in known:
        raise ValueError(f"convention must be {' or '.join(known)}, not {convention!r}")


RULES: dict[str, Callable[..., Optimizer]] = {  # by the names of the command line
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
