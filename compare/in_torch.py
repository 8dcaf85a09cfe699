"""A convention as a call of torch.optim, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compare.family import Convention
from compare.in_words import filled, number, warning

UNTIL = "equal until the learning rate changes; then multiply every momentum_buffer by lr_old / lr_new"
INSIDE = "ε is inside the root; torch adds it to the root, and no constant translates one into the other"
BEFORE = "ε comes before the bias correction; in torch's terms it is ε / √(1 − β₂ᵗ), which changes with t"
NAMES = {"adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam"}  # all others are SGD


class Inexpressible(Exception):
    """torch.optim cannot do it; the text says why."""


@dataclass(frozen=True)
class Call:
    """torch's call and what it leaves open; without one, why."""

    text: str
    note: str = ""


def call(c: Convention, values: Mapping[str, float]) -> Call:
    """The call of torch.optim that does the same."""
    x = filled(c, values)
    try:
        arguments = ARGUMENTS[c.rule](c, x)
    except Inexpressible as reason:
        return Call("", str(reason))
    name, lam, notes = NAMES.get(c.rule, "SGD"), number(x["decay"]), []
    if c.decay == "coupled":
        arguments["weight_decay"] = lam
    elif c.rule == "adam" and c.decay in ("decoupled", "unscaled"):
        name, arguments["weight_decay"] = "AdamW", lam if c.decay == "decoupled" else f"{lam} / lr"
        if c.decay == "unscaled":
            notes.append("set weight_decay anew whenever lr changes: this decay does not scale with it")
    if c.rate == "inside":
        notes.append(UNTIL)
    if c.climbs:
        arguments["maximize"] = "True"
    first = "lr" if arguments.get("lr", "lr") == "lr" else f"lr={arguments['lr']}"
    given = ", ".join(["params", first, *(f"{n}={v}" for n, v in arguments.items() if n != "lr")])
    text, note = f"torch.optim.{name}({given})", "; ".join(notes)
    if c.decay in ("", "coupled") or name == "AdamW":
        return Call(text, note)
    factor = number(1 - x["decay"]) if c.decay == "unscaled" else f"1 − {lam} lr"
    when = "after" if c.decay == "after" else "before"
    by_hand = f"the decay there is coupled or none; multiply the weights by {factor} {when} each step of {text}"
    return Call("", f"{by_hand}, {note}" if note else by_hand)


def _sgd(c: Convention, x: Mapping[str, float]) -> dict[str, str]:
    return {}


def _momentum(c: Convention, x: Mapping[str, float]) -> dict[str, str]:
    """Scale the buffer so that its first is g: then lr is first · lr, and 1 − dampening is gain / first."""
    first, gain = x["first"], x["gain"]
    if c.rule == "late":
        raise Inexpressible("torch's buffer holds the newest gradient when it is used")
    if first == 0:
        raise Inexpressible("the first gradient does not enter the buffer; torch's first buffer is the gradient")
    found = {"momentum": number(x["mu"])}
    if c.rule == "nesterov":
        if (first, gain) != (1, 1):
            raise Inexpressible("torch's Nesterov takes the whole gradient into its buffer")
        found["nesterov"] = "True"
    if first != gain:
        found["dampening"] = number(float(f"{1 - gain / first:.12g}"))
    return found if first == 1 else found | {"lr": f"{number(first)} * lr"}


def _adagrad(c: Convention, x: Mapping[str, float]) -> dict[str, str]:
    found = {"lr_decay": number(x["lr_decay"])} if x["lr_decay"] else {}
    if "inside" in c.eps:  # ε under the root is a start of G
        return found | {"initial_accumulator_value": number(x["start"] + x["eps"]), "eps": "0"}
    if x["start"]:
        found["initial_accumulator_value"] = number(x["start"])
    return found | {"eps": number(x["eps"])}


def _rmsprop(c: Convention, x: Mapping[str, float]) -> dict[str, str]:
    if x["start"]:
        raise Inexpressible(f"the accumulator starts from {number(x['start'])}, torch's from 0")
    if "inside" in c.eps:
        raise Inexpressible(INSIDE)
    found = {"alpha": number(x["alpha"]), "eps": number(x["eps"])}
    if c.buffer:
        found["momentum"] = number(x["mu"])
    return found | {"centered": "True"} if c.centered else found


def _adam(c: Convention, x: Mapping[str, float]) -> dict[str, str]:
    if c.corrected != "mv":
        raise Inexpressible(f"{warning(c)}; torch corrects both")
    if "before" in c.eps:
        raise Inexpressible(BEFORE)
    if "inside" in c.eps:
        raise Inexpressible(INSIDE)
    return {"betas": f"({number(x['beta1'])}, {number(x['beta2'])})", "eps": number(x["eps"])}


ARGUMENTS: dict[str, Callable[[Convention, Mapping[str, float]], dict[str, str]]] = {
    "sgd": _sgd, "momentum": _momentum, "nesterov": _momentum, "late": _momentum, "adagrad": _adagrad,
    "rmsprop": _rmsprop, "adam": _adam,
}  # fmt: skip


def pair_of(c: Convention, values: Mapping[str, float]) -> tuple[str, dict[str, object]] | None:
    """The pair of gradtwin's table that is this convention, and its options; None where there is none."""
    x = filled(c, values)
    own: dict[str, object] = {n: x[n] for n in c.free if n in ("lr_decay", "alpha", "beta1", "beta2")}
    if c.decay not in ("", "coupled") and not (c.rule == "adam" and c.decay == "decoupled"):
        return None
    if c.climbs or c.rule == "late":
        return None
    if c.decay:
        own["weight_decay"] = x["decay"]
    if c.rule in ("momentum", "nesterov"):
        dampening = float(f"{1 - x['gain']:.12g}")
        if x["first"] != 1 or (dampening and (c.rate == "inside" or c.rule == "nesterov")):
            return None
        own |= {"momentum": x["mu"], "convention": "velocity" if c.rate == "inside" else "torch"}
        return c.rule, own | {"dampening": dampening} if dampening else own
    if c.rule == "adagrad":
        if "inside" in c.eps:
            return c.rule, own | {"eps": 0.0, "initial_accumulator": x["start"] + x["eps"]}
        return c.rule, own | {"eps": x["eps"], "initial_accumulator": x["start"]}
    if c.rule == "rmsprop":
        if x["start"] or (c.buffer and c.rate == "inside"):
            return None
        own |= {"eps": x["eps"], "eps_inside": "inside" in c.eps, "centered": c.centered}
        return c.rule, own | {"momentum": x["mu"] if c.buffer else 0.0}
    if c.rule == "adam":
        if c.corrected != "mv" or "inside" in c.eps:
            return None
        own |= {"eps": x["eps"], "convention": "keras" if "before" in c.eps else "torch"}
        return "adamw" if c.decay == "decoupled" else "adam", own
    return c.rule, own
