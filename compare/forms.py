"""What a user's update rule may look like, and how each form is asked. Runs in the guest's process.

form     written as                                             the learning rate η is
config   step(w, dw, config=None) -> (w, config)                config["learning_rate"]: the course's form
state    step(param, grad, state, lr), state a dict             the argument lr
arrays   step(w, dw, lr), step(w, dw, m, v, t, lr) -> (w, m, v)  the argument lr; m and v start at 0, t counts from 1
rule     init(param) -> state, update(param, grad, state, lr)   the argument lr: scratch's form
object   a class or an object with step or update(params, grads)  an argument, or the attribute that holds it
torch    a subclass of torch.optim.Optimizer                    param_groups[…]["lr"]

In all but the last the parameters may be one array, a list or a dict of arrays, changed in place or returned, alone
or first; or what is returned is the update, to be added. Arguments are known by their names (RATE, GRAD, CLOCK,
STATE); which form holds is found by trying.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.calls import CONTAINERS, RATE, Call, Step, Unfit, Wish, begun, constructor, roles, words
from compare.plugin import told
from compare.records import Refusal
from compare.user import User

if TYPE_CHECKING:
    from compare.records import Array

FORMS = ("config", "state", "arrays", "rule", "object", "torch")
EXPECTED = "expected step(w, dw, config), step(param, grad, state, lr), or a class with step(params, grads)"


@dataclass(frozen=True)
class Form:
    """A form that may fit: begin(param, lr) starts afresh and gives step(grad, lr) -> param after it."""

    name: str
    told: str
    begin: Callable[[Array, float], Step]
    guessed: bool = False  # tried although no name speaks for it


def taken(user: User, wish: Wish) -> tuple[str, str]:
    """Name of the form that fits and how it was taken, in words. Raises Refusal if none does."""
    if "form" not in user.found:
        user.found["form"] = _recognised(user, wish)
    form: Form = user.found["form"]
    return form.name, form.told


def path(user: User, wish: Wish, param: Array, grads: Array, lr: Array) -> tuple[Array, str]:
    """The parameter after each step from a fresh start, (T, …), and what the code raised, if it did."""
    taken(user, wish)
    return walk(user.found["form"], user, param, grads, lr)


def walk(form: Form, user: User, param: Array, grads: Array, lr: Array) -> tuple[Array, str]:
    """As path, for one form."""
    out: list[Array] = []
    with np.errstate(all="ignore"):
        try:
            step = form.begin(param.copy(), float(lr[0]))
            for grad, rate in zip(grads, lr, strict=True):
                out.append(np.array(step(grad.copy(), float(rate))))
        except (Exception, SystemExit) as error:
            return np.array(out), str(error) if isinstance(error, Unfit) else told(error, user.path)
    return np.array(out), ""


def _recognised(user: User, wish: Wish) -> Form:
    target, why = user.get(), ""
    for form in _forms(user.get, target, wish):
        if wish.form and form.name != wish.form:
            continue
        fault = _fault(form, user)
        if not fault:
            return form if _repeats(form, user) else _restarted(user, form, wish)
        why = why or ("" if form.guessed else f"as {form.name}, {form.told}: {fault}")
    if not why:
        signature = inspect.signature(target) if callable(target) else ""
        why = f"{user.spec.rpartition(':')[2]}{signature} has "
        why += f"not the form {wish.form}" if wish.form else f"no learning rate ({', '.join(RATE[:3])}, or --rate NAME)"
    raise Refusal(f"{user.spec} is not understood as an update rule ({why}); {EXPECTED}")


def _restarted(user: User, form: Form, wish: Wish) -> Form:
    """The same form, the file executed anew at every start: it keeps something in globals."""
    fresh = partial(user.get, fresh=True)
    again = next(f for f in _forms(fresh, user.get(), wish) if (f.name, f.told) == (form.name, form.told))
    if not _repeats(again, user):
        raise Refusal(f"{user.spec} answers the same question in two ways: two identical runs gave two paths")
    return replace(again, told=f"{again.told}; it keeps its state in globals")


def _question(lr: float) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    return 5 + rng.normal(size=(3, 2)), rng.normal(size=(3, 3, 2)), np.full(3, lr)


def _fault(form: Form, user: User) -> str:
    """Why a form does not fit; empty if it does."""
    paths = []
    for lr in (0.1, 0.2):
        param, grads, rates = _question(lr)
        found, error = walk(form, user, param, grads, rates)
        if error:
            return error
        paths.append(found)
    if paths[0].dtype not in (np.float32, np.float64):
        return f"it gives {paths[0].dtype} for float64"
    if not np.all(np.isfinite(paths[0])):
        return "it gives numbers that are not finite"
    if np.linalg.norm(paths[0][0]) < np.linalg.norm(paths[0][0] - param):
        return "it returns something near 0, not the parameter moved by a little"
    if np.array_equal(paths[0][-1], param):
        return "it changes nothing"
    return "the learning rate changes nothing" if np.array_equal(paths[0], paths[1]) else ""


def _repeats(form: Form, user: User) -> bool:
    first, second = (walk(form, user, *_question(0.1))[0] for _ in range(2))
    return np.array_equal(first, second)


# --- the forms ---


def _forms(get: Callable[[], Any], target: Any, wish: Wish) -> Iterator[Form]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(target, type) and issubclass(target, torch.optim.Optimizer):
        yield Form("torch", f"{target.__name__}(params, lr), a torch.optim.Optimizer", partial(_torch, get, wish))
    elif callable(getattr(target, "init", None)) and callable(getattr(target, "update", None)):
        yield from _calls("rule", get, target, "update", wish)
    elif isinstance(target, type) or not (inspect.isroutine(target) or isinstance(target, partial)):
        for method in ("step", "update", "__call__"):
            if callable(getattr(target, method, None)) and not (method == "__call__" and isinstance(target, type)
                                                                and "__call__" not in vars(target)):  # fmt: skip
                yield from _calls("object", get, target, method, wish)
    else:
        yield from _calls("", get, target, "", wish)


def _torch(get: Callable[[], Any], wish: Wish, param: Array, lr: float) -> Step:
    torch = sys.modules["torch"]
    p = torch.nn.Parameter(torch.from_numpy(param))
    optimizer = get()([p], **{wish.rate or "lr": lr}, **wish.settings)

    def step(grad: Array, lr: float) -> Array:
        for group in optimizer.param_groups:
            group[wish.rate or "lr"] = lr
        p.grad = torch.from_numpy(grad)
        optimizer.step()
        return np.array(p.detach().numpy())

    return step


def _calls(name: str, get: Callable[[], Any], target: Any, method: str, wish: Wish) -> Iterator[Form]:
    given = roles(getattr(target, method) if method else target, wish, bound=isinstance(target, type))
    made = constructor(target, wish, given) if method and isinstance(target, type) else {}
    unknown = set(wish.settings) - {n for n, r in (given | made).items() if r == "setting"}
    param = next((n for n, r in (given | made).items() if r == "param"), "")
    rated = "rate" in given.values() or (method and name != "rule")
    containers = ("dict", "list", "array") if param.endswith("s") else CONTAINERS
    remembers = {r for r in given.values() if r in ("state", "array")}
    starts: tuple[str, ...] = ("dict", "none", "zeros") if "state" in remembers else ("zeros", "dict", "none")
    if name == "rule":
        starts = ("init",)
    for memory in starts if remembers else ("",):
        for key in ("",) if rated else ((wish.rate,) if wish.rate else RATE) if memory == "dict" else ():
            if unknown and not key:
                names = ", ".join(sorted(unknown))
                raise Refusal(f"--set {names}: the code has no such argument; it has {', '.join(given | made)}")
            for container in containers:
                for adds in (False, True):
                    call = Call(get, method, given, made, wish, container, memory, key, adds)
                    form = name or ("config" if key else "state" if memory in ("dict", "none") else "arrays")
                    guessed = bool(key) and "state" not in remembers
                    yield Form(form, words(call, target), partial(begun, call), guessed)


class Rule:
    """A user's rule with scratch's init and update: what compare.kinds asks of a rule."""

    def __init__(self, user: User, wish: Wish) -> None:
        taken(user, wish)
        self.user, self.form = user, user.found["form"]

    def init(self, param: Array) -> dict[str, Any]:
        """Nothing yet: some forms want the learning rate of the first step."""
        return {}

    def update(self, param: Array, grad: Array, state: dict[str, Any], lr: float) -> None:
        """Make one step, in place."""
        if not state:
            state["step"] = self.user.run(self.form.begin, param.copy(), lr)
        param[...] = self.user.run(state["step"], grad, lr)
