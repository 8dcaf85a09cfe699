"""What can be trained: a name, where both sides keep it, and settings that work.

Rules and schedules carry the names of scratch's and ref's registries; here they are looked up on both sides.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from compare.records import Refusal
from compare.sides import side
from compare.timing import linear_form

if TYPE_CHECKING:
    import numpy as np

    from compare.parties import Plan

SCALE = 1 / 128  # of the rows, pixel minus mean: brings them to about -1 … 1; a power of two, so it rounds nothing

ADAM = ("rmsprop", "adam", "adamw")
ADAPTIVE = {"adagrad": 0.01, "rmsprop": 3e-4, "adam": 3e-4, "adamw": 3e-4}  # step sizes whatever the loss


@dataclass(frozen=True)
class Model:
    """One model. Dotted names hold on both sides; lr is by rule, as rules differ in what a rate means.

    fused is what scratch's fast form (compare.timing.linear_form) calls the loss; networks have a form of their own;
    without it scratch trains with objective. features names, for each parameter with an axis over the
    features of X, that axis: there the sum may be taken in any order. kinked says that the loss has a margin with
    kinks, or that there are ReLUs. hidden counts the units of each hidden layer of a network.
    """

    name: str
    title: str
    init: str
    scores: str
    loss: str
    objective: str
    fused: str = ""
    features: Mapping[str, int] = field(default_factory=dict)
    kinked: bool = False
    hidden: tuple[int, ...] = ()
    convention: str = ""
    lr: Mapping[str, float] = field(default_factory=dict)
    reg: float = 0.0
    penalty: str = "l2"
    batch_size: int = 256
    epochs: int = 12
    rule: str = "momentum"
    schedule: str = "cosine"
    augment: str = "none"


MODELS = {
    model.name: model
    for model in (
        Model(
            name="softmax",
            title="linear softmax classifier",
            init="linear.init",
            scores="linear.scores",
            loss="losses.softmax",
            objective="linear.softmax_objective",
            fused="softmax",
            features={"W": 0},
            convention="mean over examples; penalty on W, not on b",
            lr={"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01} | ADAPTIVE,
            reg=1e-2,
        ),
        Model(
            name="svm",
            title="linear multiclass SVM",
            init="linear.init",
            scores="linear.scores",
            loss="losses.hinge",
            objective="linear.svm_objective",
            fused="hinge",
            features={"W": 0},
            kinked=True,
            convention="sum over classes, mean over examples; subgradient 0 at the margin; penalty on W, not on b",
            lr={"sgd": 0.01, "momentum": 0.001, "nesterov": 0.001} | ADAPTIVE,
            reg=2e-2,
        ),
        Model(
            name="two-layer",
            title="two-layer network",
            init="two_layer.init",
            scores="two_layer.scores",
            loss="losses.softmax",
            objective="two_layer.objective",
            fused="network",
            features={"W1": 0},
            kinked=True,
            hidden=(200,),
            convention="mean over examples; ReLU has derivative 0 at 0; penalty on weights, not on biases",
            lr={"sgd": 0.2, "momentum": 0.05, "nesterov": 0.05, "adagrad": 0.01} | dict.fromkeys(ADAM, 1e-3),
            reg=1e-3,
            epochs=15,
            augment="flip",
        ),
    )
}  # fmt: skip


def named(what: str, name: str, known: Iterable[str]) -> str:
    """The name if it is known. Raises Refusal with the closest known name, or all of them."""
    known = list(known)
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, 1, cutoff=0.4)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    raise Refusal(f"no {what} is called {name!r}: {hint}")


def model(name: str) -> Model:
    """The model of that name. Raises Refusal with the closest one."""
    return MODELS[named("model", name, MODELS)]


def rules(package: str) -> dict[str, Callable[..., Any]]:
    """Update rules of one side, "scratch" or "ref", by the names of the command line."""
    registry: dict[str, Callable[..., Any]] = side(package, "optim.RULES")
    return registry


def schedules(package: str) -> dict[str, Callable[..., Any]]:
    """Schedules of one side by the names of the command line."""
    registry: dict[str, Callable[..., Any]] = side(package, "schedules.SCHEDULES")
    return registry


def penalties(package: str) -> dict[str, Callable[..., Any]]:
    """Penalties of one side by the names of the command line."""
    registry: dict[str, Callable[..., Any]] = side(package, "linear.PENALTIES")
    return registry


def start(
    chosen: Model, rng: np.random.Generator, D: int, C: int, hidden: tuple[int, ...] = (), scheme: str = "he"
) -> dict[str, Any]:
    """Start weights for D features and C classes; a network's by scheme, with hidden units, () for the model's own."""
    init: Callable[..., dict[str, Any]] = side("scratch", chosen.init)
    return init(rng, D, hidden or chosen.hidden, C, scheme) if chosen.hidden else init(rng, D, C)


def schemes() -> list[str]:
    """Names of the schemes of a network's start weights."""
    return list(side("scratch", "two_layer.SCHEMES"))


def scratch_objective(chosen: Model, D: int, C: int, dtype: str) -> Callable[..., Any]:
    """Scratch's objective, f(params, X, y, reg, penalty) -> (value, grads), in its fast form where it has one.

    The gradients are then the form's own arrays, which the next call overwrites.
    """
    if chosen.hidden:
        return side("scratch", "fused_two_layer.Network")(dtype)  # type: ignore[no-any-return] # looked up by name
    if chosen.fused:
        return side("scratch", linear_form())(chosen.fused, D, C, dtype)  # type: ignore[no-any-return] # looked up by name
    return side("scratch", chosen.objective)  # type: ignore[no-any-return] # looked up by name


def scratch_rules(plan: Plan, names: Iterable[str]) -> dict[str, Any]:
    """Scratch's update rule for each parameter: one rule, without weight decay on biases where the plan says so."""
    rule = rules("scratch")[plan.rule](**plan.rule_options)
    spared = rule if plan.decay_bias else replace(rule, weight_decay=0.0)
    return {name: rule if name.startswith("W") else spared for name in names}


def ref_optimizer(plan: Plan, params: Mapping[str, Any]) -> Any:
    """The ref's optimizer of all parameters; biases are a group of their own where decay spares them."""
    build = rules("ref")[plan.rule]
    if plan.decay_bias:
        return build(list(params.values()), plan.lr, **plan.rule_options)
    spared = {"weight_decay": 0.0, "decoupled_decay": 0.0}  # the latter is the name that ref/conventions.py has for it
    groups = [
        {"params": [p for n, p in params.items() if n.startswith("W")]},
        {"params": [p for n, p in params.items() if not n.startswith("W")]} | spared,
    ]
    return build(groups, plan.lr, **plan.rule_options)
