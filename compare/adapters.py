"""A user's loss, objective or layer in scratch's place: its form bridged to the contract of its pair.

pair        forms that are understood (the contract of each kind is compare.kinds's)
loss        f(scores, y) -> (value, dscores); f(W, reg) -> (value, dW)
objective   f(params, X, y, reg) -> (value, grads); f(W, b, X, y, reg) -> (value, dW, db)
            f(W, X, y, reg) -> (value, dW): the course's form, its bias the last row of W and its input a 1
layer       NAME_forward(X, …) -> (out, cache) and NAME_backward(dout, cache) -> dX or (dX, dW, …)
values      f(…) -> array

Gradients may also come as a dict by name. Arguments beyond these must have defaults, or be known: reg, margin, eps, …
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import plugin
from compare.calls import GRAD, RATE, STATE
from compare.records import Case, Pair, Refusal
from compare.user import User

if TYPE_CHECKING:
    from compare.records import Array

KINDS = ("loss", "objective", "layer", "values")
OPTIONS = {  # what an option of a pair is called elsewhere
    "reg": ("reg", "lam", "lambda_", "lambd", "reg_strength", "regularization", "l2_reg", "l2", "l1", "weight_decay"),
    "margin": ("margin", "delta"),
    "eps": ("eps", "epsilon"),
    "slope": ("slope", "alpha", "negative_slope"),
    "p": ("p",), "momentum": ("momentum",), "penalty": ("penalty",), "decay_bias": ("decay_bias",),
}  # fmt: skip
DEFAULTS: dict[str, Any] = {"penalty": "l2", "decay_bias": False, "margin": 1.0, "reg": 0.0}
SETTINGS = ("bn_param", "ln_param", "gn_param")  # the course's dicts of settings of a layer


@dataclass(frozen=True)
class Described:
    """What stands under NAME: the name, the arguments of each of its functions (True: it has a default)."""

    name: str
    arguments: Mapping[str, Mapping[str, bool]]

    @property
    def layer(self) -> bool:
        """Whether it is a pair of functions, forward and backward."""
        return f"{self.name}_forward" in self.arguments


def described(user: User) -> tuple[str, dict[str, dict[str, bool]]]:
    """A question to the guest: what Described holds. Raises Refusal where nothing stands under the name."""
    _, name = plugin.split(user.spec)
    known = plugin.candidates(user.module)
    stem = re.sub(r"_(forward|backward)$", "", name)
    if not name and len({re.sub(r"_(forward|backward)$", "", n) for n in known}) == 1 and len(known) == 2:
        stem = re.sub(r"_(forward|backward)$", "", known[0])
    both = [n for n in (f"{stem}_forward", f"{stem}_backward") if callable(getattr(user.module, n, None))]
    if stem and len(both) == 2 and (name != stem or not hasattr(user.module, name)):
        names = [stem, *both]
    else:
        user.get()
        names = [name or known[0]] * 2
    found = {}
    for n in names[1:]:
        f = plugin.find(user.module, user.path, n)
        try:
            given = list(inspect.signature(f).parameters.values()) if callable(f) else []
        except ValueError as error:
            raise Refusal(f"{user.spec}: what it takes cannot be found out") from error
        found[n] = {p.name: p.default is not p.empty for p in given if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    return names[0], found


def objective_form(told: Described) -> str:
    """Which of its three forms an objective has, from the names of its first two arguments."""
    names = [n.lower() for n in told.arguments[told.name]]
    if names[0] in ("params", "parameters", "param", "model", "weights", "theta", "p"):
        return "params"
    return "W, b" if len(names) > 1 and names[1] in ("b", "bias") else "W"


@dataclass
class Adapter:
    """Asks the code in its own form and answers in the pair's; names are the inputs that a gradient is taken by.

    widened collects what came back in float64 for float32, skipped the cases that the code cannot be asked, and why.
    """

    user: User
    pair: Pair
    told: Described
    names: tuple[str, ...] = ()
    widened: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)

    def asked(self) -> Pair:
        """The pair with the cases that this code can be asked, and without the bad input that scratch refuses."""
        return replace(self.pair, cases=self._cases, refuses=())

    def modules(self) -> dict[str, Any]:
        """What stands in for scratch's module."""
        module, name = (self.pair.scratch_at or self.pair.at).rsplit(".", 1)
        if self.pair.kind == "layer":
            functions: dict[str, Any] = {f"{name}_forward": self._forward, f"{name}_backward": self._backward}
        else:
            functions = {
                name: {"loss": self._loss, "objective": self._objective, "values": self._values}[self.pair.kind]
            }
        return {f"scratch.{module}": SimpleNamespace(**functions)}

    def _cases(self, rng: np.random.Generator, batch: Any = None) -> Iterator[Case]:
        course = self.pair.kind == "objective" and objective_form(self.told) == "W"
        for case in self.pair.cases(rng, batch):
            if course and case.name != "bias decayed":  # the bias is a row of W there, and decays with it
                case = replace(case, options={**case.options, "decay_bias": True})
            name = f"{self.told.name}_forward" if self.pair.kind == "layer" else self.told.name
            try:
                self._bound(name, case.options, 0)
                if self.pair.family == "network" and len(case.wrt) > 4:
                    raise TypeError("more than two layers")
            except TypeError as reason:
                self.skipped[case.name] = str(reason)
                continue
            self.names = case.wrt
            yield case

    def _loss(self, *inputs: Array, **options: Any) -> tuple[Any, dict[str, Any]]:
        by = "scores" if self.pair.loss else "W"
        return self._gradients(self._call(self.told.name, inputs, options), (by,), inputs[0].dtype)

    def _objective(self, params: Mapping[str, Array], X: Array, y: Array, **options: Any) -> tuple[Any, dict[str, Any]]:
        form = objective_form(self.told)
        if form == "params":
            return self._gradients(self._call(self.told.name, (params, X, y), options), tuple(params), X.dtype)
        if form == "W, b":
            result = self._call(self.told.name, (params["W"], params["b"], X, y), options)
            return self._gradients(result, ("W", "b"), X.dtype)
        W = np.vstack([params["W"], params["b"]])
        rows = np.hstack([X, np.ones((len(X), 1), X.dtype)])
        was = W.copy(), rows.copy()
        value, grads = self._gradients(self._call(self.told.name, (W, rows, y), options), ("W",), X.dtype)
        if not np.array_equal(W, was[0], equal_nan=True):  # what it writes to its inputs is written to ours
            params["W"][...], params["b"][...] = W[:-1], W[-1]
        if not np.array_equal(rows, was[1], equal_nan=True):
            X[...] = rows[:, :-1]
        dW = grads["W"]
        return value, {"W": dW[:-1], "b": dW[-1]} if np.shape(dW) == W.shape else {"W": dW, "b": None}

    def _forward(self, *inputs: Array, **options: Any) -> tuple[Any, Any]:
        name = f"{self.told.name}_forward"
        arguments: tuple[Any, ...] = inputs
        if any(n in SETTINGS for n in self.told.arguments[name]):
            arguments, options = (*inputs, {"mode": "train", **options}), {}
        result = self._call(name, arguments, options)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(f"{name} must return (out, cache)")
        return self._cast("out", result[0], inputs[0].dtype), result[1]

    def _backward(self, dout: Array, cache: Any) -> dict[str, Any]:
        return self._named(self._call(f"{self.told.name}_backward", (dout, cache), {}), self.names, dout.dtype)

    def _values(self, *inputs: Array, **options: Any) -> Any:
        return self._cast("the array", self._call(self.told.name, inputs, options), inputs[0].dtype)

    def _call(self, name: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        bound = self._bound(name, options, len(inputs))
        return self.user.run(plugin.find(self.user.module, self.user.path, name), *inputs, **bound)

    def _bound(self, name: str, options: Mapping[str, Any], inputs: int) -> dict[str, Any]:
        """Options under the names that the code has for them. Raises TypeError for one that it does not take."""
        given, found = self.told.arguments[name], {}
        needed = [n for n, default in list(given.items())[inputs:] if not default]
        if any(n in SETTINGS for n in given):
            return {}
        for option, value in options.items():
            own = next((n for n in OPTIONS.get(option, (option,)) if n in given), "")
            if not own and option == "reg" and inputs and len(needed) == 1:
                own = needed[0]
            if own:
                found[own] = value
            elif option == "reg" and not inputs and len(given) > 3:
                continue  # by whatever name it has: the last argument
            elif DEFAULTS.get(option, self) != value and not (
                option == "decay_bias" and objective_form(self.told) == "W"
            ):
                raise TypeError(f"{name} takes no {option}")
        if inputs and "reg" not in options:
            found |= {n: 0.0 for n in needed if n in OPTIONS["reg"] or self.pair.kind == "objective"}
        return found

    def _gradients(self, result: Any, names: tuple[str, ...], dtype: np.dtype[Any]) -> tuple[Any, dict[str, Any]]:
        if not isinstance(result, tuple | list) or len(result) < 2:
            raise TypeError("it must return the value and the gradient")
        value, *rest = result
        return self._cast("the value", value, dtype), self._named(rest[0] if len(rest) == 1 else rest, names, dtype)

    def _named(self, grads: Any, names: tuple[str, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
        if isinstance(grads, dict):
            found = {n: grads.get(n, grads.get(f"d{n}")) for n in names}
        else:
            found = dict(zip(names, grads if isinstance(grads, list | tuple) else [grads], strict=False))
        return {n: self._cast(f"d{n}", g, dtype) for n, g in found.items()}

    def _cast(self, what: str, x: Any, dtype: np.dtype[Any]) -> Any:
        """An answer in the working dtype; Python's own numbers have none."""
        if hasattr(x, "detach"):  # a tensor
            x = x.detach().cpu().numpy()
        if x is None:
            return None
        if isinstance(x, int | float) and not isinstance(x, np.generic):
            return dtype.type(x)
        if np.asarray(x).dtype.kind not in "biuf":
            raise TypeError(f"{what} is a {type(x).__name__}, not a number or an array")
        if np.asarray(x).dtype == np.float64 and dtype == np.float32:
            self.widened.add(what)
            return np.asarray(x, dtype)[()]
        return x


ALIASES = {
    "svm": "hinge", "multiclass_svm": "hinge", "multiclass_hinge": "hinge", "cross_entropy": "softmax",
    "crossentropy": "softmax", "softmax_cross_entropy": "softmax", "fc": "affine", "linear": "affine",
    "dense": "affine", "batchnorm": "batch_norm", "layernorm": "layer_norm", "leakyrelu": "leaky_relu",
    "l2_penalty": "l2", "l1_penalty": "l1", "two_layer_net": "two_layer",
}  # fmt: skip
LOSSES = ("cross_entropy", "crossentropy", "softmax", "hinge", "svm")  # told by these anywhere in a name
ENDINGS = re.compile(r"_(loss|vectorized|vectorised|naive|fast|objective|grad|gradient|penalty|np|numpy|v?\d+)$")


def suggested(told: Described, known: Mapping[str, Pair]) -> str:
    """The pair that a name and its arguments suggest; empty if none, and for what has an update rule's arguments."""
    arguments = next(iter(told.arguments.values()))
    if {n.lower() for n in arguments} & {*GRAD, *RATE[:-2], *STATE[:3]}:
        return ""
    base = told.name.lower()
    while ENDINGS.search(base) and base not in known:
        base = ENDINGS.sub("", base)
    base = ALIASES.get(base, base)
    if told.layer:
        return {"softmax": "softmax_layer"}.get(base, base if base in known and known[base].kind == "layer" else "")
    if base not in known:
        base = next((ALIASES.get(word, word) for word in LOSSES if word in base), base)
    if base in ("softmax", "hinge") and len(arguments) > 2 and not {"margin", "delta"} & set(list(arguments)[2:3]):
        return {"softmax": "softmax_objective", "hinge": "svm_objective"}[base]
    return base if base in known and known[base].kind in KINDS else ""
