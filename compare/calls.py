"""One way to call a user's update rule: the role of each argument, how parameters are held, what memories start as."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import setitem
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.records import Refusal

if TYPE_CHECKING:
    from compare.records import Array

RATE = ("learning_rate", "lr", "eta", "step_size", "learningrate", "rate", "alpha", "η")
GRAD = ("grad", "grads", "gradient", "gradients", "g", "dw", "dx", "dp", "dparam", "dparams", "dtheta", "dweights")
CLOCK = ("t", "step", "steps", "iteration", "iter", "it", "n", "i", "k", "timestep", "epoch", "step_count")
STATE = ("config", "state", "states", "optim_state", "opt_state", "cache", "memory", "buffers", "optim_config")
HYPER = (
    "mu", "momentum", "beta", "beta1", "beta2", "beta_1", "beta_2", "b1", "b2", "rho", "decay", "decay_rate", "gamma",
    "eps", "epsilon", "weight_decay", "wd", "reg", "lam", "lambda", "lambd", "nu", "alpha", "dampening",
)  # fmt: skip
CONTAINERS = ("array", "dict", "list")

Step = Callable[["Array", float], "Array"]


@dataclass(frozen=True)
class Wish:
    """What the user said of the code: hyperparameters by name, the form, the name of the learning rate."""

    settings: Mapping[str, Any]
    form: str = ""
    rate: str = ""


class Unfit(Exception):
    """A form that does not fit; the text says why."""


@dataclass(frozen=True)
class Call:
    """One way to call the code: the role of each argument, how parameters are held, what memories start as."""

    get: Callable[[], Any]
    method: str
    roles: Mapping[str, str]
    made: Mapping[str, str]  # the roles of the constructor's arguments
    wish: Wish
    container: str
    memory: str  # "dict", "zeros" or "none"; "" where the call has no memory, "init" for a rule's own
    key: str  # of the rate in a dict of settings; "" where it is an argument or an attribute
    adds: bool  # whether what is returned is the update

    def names(self, *roles: str) -> list[str]:
        """Arguments with one of these roles, in order."""
        return [n for n, r in self.roles.items() if r in roles]


def roles(call: Any, wish: Wish, bound: bool = False) -> dict[str, str]:
    """The role of each argument of a function or a method.

    param, grad, rate, setting and clock say themselves; state, array and memo (None by default) are memories.

    bound leaves self out. Raises Refusal for a hyperparameter without a value.
    """
    found = _named(call, wish, bound)
    free = [n for n, r in found.items() if r == "array"]
    if "grad" not in found.values():
        found |= dict(zip(free, ("param", "grad"), strict=False))
    elif free and list(found).index(free[0]) < 2:
        found[free[0]] = "param"
    _valued([n for n in free if found[n] == "array" and _known(n) in HYPER])
    return found


def constructor(made: Any, wish: Wish, method: Mapping[str, str]) -> dict[str, str]:
    """The role of each argument of a class, whose method has these roles already."""
    found = {n: r for n, r in _named(made, wish, False).items() if r in ("rate", "setting", "array")}
    if "rate" in method.values():  # then a rate that has a default is left alone, and so is alpha
        given = inspect.signature(made).parameters
        found = {n: r for n, r in found.items() if r != "rate" or given[n].default is inspect.Parameter.empty}
    free = [n for n, r in found.items() if r == "array"]
    if "param" not in method.values() and free and _known(free[0]) not in HYPER:
        found[free[0]] = "param"
    _valued([n for n in free if found[n] == "array"])
    return found


def _named(call: Any, wish: Wish, bound: bool) -> dict[str, str]:
    """Roles by name alone; what is required and not known by its name is an array."""
    try:
        given = list(inspect.signature(call).parameters.values())[bound:]
    except ValueError as error:
        raise Refusal(f"what {call!r} takes cannot be found out") from error
    found: dict[str, str] = {}
    for p in given:
        name, needed = _known(p.name), p.default is p.empty
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        if p.name in wish.settings:
            found[p.name] = "setting"
        elif p.name == wish.rate or (not wish.rate and name in RATE and name != "alpha"):
            found[p.name] = "rate"
        elif name in GRAD:
            found[p.name] = "grad"
        elif name in STATE and (needed or p.default is None):
            found[p.name] = "state"
        elif name in CLOCK and (needed or (name in CLOCK[:4] and type(p.default) is int)):
            found[p.name] = "clock"
        elif needed:
            found[p.name] = "array"
        elif p.default is None:
            found[p.name] = "memo"
    if not wish.rate and not {"rate", "state"} & set(found.values()):  # alpha is the rate where nothing else is
        found |= {p.name: "rate" for p in given if _known(p.name) == "alpha"}
    return found


def _known(name: str) -> str:
    return name if len(name) == 1 else name.lower().strip("_")  # G is no g


def _valued(names: list[str]) -> None:
    for name in names:
        raise Refusal(f"argument {name} has no default: give it a value, --set {name}=…")


def begun(call: Call, param: Array, lr: float) -> Step:
    """Start afresh: the parameter held, the memory empty, the object made."""
    made, held = call.get(), _held(call.container, param)
    if call.method and isinstance(made, type):
        given = {"param": held, "rate": lr}
        made = made(**{n: call.wish.settings[n] if r == "setting" else given[r] for n, r in call.made.items()})
    elif call.method:
        made = copy.deepcopy(made)
    function = getattr(made, call.method) if call.method else made
    signature = inspect.signature(function)
    empty: dict[str, Callable[[], Any]] = {
        "dict": dict, "none": lambda: None, "zeros": lambda: _held(call.container, np.zeros_like(param)),
        "init": lambda: made.init(held),
    }  # fmt: skip
    memory = {n: empty[call.memory]() for n in call.names("state", "array")} | dict.fromkeys(call.names("memo"))
    for settings in memory.values() if call.key else ():
        settings.update(call.wish.settings)
    setters = [] if "rate" in call.roles.values() or call.key else _setters(made, lr, call.wish.rate)
    count = 0

    def step(grad: Array, lr: float) -> Array:
        nonlocal held, count
        count += 1
        for settings in memory.values() if call.key else ():
            settings[call.key] = lr
        for set_rate in setters:
            set_rate(lr)
        now = {"param": held, "grad": _held(call.container, grad), "rate": lr, "clock": count}
        bound = signature.bind_partial()
        for name, role in call.roles.items():
            known = memory[name] if name in memory else call.wish.settings.get(name) if role == "setting" else now[role]
            bound.arguments[name] = known
        result = function(*bound.args, **bound.kwargs)
        new, rest = _split(result, call, param.shape)
        if call.adds:
            new = _held(call.container, _array(held, call.container) + _array(new, call.container))
        held = held if new is None else new
        carried = call.names("state", "array", "memo", "clock")
        carried = carried if len(rest) == len(carried) else call.names("state", "array", "memo")
        memory.update({n: x for n, x in zip(carried, rest, strict=False) if n in memory})
        return _array(held, call.container)

    return step


def _split(result: Any, call: Call, shape: tuple[int, ...]) -> tuple[Any, tuple[Any, ...]]:
    """What a call returned: the parameters (None where they changed in place), and what else."""
    if result is None and not call.adds:
        return None, ()
    if _fits(result, call.container, shape):
        return result, ()
    if isinstance(result, tuple | list) and len(result) and _fits(result[0], call.container, shape):
        return result[0], tuple(result[1:])
    raise Unfit(f"it returns {type(result).__name__} where {call.container} of shape {shape} is expected")


def _held(container: str, x: Array) -> Any:
    return x if container == "array" else {"W": x} if container == "dict" else [x]


def _array(held: Any, container: str) -> Array:
    found: Array = np.asarray(held if container == "array" else held["W" if container == "dict" else 0])
    return found


def _fits(x: Any, container: str, shape: tuple[int, ...]) -> bool:
    if container == "array":
        return isinstance(x, np.ndarray) and x.shape == shape
    if container == "dict":
        return isinstance(x, dict) and set(x) == {"W"} and np.shape(x["W"]) == shape
    return isinstance(x, list) and len(x) == 1 and np.shape(x[0]) == shape


def _setters(made: Any, lr: float, name: str) -> list[Callable[[float], None]]:
    """What sets the rate of an object: the attribute or entry of that name, else of those that hold its value."""
    own = {
        n: getattr(made, n)
        for n in (*getattr(made, "__dict__", ()), *getattr(made, "__slots__", ()))
        if hasattr(made, n)
    }
    dicts = [d for x in own.values() for d in (x if isinstance(x, list) else [x]) if isinstance(d, dict)]
    places = [(own, partial(object.__setattr__, made)), *((d, partial(setitem, d)) for d in dicts)]
    named = [(place, n) for known, place in places for n in ((name,) if name else RATE) if n in known]
    held = [(place, n) for known, place in places for n, x in known.items() if type(x) is float and x == lr]
    if not named and not held:
        raise Unfit(f"it has no learning rate, neither an argument nor an attribute ({', '.join(RATE[:3])}); --rate")
    return [partial(place, n) for place, n in named[:1] or held]


def words(call: Call, target: Any) -> str:
    """How the code was taken."""
    name = target.__name__ if hasattr(target, "__name__") else type(target).__name__
    if call.method:
        name += f"({', '.join(call.made)}).{call.method}"
    words = [f"{name}({', '.join(call.roles)})"]
    if call.container != "array":
        words.append(f"parameters in a {call.container}")
    if call.adds:
        words.append("what it returns is added")
    memory, empty = call.names("state", "array"), {"dict": "{}", "zeros": "0", "none": "None"}
    if memory and call.memory in empty:
        words.append(f"{' and '.join(memory)} from {empty[call.memory]}")
    if call.key:
        words.append(f"the rate is {call.names('state', 'array')[0]}[{call.key!r}]")
    elif "rate" in call.roles.values():
        words.append(f"the rate is {call.names('rate')[0]}")
    else:
        words.append("the rate is set on the object")
    return ", ".join(words)
