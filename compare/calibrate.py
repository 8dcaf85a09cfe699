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
from compare.check import compared, generator, measure, rounding_explains
from compare.differ import form_fault, judge
from compare.kinds import ask_scratch, cast
from compare.pairs import TABLE
from compare.records import Case, Pair, Verdict
from compare.sides import standing_in

if TYPE_CHECKING:
    from compare.records import Array

DTYPES = ("float32", "float64")
QUANTILES = (0.5, 0.99, 0.9999, 1.0)
LOOPS = 600  # entries up to which a Python loop over all of them is asked as well
WIDE = 3072  # features of a 32×32 colour image


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


def calibrated() -> tuple[Pair, ...]:
    """The pairs that are drawn from: losses, penalties, layers and linear objectives."""
    return tuple(p for p in TABLE if p.name in DRAWS)


def calibrate(draws: int, seed: int = 0, processes: int = 1, pairs: Sequence[str] = ()) -> Iterator[list[Sample]]:
    """The samples of every draw; draw i is of its own seed, so that it can be asked for again alone."""
    names = [p.name for p in calibrated() if not pairs or p.name in pairs]
    jobs = [(i, names[i % len(names)], seed) for i in range(draws)]
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
    draw, name, seed = job
    pair = next(p for p in TABLE if p.name == name)
    rng = generator(seed, "draw", str(draw))
    dtype = DTYPES[int(rng.integers(2))]
    case = cast(DRAWS[name](rng), dtype)
    measured = measure(pair, case, dtype, seed)
    size = ", ".join(f"{n} {x.shape}" for n, x in case.inputs.items()) + f", {dict(case.options)}"
    samples = []
    forms = variants.of(pair)
    for variant in forms:
        if "loop" in variant.name and max(x.size for x in case.inputs.values()) > LOOPS:
            continue
        with standing_in(variant.modules), np.errstate(all="ignore"):
            answer = ask_scratch(pair, case).quantities()
        for quantity, truth in measured.truth.quantities().items():
            fault = form_fault(answer.get(quantity), np.asarray(truth, dtype))
            if fault:
                samples.append(Sample(draw, name, variant.name, dtype, f"{quantity}: {fault}", Verdict.DIFFER,
                                      np.inf, np.inf, 0, size))  # fmt: skip
                continue
            found = compared(quantity, answer[quantity], measured)
            verdict = judge(found)
            if len(measured.flips) > kinks.MOST:
                verdict = Verdict.INCONCLUSIVE
            elif verdict is Verdict.DIFFER:
                with standing_in(variant.modules):
                    verdict = Verdict.IMPRECISE if rounding_explains(pair, case, found) else verdict
            samples.append(Sample(draw, name, variant.name, dtype, quantity, verdict,
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


def _size(rng: np.random.Generator, most: int, least: int = 1) -> int:
    return round(float(np.exp(rng.uniform(np.log(least), np.log(most)))))


def _scale(rng: np.random.Generator) -> float:
    return float(10 ** rng.uniform(-3, 3))


def _values(rng: np.random.Generator, *shape: int) -> Array:
    """Entries as data have them: normal, or whole numbers (pixels: roundings repeat), or skewed with a large mean."""
    kind = rng.integers(4)
    if kind == 0:
        return np.asarray(rng.integers(0, 256, shape) / 64 - 2)
    if kind == 1:
        return np.asarray(rng.normal(3, 1, shape))
    if kind == 2:
        return np.asarray(rng.normal(0, 1, shape) ** 3)
    return np.asarray(rng.normal(0, 1, shape))


def _loss(rng: np.random.Generator) -> Case:
    N, C = _size(rng, 256), int(rng.integers(2, 13))
    return Case("draw", {"scores": _scale(rng) * _values(rng, N, C), "y": rng.integers(0, C, N)}, ("scores",))


def _penalty(rng: np.random.Generator) -> Case:
    D, C = _size(rng, 400), int(rng.integers(1, 13))
    return Case("draw", {"W": _scale(rng) * _values(rng, D, C)}, ("W",), {"reg": _scale(rng)})


def _shape(rng: np.random.Generator) -> tuple[int, int, int]:
    D = WIDE if rng.random() < 0.01 else _size(rng, 400)
    return _size(rng, 64 if D == WIDE else 256), D, int(rng.integers(2, 13))


def _affine(rng: np.random.Generator) -> Case:
    N, D, C = _shape(rng)
    inputs = {"X": _scale(rng) * _values(rng, N, D), "W": _scale(rng) * _values(rng, D, C),
              "b": _scale(rng) * _values(rng, C), "dout": _scale(rng) * _values(rng, N, C)}  # fmt: skip
    return Case("draw", inputs, ("X", "W", "b"))


def _objective(rng: np.random.Generator) -> Case:
    N, D, C = _shape(rng)
    inputs = {"W": _scale(rng) * _values(rng, D, C), "b": _scale(rng) * _values(rng, C),
              "X": _scale(rng) * _values(rng, N, D), "y": rng.integers(0, C, N)}  # fmt: skip
    options = {"reg": float(rng.choice([0.0, _scale(rng)])), "penalty": str(rng.choice(["l2", "l1", "elastic_net"])),
               "decay_bias": bool(rng.integers(2))}  # fmt: skip
    return Case("draw", inputs, ("W", "b"), options)


DRAWS = {
    "softmax": _loss,
    "hinge": _loss,
    "l2": _penalty,
    "l1": _penalty,
    "elastic_net": _penalty,
    "affine": _affine,
    "softmax_objective": _objective,
    "svm_objective": _objective,
}
