"""Correct implementations other than scratch's own: what people write when they write it right.

None of them may be called wrong. Sums run in other orders, in loops, through einsum; divisions come first or
last; rows, features or classes stand reversed; float64 inside, Fortran order outside. Where a wrapper says enough,
scratch's own function stands inside it. The forms themselves lie in compare.variants_*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.records import Pair
from compare.sides import side
from compare.variants_layers import LAYERS, RUNNING
from compare.variants_linear import INIT, SCORES, Layer, networks, objectives, reversed_objective
from compare.variants_losses import LOSSES, MARGINS, PENALTIES, Loss
from compare.variants_rules import SCHEDULES, rules

if TYPE_CHECKING:
    from compare.records import Array

OWN = "as written"


@dataclass(frozen=True)
class Variant:
    """A correct form of a pair's scratch side: modules that stand in for scratch's while it is asked."""

    name: str
    modules: Mapping[str, Any]


def of(pair: Pair) -> list[Variant]:
    """The variants of a pair, scratch's own form first. A fused form is compared as it is, only asked otherwise."""
    at = pair.scratch_at or pair.at
    module, name = at.rsplit(".", 1)
    if pair.kind == "layer":
        own = side("scratch", f"{at}_forward"), side("scratch", f"{at}_backward")
        made = {OWN: own, "float64 inside": _wide_layer(*own), "F-ordered inputs": _fortran_layer(*own)}
        made |= LAYERS.get(pair.at, {})
        names = f"{name}_forward", f"{name}_backward"
        return [Variant(n, _stand_in(module, names, f)) for n, f in made.items()]
    if pair.kind == "search":  # a search finds the same whoever writes the loss
        losses = {"": side("scratch", "linear.svm_objective"), **objectives("hinge")}
        return [Variant(n or OWN, _stand_in("linear", ("svm_objective",), (f,))) for n, f in losses.items()]
    forms = {OWN: side("scratch", at)}
    if pair.kind in WRAPPED:
        forms |= {"float64 inside": wide(forms[OWN]), "F-ordered inputs": fortran(forms[OWN])}
    forms |= FORMS[pair.kind](pair, forms[OWN])
    return [Variant(n, _stand_in(module, (name,), (f,))) for n, f in forms.items()]


def _stand_in(module: str, names: tuple[str, ...], functions: tuple[Any, ...]) -> dict[str, SimpleNamespace]:
    return {f"scratch.{module}": SimpleNamespace(**dict(zip(names, functions, strict=True)))}


def _losses(pair: Pair, own: Loss) -> dict[str, Loss]:
    if not pair.loss:
        return PENALTIES.get(pair.name, {})
    return {**LOSSES[pair.loss], "examples reversed": _reversed_loss(own)}


def _objectives(pair: Pair, own: Loss) -> dict[str, Loss]:
    turned = {f"{of} reversed": reversed_objective(own, axis) for axis, of in enumerate(("examples", "features"))}
    if pair.scratch_at:
        return turned
    if pair.loss:
        return turned | objectives(pair.loss) | {"fused": side("scratch", f"fused.{pair.name}")}
    return turned | networks() | {"fused": side("scratch", "fused_two_layer.objective")}


WRAPPED = ("loss", "objective", "values", "scores")
FORMS: dict[str, Callable[[Pair, Any], dict[str, Any]]] = {
    "loss": _losses,
    "objective": _objectives,
    "values": lambda pair, own: {"losses.margins": MARGINS, "norms.batch_norm_running": RUNNING}.get(pair.at, {}),
    "scores": lambda pair, own: SCORES,
    "init": lambda pair, own: INIT,
    "rule": lambda pair, own: rules(pair.at),
    "schedule": lambda pair, own: SCHEDULES[pair.name],
}


def wide(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same in float64, rounded once at the end."""

    def form(*args: Any, **options: Any) -> Any:
        dtype = _dtype(args)
        answer = f(*(_each(a, lambda x: x.astype(np.float64)) for a in args), **options)
        return _each(answer, lambda x: x.astype(dtype))

    return form


def fortran(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same from arrays that lie column by column."""

    def form(*args: Any, **options: Any) -> Any:
        return f(*(_each(a, np.asfortranarray) for a in args), **options)

    return form


def _each(a: Any, change: Callable[[Any], Any]) -> Any:
    """The change of every float array or number, in dicts and tuples too."""
    if isinstance(a, dict):
        return {n: _each(x, change) for n, x in a.items()}
    if isinstance(a, tuple):
        return tuple(_each(x, change) for x in a)
    return change(a) if isinstance(a, np.ndarray | np.generic) and a.dtype.kind == "f" else a


def _dtype(args: tuple[Any, ...]) -> np.dtype[Any]:
    first: Array = next(iter(args[0].values())) if isinstance(args[0], dict) else args[0]
    return first.dtype


def _reversed_loss(f: Loss) -> Loss:
    def form(scores: Array, y: Array, **options: Any) -> Any:
        value, grads = f(scores[::-1], y[::-1], **options)
        return value, {"scores": grads["scores"][::-1]}

    return form


def _wide_layer(forward: Callable[..., Any], backward: Callable[..., Any]) -> Layer:
    def wide_forward(*args: Array, **options: Any) -> Any:
        out, cache = forward(*(_each(a, lambda x: x.astype(np.float64)) for a in args), **options)
        return out.astype(args[0].dtype), cache

    def wide_backward(dout: Array, cache: Any) -> Any:
        return {n: g.astype(dout.dtype) for n, g in backward(dout.astype(np.float64), cache).items()}

    return wide_forward, wide_backward


def _fortran_layer(forward: Callable[..., Any], backward: Callable[..., Any]) -> Layer:
    return (
        lambda *args, **options: forward(*(_each(a, np.asfortranarray) for a in args), **options),
        lambda dout, cache: backward(np.asfortranarray(dout), cache),
    )
