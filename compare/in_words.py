"""A convention in words: its facets, and its formula. compare.in_torch has its call in torch.optim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from compare.family import Convention

NAMES = {
    "sgd": "gradient descent", "momentum": "momentum", "nesterov": "Nesterov's momentum",
    "late": "momentum, a step late",
    "adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam",
}  # fmt: skip
SIGNS = {
    "mu": "μ", "alpha": "α", "beta1": "β₁", "beta2": "β₂", "eps": "ε", "decay": "λ", "start": "start",
    "lr_decay": "lr_decay", "first": "first", "gain": "gain",
}  # fmt: skip
ZERO = "ε is 0: where the gradient has always been 0, the step is 0 / 0, not a number"


@dataclass(frozen=True)
class Told:
    """A convention for people: its name, its facets by name, its formula, and what nobody would want of it."""

    name: str
    facets: Mapping[str, str]
    formula: str
    warning: str


def told(c: Convention, values: Mapping[str, float]) -> Told:
    """The convention in words."""
    x = filled(c, values)
    name = NAMES[c.rule]
    if c.rule == "adam" and c.decay not in ("", "coupled"):
        name = "AdamW"
    if c.rule == "rmsprop":
        name = f"{'centred ' * c.centered}{name}{' with momentum' * c.buffer}"
    zero = "eps" in c.free and x["eps"] == 0 and x["start"] == 0
    return Told(name, _facets(c, x), _formula(c, x), warning(c) or (ZERO if zero else ""))


def number(value: float) -> str:
    """A hyperparameter as people write it."""
    return f"{value:.12g}"


def filled(c: Convention, values: Mapping[str, float]) -> dict[str, float]:
    """Fill in what a convention does not leave free.

    Under Adagrad's root only the sum of ε and the start of G can be seen: 0.1000001 is taken as 0.1 and 1e-7.
    """
    x = {"first": 1.0, "gain": 1.0, "start": c.start, "lr_decay": 0.0, "decay": 0.0, "eps": 0.0, **values}
    if c.rule == "adagrad" and "inside" in c.eps:
        total = x["start"] + x["eps"]
        x["start"] = float(f"{total:.1g}") if total > 1e-3 and float(f"{total:.1g}") <= total else 0.0
        x["eps"] = float(f"{total - x['start']:.6g}")
    return x


def _facets(c: Convention, x: Mapping[str, float]) -> dict[str, str]:
    found = {}
    shown = [f"{SIGNS[n]} = {number(x[n])}" for n in c.free if n in ("mu", "alpha", "beta1", "beta2", "lr_decay")]
    if shown:
        found["hyperparameters"] = ", ".join(shown)
    if c.rule in ("momentum", "nesterov", "late") or c.buffer:
        inside = "inside the buffer: a step keeps the rate of its time (velocity)"
        found["learning rate"] = inside if c.rate == "inside" else "outside the buffer"
    if c.rule in ("momentum", "nesterov", "late"):
        first, gain = _times(x["first"], "g"), _times(x["gain"], "g")
        found["first step"] = f"the first buffer is {first}" + ("" if first == gain else f", later {gain} is added")
    if "eps" in c.free:
        where = "inside the root" if "inside" in c.eps else "outside the root"
        if c.rule == "adam" and "v" in c.corrected:
            where += ", before the bias correction" if "before" in c.eps else ", after the bias correction"
        found["ε"] = f"{number(x['eps'])}, {where}"
    if c.rule in ("adagrad", "rmsprop"):
        found["accumulator"] = f"starts from {number(x['start'])}"
    if c.rule == "adam":
        found["bias correction"] = {
            "mv": "of m and of v", "m": "of m alone", "v": "of v alone", "": "none",
            "stuck mv": "that of the first step, always",
        }[c.corrected]  # fmt: skip
    decay = {
        "": "none", "coupled": "coupled, g = gradient + λ θ", "decoupled": "decoupled, scaled by the learning rate",
        "unscaled": "decoupled, not scaled by the learning rate", "after": "decoupled, after the step",
    }[c.decay]  # fmt: skip
    found["weight decay"] = f"λ = {number(x['decay'])}, {decay}" if c.decay else decay
    return found


def _times(factor: float, what: str) -> str:
    return what if factor == 1 else "0" if factor == 0 else f"{number(factor)} {what}"


def _rest(share: float) -> str:
    return number(float(f"{1 - share:.12g}"))


def _formula(c: Convention, x: Mapping[str, float]) -> str:
    eps, sign = number(x["eps"]), "+" if c.climbs else "−"

    def root(of: str) -> str:
        return f"√({of} + {eps})" if "inside" in c.eps else f"(√{of} + {eps})"

    parts = ["g = gradient + " + _times(x["decay"], "θ")] if c.decay == "coupled" else []
    step = "η g"
    if c.rule in ("momentum", "nesterov", "late"):
        inside = c.rate == "inside"
        mu, b = number(x["mu"]), "v" if inside else "b"
        parts.append(f"{b} ← {mu} {b} + {'η ' * inside}{_times(x['gain'], 'g')}")
        step = {"momentum": b, "nesterov": f"(g + {mu} b)", "late": f"{b} before it"}[c.rule]
        step = f"(η g + {mu} v)" if inside and c.rule == "nesterov" else step if inside else f"η {step}"
    if c.rule == "adagrad":
        slowed = f" / (1 + {number(x['lr_decay'])} (t − 1))" if "lr_decay" in c.free else ""
        parts.append("G ← G + g²")
        step = f"η{slowed} g / {root('G')}"
    if c.rule == "rmsprop":
        alpha, rest = number(x["alpha"]), _rest(x["alpha"])
        parts.append(f"c ← {alpha} c + {rest} g²")
        if c.centered:
            parts.append(f"a ← {alpha} a + {rest} g")
        step = f"g / {root('(c − a²)' if c.centered and 'inside' not in c.eps else 'c − a²' if c.centered else 'c')}"
        if c.buffer:
            parts.append(f"b ← {number(x['mu'])} b + {'η ' * (c.rate == 'inside')}{step}")
            step = "b"
        step = step if c.buffer and c.rate == "inside" else f"η {step}"
    if c.rule == "adam":
        parts.append(f"m ← {number(x['beta1'])} m + {_rest(x['beta1'])} g")
        parts.append(f"v ← {number(x['beta2'])} v + {_rest(x['beta2'])} g²")
        before = "before" in c.eps
        m = "m̂" if "m" in c.corrected and not before else "m"
        v = "v̂" if "v" in c.corrected and not before else "v"
        scale = f" √(1 − β₂ᵗ){' / (1 − β₁ᵗ)' if 'm' in c.corrected else ''}" if before else ""
        step = f"η{scale} {m} / {root(v)}"
    lam = _times(x["decay"], "θ")
    shrunk = {"decoupled": f" − η {lam}", "unscaled": f" − {lam}", "after": f", then θ ← θ − η {lam}"}.get(c.decay, "")
    return ",  ".join([*parts, f"θ ← θ {sign} {step}{shrunk}"])


def warning(c: Convention) -> str:
    """What nobody would want of a convention; empty for most."""
    if c.climbs:
        return "it climbs: the step has the sign of the gradient, and the loss grows"
    if c.rule == "late":
        return "the buffer is used before the new gradient enters it: each gradient acts a step late"
    if c.rule == "adam" and c.corrected != "mv":
        what = {"": "m and v are", "m": "v is", "v": "m is"}.get(c.corrected)
        return f"{what} not corrected for the start at 0" if what else "t is not counted in the bias correction"
    return ""
