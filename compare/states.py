"""What a side of a lockstep training did and remembers: its answers after a step, and copies of what it stood on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

    States = Mapping[str, Mapping[str, Array]]  # by parameter, then by torch's names of what its rule remembers


@dataclass(frozen=True)
class Side:
    """One side after a step. The arrays are live and change in the next step: copy what you keep."""

    loss: float
    lr: float
    grads: Mapping[str, Array]  # as the rule got them: clipped, if that was asked for
    params: Mapping[str, Array]  # after the update
    seconds: float  # objective and update, without fetching the batch


class Kept:
    """Copies of one side's weights and states as they once were, in memory that is used again."""

    def __init__(self) -> None:
        self.params: dict[str, Array] = {}
        self.states: dict[str, dict[str, Array]] = {}

    def keep(self, params: Mapping[str, Array], states: States) -> None:
        """Copy all."""
        _copy(params, self.params)
        for name, state in states.items():
            _copy(state, self.states.setdefault(name, {}))


def shared(states: States, others: States) -> Iterable[tuple[str, str]]:
    """Parameter and name of every array that both sides remember under the same name and in the same shape."""
    for name, state in states.items():
        for key in sorted(state.keys() & others.get(name, {}).keys()):
            if key != "step" and state[key].shape == others[name][key].shape:
                yield name, key


def replaced(states: States, by: States) -> dict[str, dict[str, Array]]:
    """These states, with the arrays of the others in place of those that both remember."""
    both = set(shared(states, by))
    return {n: {k: by[n][k] if (n, k) in both else x for k, x in state.items()} for n, state in states.items()}


def _copy(arrays: Mapping[str, Array], into: dict[str, Array]) -> None:
    for name, x in arrays.items():
        if name in into:
            np.copyto(into[name], x)
        else:
            into[name] = np.array(x)
