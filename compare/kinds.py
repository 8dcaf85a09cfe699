"""The contract of each kind of pair, and how each side is asked: Pair and Case in, Outcome out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare.bridge import to_array, to_tensor
from compare.records import Case, Outcome, Pair
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array


def cast(case: Case, dtype: str) -> Case:
    """The case with its floats in the working dtype."""
    inputs = {n: np.asarray(x, dtype) if x.dtype.kind == "f" else x for n, x in case.inputs.items()}
    return Case(case.name, inputs, case.wrt, case.options, case.exact)


def decoy(case: Case) -> Case:
    """Another question of the same form; entries change places too, so that no answer is a multiple of the first.

    Learning rates stay: torch refuses one below 0.
    """

    def other(name: str, x: Array) -> Array:
        return (-0.75 * np.roll(x, 1)).astype(x.dtype) if x.dtype.kind == "f" and name != "lr" else x

    return replace(case, inputs={n: other(n, x) for n, x in case.inputs.items()}, exact=False)


def ask_scratch(pair: Pair, case: Case) -> Outcome:
    """Value and gradients by hand. Whatever scratch raises comes through."""
    return SCRATCH[pair.kind](pair.scratch_at or pair.at, case)


def ask_ref(pair: Pair, case: Case, device: str = "cpu") -> Outcome:
    """Value and gradients by autograd, in the dtype of the case's inputs."""
    tensors = {n: to_tensor(x, device).requires_grad_(n in case.wrt) for n, x in case.inputs.items()}
    value, grads = REF[pair.kind](pair.at, case, tensors)
    return Outcome(to_array(value), {n: to_array(g) for n, g in zip(case.wrt, grads, strict=True)})


def value_of(pair: Pair, case: Case) -> Callable[[Mapping[str, Array]], float]:
    """Scratch's scalar as a function of the inputs, for the numerical gradient.

    A layer's is Σ dout · out. Its terms cancel, and the error of its rounding is that of the terms; so twice their
    size is added as a constant, which leaves it that size at least: an error estimated from the value is then honest.
    """
    if pair.kind != "layer":
        return lambda inputs: float(ask_scratch(pair, Case(case.name, inputs, case.wrt, case.options)).value)
    forward = side("scratch", f"{pair.scratch_at or pair.at}_forward")

    def terms(inputs: Mapping[str, Array]) -> Array:
        moved = Case(case.name, inputs, case.wrt, case.options)
        return np.asarray(inputs["dout"] * forward(*_layer_inputs(moved), **case.options)[0])

    size = 2 * float(np.abs(terms(case.inputs)).sum())
    return lambda inputs: size + float(terms(inputs).sum())


def _scratch_loss(at: str, case: Case) -> Outcome:
    value, grads = side("scratch", at)(*case.inputs.values(), **case.options)
    return _outcome(value, grads, case)


