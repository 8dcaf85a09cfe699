"""gradtwin board: TensorBoard on the runs."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from compare.options import RunsDir
from compare.records import Refusal

POINTS = 5_000  # points of a curve that the page shows; TensorBoard's own default is 1,000


def board(
    runs: RunsDir = Path("runs"),
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the page.")] = 6006,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
) -> int:
    """Open TensorBoard on the runs, until Ctrl-C."""
    check(runs, port, host)
    for end in (signal.SIGINT, signal.SIGTERM):  # either takes TensorBoard along, in a background shell too
        signal.signal(end, signal.default_int_handler)
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"TensorBoard on {runs}: http://{shown}:{port}/  (Ctrl-C ends it)")
    with subprocess.Popen(command(runs, port, host)) as process:  # noqa: S603 this Python, our own arguments
        try:
            return 0 if process.wait() == 0 else 2
        except KeyboardInterrupt:  # TensorBoard has had the same signal, or gets one now
            process.terminate()
            return 0


def command(runs: Path, port: int, host: str) -> list[str]:
    """TensorBoard as a module of this Python."""
    return [
        sys.executable, "-m", "tensorboard.main", "--logdir", str(runs), "--host", host, "--port", str(port),
        "--samples_per_plugin", f"scalars={POINTS}",
    ]  # fmt: skip


def check(runs: Path, port: int, host: str) -> None:
    """Refuse a folder without runs and an address that cannot be had."""
    if not runs.is_dir():
        raise Refusal(f"--runs {runs}: no such folder; `gradtwin train` makes the first run")
    if next(runs.rglob("events.out.tfevents.*"), None) is None:
        raise Refusal(f"--runs {runs}: no runs in it yet; `gradtwin train` makes the first")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Refusal(f"--host {host} --port {port}: {error.strerror or error}; choose another --port") from error
