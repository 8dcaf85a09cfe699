"""Dose and response: how often a relative error of known size, planted in a right gradient, is found.

The size is told in noise units exactly as a report tells them: the larger of the tensor's and the worst entry's, for
the error alone, without the rounding of the answer that it is planted in. In one entry that is the entry's own
noise; in all of W it is the tensor's or its worst entry's; a row or a column lies between. No other reading is harder
to find: an error that every entry has by s times its own noise measures s or more.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from compare import draws, kinks, variants
from compare.check import DTYPES, Measured, compared, generator, measure
from compare.differ import difference, judge
from compare.imprecision import rounding_explains
from compare.kinds import ask_scratch, cast
from compare.pairs import TABLE
from compare.records import Pair, Verdict
from compare.sides import standing_in

if TYPE_CHECKING:
    from compare.records import Array

UNITS = (0.1, 0.3, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
SURE = 10.0  # noise units from which on every error must be found
READING = (
    "planted: errors of each size, in a right gradient, a random case each. none found, all found: the largest size, "
    "in noise units as a report tells them, of which none was found, and the size from which on all were; as a bug: "
    "from which on all were told to differ, not as imprecise. relative: the error that 10 noise units are, median."
)
PLACES = ("one entry", "one row", "one column", "all of W")
ASKED = {"softmax_objective": "W", "svm_objective": "W", "two_layer": "W1", "affine": "W"}  # pair: whose gradient


@dataclass(frozen=True)
class Dose:
    """One error: where, how large, and what became of it. differs: told as a bug, not as mere imprecision."""

    seed: int
    pair: str
    dtype: str
    place: str
    units: float
    relative: float
    found: bool
    differs: bool
    told: float  # noise units of the answer with the error in it


@dataclass(frozen=True)
class Response:
    """What became of all errors of one size in one place."""

    dtype: str
    place: str
    units: float
    planted: int
    found: int
    differs: int
    relative: float  # the median relative error that so many noise units are

    @property
    def share(self) -> float:
        """How often an error of this size was found."""
        return self.found / self.planted


def doses(seeds: Sequence[int], processes: int = 1) -> Iterator[Dose]:
    """Every size in every place, for one draw of a case a seed; the pairs and precisions take turns."""
    if processes == 1:
        with threadpool_limits(1):
            for seed in seeds:
                yield from planted(seed)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_single) as pool:
        for found in pool.map(planted, seeds, chunksize=8):
            yield from found


def _single() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)


def planted(seed: int) -> list[Dose]:
    """One case, one correct variant's answer to it, and every error in turn; none where there is no gradient."""
    rng = generator(seed, "dose")
    name = list(ASKED)[seed % len(ASKED)]
    pair, dtype = next(p for p in TABLE if p.name == name), DTYPES[seed // len(ASKED) % 2]
    case = cast(draws.draw(pair, rng), dtype)
    known = measure(pair, case, dtype, seed)
    forms = [v for v in variants.of(pair) if "loop" not in v.name]
    form = forms[int(rng.integers(len(forms)))]
    with standing_in(form.modules), np.errstate(all="ignore"):
        answer = np.asarray(ask_scratch(pair, case).grads[ASKED[name]], np.float64)
    if len(known.flips) > kinks.MOST or not np.isfinite(answer).all() or not answer.any():
        return []
    quantity, found = f"d{ASKED[name]}", []
    for place in PLACES:
        where = _where(answer, place, rng) * rng.choice((-1.0, 1.0))
        alone = _alone(quantity, where * answer, known)
        for units in UNITS:
            relative = units / alone
            result = compared(quantity, answer * (1 + relative * where), known)
            seen = judge(result) is not Verdict.AGREE
            with standing_in(spoilt(pair, ASKED[name], 1 + relative * where)):
                differs = seen and not rounding_explains(pair, case, result)
            found.append(Dose(seed, name, dtype, place, units, relative, seen, differs, result.noise_units))
    return found


def _where(answer: Array, place: str, rng: np.random.Generator) -> Array:
    """1 at one entry that is not 0, or in its row, or its column, or everywhere; 0 elsewhere."""
    entries = np.argwhere(answer)
    row, column = (int(i) for i in entries[int(rng.integers(len(entries)))])
    parts: dict[str, Any] = {
        "one entry": np.s_[row, column],
        "one row": np.s_[row],
        "one column": np.s_[:, column],
        "all of W": np.s_[:],
    }
    where = np.zeros_like(answer)
    where[parts[place]] = 1.0
    return where


def _alone(quantity: str, error: Array, known: Measured) -> float:
    """Noise units of an error by itself, by the finer noise: that which is asked where there is something to find."""
    truth = known.truth.quantities()[quantity]
    return difference(quantity, truth + error, truth, known.finer()[quantity], error).noise_units


def spoilt(pair: Pair, name: str, factor: Array) -> dict[str, Any]:
    """A pair's module of scratch, the gradient by one argument multiplied by factor, entry by entry."""
    ((module, own),) = variants.of(pair)[0].modules.items()
    functions = dict(vars(own))
    last = list(functions)[-1]  # a layer's backward, or the objective itself
    ask = functions[last]

    def wrong(*args: Any, **options: Any) -> Any:
        answer = ask(*args, **options)
        value, grads = answer if isinstance(answer, tuple) else (None, answer)
        grads = {**grads, name: grads[name] * factor}
        return (value, grads) if isinstance(answer, tuple) else grads

    return {module: SimpleNamespace(**{**functions, last: wrong})}


def responses(found: Sequence[Dose]) -> list[Response]:
    """The doses of each precision, place and size, together."""
    groups: dict[tuple[str, str, float], list[Dose]] = {}
    for d in found:
        groups.setdefault((d.dtype, d.place, d.units), []).append(d)
    order = {key: (DTYPES.index(key[0]), PLACES.index(key[1]), key[2]) for key in groups}
    return [
        Response(*key, len(group), sum(d.found for d in group), sum(d.differs for d in group),
                 float(np.median([d.relative for d in group])))
        for key, group in sorted(groups.items(), key=lambda item: order[item[0]])
    ]  # fmt: skip
