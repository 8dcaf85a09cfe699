"""Mirrored and moved training images: which, how, and the same for both sides."""

from dataclasses import replace

import numpy as np
import pytest

from compare import lockstep
from compare.augment import AUGMENTS, augment, flip, shift
from compare.data import from_arrays
from compare.parties import Plan

PLAN = Plan("softmax", "sgd", "constant", 1, 0, 0.01, 0.0, "l2", dtype="float64")


def test_a_flip_by_hand():
    images = np.arange(12, dtype=np.uint8).reshape(2, 1, 2, 3)
    flip(images, np.array([1]))
    assert images.tolist() == [[[[0, 1, 2], [3, 4, 5]]], [[[9, 10, 11], [6, 7, 8]]]]  # channels keep their order


def test_half_of_the_images_are_flipped_and_none_without():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2000, 2, 4, 3)).astype(np.uint8)
    changed = images.copy()
    augment("none", rng, changed)
    assert np.array_equal(changed, images)
    augment("flip", rng, changed)
    mirrored = (changed == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (changed == images).all(axis=(1, 2, 3))).all()
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)
    assert AUGMENTS == ("none", "flip", "shift")


def test_shifts_by_hand():
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)  # rows 0 … 2, columns as channels of three
    images = np.stack([image] * 3)
    shift(images, np.array([[0, 0], [1, 0], [-1, 1]]))
    assert images[0].tolist() == image.tolist()
    assert images[1].tolist() == [image[0].tolist(), image[0].tolist()]
    assert images[2, :, :, 0].tolist() == [[9, 9, 12], [9, 9, 12]]


def test_images_are_moved_in_all_nine_ways_alike():
    images = np.zeros((4500, 3, 3, 3), np.uint8)
    images[:, 1, 1] = 255  # a dot in the middle ends wherever its image goes
    augment("shift", np.random.default_rng(0), images)
    ends = (images[..., 0] == 255).sum(axis=0)
    assert ends.sum() == 4500
    assert np.abs(ends - 500).max() < 5 * np.sqrt(500)


def pictures():
    rng = np.random.default_rng(1)
    return from_arrays(rng.integers(0, 256, (60, 4, 6, 3)).astype(np.uint8), np.arange(60) % 3)


@pytest.mark.parametrize("kind", ["flip", "shift"])
def test_full_batches_are_changed_anew_each_step(kind):
    data = pictures()
    losses = [s.scratch.loss for s in lockstep.train(replace(PLAN, epochs=3, lr=1e-12, augment=kind), data)
              if isinstance(s, lockstep.Step)]  # fmt: skip
    assert len(set(np.round(losses, 6))) == 3


@pytest.mark.parametrize("kind", ["flip", "shift"])
@pytest.mark.parametrize("batch", [0, 10])
def test_both_sides_see_the_same_changes_and_the_data_stay_as_they_are(batch, kind):
    data = pictures()
    before = data.train.images.copy()
    taken = [s for s in lockstep.train(replace(PLAN, epochs=3, batch_size=batch, augment=kind), data)
             if isinstance(s, lockstep.Step)]  # fmt: skip
    plain = [s for s in lockstep.train(replace(PLAN, epochs=3, batch_size=batch), data) if isinstance(s, lockstep.Step)]
    assert taken[-1].flagged is None
    assert taken[-1].scratch.loss == pytest.approx(taken[-1].ref.loss, rel=1e-12)
    assert abs(taken[-1].scratch.loss - plain[-1].scratch.loss) > 1e-6
    assert np.array_equal(data.train.images, before)
