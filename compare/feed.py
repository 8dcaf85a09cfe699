"""What a training is fed: batches in one order for both sides, drawn anew each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import models
from compare.augment import augment
from compare.data import Dataset, rows

if TYPE_CHECKING:
    from compare.parties import Plan
    from compare.records import Array

PART = 1024  # images converted at once


class Feed:
    """Fetches batch after batch, and remembers where it is: the generator, this epoch's order, the position in it."""

    def __init__(self, plan: Plan, data: Dataset, batch: int, rng: np.random.Generator) -> None:
        self.plan, self.data, self.batch, self.rng = plan, data, batch, rng
        self.epoch, self.first = 0, 0
        self.order: Array = np.arange(0)
        images = data.train.images
        self.pixels = np.empty((min(batch, PART), *images.shape[1:]), np.uint8)
        self.X = np.empty((batch, data.mean.size), plan.dtype)
        self.fetched: Array = np.arange(0)
        self.fresh = True  # whether the latest batch is another than the one before

    @property
    def ended(self) -> bool:
        """Whether no whole batch is left in this epoch; examples that fill none sit out, others each time."""
        return self.first + self.batch > len(self.order)

    def state(self) -> dict[str, Any]:
        """Where this feed is, for a checkpoint."""
        return {"epoch": self.epoch, "first": self.first, "order": self.order, "rng": self.rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where state says."""
        self.epoch, self.first, self.order = state["epoch"], state["first"], state["order"]
        self.rng.bit_generator.state = state["rng"]

    def start_epoch(self) -> None:
        """Draw the order of the next epoch."""
        self.epoch, self.first = self.epoch + 1, 0
        self.order = self.rng.permutation(len(self.data.train.labels))

    def next(self) -> tuple[Array, Array, Array]:
        """Row numbers, X and y of the next batch. X is overwritten by the call after this one."""
        chunk = self.order[self.first : self.first + self.batch]
        if len(chunk) == len(self.order):
            chunk = np.arange(len(self.order))  # all of them: the same rows each time
        self.first += self.batch
        self.fresh = self.plan.augment != "none" or not np.array_equal(chunk, self.fetched)
        if self.fresh:
            self._fetch(chunk)
            self.fetched = chunk
        return chunk, self.X, self.data.train.labels[chunk]

    def _fetch(self, chunk: Array) -> None:
        """X = the chunk's rows, augmented, less the mean, scaled."""
        images = self.data.train.images
        for first in range(0, len(chunk), PART):
            some = slice(first, first + PART)
            # mode="clip" is NumPy's fast way to take into an array
            part = np.take(images, chunk[some], axis=0, out=self.pixels[: len(chunk[some])], mode="clip")
            augment(self.plan.augment, self.rng, part)
            rows(part, self.data.mean, out=self.X[some])
        self.X *= self.X.dtype.type(models.SCALE)
