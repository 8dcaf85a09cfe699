"""What travels through compare, from the question to the line of report. All frozen, all with named fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line reads these records before it can afford to import NumPy
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Refusal(Exception):
    """Unusable input, told to the user in a line or two: what, where, how much, and what to do. Exit status 2."""


class Verdict(StrEnum):
    """What a comparison concludes. Only DIFFER, CRASHED and (with --strict) IMPRECISE fail a run."""

    AGREE = "agree"  # within what rounding does to any stable algorithm
    IMPRECISE = "imprecise"  # rounding explains it, but a stable algorithm would do better
    DIFFER = "differ"
    INCONCLUSIVE = "inconclusive"  # nothing could be judged: never a silent pass
    SKIPPED = "skipped"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Case:
    """One question put to both sides.

    inputs are float64 or integer arrays by argument name; each dtype under test casts the floats once, and both
    sides and the truth see exactly those values. exact promises that no operation of this case rounds: kinks
    are then hit on purpose, and both sides must follow the same convention there.
    """

    name: str
    inputs: Mapping[str, Array]
    wrt: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False


@dataclass(frozen=True)
class Outcome:
    """One side's answer: the value (or the layer's output) and the gradients by argument name."""

    value: Array
    grads: Mapping[str, Array]

    def quantities(self) -> dict[str, Array]:
        """Everything that is judged, by name: "value", then "dW" for the gradient by W."""
        return {"value": self.value} | {f"d{name}": grad for name, grad in self.grads.items()}


@dataclass(frozen=True)
class Noise:
    """How large rounding may be for one quantity: a norm for the tensor, and a scale for every entry."""

    tensor: float
    entry: Array


@dataclass(frozen=True)
class Difference:
    """One quantity, measured: scratch against the truth in noise units, and where the worst entry lies."""

    quantity: str
    noise_units: float  # the larger of the tensor's and the worst entry's
    tensor_units: float
    entry_units: float
    entry: tuple[int, ...] | None
    scratch: float | None
    ref: float | None
    allowed: float | None  # how far this entry may lie from ref
    kinks: int = 0  # entries explained by the other side of a kink within rounding
    fault: str = ""  # a difference that no number expresses: shape, dtype, NaN, mutated input


@dataclass(frozen=True)
class Cause:
    """A possible reason for a difference, and the share of the difference that it leaves unexplained."""

    cause: str
    unexplained: float


REFUSAL = "refusal"  # the quantity of a finding about input that must be refused; its case names the input


@dataclass(frozen=True)
class Finding:
    """One row of the verdict table."""

    pair: str
    function: str
    case: str
    dtype: str
    quantity: str
    verdict: Verdict
    noise_units: float | None = None
    entry: tuple[int, ...] | None = None
    scratch: float | None = None
    ref: float | None = None
    numerical: float | None = None
    causes: tuple[Cause, ...] = ()
    convention: str = ""
    message: str = ""
    slopes: int = 0  # that the numerical gradient worked out: every coordinate, or directions
    unjudged: int = 0  # of these: at a kink that no step avoids


@dataclass(frozen=True)
class Pair:
    """One row of the table: a method that exists twice under the same dotted name, and how to question it."""

    name: str
    family: str
    kind: str
    at: str  # "losses.softmax" is scratch.losses.softmax and ref.losses.softmax
    cases: Callable[..., Iterable[Case]]  # (rng, batch of real images or None) -> questions
    sums: tuple[Mapping[str, int], ...] = ()  # each sum of the mathematics: argument or "value" -> its axis
    kinks: Callable[..., Any] | None = None  # inputs as tensors -> signed distances to the kinks
    refuses: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # a name, and the inputs that must raise ValueError
    loss: str = ""  # "softmax" or "hinge", where scores meet labels under one of them
    scratch_at: str = ""  # where scratch's side lives if under another name (the fused forms)
    convention: str = ""  # what differs between libraries, and what holds here
