"""The lecture's sanity figures, measured beside what they must be, and the real images that verify looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from compare.cases import Batch
from compare.data import rows
from compare.kinds import ask_ref, ask_scratch
from compare.records import Case, Pair, Refusal

if TYPE_CHECKING:
    from compare.data import Dataset

IMAGES = 128  # of the training part; enough for every class to appear, small enough for every coordinate
SCALE = 64.0  # pixels divided by this are near unit scale


@dataclass(frozen=True)
class Figure:
    """One expectation that needs no oracle, and what each side measured."""

    name: str
    expected: float
    scratch: float
    ref: float
    images: int = IMAGES

    @property
    def holds(self) -> bool:
        """Whether both sides meet the expectation to rounding (the loss of N equal examples, summed in any order)."""
        allowed = self.images * np.finfo(np.float64).eps * abs(self.expected)
        return bool(max(abs(self.scratch - self.expected), abs(self.ref - self.expected)) <= allowed)


def batch_of(source: Dataset, seed: int, images: int = IMAGES) -> Batch:
    """A seeded draw of training images as float64 rows near unit scale; all of them where there are fewer.

    Raises Refusal where more than IMAGES are asked for and there are not as many.
    """
    part = source.train
    there = len(part.labels)
    if images > max(there, IMAGES):
        raise Refusal(f"--images {images}: the training part of {source.name} has {there:,}; ask for fewer")
    chosen = np.random.default_rng(seed).choice(there, min(images, there), replace=False)
    chosen.sort()
    X = rows(part.images[chosen], source.mean, "float64") / SCALE
    return Batch(X, part.labels[chosen], len(source.classes))


def figures(pairs: Sequence[Pair], batch: Batch) -> list[Figure]:
    """Loss at W = 0 on real images: C - 1 for the hinge, log C for softmax, whatever the images are."""
    W, b = np.zeros((batch.X.shape[1], batch.C)), np.zeros(batch.C)
    case = Case("zero weights", {"W": W, "b": b, "X": batch.X, "y": batch.y}, ("W", "b"))
    expected = {"svm_objective": ("hinge loss at W = 0 is C − 1", batch.C - 1.0),
                "softmax_objective": ("softmax loss at W = 0 is log C", float(np.log(batch.C)))}  # fmt: skip
    found = []
    for pair in pairs:
        if pair.name in expected:
            name, value = expected[pair.name]
            mine, theirs = float(ask_scratch(pair, case).value), float(ask_ref(pair, case).value)
            found.append(Figure(name, value, mine, theirs, len(batch.y)))
    return found


def device_title(device: torch.device) -> str:
    """A CUDA device by its own name."""
    return f"{device} ({torch.cuda.get_device_name(device)})"
