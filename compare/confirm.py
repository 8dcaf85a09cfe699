"""A setting that was chosen, trained in lockstep and tested once on both sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compare import lockstep, outcome
from compare.board import Board

if TYPE_CHECKING:
    from compare.data import Dataset
    from compare.outcome import Result
    from compare.parties import Plan

EVERY = 20  # steps between two calls of advance


def confirm(plan: Plan, images: Dataset, folder: Path | None, advance: Callable[[int], None]) -> Result:
    """Train to the end, logged in folder if there is one; the test part is asked once, at the end."""
    steps, tally = lockstep.steps_of(plan, images), outcome.Tally()
    if folder is not None:
        folder.mkdir(parents=True)
    board = Board(folder, steps) if folder is not None else None
    try:
        for record in lockstep.train(plan, images):
            if isinstance(record, lockstep.Step):
                tally.add(record)
                if record.step % EVERY == 0:
                    advance(record.step)
                if board is not None:
                    board.step(record)
            elif board is not None:
                board.epoch(record)
        result = outcome.conclude(plan, images, tally, steps, complete=True)
        if board is not None:
            board.end(result.last, images, result.scores)
            board.settings(outcome.hyperparameters(plan), outcome.figures(result), result.last.step)
            board.text("result", outcome.markdown(result), result.last.step)
        return result
    finally:
        if board is not None:
            board.close()
