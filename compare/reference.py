"""The torch side of a lockstep training: parameters, torch's optimizer and scheduler."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare import models
from compare.bridge import to_array, to_tensor
from compare.parties import Plan, penalty_of
from compare.sides import side
from compare.states import Kept, Side

if TYPE_CHECKING:
    from compare.records import Array
    from compare.states import States


class Ref:
    """The torch side: parameters, torch's optimizer and scheduler."""

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int, device: torch.device) -> None:
        self.plan, self.device, self.done = plan, device, 0
        self.objective = side("ref", models.model(plan.model).objective)
        self.params = {n: to_tensor(p.copy(), device).requires_grad_() for n, p in start.items()}
        self.optimizer = models.ref_optimizer(plan, self.params)
        self.scheduler = models.schedules("ref")[plan.schedule](self.optimizer, steps, **plan.schedule_options)
        self.before = Kept()

    @property
    def states(self) -> dict[str, dict[str, Array]]:
        """What the optimizer remembers of each parameter."""
        return {
            name: {k: _plain(x) for k, x in self.optimizer.state.get(p, {}).items() if x is not None}
            for name, p in self.params.items()
        }

    def load(self, params: Mapping[str, Array], states: States) -> None:
        """Stand where these weights and states are. The learning rate stays what the scheduler made it."""
        with torch.no_grad():
            for name, p in params.items():
                tensor = self.params[name]
                tensor.copy_(to_tensor(np.asarray(p)))
                if states.get(name):
                    self.optimizer.state[tensor] = {key: _state(x, tensor) for key, x in states[name].items()}

    def state(self) -> dict[str, Any]:
        """Where this side is, for a checkpoint."""
        return {"params": {n: to_array(p) for n, p in self.params.items()}, "states": self.states, "done": self.done}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state says. The scheduler takes its steps again, so that a rate multiplied up is the same."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it expects the optimizer to take steps as well
            while self.done < state["done"]:
                self.scheduler.step()
                self.done += 1
        self.load(state["params"], state["states"])

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def gradient(self, X: torch.Tensor, y: torch.Tensor) -> float:
        """Loss; the gradients, clipped, stay in the tensors."""
        self.optimizer.zero_grad()
        loss = self.objective(self.params, X, y, **penalty_of(self.plan))
        loss.backward()
        self.clip()
        return float(loss.detach())

    def clip(self) -> None:
        """Clip the gradients if that is asked for."""
        if self.plan.clip:
            side("ref", "optim.clip_by_norm")(self.params.values(), self.plan.clip)

    def grads(self) -> dict[str, Array]:
        """The gradients."""
        return {n: to_array(p.grad) for n, p in self.params.items() if p.grad is not None}

    def update(self) -> None:
        """Take the step."""
        self.optimizer.step()
        self.scheduler.step()
        self.done += 1

    def step(self, X: torch.Tensor, y: torch.Tensor) -> Side:
        """Objective, backward pass and update on one batch."""
        self.before.keep({n: to_array(p) for n, p in self.params.items()}, self.states)
        self._wait()
        begin, lr = time.perf_counter(), self.lr
        value = self.gradient(X, y)
        self.update()
        self._wait()
        seconds = time.perf_counter() - begin
        return Side(value, lr, self.grads(), {n: to_array(p) for n, p in self.params.items()}, seconds)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _plain(x: Any) -> Array:
    return to_array(x) if isinstance(x, torch.Tensor) else np.asarray(x)


def _state(x: Array, like: torch.Tensor) -> Any:
    """An entry of torch's state: a tensor of its own, or a whole number."""
    if not x.ndim:
        return torch.tensor(float(x)) if x.dtype.kind == "f" else int(x)
    return to_tensor(np.array(x), like.device, like.dtype)
