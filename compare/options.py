"""Options that mean the same in every command. Declared once, so that they read the same everywhere."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from compare.records import Refusal


class Dtype(StrEnum):
    """Working precision."""

    float32 = "float32"
    float64 = "float64"


def json_file(to: str | None) -> str | None:
    """Refuse a --json FILE that cannot be written, before any work is done for it."""
    if to is not None and to != "-":
        check_file("--json", Path(to))
    return to


def check_file(option: str, path: Path) -> None:
    """Refuse a file to be written by an option, before any work is done for it."""
    if path.is_dir():
        raise Refusal(f"{option} {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise Refusal(f"{option} {path}: there is no folder {path.parent}; make it first, or name another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise Refusal(f"{option} {path}: cannot be written; name another file")


def check_runs(runs: Path, otherwise: str) -> None:
    """Refuse a --runs folder that cannot be written, before any work is done for it."""
    place = next(p for p in (runs, *runs.resolve().parents) if p.exists())
    if not place.is_dir():
        raise Refusal(f"--runs {runs}: {place} is a file; name a folder, or {otherwise}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise Refusal(f"--runs {runs}: {place} is not writable; name another folder, or {otherwise}")


Seed = Annotated[int, typer.Option(min=0, help="Seed of every random draw: the same seed, the same answer.")]
Data = Annotated[
    str,
    typer.Option(
        metavar="SOURCE",
        help="auto, cifar10, folder:PATH, npz:FILE or synthetic. auto: CIFAR-10 if it is already there, else the "
        "synthetic images; nothing is downloaded.",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="GRADTWIN_DATA", help="Where CIFAR-10 lies, or is put.  [default: ~/.cache/gradtwin]"),
]
Device = Annotated[str, typer.Option(help="Where the ref computes: cpu or cuda. scratch is always on the CPU.")]
Json = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="FILE|-", help="Also write the result as JSON; - for standard output.", callback=json_file
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and what --json - asks for).")]
RunsDir = Annotated[Path, typer.Option("--runs", help="Where runs are logged.")]
