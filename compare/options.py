"""Options that mean the same in every command. Declared once, so that they read the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Dtype(StrEnum):
    """Working precision."""

    float32 = "float32"
    float64 = "float64"


Seed = Annotated[int, typer.Option(min=0, help="Seed of every random draw: the same seed, the same answer.")]
Data = Annotated[
    str,
    typer.Option(
        metavar="auto|cifar10|folder:PATH|npz:FILE|synthetic",
        help="Images to use. auto: CIFAR-10 if it is already there, else the synthetic set; nothing is downloaded.",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="GRADTWIN_DATA", help="Where CIFAR-10 lies, or is put.  [default: ~/.cache/gradtwin]"),
]
Device = Annotated[str, typer.Option(help="Where the ref computes: cpu or cuda. scratch is always on the CPU.")]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Also write the result as JSON; - for standard output."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and what --json - asks for).")]
RunsDir = Annotated[Path, typer.Option("--runs", help="Where runs are logged.")]
