"""The family of update rules among which compare.infer searches: one step of each, in arithmetic of any kind.

Below θ is the parameter, g the gradient with coupled decay in it, η the learning rate, t the number of the step from 1.

    sgd        δ = η g
    momentum   b ← μ b + gain g, the first b = first g;  δ = η b             rate "inside": b ← μ b + η gain g, δ = b
    nesterov   the same b;  δ = η (g + μ b)                                  rate "inside": δ = η g + μ b
    late       momentum whose b is used before g enters it
    adagrad    G ← G + g², from start;  δ = η_t g / (√G + ε),  η_t = η / (1 + (t − 1) lr_decay)
    rmsprop    c ← α c + (1 − α) g², from start;  δ = η g / (√c + ε);  centered: c − a² for c, a ← α a + (1 − α) g;
               buffer: b ← μ b + g / (√c + ε), δ = η b                       rate "inside": b ← μ b + η g / (√c + ε)
    adam       m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²;  δ = η m̂ / (√v̂ + ε)
               corrected says which of m and v is divided by 1 − βᵗ; "stuck" has t = 1 in it for ever

    eps        outside √x + ε, inside √(x + ε); before: of v before its bias correction
    decay      coupled g = grad + λθ; decoupled θ ← θ − δ − ηλθ; unscaled θ − δ − λθ; after (θ − δ)(1 − ηλ)

Only + − × ÷ and powers occur: NumPy's floats and complex numbers (for derivatives) go through, and torch's tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

State = dict[str, Any]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Convention:
    """One rule with its conventions; free names the hyperparameters that have to be found."""

    rule: str
    free: tuple[str, ...]
    rate: str = "outside"
    eps: str = "outside"
    corrected: str = ""
    decay: str = ""
    centered: bool = False
    buffer: bool = False
    start: float = 0.0  # of an accumulator, where it is not to be found
    climbs: bool = False  # + δ instead of − δ


def step(c: Convention, x: Values, s: State, param: Any, grad: Any, lr: Any, t: int) -> Any:
    """What is added to the parameter in step t; s is the state, an empty dict before the first step."""
    g = grad + x["decay"] * param if c.decay == "coupled" else grad
    move = STEPS[c.rule](c, x, s, g, lr, t)
    if c.climbs:
        move = -move
    if c.decay == "decoupled":
        return -(move + lr * x["decay"] * param)
    if c.decay == "unscaled":
        return -(move + x["decay"] * param)
    if c.decay == "after":
        return -(move + lr * x["decay"] * (param - move))
    return -move


def path(c: Convention, x: Values, param: Any, grads: Sequence[Any], lr: Sequence[Any]) -> list[Any]:
    """The parameter after each step."""
    s: State = {}
    out = []
    for t, (grad, rate) in enumerate(zip(grads, lr, strict=True), start=1):
        param = param + step(c, x, s, param, grad, rate, t)
        out.append(param)
    return out


def moves(c: Convention, x: Values, params: Sequence[Any], grads: Sequence[Any], lr: Sequence[Any]) -> list[Any]:
    """What is added in each step, where params stood before it: its own errors do not add up."""
    s: State = {}
    return [step(c, x, s, p, g, r, t) for t, (p, g, r) in enumerate(zip(params, grads, lr, strict=True), start=1)]


def _average(s: State, name: str, keep: Any, new: Any) -> Any:
    """Store keep · old + new; before the first step there is no old."""
    s[name] = keep * s[name] + new if name in s else new
    return s[name]


def _sgd(c: Convention, x: Values, s: State, g: Any, lr: Any, t: int) -> Any:
    return lr * g


def _momentum(c: Convention, x: Values, s: State, g: Any, lr: Any, t: int) -> Any:
    gain = "first" if t == 1 else "gain"
    push = x[gain] * g if gain in c.free else g
    if c.rate == "inside":
        push = lr * push
    before = s.get("b", 0 * g)
    b = _average(s, "b", x["mu"], push)
    if c.rule == "late":
        b = before
    if c.rule == "nesterov":
        b = (lr * g if c.rate == "inside" else g) + x["mu"] * b
    return b if c.rate == "inside" else lr * b


def _adagrad(c: Convention, x: Values, s: State, g: Any, lr: Any, t: int) -> Any:
    s["G"] = s.get("G", x["start"] if "start" in c.free else c.start) + g * g
    if "lr_decay" in c.free:
        lr = lr / (1 + (t - 1) * x["lr_decay"])
    return lr * g / _root(c, s["G"], x["eps"])


def _rmsprop(c: Convention, x: Values, s: State, g: Any, lr: Any, t: int) -> Any:
    alpha = x["alpha"]
    if c.start and "c" not in s:
        s["c"] = c.start
    square = _average(s, "c", alpha, (1 - alpha) * g * g)
    if c.centered:
        mean = _average(s, "a", alpha, (1 - alpha) * g)
        square = square - mean * mean
    u = g / _root(c, square, x["eps"])
    if c.rate == "inside":
        u = lr * u
    if c.buffer:
        u = _average(s, "b", x["mu"], u)
    return u if c.rate == "inside" else lr * u


def _adam(c: Convention, x: Values, s: State, g: Any, lr: Any, t: int) -> Any:
    beta1, beta2 = x["beta1"], x["beta2"]
    m = _average(s, "m", beta1, (1 - beta1) * g)
    v = _average(s, "v", beta2, (1 - beta2) * g * g)
    n = 1 if "stuck" in c.corrected else t
    if "m" in c.corrected:
        lr = lr / (1 - beta1**n)
    if "v" in c.corrected and "before" not in c.eps:
        v = v / (1 - beta2**n)
    elif "v" in c.corrected:
        lr = lr * (1 - beta2**n) ** 0.5
    return lr * m / _root(c, v, x["eps"])


def _root(c: Convention, x: Any, eps: Any) -> Any:
    return (x + eps) ** 0.5 if "inside" in c.eps else x**0.5 + eps


STEPS: dict[str, Callable[..., Any]] = {
    "sgd": _sgd, "momentum": _momentum, "nesterov": _momentum, "late": _momentum, "adagrad": _adagrad,
    "rmsprop": _rmsprop, "adam": _adam,
}  # fmt: skip


def linear() -> Iterator[Convention]:
    """Rules whose steps are linear in the gradients, the plainest first."""
    yield Convention("sgd", ())
    for free in (("mu",), ("mu", "first", "gain")):
        for rate in ("outside", "inside"):
            for rule in ("momentum", "nesterov", "late"):
                yield Convention(rule, free, rate)


def adaptive() -> Iterator[Convention]:
    """Rules that divide by the size of past gradients, the plainest first."""
    for eps in ("outside", "inside"):
        yield Convention("adagrad", ("eps",), eps=eps)
        yield Convention("rmsprop", ("alpha", "eps"), eps=eps)
    adam = ("beta1", "beta2", "eps")
    for corrected in ("mv", "", "m", "v"):
        for eps in ("outside", "inside", "before", "inside before"):
            if "before" not in eps or "v" in corrected:
                yield Convention("adam", adam, eps=eps, corrected=corrected)
    for eps in ("outside", "inside"):
        yield Convention("adagrad", ("eps", "start"), eps=eps)
        yield Convention("adagrad", ("eps", "lr_decay"), eps=eps)
        yield Convention("rmsprop", ("alpha", "eps"), eps=eps, start=1.0)
        yield Convention("rmsprop", ("alpha", "eps"), eps=eps, centered=True)
        for rate in ("outside", "inside"):
            for centered in (False, True):
                yield Convention("rmsprop", ("alpha", "eps", "mu"), rate, eps, centered=centered, buffer=True)
        yield Convention("adam", adam, eps=eps, corrected="stuck mv")
    for centered in (False, True):  # TensorFlow 1: the accumulator starts from 1
        free = ("alpha", "eps", "mu")
        yield Convention("rmsprop", free, "inside", "inside", centered=centered, buffer=True, start=1.0)


DECAYS = ("coupled", "decoupled", "unscaled", "after")
