"""The settings of a lockstep training, and its NumPy side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import models, own
from compare.forms import Rule
from compare.records import Refusal
from compare.sides import side
from compare.states import Kept, Side
from compare.user import aside

if TYPE_CHECKING:
    from compare.records import Array
    from compare.states import States


@dataclass(frozen=True)
class Plan:
    """The settings of one training. batch_size 0 is the full set; controls counts runs; clip 0 clips nothing.

    hidden holds the units of each hidden layer of a network, () for the model's own; init is its scheme of start
    weights, augment what is done to training images. rule_options and schedule_options go to both sides by name;
    without decay_bias the rule's weight_decay spares biases. resync starts each step of all from the ref's weights.
    scratch names a user's own code, FILE:NAME, in scratch's place; reg_bias puts the penalty on biases too.
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
    scratch: str = ""
    reg_bias: bool = False


def penalty_of(plan: Plan) -> dict[str, Any]:
    """Options of an objective."""
    return {"reg": plan.reg, "penalty": plan.penalty} | ({"decay_bias": True} if plan.reg_bias else {})


class Scratch:
    """The NumPy side: parameters and what the update rule remembers of each."""

    def __init__(self, plan: Plan, start: Mapping[str, Array], steps: int, data_shape: tuple[int, int]) -> None:
        self.plan, self.steps, self.data_shape, self.done = plan, steps, data_shape, 0
        mine, chosen = own.taken(plan.scratch) if plan.scratch else None, models.model(plan.model)
        if mine is not None and mine.kind != "rule":
            widths = (data_shape[0], *plan.hidden, data_shape[1])
            self.objective = own.objective(mine, plan, widths, plan.dtype)
        else:
            self.objective = models.scratch_objective(chosen, *data_shape, plan.dtype)
        if mine is not None and mine.kind == "rule":
            self.rules = own.rules(mine, plan, start)
        else:
            self.rules = models.scratch_rules(plan, start)
        self.whole = mine is not None and mine.kind in ("objective", "model")  # its scores are a matter of its own
        self.sealed = any(isinstance(rule, Rule) for rule in self.rules.values())  # nobody sees what it remembers
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
            name: {key: np.asarray(x) for key, x in state.items() if not (key.startswith("_") or callable(x))}
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
            own, new = self.own[name], dict(states.get(name, {}))
            if "step" in own:
                new["step"] = np.asarray(done)
            for key in () if self.sealed else own.keys() & new.keys():
                if isinstance(own[key], np.ndarray):
                    own[key][...] = new[key]
                else:  # a count of steps
                    own[key] = type(own[key])(new[key])
        if self.watched:
            self.after.keep(self.params, self.states)

    def state(self) -> dict[str, Any]:
        """Where this side is, for a checkpoint."""
        return {"params": self.params, "states": self.states, "done": self.done}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state says."""
        self.load(state["params"], state["states"], state["done"])

    @property
    def scores(self) -> Callable[..., Any] | None:
        """The class scores, f(params, X), as the objective computes them on its way; None where nobody can tell."""
        if hasattr(self.objective, "scores") or self.whole:
            scores: Callable[..., Any] | None = getattr(self.objective, "scores", None)
            return scores
        return side("scratch", models.model(self.plan.model).scores)  # type: ignore[no-any-return] # looked up by name

    def batch(self, X: Array, y: Array) -> tuple[Array, Array]:
        """The batch as this side sees it; a user's code gets one of its own, so that the ref's stays what it is."""
        return (X.copy(), y.copy()) if self.plan.scratch else (X, y)

    def gradient(self, X: Array, y: Array) -> tuple[float, dict[str, Array]]:
        """Loss and gradients, clipped."""
        value, grads = self.objective(self.params, X, y, **penalty_of(self.plan))
        if self.plan.clip:
            side("scratch", "optim.clip_by_norm")(grads, self.plan.clip)
        return float(value), grads

    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.rate(self.done, self.plan.lr, self.steps, **self.plan.schedule_options))

    def update(self, grads: Mapping[str, Array], lr: float) -> None:
        """Take the step."""
        with aside() if self.plan.scratch else nullcontext():
            for name, p in self.params.items():
                self.rules[name].update(p, grads[name], self.own[name], lr)
        self.done += 1

    def step(self, X: Array, y: Array) -> Side:
        """Objective and update on one batch."""
        if self.watched:
            self.left, self.after = self.after, self.left
            self.before.keep(self.params, self.states)
        begin = time.perf_counter()
        try:
            with np.errstate(all="ignore"):  # what overflows is seen in the loss
                self.seen = self.batch(X, y)
                value, grads = self.gradient(*self.seen)
                lr = self.lr()
                self.update(grads, lr)
        except (Exception, SystemExit) as error:
            if isinstance(error, Refusal) or not self.plan.scratch:
                raise
            told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise Refusal(f"--scratch {self.plan.scratch} raised at step {self.done + 1}: {told}") from error
        seconds = time.perf_counter() - begin
        if self.watched:
            self.after.keep(self.params, self.states)
        return Side(value, lr, grads, self.params, seconds)
