"""What a sweep searches: settings of a training by name, each with values to choose from or a range to draw from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import models
from compare.augment import AUGMENTS
from compare.models import Model
from compare.records import Refusal

if TYPE_CHECKING:
    from compare.parties import Plan

Value = float | int | str


@dataclass(frozen=True)
class Choice:
    """Values to choose from."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in self.values)


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, their logarithm uniform; by_rule: as multiples of the model's rate for the rule."""

    low: float | int
    high: float | int
    by_rule: bool = False

    def __str__(self) -> str:
        x = "x" if self.by_rule else ""
        return f"{self.low:g}{x}..{self.high:g}{x}"


Space = Mapping[str, Choice | Range]
UNLESS_TOLD = {"lr": Range(0.1, 10.0, by_rule=True), "reg": Range(1e-5, 1e-1)}


def parse(model: Model, words: Iterable[str]) -> dict[str, Choice | Range]:
    """Read NAME=VALUES words: a list such as rule=sgd,adam, or a range such as lr=1e-4..1e-1 (or 0.1x..10x).

    Raises Refusal for an unknown name or value, an empty list or range, a number out of bounds, and a name given twice.
    """
    space: dict[str, Choice | Range] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise Refusal(f"{word}: settings are written NAME=VALUES, such as lr=1e-4..1e-1 or rule=sgd,adam")
        models.named("setting of a sweep", name, SETTINGS)
        if name in space:
            raise Refusal(f"{word}: {name} is given twice; put its values into one list")
        if name in ("hidden", "init") and not model.hidden:
            raise Refusal(f"{word}: for a network only; {model.name} has no hidden layer")
        space[name] = _values(word, SETTINGS[name], text)
    return space


def _values(word: str, read: Callable[[str, str], Value], text: str) -> Choice | Range:
    low, dots, high = text.partition("..")
    if dots:
        by_rule = word.startswith("lr") and low.endswith("x") and high.endswith("x")
        low, high = (low.removesuffix("x"), high.removesuffix("x")) if by_rule else (low, high)
        ends = read(word, low.strip()), read(word, high.strip())
        if any(isinstance(end, str) for end in ends):
            raise Refusal(f"{word}: a range is of numbers; list the values instead, with commas")
        first, last = float(ends[0]), float(ends[1])
        if first <= 0:
            raise Refusal(f"{word}: a range runs over orders of magnitude and begins above 0")
        if first >= last:
            raise Refusal(f"{word}: the range is empty; the low end comes first")
        return Range(*ends, by_rule)  # type: ignore[arg-type] # strings were refused above
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise Refusal(f"{word}: a value is missing; a list such as 0.01,0.1 or a range such as 1e-4..1e-1")
    return Choice(tuple(dict.fromkeys(read(word, part) for part in parts)))


def _number(word: str, text: str, zero: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Refusal(f"{word}: {text!r} is no number") from None
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise Refusal(f"{word}: {text} must be a finite number {'0 or above' if zero else 'above 0'}")
    return value


def _whole(word: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise Refusal(f"{word}: {text!r} must be a whole number from 1")
    return int(text)


def _batch(word: str, text: str) -> Value:
    return text if text == "full" else _whole(word, text)


def _hidden(word: str, text: str) -> str:
    """Units of a network's hidden layers: 100, or 100x50 for two."""
    return "x".join(str(_whole(word, units)) for units in text.split("x"))


def _of(what: str, known: Callable[[], Iterable[str]]) -> Callable[[str, str], str]:
    return lambda word, text: models.named(f"{what} ({word})", text, known())


SETTINGS: dict[str, Callable[[str, str], Value]] = {
    "lr": lambda word, text: _number(word, text, zero=False),
    "reg": lambda word, text: _number(word, text, zero=True),
    "rule": _of("rule", lambda: models.rules("scratch")),
    "schedule": _of("schedule", lambda: models.schedules("scratch")),
    "penalty": _of("penalty", lambda: models.penalties("scratch")),
    "augment": _of("augmentation", lambda: AUGMENTS),
    "batch_size": _batch,
    "epochs": _whole,
    "hidden": _hidden,
    "init": _of("scheme of start weights", models.schemes),
}


def size(space: Space) -> int | None:
    """How many combinations the values have, None where a range has no end of them."""
    lists = [c.values for c in space.values() if isinstance(c, Choice)]
    return math.prod(map(len, lists)) if len(lists) == len(space) else None


def points(space: Space, count: int, seed: int, base: Plan) -> list[dict[str, Value]]:
    """Settings to try: a grid shuffled, at most all of it, or that many draws. More of them begin with the same."""
    whole = size(space)
    if whole is None:
        return [_drawn(space, np.random.default_rng([seed, k]), base) for k in range(count)]
    combinations = [dict(zip(space, v, strict=True)) for v in product(*(c.values for c in space.values()))]  # type: ignore[union-attr] # lists alone
    return [combinations[k] for k in np.random.default_rng(seed).permutation(whole)[:count]]


def _drawn(space: Space, rng: np.random.Generator, base: Plan) -> dict[str, Value]:
    """One point; the rate comes last, as its range may depend on the rule."""
    found: dict[str, Value] = {}
    for name in sorted(space, key=lambda name: name == "lr"):
        values = space[name]
        if isinstance(values, Choice):
            found[name] = values.values[rng.integers(len(values.values))]
        else:
            low, high = ends(values, base, found)
            drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
            found[name] = round(drawn) if isinstance(values.low, int) else drawn
    return found


def ends(values: Range, base: Plan, found: Mapping[str, Value]) -> tuple[float, float]:
    """The range's ends, for settings that are found already."""
    own = models.model(base.model).lr[str(found.get("rule", base.rule))] if values.by_rule else 1
    return own * values.low, own * values.high


def options(settings: Mapping[str, Value]) -> dict[str, Any]:
    """Settings as a Plan has them."""
    found: dict[str, Any] = dict(settings)
    if found.get("batch_size") == "full":
        found["batch_size"] = 0
    if "hidden" in found:
        found["hidden"] = tuple(int(units) for units in str(found["hidden"]).split("x"))
    return found


def largest(space: Space, name: str) -> int:
    """The largest whole number that a setting may take, 0 where it takes none."""
    values = space.get(name, Choice(()))
    numbers = values.values if isinstance(values, Choice) else (values.high,)
    return max((v for v in numbers if isinstance(v, int)), default=0)
