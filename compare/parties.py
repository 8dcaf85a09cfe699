"""The two parties of a lockstep training, scratch and the ref. Each remembers its own state."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare import models
from compare.bridge import to_array, to_tensor
from compare.sides import side
from compare.states import Kept, Side

if TYPE_CHECKING:
    from compare.records import Array
    from compare.states import States


@dataclass(frozen=True)
class Plan:
    """The settings of one training. batch_size 0 is the full set; controls counts runs; clip 0 clips nothing.

    hidden holds the units of each hidden layer of a network, () for the model's own; init is its scheme of start
    weights, augment what is done to training images. rule_options and schedule_options go to both sides by name;
    without decay_bias the rule's weight_decay spares biases. resync starts each step of all from the ref's weights.
    """

    model: str
    rule: str
    schedule: str
    epochs: int
    batch_size: int
    lr: float
    reg: float
    penalty: str
    dtype: str = "float32"
    seed: int = 0
    device: str = "cpu"
    controls: int = 2
    hidden: tuple[int, ...] = ()
    init: str = "he"
    augment: str = "none"
    rule_options: Mapping[str, Any] = field(default_factory=dict)
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    decay_bias: bool = True
    clip: float = 0.0
    resync: bool = False


class Scratch:
    """The NumPy side: parameters and what the update rule remembers of each."""

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int, data_shape: tuple[int, int]) -> None:
        self.plan, self.steps, self.data_shape, self.done = plan, steps, data_shape, 0
        self.objective = models.scratch_objective(models.model(plan.model), *data_shape, plan.dtype)
        self.rules = models.scratch_rules(plan, start)
        self.rate = models.schedules("scratch")[plan.schedule]
        self.params = {name: p.copy() for name, p in start.items()}
        self.own = {name: self.rules[name].init(p) for name, p in self.params.items()}
        self.seen: tuple[Array, Array] = (np.empty(0), np.empty(0))  # the latest batch
        # where the latest step began, where it ended, and where the one before it had ended; kept if watched
        self.watched = False
        self.before, self.after, self.left = Kept(), Kept(), Kept()

    @property
    def states(self) -> dict[str, dict[str, Array]]:
        """What the rule remembers, its work space left out."""
        return {
            name: {key: np.asarray(x) for key, x in state.items() if not key.startswith("_")}
            for name, state in self.own.items()
        }

    def watch(self) -> None:
        """Keep from now on what a judge of steps asks for."""
        self.watched = True
        self.after.keep(self.params, self.states)

    def load(self, params: Mapping[str, Array], states: States, done: int) -> None:
        """Stand where these weights and states are, done updates behind; what states does not name stays as it is."""
        self.done = done
        for name, p in params.items():
            self.params[name][...] = p
            own, new = self.own[name], states.get(name, {})
            for key in own.keys() & new.keys():
                if key != "step":
                    own[key][...] = new[key]
            own["step"] = done
        if self.watched:
            self.after.keep(self.params, self.states)

    def state(self) -> dict[str, Any]:
        """Where this side is, for a checkpoint."""
        return {"params": self.params, "states": self.states, "done": self.done}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state says."""
        self.load(state["params"], state["states"], state["done"])

    def batch(self, X: Array, y: Array) -> tuple[Array, Array]:
        """The batch as this side sees it."""
        return X, y

    def gradient(self, X: Array, y: Array) -> tuple[float, dict[str, Array]]:
        """Loss and gradients, clipped."""
        value, grads = self.objective(self.params, X, y, reg=self.plan.reg, penalty=self.plan.penalty)
        if self.plan.clip:
            side("scratch", "optim.clip_by_norm")(grads, self.plan.clip)
        return float(value), grads

    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.rate(self.done, self.plan.lr, self.steps, **self.plan.schedule_options))

    def update(self, grads: Mapping[str, Array], lr: float) -> None:
        """Take the step."""
        for name, p in self.params.items():
            self.rules[name].update(p, grads[name], self.own[name], lr)
        self.done += 1

    def step(self, X: Array, y: Array) -> Side:
        """Objective and update on one batch."""
        if self.watched:
            self.left, self.after = self.after, self.left
            self.before.keep(self.params, self.states)
        begin = time.perf_counter()
        with np.errstate(all="ignore"):  # what overflows is seen in the loss
            self.seen = self.batch(X, y)
            value, grads = self.gradient(*self.seen)
            lr = self.lr()
            self.update(grads, lr)
        seconds = time.perf_counter() - begin
        if self.watched:
            self.after.keep(self.params, self.states)
        return Side(value, lr, grads, self.params, seconds)


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
        loss = self.objective(self.params, X, y, reg=self.plan.reg, penalty=self.plan.penalty)
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
