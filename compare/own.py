"""A user's own rule, loss, objective or model in scratch's place (train --scratch FILE:NAME), loaded into this process.

what        written as
rule        whatever gradtwin check takes for an update rule (compare.forms)
loss        f(scores, y) -> (value, dscores)
objective   f(params, X, y, reg) -> (value, grads), f(W, b, X, y, reg), or f(W, X, y, reg), its bias the last row of W
model       a class with the dict params and loss(X, y, reg) -> (value, grads); loss(X) -> scores, if it has that
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import adapters, forms, models, plugin
from compare.adapters import Adapter, Described
from compare.calls import Wish
from compare.pairs import objective_pair, select
from compare.records import Refusal
from compare.sides import side
from compare.user import User

if TYPE_CHECKING:
    from compare.parties import Plan
    from compare.records import Array

LABELS = ("y", "labels", "label", "target", "targets", "t", "y_true", "ys")
WIDTHS = {
    "input_size": 0, "input_dim": 0, "d": 0, "hidden_size": 1, "hidden_dim": 1, "h": 1,
    "output_size": -1, "num_classes": -1, "c": -1,
}  # fmt: skip # what the course's classes call the numbers of features, hidden units and classes


@dataclass(frozen=True)
class Own:
    """What FILE:NAME holds: "rule", "loss", "objective" or "model", and how it was taken, in words."""

    kind: str
    words: str
    user: User


@cache
def taken(spec: str) -> Own:
    """Load and recognise FILE:NAME, once. Raises Refusal where nothing fits."""
    path, _ = plugin.split(spec)
    user = User(spec, plugin.executed(path))
    target = user.get()
    if callable(getattr(target, "loss", None)):
        return Own("model", f"a model, {_name(target)}.loss(X, y, reg)", user)
    names = [n.lower() for n in _arguments(target)] if inspect.isroutine(target) else []
    if any(n in LABELS for n in names[1:2]):
        return Own("loss", f"a loss, {_name(target)}({', '.join(names)})", user)
    if any(n in LABELS for n in names[2:4]):
        return Own("objective", f"an objective, {_name(target)}({', '.join(_arguments(target))})", user)
    return Own("rule", f"an update rule, {forms.taken(user, Wish({}))[1]}", user)


def code(spec: str) -> int:
    """A number that tells this file from a later one of the same name."""
    return zlib.crc32(plugin.split(spec)[0].read_bytes())


def rules(own: Own, plan: Plan, names: Iterable[str]) -> dict[str, Any]:
    """A rule for each parameter: scratch's own form is used as it is, others through compare.forms.

    Options of the plan's rule go to the code where it has an argument of that name.
    """
    target = own.user.get()
    if callable(getattr(target, "init", None)) and callable(getattr(target, "update", None)):
        made = target(**_known(target, plan.rule_options)) if isinstance(target, type) else target
        return dict.fromkeys(names, made)
    called = getattr(target, "step", target) if isinstance(target, type) else target
    user = User(own.user.spec, own.user.module)
    rule = forms.Rule(user, Wish(_known(target, plan.rule_options) | _known(called, plan.rule_options)))
    return dict.fromkeys(names, rule)


def objective(own: Own, plan: Plan, widths: tuple[int, ...], dtype: str) -> Callable[..., Any]:
    """The objective with this loss, this objective or this model in it, as models.scratch_objective gives it."""
    chosen = models.model(plan.model)
    if own.kind == "model":
        return Course(own.user, widths, dtype)
    told = Described(*adapters.described(own.user))
    if own.kind == "objective":
        pair = objective_pair(chosen.objective)
        f: Callable[..., Any] = _asked(Adapter(own.user, pair, told))
        return f
    if chosen.hidden:
        raise Refusal(
            f"--scratch {own.user.spec}: a loss stands in for that of a linear model; {plan.model} is a network"
        )
    loss = _asked(Adapter(own.user, next(p for p in select() if p.at == chosen.loss), told))
    compose = side("scratch", "linear.objective")

    def composed(
        params: Mapping[str, Array], X: Array, y: Array, reg: float, penalty: str, decay_bias: bool = False
    ) -> Any:
        return compose(loss, params, X, y, reg, penalty, decay_bias)

    return composed


def put(plan: Plan, spec: str) -> Plan:
    """The plan with this code in scratch's place. Raises Refusal where it cannot be taken.

    Where the bias is a row of the weights, the penalty takes it too, on both sides.
    """
    path, name = plugin.split(spec)
    full = f"{path}:{name}" if name else str(path)
    found = taken(full)
    biased = False
    if found.kind == "objective":
        biased = adapters.objective_form(Described(*adapters.described(found.user))) == "W"
    return replace(plan, scratch=full, reg_bias=biased)


class Course:
    """The course's classes, such as TwoLayerNet(input_size, hidden_size, output_size): they hold params themselves."""

    def __init__(self, user: User, widths: tuple[int, ...], dtype: str) -> None:
        made = user.get()
        if isinstance(made, type):
            given = {n: widths[WIDTHS[n.lower()]] for n in _arguments(made) if n.lower() in WIDTHS}
            made = user.run(made, **given)
        self.user, self.made, self.dtype = user, made, np.dtype(dtype)
        self.scores = self._scores if _optional(made.loss) else None

    def __call__(self, params: Mapping[str, Array], X: Array, y: Array, reg: float, penalty: str) -> Any:
        """Value and gradients at these params."""
        if penalty != "l2":
            raise Refusal(f"--penalty {penalty}: {self.user.spec} is called as loss(X, y, reg), with an L2 penalty")
        self.made.params = dict(params)
        value, grads = self.user.run(self.made.loss, X, y, reg)
        return self.dtype.type(value), {n: np.asarray(grads[n], self.dtype) for n in params}

    def _scores(self, params: Mapping[str, Array], X: Array) -> Array:
        self.made.params = dict(params)
        return np.asarray(self.user.run(self.made.loss, X))


def _asked(adapter: Adapter) -> Any:
    """The function that would stand in scratch's module."""
    ((_, module),) = adapter.modules().items()
    (f,) = vars(module).values()
    return f


def _name(target: Any) -> str:
    return str(getattr(target, "__name__", type(target).__name__))


def _arguments(f: Any) -> list[str]:
    return [n for n, p in inspect.signature(f).parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _optional(loss: Any) -> bool:
    """Whether y may be left out."""
    parameters = list(inspect.signature(loss).parameters.values())
    return len(parameters) > 1 and parameters[1].default is None


def _known(f: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    return {n: x for n, x in options.items() if n in _arguments(f)}
