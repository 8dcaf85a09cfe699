"""Pictures that several rooms are tested with."""

import numpy as np
import pytest

from compare.data import Dataset, load


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three classes, 6 × 6 pixels, each brighter in its own third, 200 images not for testing and 40 that are."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = rng.integers(0, 200, (240, 6, 6, 3))
    for k in range(3):
        images[labels == k, 2 * k : 2 * k + 2] += 40
    path = tmp_path_factory.mktemp("data") / "a.npz"
    np.savez(path, images=images.astype(np.uint8), labels=labels)
    return f"npz:{path}"


@pytest.fixture
def images(source: str) -> Dataset:
    return load(source, None, 0)
