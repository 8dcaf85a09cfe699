"""How fast and how large is scratch, against the ref and against the floor? Yields rows, never prints.

No speed without agreement: the very call that is raced is first judged, on the very
arrays that it is raced on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from compare import timing

EFFORT = timing.Effort()


@dataclass(frozen=True)
class Task:
    """One race of four: scratch, the best form of the ref, and two more where there is something to learn.

    floor is the matrix products alone; people is torch as people write it. agree() is "" where scratch's
    answer is right, else it says what differs: then nothing is timed.
    """

    name: str
    form: str  # textbook or fused
    scratch: timing.Call
    ref: timing.Call
    agree: Callable[[], str]
    floor: timing.Call | None = None
    people: timing.Call | None = None
    held_mb: float = 0.0  # what scratch keeps from call to call to be faster
    ref_times: float = 1.0  # where a call of the ref does a share of the work only: how often it would be called
    ref_in_numpy: bool = False
    note: str | None = None  # what the columns mean, where they mean something else


@dataclass(frozen=True)
class Row:
    """One result. Seconds are medians; ratios are scratch over the other side, under 1 where it is faster.

    peak_mb is the most that a call of scratch holds at once beyond its inputs, with the buffers
    it keeps from call to call; ref_peak_mb is that of the ref.
    """

    task: str
    form: str
    threads: int
    agrees: bool
    fault: str = ""
    rounds: int = 0
    scratch_s: float | None = None
    ref_s: float | None = None
    floor_s: float | None = None
    people_s: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    floor_ratio: float | None = None
    people_ratio: float | None = None
    peak_mb: float | None = None
    ref_peak_mb: float | None = None
    note: str | None = None


def bench(tasks: Iterable[Task], threads: int = 1, effort: timing.Effort = EFFORT) -> Iterator[Row]:
    """Judge, race and weigh each task; a task that differs yields a row with its fault and no figures."""
    with timing.equal_threads(threads):
        for task in tasks:
            fault = task.agree()
            if fault:
                yield Row(task.name, task.form, threads, False, fault)
            else:
                yield _raced(task, threads, effort)


def _raced(task: Task, threads: int, effort: timing.Effort) -> Row:
    entries = {"scratch": task.scratch, "ref": task.ref, "floor": task.floor, "people": task.people}
    times = timing.race({name: call for name, call in entries.items() if call}, effort, threads)
    times["ref"] = [task.ref_times * s for s in times["ref"]]
    seconds = {name: float(np.median(samples)) for name, samples in times.items()}
    against = {name: timing.ratio(times["scratch"], samples) for name, samples in times.items()}
    return Row(
        task.name,
        task.form,
        threads,
        True,
        rounds=len(times["scratch"]),
        scratch_s=seconds["scratch"],
        ref_s=seconds["ref"],
        floor_s=seconds.get("floor"),
        people_s=seconds.get("people"),
        ratio=against["ref"].median,
        ratio_low=against["ref"].low,
        ratio_high=against["ref"].high,
        floor_ratio=against["floor"].median if task.floor else None,
        people_ratio=against["people"].median if task.people else None,
        peak_mb=task.held_mb + timing.numpy_peak_mb(task.scratch),
        ref_peak_mb=(timing.numpy_peak_mb if task.ref_in_numpy else timing.torch_peak_mb)(task.ref),
        note=task.note,
    )
