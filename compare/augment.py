"""Changes to training images that leave their class what it is: drawn once a batch, the same for both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from compare.records import Array

AUGMENTS = ("none", "flip")


def augment(kind: str, rng: np.random.Generator, images: Array) -> None:
    """Change a batch, uint8 (N, H, W, 3), in place: "flip" mirrors each image left to right with probability ½."""
    if kind == "flip":
        flip(images, np.flatnonzero(rng.random(len(images)) < 0.5))


def flip(images: Array, chosen: Array) -> None:
    """Mirror the chosen images, by number, left to right in place."""
    images[chosen] = images[chosen, :, ::-1]
