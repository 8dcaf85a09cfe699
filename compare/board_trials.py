"""TensorBoard for many short trainings: a run each, with its curves, and a line of the hparams page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compare.board import make
from compare.events import Run

if TYPE_CHECKING:
    from compare.alone import Point
    from compare.records import Array


def log_trial(
    folder: Path, settings: Mapping[str, float | int | str], points: Sequence[Point], figures: Mapping[str, float]
) -> None:
    """Log one training: curves over its points, and settings with final figures for the hparams page."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    for p in points:
        run.scalars(p.step, {"train/loss": p.loss, "validation/loss": p.validation_loss,
                             "validation/accuracy": p.validation_accuracy})  # fmt: skip
    last = points[-1].step if points else 0
    final = {f"final/{name}": value for name, value in figures.items()}
    for part in make.hparams(dict(settings), final):
        run.add(last, part)
    run.scalars(last, final)
    run.close()


def log_picture(folder: Path, tag: str, picture: Array, markdown: str) -> None:
    """Log a picture (H, W, 3) and a text under one tag."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    run.add(0, make.image(tag, picture, dataformats="HWC"), make.text(tag, markdown))
    run.close()
