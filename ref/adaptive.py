# ruff: noqa: N802 - a builder carries the name of the optimizer that it builds
"""Update rules that divide each entry's step by the size of its gradients so far; builders as in ref.optim."""

from typing import Literal

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from ref.conventions import KerasAdam, RMSpropInside, check_convention


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
    check_convention(convention, "torch", "keras")
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
    check_convention(convention, "torch", "keras")
    if convention == "keras":
        return KerasAdam(params, lr=lr, betas=(beta1, beta2), eps=eps, decoupled_decay=weight_decay)
    return torch.optim.AdamW(params, lr, (beta1, beta2), eps, weight_decay, foreach=False)
