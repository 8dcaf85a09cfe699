"""Trainings of scratch alone in several processes, each with one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

from compare import alone
from compare.alone import Material, Trace
from compare.parties import Plan

Submit = Callable[..., "Future[Trace]"]  # (plan, at=()) -> its trace, in time
_here: dict[str, Any] = {}  # what this worker process was given when it began


@contextmanager
def pool(material: Material, processes: int, stop: Callable[[], bool] = lambda: False) -> Iterator[Submit]:
    """Yield what takes a plan and answers with the future of its trace; trainings end soon after this context.

    One process means this one: submit then returns after the training, or once stop() says so. Raises
    BrokenProcessPool from a future whose process was killed.
    """
    if processes == 1:
        with threadpool_limits(1):
            yield lambda plan, at=(): _done(alone.train(plan, material, at, stop))
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks of torch's and BLAS's threads
    over = context.Event()
    executor = ProcessPoolExecutor(processes, context, _begin, (material, over))

    def submit(plan: Plan, at: Collection[int] = ()) -> Future[Trace]:
        with _without_interrupts():  # a process may start here
            return executor.submit(_train, plan, at)

    try:
        yield submit
    finally:
        over.set()
        executor.shutdown(cancel_futures=True)


def _done(trace: Trace) -> Future[Trace]:
    future: Future[Trace] = Future()
    future.set_result(trace)
    return future


def _begin(material: Material, stop: Any) -> None:
    """In a worker: keep what every training needs; end when the parent does, however it ends; leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    _here.update(material=material, stop=stop.is_set, limit=threadpool_limits(1))


def _follow() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _train(plan: Plan, at: Collection[int]) -> Trace:
    return alone.train(plan, _here["material"], at, _here["stop"])


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C waiting; a process that starts here keeps it waiting for good."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
