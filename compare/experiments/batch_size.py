"""The full batch against samples of it, for the same work: the same number of examples seen."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace

import numpy as np

from compare.alone import Trace, batch_of
from compare.experiments.claims import Judgement, Result, judge
from compare.experiments.rates import Tuned, best_rate
from compare.experiments.setting import Setting

CLAIM = "a step on a sample of the examples gets there for less work than a step on all of them"
BATCHES = (0, 1024, 256, 32)  # 0 is the full set


def batch_size(setting: Setting) -> Generator[str, None, Result]:
    """Plain gradient descent at a constant rate, the best for each batch, over the same passes.

    "There" is the loss on the validation part with which the full batch ends; the claim is judged on the work that the
    sample with the best validation accuracy needs for it.
    """
    material, data = setting.material, setting.images
    N = len(material.train.labels)
    tuned: dict[int, Tuned] = {}
    with setting.pool(material) as submit:
        for batch in (b for b in BATCHES if b < N):
            plan = setting.plan(material, "sgd", batch=batch)
            size = batch_of(plan, material)
            marks = {max(1, round(share * N / size)) for share in np.geomspace(0.01, setting.passes, 40)}
            last = setting.passes * (N // size)
            wanted = sorted({m for m in marks if m < last} | {last})
            name = f"batch of {batch}" if batch else f"full batch ({N:,})"
            tuned[batch] = yield from best_rate(name, replace(plan, batch_size=batch), setting.seeds, submit, wanted)
    full = tuned.pop(0)
    goals = [t.points[-1].validation_loss if t.points else math.inf for t in full.traces]
    work = {
        batch: [_work(t, goal, N) for t, goal in zip(one.traces, goals, strict=True)] for batch, one in tuned.items()
    }
    best = max(tuned, key=lambda batch: tuned[batch].validation)
    missed = sum(map(math.isinf, work[best]))
    judged = judge([float(setting.passes)] * len(goals), work[best], unit="passes")
    if missed:
        judged = Judgement(False, f"does not hold: the sample never got there for {missed} of {len(goals)} seeds")
    rows = [replace(full.row(data.test, material), figures={"passes to get there": float(setting.passes)})]
    for batch, one in tuned.items():
        rows.append(replace(one.row(data.test, material), figures={"passes to get there": float(np.mean(work[batch]))}))
    curves = tuple(one.curve("validation_loss", N) for one in (full, *tuned.values()))
    told = f"there: the full batch's validation loss after {setting.passes} passes; judged: {tuned[best].name}"
    return Result(
        "batch-size", CLAIM, judged, tuple(rows), curves, "passes through the training images", "validation loss",
        log_x=True, remarks=(told,),
    )  # fmt: skip


def _work(trace: Trace, goal: float, N: int) -> float:
    """Passes until the validation loss was at most goal, infinite if it never was."""
    return next((p.examples / N for p in trace.points if p.validation_loss <= goal), math.inf)
