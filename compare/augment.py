"""Changes to training images that leave their class what it is: drawn once a batch, the same for both sides."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

AUGMENTS = ("none", "flip", "shift")


def augment(kind: str, rng: np.random.Generator, images: Array) -> None:
    """Change a batch, uint8 (N, H, W, 3), in place.

    "flip" mirrors each image left to right with probability ½; "shift" does the same, and then moves each by −1, 0 or
    1 pixel down and across, all nine ways alike, its edge repeated where nothing is known.
    """
    if kind in ("flip", "shift"):
        flip(images, np.flatnonzero(rng.random(len(images)) < 0.5))
    if kind == "shift":
        shift(images, rng.integers(-1, 2, (len(images), 2)))


def flip(images: Array, chosen: Array) -> None:
    """Mirror the chosen images, by number, left to right in place."""
    images[chosen] = images[chosen, :, ::-1]


def shift(images: Array, by: Array) -> None:
    """Move each image in place by by[i] = (down, across), whole pixels from −1 to 1; its edge is repeated."""
    _, H, W, _ = images.shape
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    for dy, dx in product((-1, 0, 1), repeat=2):
        chosen = np.flatnonzero((by == (dy, dx)).all(axis=1))
        images[chosen] = padded[chosen, 1 - dy : 1 - dy + H, 1 - dx : 1 - dx + W]
