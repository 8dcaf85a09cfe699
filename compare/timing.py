"""Racing two implementations fairly: equal threads, interleaved calls, ratios round by round, peak memory."""

from __future__ import annotations

import gc
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]
SETTLE_S = 0.1  # how long a library's idle workers keep spinning on a core, at most
WARM_CALLS = 3


@dataclass(frozen=True)
class Effort:
    """How long a race may take: seconds in all, seconds a sample at least, rounds at least and at most."""

    budget_s: float = 2.0
    sample_s: float = 4e-3
    least: int = 9
    most: int = 101


QUICK = Effort(budget_s=0.3, sample_s=1e-3, least=5, most=31)


@dataclass(frozen=True)
class Ratio:
    """The median of per-round ratios with its quartiles. Under 1 the first one is faster."""

    median: float
    low: float
    high: float


def ratio(a: Sequence[float], b: Sequence[float]) -> Ratio:
    """How a compares to b, both timed in the same rounds: what disturbs a round disturbs both and cancels."""
    low, median, high = np.quantile(np.divide(a, b), [0.25, 0.5, 0.75])
    return Ratio(float(median), float(low), float(high))


@contextmanager
def equal_threads(n: int) -> Iterator[None]:
    """Give NumPy's BLAS and torch n threads each, and both their own number back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)


def race(
    calls: Mapping[str, Call],
    effort: Effort,
    threads: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, list[float]]:
    """Time calls in rounds whose order turns about (A B, B A, A B …): seconds a call, by name and round.

    A sample lasts effort.sample_s at least. With one thread it is a mean over calls; with more, the workers
    of the one library are first left to fall asleep, then come warm calls, then the median of single calls.
    """
    repeats = {name: _repeats(call, effort, clock) for name, call in calls.items()}
    names = list(calls)
    times: dict[str, list[float]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        for turn in range(effort.most):
            if turn >= effort.least and clock() - start > effort.budget_s:
                break
            for name in names if turn % 2 == 0 else reversed(names):
                if threads > 1:
                    sleep(SETTLE_S)
                    times[name].append(_settled(calls[name], max(5, repeats[name]), clock))
                else:
                    times[name].append(_sample(calls[name], repeats[name], clock))
    finally:
        if collecting:
            gc.enable()
    return times


def _repeats(call: Call, effort: Effort, clock: Callable[[], float]) -> int:
    for _ in range(WARM_CALLS - 1):
        call()
    return max(1, round(effort.sample_s / max(_sample(call, 1, clock), 1e-7)))


def _sample(call: Call, repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def _settled(call: Call, repeats: int, clock: Callable[[], float]) -> float:
    for _ in range(WARM_CALLS):
        call()
    return statistics.median(_sample(call, 1, clock) for _ in range(repeats))


def numpy_peak_mb(call: Call) -> float:
    """Most megabytes that one call holds at once beyond what lay there before, as tracemalloc sees NumPy."""
    call()
    gc.collect()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call()
        return max(0.0, (tracemalloc.get_traced_memory()[1] - before) / 1e6)
    finally:
        tracemalloc.stop()


def torch_peak_mb(call: Call) -> float:
    """Measure the same for torch: the highest running sum of what its allocator tells its profiler."""
    call()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call()
    results = seen.profiler.kineto_results if seen.profiler else None
    events = [e for e in results.events() if e.name() == "[memory]"] if results else []
    steps = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return float(max(np.cumsum(steps), default=0)) / 1e6


def blas_core() -> str:
    """Name the core whose kernels NumPy's OpenBLAS has chosen, such as SkylakeX; "" for another BLAS."""
    for pool in threadpool_info():
        if pool.get("internal_api") == "openblas" and "numpy" in pool.get("filepath", ""):
            return str(pool.get("architecture", ""))
    return ""


def linear_form() -> str:
    """Name scratch's fast linear objective for this core: OpenBLAS's SkylakeX kernels pack nothing of a small tile."""
    return "fused_tiled.Tiled" if blas_core() == "SkylakeX" else "fused.Linear"


def machine() -> str:
    """Say in one line what was measured: processor, BLAS core, NumPy and torch."""
    core = blas_core()
    blas = f"OpenBLAS {core}" if core else "not OpenBLAS"
    return f"{_processor()}; NumPy {np.__version__} ({blas}), torch {torch.__version__}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
