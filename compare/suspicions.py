"""What the answer would be if … : the well-known mistakes that are another question, put to the ref as it is.

A suspicion is a cause in words and the quantities that it predicts. Those through the scores of a classifier lie in
suspicions_scores, sums over the batch in suspicions_sums, penalties in suspicions_terms, layers in suspicions_layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from compare.records import Case, Outcome

if TYPE_CHECKING:
    from compare.records import Array

Ask = Callable[[Case], Outcome]


@dataclass(frozen=True)
class Suspicion:
    """A cause in words, and what each quantity would then be."""

    cause: str
    predicts: Mapping[str, Array]


@dataclass(frozen=True, eq=False)  # what is worked out for one is remembered by its identity
class Asked:
    """A case as diagnosis sees it, in float64; decoy is the question put right before it, if there was one."""

    case: Case
    truth: Outcome
    at: str  # the dotted name of the method: "layers.relu"
    loss: str  # "softmax" or "hinge", where scores meet labels
    ask: Ask
    decoy: Case | None = None

    @cached_property
    def quantities(self) -> dict[str, Array]:
        """The truth, by quantity."""
        return self.truth.quantities()

    @cached_property
    def penalty(self) -> dict[str, Array]:
        """What the regulariser adds to each quantity: zeros without one."""
        if not self.case.options.get("reg") or "y" not in self.case.inputs:
            return {q: np.zeros_like(x) for q, x in self.quantities.items()}
        return {q: self.quantities[q] - x for q, x in self.put(reg=0.0).items()}

    def put(self, inputs: Mapping[str, Array] | None = None, **options: object) -> dict[str, Array]:
        """The ref's answer to this case with other inputs or options."""
        case = self.case
        changed = replace(case, inputs={**case.inputs, **(inputs or {})}, options={**case.options, **options})
        return self.ask(changed).quantities()


def other_questions(asked: Asked) -> Iterator[Suspicion]:
    """Mistakes that are another question: they answer value and gradients alike."""
    yield from _labels(asked)
    yield from _pixels(asked)
    yield from _biases(asked)
    yield from _options(asked)
    yield from _left_over(asked)


def _labels(asked: Asked) -> Iterator[Suspicion]:
    if not asked.loss:
        return
    y = asked.case.inputs["y"]
    C = classes(asked.case)
    for name, labels in (
        ("labels shifted by one class up", (y + 1) % C),
        ("labels shifted by one class down", (y - 1) % C),
        ("labels in reversed order of examples", y[::-1]),
        ("labels shifted by one example", np.roll(y, 1)),
        ("labels shifted by one example, backwards", np.roll(y, -1)),
    ):
        if not np.array_equal(labels, y):
            yield Suspicion(name, asked.put({"y": np.ascontiguousarray(labels)}))


def classes(case: Case) -> int:
    """How many classes a classifier's case has; 1 where there are none."""
    if "y" not in case.inputs and "dout" not in case.inputs:
        return 1
    last = [x for n, x in case.inputs.items() if n == "scores" or n.startswith("b")]
    return int(last[-1].shape[-1]) if last and last[-1].ndim else 1


def _pixels(asked: Asked) -> Iterator[Suspicion]:
    """The features in another order of channels; W keeps its own."""
    X = asked.case.inputs.get("X")
    if X is None or X.ndim != 2 or X.shape[1] % 3 or not any(n.startswith("W") for n in asked.case.inputs):
        return
    pixels = X.reshape(len(X), -1, 3)
    for name, other in (
        ("channels in reversed order (BGR for RGB)", pixels[:, :, ::-1]),
        ("channels first for channels last", pixels.transpose(0, 2, 1)),
        ("channels last for channels first", X.reshape(len(X), 3, -1).transpose(0, 2, 1)),
    ):
        yield Suspicion(name, asked.put({"X": np.ascontiguousarray(other.reshape(X.shape))}))


def _biases(asked: Asked) -> Iterator[Suspicion]:
    """A bias left out of the scores, or subtracted."""
    for name, b in asked.case.inputs.items():
        if not name.startswith("b") or f"W{name[1:]}" not in asked.case.inputs:
            continue
        bias = f"bias {name}" if name != "b" else "bias"
        for cause, sign in (("missing from the scores", 0), ("with the wrong sign in the scores", -1)):
            data = asked.put({name: sign * b}, **({"reg": 0.0} if "reg" in asked.case.options else {}))
            yield Suspicion(f"{bias} {cause}", {q: x + asked.penalty[q] for q, x in data.items()})


def _options(asked: Asked) -> Iterator[Suspicion]:
    options, inputs = asked.case.options, asked.case.inputs
    reg = options.get("reg")
    if reg:
        yield Suspicion("reg twice", asked.put(reg=reg * reg))
    if reg and asked.loss and "scores" not in inputs:
        decays = bool(options.get("decay_bias", False))
        word = "missing" if decays else "applied"
        yield Suspicion(f"regulariser {word} on the bias", asked.put(decay_bias=not decays))
        for penalty in ("l2", "l1", "elastic_net"):
            if penalty != options.get("penalty", "l2"):
                yield Suspicion(f"{penalty} penalty in its place", asked.put(penalty=penalty))


def _left_over(asked: Asked) -> Iterator[Suspicion]:
    """Answers that still belong to the call before."""
    if asked.decoy is None:
        return
    earlier = asked.ask(asked.decoy).quantities()
    if "dout" in asked.case.inputs:
        stale = asked.put({n: x for n, x in asked.decoy.inputs.items() if n != "dout"})
        yield Suspicion("stale cache: the inputs of the call before", {q: x for q, x in stale.items() if q != "value"})
    yield Suspicion("the answer of the call before", earlier)
    together = {q: x + t for (q, t), x in zip(asked.quantities.items(), earlier.values(), strict=True)}
    yield Suspicion("added to the answer of the call before", together)
