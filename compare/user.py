"""The user's file and how its code is called, in the process of its own that compare.guest starts."""

from __future__ import annotations

import builtins
import contextlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TypeVar

from compare import plugin

SECONDS = 20.0  # for one answer
LATE = 3  # calls that may take too long; no other is made after them
RAISED = (
    TimeoutError, ValueError, TypeError, KeyError, IndexError, AttributeError, NameError, ZeroDivisionError,
    OverflowError, FloatingPointError, AssertionError, NotImplementedError, RecursionError, MemoryError, RuntimeError,
)  # fmt: skip # what crosses as itself; any other exception is a RuntimeError that names it
T = TypeVar("T")


@dataclass
class User:
    """The user's file as the guest's process holds it."""

    spec: str
    module: ModuleType
    seconds: float = SECONDS
    late: int = 0
    found: dict[str, Any] = field(default_factory=dict)  # what questions want remembered

    @property
    def path(self) -> Path:
        """The user's file."""
        return plugin.split(self.spec)[0]

    def get(self, fresh: bool = False) -> Any:
        """What the spec names; fresh executes the file anew, and so forgets what it keeps in globals."""
        path, name = plugin.split(self.spec)
        if fresh:
            self.module = plugin.executed(path)
        return plugin.find(self.module, path, name)

    def run(self, call: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call the user's code within its time.

        Raises what it raises as one of Python's own exceptions, with the line, and TimeoutError where it takes longer.
        """
        if self.late >= LATE:
            raise TimeoutError(f"not asked again: {LATE} calls took longer than {self.seconds:g} s")
        try:
            with _limited(self.seconds), aside():
                return call(*args, **options)
        except TimeoutError:
            self.late += 1
            raise
        except BaseException as error:
            name, text = raised(error, str(self.path))
            raise getattr(builtins, name)(text) from error


def aside() -> contextlib.redirect_stdout[Any]:
    """What the code prints goes to standard error: standard output is gradtwin's own, such as --json -."""
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError where it is, after so many seconds."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def raised(error: BaseException, path: str) -> tuple[str, str]:
    """An exception as the name of one of Python's own and a text, with the line of the user's file."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    where = f" (line {lines[-1]})" if lines else ""
    if isinstance(error, SystemExit):
        return "RuntimeError", f"it calls sys.exit{where}"
    text = next(iter(str(error).splitlines()), "")
    for known in type(error).__mro__:
        if known in RAISED:
            return known.__name__, f"{text}{where}"
    return "RuntimeError", f"{type(error).__name__}: {text}{where}"
