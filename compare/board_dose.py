"""Dose and response in TensorBoard: a run a place with the share found by size, and the curve as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from compare.board import make
from compare.events import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from compare.dose import Response

STEPS = 10  # TensorBoard's steps are whole: so many of them a noise unit


def log(folder: Path, found: Sequence[Response], curve: Figure) -> None:
    """Write the runs below folder, which must not have them yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in dict.fromkeys(r.place for r in found):
        run = Run(folder / place)
        for r in found:
            if r.place == place:
                run.scalars(round(STEPS * r.units), {f"found at tenths of a noise unit/{r.dtype}": r.share})
        run.close()
    run = Run(folder / "curve")
    drawn = io.BytesIO()
    curve.savefig(drawn, format="png")
    picture = np.asarray(Image.open(drawn).convert("RGB"))
    run.add(0, make.image("dose and response", picture, dataformats="HWC"))
    run.close()
