"""The conventions that torch.optim lacks, each written as a torch optimizer of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT


class _Tensorwise(Optimizer, ABC):
    """Calls update for each tensor that has a gradient, with coupled weight decay already in it."""

    def __init__(self, params: ParamsT, **options: Any) -> None:
        super().__init__(params, options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # as torch's own
        """Update every parameter; a closure is called first, and its loss returned, as in torch."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    grad = param.grad.add(param, alpha=group.get("weight_decay", 0.0))
                    self.update(param, grad, self.state[param], **group)
        return loss

    @abstractmethod
    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], **options: Any) -> None:
        """Update one parameter and its state in place."""


class Velocity(_Tensorwise):
    """v ← μ v − η g, θ ← θ + v; with nesterov θ ← θ − μ v_old + (1 + μ) v.

    Options: lr, momentum, nesterov.
    """

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], **options: Any) -> None:
        """Update one parameter."""
        momentum, lr = options["momentum"], options["lr"]
        velocity = state.setdefault("velocity", torch.zeros_like(param))
        if options["nesterov"]:
            param.sub_(velocity, alpha=momentum)
        velocity.mul_(momentum).sub_(grad, alpha=lr)
        param.add_(velocity, alpha=1 + momentum if options["nesterov"] else 1)


class RMSpropInside(_Tensorwise):
    """RMSprop that divides by √(c + ε). Options: lr, alpha, eps, centered, momentum."""

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], **options: Any) -> None:
        """Update one parameter."""
        alpha, lr = options["alpha"], options["lr"]
        square_avg = state.setdefault("square_avg", torch.zeros_like(param))
        square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        variance = square_avg
        if options["centered"]:
            grad_avg = state.setdefault("grad_avg", torch.zeros_like(param))
            grad_avg.lerp_(grad, 1 - alpha)
            variance = square_avg.addcmul(grad_avg, grad_avg, value=-1)
        root = variance.add(options["eps"]).sqrt_()
        if options["momentum"]:
            buffer = state.setdefault("momentum_buffer", torch.zeros_like(param))
            buffer.mul_(options["momentum"]).addcdiv_(grad, root)
            param.add_(buffer, alpha=-lr)
        else:
            param.addcdiv_(grad, root, value=-lr)


class KerasAdam(_Tensorwise):
    """Adam that divides by √v + ε and corrects the bias after. Options: lr, betas, eps, decoupled_decay."""

    def update(self, param: Tensor, grad: Tensor, state: dict[str, Any], **options: Any) -> None:
        """Update one parameter."""
        (beta1, beta2), lr = options["betas"], options["lr"]
        state["step"] = state.get("step", 0) + 1
        m = state.setdefault("exp_avg", torch.zeros_like(param))
        v = state.setdefault("exp_avg_sq", torch.zeros_like(param))
        param.mul_(1 - lr * options["decoupled_decay"])
        m.lerp_(grad, 1 - beta1)
        v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        correction = (1 - beta2 ** state["step"]) ** 0.5 / (1 - beta1 ** state["step"])
        param.addcdiv_(m, v.sqrt().add_(options["eps"]), value=-lr * correction)


def check_convention(convention: str, *known: str) -> None:
    """Raise ValueError for a convention that a rule does not know."""
    if convention not in known:
        raise ValueError(f"convention must be {' or '.join(known)}, not {convention!r}")
