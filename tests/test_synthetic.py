import numpy as np
import pytest

from compare import synthetic
from compare.data import Dataset, load, rows


@pytest.fixture(scope="module")
def drawn() -> Dataset:
    return load("synthetic")


def test_the_synthetic_set_is_what_it_says(drawn: Dataset) -> None:
    assert [part.images.shape for part in drawn.parts.values()] == [(n, 32, 32, 3) for n in (5_000, 500, 1_000)]
    assert drawn.train.images.dtype == np.uint8
    assert set(drawn.train.labels) == set(drawn.test.labels) == set(range(10))
    assert drawn.note.startswith("synthetic")
    assert "CIFAR" not in drawn.note


def test_the_synthetic_set_is_the_same_every_time() -> None:
    (images, labels), (again, labels_again) = (synthetic.draw(600, np.random.default_rng(0)) for _ in range(2))
    assert np.array_equal(images, again)
    assert np.array_equal(labels, labels_again)
    other, _ = synthetic.draw(600, np.random.default_rng(1))
    assert not np.array_equal(images, other)


def test_a_linear_classifier_finds_the_synthetic_set_hard_but_not_hopeless(drawn: Dataset) -> None:
    from sklearn.linear_model import RidgeClassifier

    model = RidgeClassifier(alpha=1e7, solver="cholesky").fit(rows(drawn.train.images, drawn.mean), drawn.train.labels)
    accuracy = model.score(rows(drawn.test.images, drawn.mean), drawn.test.labels)
    assert 0.25 < accuracy < 0.60


def test_the_hard_cases_are_there() -> None:
    images, _ = synthetic.draw(1_000, np.random.default_rng(0), greys=0.5, negatives=0.5)
    colourless = (np.ptp(images, axis=3) == 0).all(axis=(1, 2))
    assert 440 < colourless.sum() < 560  # 500 expected, standard deviation 16
    plain, _ = synthetic.draw(1_000, np.random.default_rng(0), greys=0, negatives=0)
    assert np.array_equal(images[~colourless], 255 - plain[~colourless])


def test_negative_and_grey_by_hand() -> None:
    pixel = np.array([[[[200, 100, 10]]]], dtype=np.uint8)
    assert synthetic.negative(pixel).ravel().tolist() == [55, 155, 245]
    assert synthetic.grey(pixel).ravel().tolist() == [120] * 3  # 59.8 + 58.7 + 1.1