def ref_scalar(pair: Pair, case: Case, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The ref's value of a loss or an objective with its graph, for those who differentiate it more than once."""
    return VALUE[pair.kind](pair.at, case, tensors)


def _loss_value(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    value: torch.Tensor = side("ref", at)(*tensors.values(), **case.options)
    return value


def _ref_loss(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    value = _loss_value(at, case, tensors)
    return value, torch.autograd.grad(value, [tensors[n] for n in case.wrt])


def _scratch_objective(at: str, case: Case) -> Outcome:
    params = {n: case.inputs[n] for n in case.wrt}
    rest = [x for n, x in case.inputs.items() if n not in params]
    value, grads = side("scratch", at)(params, *rest, **case.options)
    return _outcome(value, grads, case)


def _objective_value(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    params = {n: tensors[n] for n in case.wrt}
    rest = [x for n, x in tensors.items() if n not in params]
    value: torch.Tensor = side("ref", at)(params, *rest, **case.options)
    return value


def _ref_objective(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    value = _objective_value(at, case, tensors)
    return value, torch.autograd.grad(value, [tensors[n] for n in case.wrt])


def _layer_inputs(case: Case) -> list[Array]:
    return [x for n, x in case.inputs.items() if n != "dout"]


def _scratch_layer(at: str, case: Case) -> Outcome:
    out, cache = side("scratch", f"{at}_forward")(*_layer_inputs(case), **case.options)
    grads = side("scratch", f"{at}_backward")(case.inputs["dout"], cache)
    return _outcome(out, grads, case)


def _ref_layer(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    out = side("ref", at)(*[x for n, x in tensors.items() if n != "dout"], **case.options)
    return out, torch.autograd.grad(out, [tensors[n] for n in case.wrt], grad_outputs=tensors["dout"])


def _outcome(value: Any, grads: Any, case: Case) -> Outcome:
    return Outcome(np.asarray(value), {n: grads.get(n) for n in case.wrt})


def _scratch_values(at: str, case: Case) -> Outcome:
    return Outcome(np.asarray(side("scratch", at)(*case.inputs.values(), **case.options)), {})


def _ref_values(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    return side("ref", at)(*tensors.values(), **case.options), ()


def _model_inputs(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    return {n: x for n, x in inputs.items() if n != "X"}, inputs["X"]


def _scratch_scores(at: str, case: Case) -> Outcome:
    """A model's scores: every input but X is a parameter."""
    return Outcome(np.asarray(side("scratch", at)(*_model_inputs(case.inputs), **case.options)), {})


def _ref_scores(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    return side("ref", at)(*_model_inputs(tensors), **case.options), ()


def _start(package: str, at: str, case: Case) -> Any:
    """One parameter of the start weights, the one that the option param names."""
    options = {n: x for n, x in case.options.items() if n != "param"}
    return side(package, at)(np.random.default_rng(int(case.inputs["seed"])), **options)[case.options["param"]]


def _scratch_init(at: str, case: Case) -> Outcome:
    return Outcome(np.asarray(_start("scratch", at, case)), {})


def _ref_init(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    return _start("ref", at, case), ()


def _scratch_rule(at: str, case: Case) -> Outcome:
    """The parameter after every step (T, …)."""
    rule = side("scratch", at)(**case.options)
    param = case.inputs["param"].copy()
    state, path = rule.init(param), []
    for grad, lr in zip(case.inputs["grads"], case.inputs["lr"], strict=True):
        rule.update(param, grad, state, float(lr))
        path.append(param.copy())
    return Outcome(np.stack(path), {})


def _ref_rule(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    param = torch.nn.Parameter(tensors["param"].clone())
    optimizer = side("ref", at)([param], lr=float(tensors["lr"][0]), **case.options)
    path = []
    for grad, lr in zip(tensors["grads"], tensors["lr"], strict=True):
        optimizer.param_groups[0]["lr"] = float(lr)
        param.grad = grad
        optimizer.step()
        path.append(param.detach().clone())
    return torch.stack(path), ()


def _scratch_schedule(at: str, case: Case) -> Outcome:
    """The learning rate of every step (T,)."""
    schedule, lr = side("scratch", at), float(case.inputs["lr"])
    steps = case.options["steps"]
    return Outcome(np.array([schedule(step, lr, **case.options) for step in range(steps)]), {})


def _ref_schedule(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=float(tensors["lr"]))
    scheduler = side("ref", at)(optimizer, **case.options)
    rates = []
    for _ in range(case.options["steps"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates, dtype=torch.float64), ()


def _found(package: str, at: str, case: Case, inputs: Mapping[str, Any]) -> Any:
    """What a search over the hinge loss of a linear model finds; the option "found" says what of it: losses, W or b."""
    options = {n: x for n, x in case.options.items() if n != "found"}
    params, objective = {n: inputs[n] for n in ("W", "b")}, side(package, "linear.svm_objective")

    def loss(trial: Any) -> Any:
        answer = objective(trial, inputs["X"], inputs["y"])
        return answer[0] if package == "scratch" else answer

    path = list(side(package, at)(loss, params, np.random.default_rng(int(inputs["seed"])), **options))
    wanted = case.options["found"]
    return np.array([best for best, _ in path]) if wanted == "losses" else path[-1][1][wanted]


def _scratch_search(at: str, case: Case) -> Outcome:
    dtype = case.inputs["X"].dtype  # the losses come as Python's numbers
    return Outcome(np.asarray(_found("scratch", at, case, case.inputs), dtype), {})


def _ref_search(at: str, case: Case, tensors: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
    return torch.as_tensor(_found("ref", at, case, tensors), dtype=tensors["X"].dtype), ()


FLOAT64_ONLY = ("schedule", "init")  # a learning rate is a Python float; start weights are cast by who trains
SCRATCH = {
    "loss": _scratch_loss,
    "objective": _scratch_objective,
    "layer": _scratch_layer,
    "values": _scratch_values,
    "scores": _scratch_scores,
    "init": _scratch_init,
    "rule": _scratch_rule,
    "schedule": _scratch_schedule,
    "search": _scratch_search,
}
VALUE = {"loss": _loss_value, "objective": _objective_value}
REF: dict[str, Callable[[str, Case, dict[str, torch.Tensor]], tuple[torch.Tensor, Any]]] = {
    "loss": _ref_loss,
    "objective": _ref_objective,
    "layer": _ref_layer,
    "values": _ref_values,
    "scores": _ref_scores,
    "init": _ref_init,
    "rule": _ref_rule,
    "schedule": _ref_schedule,
    "search": _ref_search,
}
