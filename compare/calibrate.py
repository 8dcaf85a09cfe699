"""False alarms, counted: correct variants of every pair over many draws of sizes, scales and seeds.

Judged by the code path that judges everything (check.measure, check.compared, differ.judge). What comes out says
where the bound of compare.differ may stand.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from compare import kinks, variants
from compare.check import compared, generator, measure
from compare.differ import form_fault, judge
from compare.draws import draw
from compare.imprecision import rounding_explains
from compare.kinds import FLOAT64_ONLY, ask_scratch, cast
from compare.pairs import TABLE
from compare.records import Verdict
from compare.sides import standing_in

if TYPE_CHECKING:
    pass

DTYPES = ("float32", "float64")
QUANTILES = (0.5, 0.99, 0.9999, 1.0)
LOOPS = 600  # entries up to which a Python loop over all of them is asked as well


@dataclass(frozen=True)
class Sample:
    """One quantity of one variant on one draw, judged."""

    draw: int
    pair: str
    variant: str
    dtype: str
    quantity: str
    verdict: Verdict
    tensor_units: float
    entry_units: float
    kinks: int
    size: str  # the draw in words, to find it again


@dataclass(frozen=True)
class Row:
    """What the draws of one pair in one dtype came to; quantiles as in QUANTILES."""

    pair: str
    dtype: str
    draws: int
    judged: int
    false_alarms: int
    imprecise: int
    inconclusive: int
    tensor_units: tuple[float, ...]
    entry_units: tuple[float, ...]


def calibrate(
    draws: int, seed: int = 0, processes: int = 1, pairs: Sequence[str] = (), first: int = 0
) -> Iterator[list[Sample]]:
    """The samples of draws first, first + 1, …, the pairs taking turns.

    Every draw is of its own seed: it can be asked for again alone, and a long calibration in parts.
    """
    names = [p.name for p in TABLE if not pairs or p.name in pairs]
    jobs = [(i, names[i % len(names)], seed) for i in range(first, first + draws)]
    if processes == 1:
        with threadpool_limits(1):
            yield from (one(job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_single) as pool:
        yield from pool.map(one, jobs, chunksize=16)


def _single() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)


def one(job: tuple[int, str, int]) -> list[Sample]:
    """One draw: a case, measured once, and every variant of its pair judged on it."""
    number, name, seed = job
    pair = next(p for p in TABLE if p.name == name)
    rng = generator(seed, "draw", str(number))
    dtype = "float64" if pair.kind in FLOAT64_ONLY else DTYPES[int(rng.integers(2))]
    case = cast(draw(pair, rng), dtype)
    measured = measure(pair, case, dtype, seed)
    size = ", ".join(f"{n} {x.shape}" for n, x in case.inputs.items()) + f", {dict(case.options)}"
    samples = []
    for variant in variants.of(pair):
        if "loop" in variant.name and max(x.size for x in case.inputs.values()) > LOOPS:
            continue
        with standing_in(variant.modules), np.errstate(all="ignore"):
            answer = ask_scratch(pair, case).quantities()
        for quantity, truth in measured.truth.quantities().items():
            fault = form_fault(answer.get(quantity), np.asarray(truth, dtype))
            if fault:
                samples.append(Sample(number, name, variant.name, dtype, f"{quantity}: {fault}", Verdict.DIFFER,
                                      np.inf, np.inf, 0, size))  # fmt: skip
                continue
            found = compared(quantity, answer[quantity], measured)
            verdict = judge(found)
            if len(measured.flips) > kinks.MOST:
                verdict = Verdict.INCONCLUSIVE
            elif verdict is Verdict.DIFFER:
                with standing_in(variant.modules):
                    verdict = Verdict.IMPRECISE if rounding_explains(pair, case, found) else verdict
            samples.append(Sample(number, name, variant.name, dtype, quantity, verdict,
                                  found.tensor_units, found.entry_units, found.kinks, size))  # fmt: skip
    return samples


def rows(samples: Sequence[Sample]) -> list[Row]:
    """A row for each pair and dtype."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for s in samples:
        groups.setdefault((s.pair, s.dtype), []).append(s)
    made = []
    for (pair, dtype), group in sorted(groups.items()):
        judged = [s for s in group if s.verdict is not Verdict.INCONCLUSIVE]
        count = {v: sum(s.verdict is v for s in group) for v in Verdict}
        tensor, entry = ([getattr(s, f"{of}_units") for s in judged] or [0.0] for of in ("tensor", "entry"))
        made.append(Row(
            pair, dtype, len({s.draw for s in group}), len(judged), count[Verdict.DIFFER], count[Verdict.IMPRECISE],
            count[Verdict.INCONCLUSIVE], quantiles(tensor), quantiles(entry),
        ))  # fmt: skip
    return made


def quantiles(units: Sequence[float]) -> tuple[float, ...]:
    """QUANTILES of noise units; the last is the largest."""
    return tuple(float(q) for q in np.quantile(np.asarray(units), QUANTILES, method="higher"))
