"""The checker, checked: known bugs planted one by one, correct variants beside them; what is caught, and how named."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from compare import peers, variants, witness_trial
from compare.bugs_layers import LAYERS
from compare.bugs_linear import AFFINE, LINEAR
from compare.bugs_losses import HINGE, PENALTY, SOFTMAX
from compare.bugs_norms import NETWORK, NORMS
from compare.bugs_numgrad import NUMGRAD
from compare.check import DTYPES, Measured, check, generator, measure
from compare.kinds import FLOAT64_ONLY, ask_ref, ask_scratch, cast
from compare.pairs import TABLE
from compare.plants import Plant
from compare.records import Case, Finding, Outcome, Pair
from compare.sides import standing_in
from compare.trials import WRONG, Clean, Trial, concluded

CATALOGUE: tuple[Plant, ...] = (*SOFTMAX, *HINGE, *PENALTY, *AFFINE, *LAYERS, *NORMS, *LINEAR, *NETWORK, *NUMGRAD)
SCALES = (1e-2, 1.0, 1e2)
HEARD = "typical"  # the case in which the numerical gradient, the costliest witness, is heard
SHORT = ("typical", "at a kink", "large scores", "bias decayed", "elastic net")


@dataclass(frozen=True)
class Job:
    """What is tried on one pair at one scale: bugs by their place in the catalogue, and correct variants or none."""

    pair: str  # "" for the witness
    scale: float
    bugs: tuple[int, ...]
    clean: bool
    seed: int
    short: bool


@dataclass(frozen=True)
class Question:
    """A case in one dtype with what the ref said of it, and who else is heard: the numerical gradient, the peers."""

    pair: Pair
    case: Case
    dtype: str
    measured: Measured
    ref: Outcome
    third: bool
    heard: bool
    slopes: peers.Slopes | None  # in float64, where the peers are heard


def jobs(scales: Sequence[float] = SCALES, seed: int = 0, short: bool = False) -> list[Job]:
    """Every bug and every correct variant at every scale, by pair, the longest first."""
    found = []
    for scale in scales:
        witness = tuple(i for i, p in enumerate(CATALOGUE) if p.module.startswith("numgrad"))
        found.append(Job("", scale, witness, False, seed, short))
        for pair in TABLE:
            bugs = tuple(i for i, p in enumerate(CATALOGUE) if p.pair == pair.name)
            clean = bool(bugs) or not short
            if bugs or clean:
                found.append(Job(pair.name, scale, bugs, clean, seed, short))
    return sorted(found, key=lambda job: -len(job.bugs))


def selftest(asked: Sequence[Job], processes: int = 1) -> Iterator[tuple[list[Trial], list[Clean]]]:
    """The results of every job, in its order."""
    if processes == 1:
        with threadpool_limits(1):
            yield from map(done, asked)
        return
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_single) as pool:
        yield from pool.map(done, asked)


def _single() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)


def done(job: Job) -> tuple[list[Trial], list[Clean]]:
    """Plant the bugs of one job one by one, then let every correct variant answer the same questions."""
    plants = [CATALOGUE[i] for i in job.bugs]
    if not job.pair:  # the witness's own bugs are tried on functions known by heart instead
        return [_witness(plant, job) for plant in plants], []
    pair = next(p for p in TABLE if p.name == job.pair)
    questions = _questions(pair, job)
    trials = [_trial(plant, questions, job) for plant in plants]
    return trials, [_clean(pair, v, questions, job) for v in variants.of(pair)] if job.clean else []


def _witness(plant: Plant, job: Job) -> Trial:
    with standing_in(plant.modules()):
        found = list(witness_trial.checks(job.scale, job.seed))
    return concluded(plant, job.scale, [(f, plant.truth) for f in found])


def _trial(plant: Plant, questions: Sequence[Question], job: Job) -> Trial:
    findings, objected = [], set()
    for q in questions:
        found, said = _asked(q, plant.modules, job.seed)
        truth = tuple(t.format(**_sizes(q.case)) for t in plant.truth)
        findings += [(f, truth) for f in found]
        objected |= said
    return concluded(plant, job.scale, findings, tuple(n for n in peers.NAMES if n in objected))


def _sizes(case: Case) -> dict[str, Any]:
    """The numbers that a cause may name: the last example, the last row of W, the last layer, the margin."""
    batch = case.inputs.get("X", next(iter(case.inputs.values())))
    return {
        "last": len(batch) - 1,
        "lastrow": len(case.inputs.get("W", (0,))) - 1,
        "layers": sum(name.startswith("W") for name in case.inputs),
        "margin": f"{case.options.get('margin', 1.0):g}",
    }


def _clean(pair: Pair, variant: variants.Variant, questions: Sequence[Question], job: Job) -> Clean:
    findings, objected = [], set()
    for q in questions:
        found, said = _asked(q, lambda: variant.modules, job.seed)
        findings += found
        objected |= said
    wrong = [f for f in findings if f.verdict in WRONG]
    told = tuple(f"{f.case}, {f.dtype}, {f.quantity}: {f.message}" for f in wrong)
    names = tuple(n for n in peers.NAMES if n in objected)
    return Clean(pair.name, variant.name, job.scale, len(findings), len(wrong), names, told)


def _asked(q: Question, modules: Callable[[], Mapping[str, Any]], seed: int) -> tuple[list[Finding], set[str]]:
    with standing_in(modules()):  # a fresh copy for each question: some bugs remember
        found = list(check(q.pair, q.case, q.dtype, seed, known=q.measured, third=q.third))
    if not q.heard:
        return found, set()
    with standing_in(modules()), np.errstate(all="ignore"):
        try:
            mine = ask_scratch(q.pair, q.case)
        except Exception:
            return found, set(peers.NAMES)
        return found, peers.objections(q.pair, q.case, mine, q.ref, generator(seed, q.case.name), q.slopes)


def _questions(pair: Pair, job: Job) -> list[Question]:
    asked = []
    for case in pair.cases(generator(job.seed, pair.name), None):
        if case.name == "tiny gradients" or (job.short and case.name not in SHORT):
            continue
        for dtype in ("float64",) if pair.kind in FLOAT64_ONLY or (job.short and case.name != HEARD) else DTYPES:
            q = cast(rescaled(pair, case, job.scale), dtype)
            first = case.name == HEARD
            heard = first or not job.short
            known = (
                peers.slopes(pair, q, generator(job.seed, "slopes"))
                if heard and dtype == "float64" and case.wrt
                else None
            )
            measured, ref = measure(pair, q, dtype, job.seed), ask_ref(pair, q)
            asked.append(Question(pair, q, dtype, measured, ref, first and not job.short, heard, known))
    return asked


def rescaled(pair: Pair, case: Case, scale: float) -> Case:
    """The case in other units: what comes in is multiplied by scale.

    X of a linear model takes W / scale and reg · scale² (l1: reg · scale) with it, so that scores, losses and the
    share of each term stay what they are, and only dW changes its size; X of a network takes W1 / scale. A layer's X,
    b and dout are scaled, a loss's scores, a penalty's W. Exact cases take the nearest power of two, or, where a
    margin of 1 forbids that, stay as they are, as do the large scores.
    """
    if case.name == "large scores" or (case.exact and pair.kind == "loss" and pair.loss):
        return case
    s = 2.0 ** round(float(np.log2(scale))) if case.exact else scale
    factors: dict[str, dict[str, float]] = {
        "loss": {"scores": s, "W": s},
        "layer": {"X": s, "b": s, "dout": s},
        "values": {"X": s, "scores": s},
        "objective": {"X": s, "W": 1 / s, "W1": 1 / s},
    }
    inputs = {
        n: x * factors.get(pair.kind, {}).get(n, 1.0) if x.dtype.kind == "f" else x for n, x in case.inputs.items()
    }
    options = dict(case.options)
    if pair.kind == "objective" and "reg" in options and "W" in inputs:
        options["reg"] *= s if options.get("penalty", "l2") != "l2" else s * s
    return replace(case, inputs=inputs, options=options)
