"""A user's code in a process of its own: what it does there, loop, exit, crash, print or swell, ends nothing here.

The process is started by multiprocessing's spawn. Questions are functions of gradtwin that are called there, with the
user's file loaded; what they return comes back: numbers, words, arrays, findings, and lists, tuples and dicts of these.
Anything else in a message is refused, not built.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from compare import plugin
from compare.records import Refusal
from compare.user import SECONDS, User, raised

LOADING = 60.0  # for the file to load, with the libraries that it imports
PATIENCE = 120.0  # between two findings: most of the work is gradtwin's own
MEMORY = 4 << 30  # bytes that the process may allocate
READ = {  # what a message may be made of, besides Python's own containers
    "numpy": ("_reconstruct", "_frombuffer", "scalar", "ndarray", "dtype"),
    "compare": ("Finding", "Cause", "Verdict"),
}
P = ParamSpec("P")
T = TypeVar("T")


class NoAnswer(Exception):
    """The guest's process ended, or was ended because no answer came in time."""


class Guest:
    """The process, from here. Use as a context: it is ended with it.

    seconds limits each answer. What the code prints goes to standard error with prints, and nowhere without.
    """

    def __init__(self, spec: str, seconds: float = SECONDS, prints: bool = False) -> None:
        self.spec, self.seconds, self.prints = spec, seconds, prints
        self._late = ""

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, question: Callable[Concatenate[User, P], T], *args: P.args, **options: P.kwargs) -> T:
        """question(user, *args, **options), answered there.

        Raises what the user's code raises if it is one of Python's own exceptions (RuntimeError for others), Refusal
        if the question refuses, NoAnswer if the process ended or took too long; a process that ended is started anew
        for the next question, one that took too long is not.
        """
        self._send(question, args, options)
        return self._receive(self.seconds)[1]  # type: ignore[no-any-return] # question's own type

    def each(
        self, question: Callable[Concatenate[User, P], Iterator[T]], *args: P.args, **options: P.kwargs
    ) -> Iterator[T]:
        """What question(user, *args, **options) yields there, one by one as it comes; raises as ask."""
        self._send(question, args, options)
        while True:
            kind, answer = self._receive(max(PATIENCE, 2 * self.seconds))
            if kind == "answer":
                return
            yield answer

    def _send(self, question: Callable[..., Any], args: Any, options: Any) -> None:
        if self._late:
            raise NoAnswer(self._late)
        if not self._process.is_alive():
            self._start()
        try:
            self._connection.send((question, args, options))
        except OSError as error:
            raise NoAnswer("its process ended before it was asked") from error

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self.spec, self.seconds, self.prints)
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._receive(max(LOADING, self.seconds))
        except NoAnswer as error:
            raise Refusal(f"{self.spec} cannot be loaded: {error}") from error

    def _receive(self, seconds: float) -> tuple[str, Any]:
        if not self._connection.poll(seconds):
            self._end()
            self._late = f"it took longer than {seconds:g} s and was ended"
            raise NoAnswer(self._late)
        try:
            kind, answer = _read(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            self._process.join(seconds)
            raise NoAnswer(f"its process ended: {_ending(self._process.exitcode)}") from error
        except Exception as error:
            self._end()
            raise NoAnswer(f"its answer cannot be read: {error}") from error
        if kind == "refused":
            raise Refusal(answer)
        if kind == "raised":
            name, text = answer
            raise getattr(builtins, name)(text)
        return kind, answer

    def _end(self) -> None:
        if self._process.is_alive() and self._process.pid:
            with contextlib.suppress(OSError):  # its whole group: it may have started others
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
        self._process.join()
        self._connection.close()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        known = {s.value: s.name for s in signal.Signals}
        return f"killed by {known.get(-code, -code)}"
    return f"it exited with status {code}"


# --- in the guest's own process ---


def serve(connection: Connection, spec: str, seconds: float, prints: bool) -> None:
    """Load the file, then answer one question after the other, until the connection is closed."""
    _shield(prints)

    def send(kind: str, answer: Any = None) -> None:
        connection.send_bytes(pickle.dumps((kind, answer)))

    try:
        path, _ = plugin.split(spec)
        user = User(spec, plugin.executed(path), seconds)
    except Refusal as refusal:
        return send("refused", str(refusal))
    send("answer")
    while True:
        try:
            question, args, options = connection.recv()
        except EOFError:
            return None
        try:
            answer = question(user, *args, **options)
            if isinstance(answer, Iterator):
                for item in answer:
                    send("item", item)
                answer = None
            send("answer", answer)
        except Refusal as refusal:
            send("refused", str(refusal))
        except BaseException as error:  # whatever the user's code raises is its answer
            send("raised", raised(error, str(path)))


def _shield(prints: bool) -> None:
    """Leave standard output to gradtwin, memory to others, and no orphan behind."""
    out = os.dup(2) if prints else os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    if not prints:
        os.dup2(out, 2)
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own, ended whole; Ctrl-C reaches gradtwin alone
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


class _Plain(pickle.Unpickler):
    """Reads numbers, words, arrays, findings and containers; any other type is refused, not built."""

    def find_class(self, module: str, name: str) -> Any:
        if name in READ.get(module.split(".")[0], ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds a {module}.{name}")


def _read(message: bytes) -> Any:
    return _Plain(io.BytesIO(message)).load()
