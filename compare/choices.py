"""Rules and schedules as the command line names them: NAME, or NAME:option=value,option=value."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import models
from compare.bridge import to_tensor
from compare.records import Refusal

if TYPE_CHECKING:
    from compare.parties import Plan

YES, NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def rule(given: str) -> tuple[str, dict[str, Any]]:
    """Name and options of --rule. Raises Refusal for what neither side would take."""
    name, text = _named("rule", given, models.rules("scratch"))
    build = models.rules("scratch")[name]
    options = _options(f"--rule {given}", name, text, defaults(build))
    return name, options


def schedule(given: str) -> tuple[str, dict[str, Any]]:
    """Name and options of --schedule. Raises Refusal for an unknown one."""
    name, text = _named("schedule", given, models.schedules("scratch"))
    parameters = list(inspect.signature(models.schedules("scratch")[name]).parameters.values())[3:]
    return name, _options(f"--schedule {given}", name, text, {p.name: p.default for p in parameters})


def with_option(name: str, options: Mapping[str, Any], option: str, value: float | None) -> dict[str, Any]:
    """A rule's options with one more, given by an option of its own such as --momentum; None changes nothing."""
    if value is None:
        return dict(options)
    rules = models.rules("scratch")
    takers = [r for r, build in rules.items() if option in defaults(build)]
    flag = f"--{option.replace('_', '-')} {value:g}"
    if name not in takers:
        raise Refusal(f"{flag}: {name} has no {option}; {', '.join(takers)} have")
    if not math.isfinite(value):
        raise Refusal(f"{flag}: a finite number")
    if option in options:
        raise Refusal(f"{flag}: --rule says {option}={options[option]:g} already; give one of them")
    return {**options, option: value}


def check(plan: Plan, steps: int) -> None:
    """Raise Refusal for options of the rule or the schedule that either side refuses, or that give no rate."""
    start = {"W": np.zeros((2, 2)), "b": np.zeros(2)}
    try:
        models.scratch_rules(plan, start)
        optimizer = models.ref_optimizer(plan, {n: to_tensor(p).requires_grad_() for n, p in start.items()})
    except (ValueError, TypeError) as error:
        raise Refusal(f"--rule {plan.rule}: {_first_line(error)}") from error
    try:
        models.schedules("ref")[plan.schedule](optimizer, steps, **plan.schedule_options)
        rate: Callable[..., float] = models.schedules("scratch")[plan.schedule]
        rates = [rate(step, plan.lr, steps, **plan.schedule_options) for step in (0, steps - 1)]
    except (ValueError, ArithmeticError) as error:
        raise Refusal(f"--schedule {plan.schedule}, {steps:,} steps: {_first_line(error)}") from error
    if not all(isinstance(r, float) and math.isfinite(r) and r >= 0 for r in rates):
        raise Refusal(f"--schedule {plan.schedule}: rates from {rates[0]} to {rates[1]}; a finite number, 0 or above")


def told(name: str, options: Mapping[str, Any]) -> str:
    """As the command line would have it."""
    return ":".join(filter(None, [name, ",".join(f"{k}={_word(v)}" for k, v in options.items())]))


def defaults(build: Any) -> dict[str, Any]:
    """The hyperparameters of a rule, by name."""
    return {f.name: f.default for f in dataclasses.fields(build)}


def _named(what: str, given: str, known: Mapping[str, Any]) -> tuple[str, str]:
    name, _, text = given.partition(":")
    return models.named(f"{what} (--{what})", name, known), text


def _options(where: str, name: str, text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, word = (piece.strip() for piece in part.partition("="))
        if key not in known:
            close = difflib.get_close_matches(key, known, 1, cutoff=0.4)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known) or 'none'}"
            raise Refusal(f"{where}: {name} has no option {key!r}: {hint}")
        if not equals or not word:
            raise Refusal(f"{where}: {key} needs a value, such as {key}={_word(known[key])}")
        found[key] = _value(f"{where}: {key}", word, known[key])
    return found


def _value(where: str, word: str, like: Any) -> Any:
    """A word as the kind of value that its default is."""
    if isinstance(like, str):
        return word
    if isinstance(like, bool):
        if word.lower() not in YES + NO:
            raise Refusal(f"{where}={word}: true or false")
        return word.lower() in YES
    try:
        value = int(word) if isinstance(like, int) else float(word)
    except ValueError as error:
        raise Refusal(f"{where}={word}: a {'whole ' * isinstance(like, int)}number") from error
    if not math.isfinite(value):
        raise Refusal(f"{where}={word}: a finite number")
    return value


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
