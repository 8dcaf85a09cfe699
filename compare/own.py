"""A user's own rule, loss, objective or model in scratch's place (train --scratch FILE:NAME), loaded into this process.

what        written as
rule        whatever gradtwin check takes for an update rule (compare.forms)
loss        f(scores, y) -> (value, dscores)
objective   f(params, X, y, reg) -> (value, grads), f(W, b, X, y, reg), or f(W, X, y, reg), its bias the last row of W
model       a class with the dict params and loss(X, y, reg) -> (value, grads); loss(X) -> scores, if it has that;
            loss(X, y) if it keeps reg as an attribute
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
from compare.user import User, aside

if TYPE_CHECKING:
    from compare.parties import Plan
    from compare.records import Array
    from compare.stages import Flag

LABELS = ("y", "labels", "label", "target", "targets", "t", "y_true", "ys")
WIDTHS = {
    "input_size": 0, "input_dim": 0, "d": 0, "hidden_size": 1, "hidden_dim": 1, "h": 1,
    "output_size": -1, "num_classes": -1, "c": -1,
}  # fmt: skip # what the course's classes call the numbers of features, hidden units and classes
AT_UPDATE = ("optimizer state", "update")
CONFIG = {"eps": "epsilon", "alpha": "decay_rate"}  # what the course's config calls an option of a rule


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
    with aside():
        user = User(spec, plugin.executed(path))
    target = user.get()
    if callable(getattr(target, "loss", None)):
        return Own("model", f"a model, {_name(target)}.loss(X, y, reg)", user)
    names = [n.lower() for n in _arguments(target)] if inspect.isroutine(target) else []
    if any(n in LABELS for n in names[1:2]):
        return Own("loss", f"a loss, {_name(target)}({', '.join(names)})", user)
    if any(n in LABELS for n in names[2:4]):
        return Own("objective", f"an objective, {_name(target)}({', '.join(_arguments(target))})", user)
    with aside():
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
    known = _known(target, plan.rule_options) | _known(called, plan.rule_options)
    if forms.taken(own.user, Wish({}))[0] == "config":  # the course's dict: it is read by name, or not at all
        known = {CONFIG.get(n, n): x for n, x in plan.rule_options.items()} | known
    with aside():
        rule = forms.Rule(user, Wish(known))
    return dict.fromkeys(names, rule)


def objective(own: Own, plan: Plan, widths: tuple[int, ...], dtype: str) -> Callable[..., Any]:
    """The objective with this loss, this objective or this model in it, as models.scratch_objective gives it."""
    chosen = models.model(plan.model)
    if own.kind == "model":
        return Course(own.user, widths, dtype)
    told = Described(*adapters.described(own.user))
    if own.kind == "objective":
        pair = objective_pair(chosen.objective)
        whole = _asked(Adapter(own.user, pair, told))

        def checked(params: Mapping[str, Array], X: Array, y: Array, **options: Any) -> Any:
            value, grads = whole(params, X, y, **options)
            return _sound(own.user.spec, value, grads, params)

        return checked
    if chosen.hidden:
        raise Refusal(
            f"--scratch {own.user.spec}: a loss stands in for that of a linear model; {plan.model} is a network"
        )
    asked = _asked(Adapter(own.user, next(p for p in select() if p.at == chosen.loss), told))

    def loss(scores: Array, y: Array) -> Any:
        value, grads = asked(scores, y)
        return _sound(own.user.spec, value, grads, {"scores": scores})

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


def advice(plan: Plan, flag: Flag | None) -> list[str]:
    """What to ask next where a user's rule is at fault: it may follow another convention, and be right by it."""
    if flag is None or not plan.scratch or taken(plan.scratch).kind != "rule" or flag.stage not in AT_UPDATE:
        return []
    path, name = plugin.split(plan.scratch)
    return [f"held against {plan.rule} (--rule); which convention it follows: gradtwin check {path.name}:{name}"]


class Course:
    """The course's classes, such as TwoLayerNet(input_size, hidden_size, output_size): they hold params themselves."""

    def __init__(self, user: User, widths: tuple[int, ...], dtype: str) -> None:
        made, self.user, self.dtype = user.get(), user, np.dtype(dtype)
        self.words = f"--scratch {user.spec}"
        if isinstance(made, type):
            given = {n: widths[WIDTHS[n.lower()]] for n in _arguments(made) if n.lower() in WIDTHS}
            try:
                made = user.run(made, **given)
            except Exception as error:
                call = f"{_name(made)}({', '.join(f'{n}={x}' for n, x in given.items())})"
                raise Refusal(f"{self.words}: {call} raised {type(error).__name__}: {error}") from error
        if not isinstance(getattr(made, "params", None), dict):
            hint = "name its loss, a function f(W, X, y, reg), instead"
            raise Refusal(f"{self.words}: it has no dict of weights called params; {hint}")
        self.made, self.held = made, dict(made.params)
        self.scores = self._scores if _optional(made.loss) else None
        self.takes_reg = len(_arguments(made.loss)) > 2
        if not (self.takes_reg or hasattr(made, "reg")):
            raise Refusal(f"{self.words}: loss takes no reg, and there is no attribute of that name")

    def __call__(self, params: Mapping[str, Array], X: Array, y: Array, reg: float, penalty: str) -> Any:
        """Value and gradients at these params."""
        if penalty != "l2":
            raise Refusal(f"--penalty {penalty}: {self.user.spec} is called as loss(X, y, reg), with an L2 penalty")
        if self.held and self.held.keys() != params.keys():
            raise Refusal(f"{self.words}: its params are {', '.join(self.held)}; the model has {', '.join(params)}")
        self.made.params = dict(params)
        if not self.takes_reg:
            self.made.reg = reg
        answer = self.user.run(self.made.loss, X, y, *([reg] if self.takes_reg else []))
        if not isinstance(answer, tuple | list) or len(answer) != 2 or not isinstance(answer[1], dict):
            raise Refusal(f"{self.words}: loss(X, y) must return the value and a dict of gradients")
        value, grads = answer
        found = {n: grads.get(n, grads.get(f"d{n}")) for n in params}
        value, found = _sound(self.user.spec, value, found, params)
        return self.dtype.type(value), {n: np.asarray(g, self.dtype) for n, g in found.items()}

    def _scores(self, params: Mapping[str, Array], X: Array) -> Array:
        self.made.params = dict(params)
        return np.asarray(self.user.run(self.made.loss, X))


def _sound(spec: str, value: Any, grads: Mapping[str, Any], wanted: Mapping[str, Array]) -> tuple[Any, dict[str, Any]]:
    """The answer, if it is one number and a gradient of each parameter's shape. Raises Refusal otherwise."""
    if value is None or np.ndim(value):
        what = "None" if value is None else f"an array of shape {np.shape(value)}"
        raise Refusal(f"--scratch {spec}: its value is {what}, not one number: a mean over examples is missing")
    if "b" in wanted and grads.get("b") is None and grads.get("W") is not None:  # the bias as the last row of W
        D, C = wanted["W"].shape
        raise Refusal(f"--scratch {spec}: the gradient of W has shape {np.shape(grads['W'])}, not {(D + 1, C)}")
    for name, p in wanted.items():
        if grads.get(name) is None:
            raise Refusal(f"--scratch {spec}: it returns no gradient of {name}")
        if np.shape(grads[name]) != p.shape:
            raise Refusal(f"--scratch {spec}: the gradient of {name} has shape {np.shape(grads[name])}, not {p.shape}")
    return value, dict(grads)


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
