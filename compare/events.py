"""Event files, as TensorBoard reads them: a folder a run, and runs that go on after a training was killed.

Points of curves are kept and written an epoch at a time, by TensorBoard's own record writer and without a thread:
handing one point to a writer thread costs four times as much as writing it, and in a tight loop writing costs half
of what it costs between two steps.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from compare.records import Refusal


def new_folder(runs: Path, model: str, rule: str) -> Path:
    """Make the folder of a new training, runs/<stamp>-<model>-<rule>. Raises Refusal where it cannot be made."""
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{model}-{rule}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = runs / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:  # another training began in the same second
                continue
            return folder
    except OSError as error:
        raise Refusal(f"--runs {runs}: cannot be written ({error.strerror}); name another, or use --no-log") from error
    raise Refusal(f"--runs {runs}: {name} and a thousand more exist already")


class Run:
    """One TensorBoard run: a folder whose events lie in a file, or in several where the training was resumed.

    sizes are the bytes of each file that count, by name, and step the last step that they hold. What lies beyond was
    written after the checkpoint and comes again: it is cut off, and the new file begins with a mark that makes a
    TensorBoard which has already read it forget it.
    """

    def __init__(self, folder: Path, sizes: Mapping[str, int] | None = None, step: int = 0) -> None:
        folder.mkdir(exist_ok=sizes is not None)
        self._kept: list[tuple[float, int, Mapping[str, float]]] = []
        self._sizes = dict(sizes or {})
        for old in folder.iterdir() if sizes is not None else ():
            if old.name in self._sizes:
                os.truncate(old, self._sizes[old.name])
            else:
                old.unlink()
        first = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.0000"
        # TensorBoard reads files in the order of their names
        self._name = f"{min(self._sizes, default=first)[:-4]}{len(self._sizes):04d}"
        self._file = (folder / self._name).open("wb")
        self._records = RecordWriter(self._file)
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        # a second start tells TensorBoard to forget what it has read from this step on; the first one tells it nothing
        start = Event(wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START))
        self._records.write(start.SerializeToString())

    def add(self, step: int, *summaries: Summary) -> None:
        """Write summaries of one step, as one event."""
        self.flush()
        merged = Summary(value=[value for summary in summaries for value in summary.value])
        self._write(time.time(), step, merged)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the points of several curves, with their time, until the next flush."""
        self._kept.append((time.time(), step, values))

    def flush(self) -> None:
        """Write what was kept, and hand it to the system."""
        for when, step, values in self._kept:
            points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            self._write(when, step, Summary(value=points))
        self._kept.clear()
        self._file.flush()

    def sizes(self) -> dict[str, int]:
        """Bytes of each file so far, all of them written."""
        self.flush()
        return self._sizes | {self._name: self._file.tell()}

    def _write(self, when: float, step: int, summary: Summary) -> None:
        self._records.write(Event(wall_time=when, step=step, summary=summary).SerializeToString())

    def close(self) -> None:
        """End the run."""
        with self._file:  # closed even where it cannot be written
            self.flush()
