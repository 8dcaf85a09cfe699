"""Images as uint8 arrays: CIFAR-10, an image folder, a file of arrays, or the synthetic set.

Every source ends as three parts: train, validation, test. The test part is the source's own where it has one;
the rest is shuffled and split once, by seed.
"""

from __future__ import annotations

import difflib
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import cifar10, folder, synthetic
from compare.records import Refusal

if TYPE_CHECKING:
    from compare.records import Array

    Part = tuple[Array, Array]  # images, labels

SOURCES = ("auto", "cifar10", "folder:PATH", "npz:FILE", "synthetic")
SYNTHETIC_COUNTS = (5_500, 1_000)  # training and validation together, and test
BLOCK = 64  # images converted at once by rows: a block and its floats stay in the cache


@dataclass(frozen=True)
class Images:
    """One part: images uint8 (N, H, W, 3) and labels int64 (N,)."""

    images: Array
    labels: Array


@dataclass(frozen=True)
class Dataset:
    """Three parts of one source, and the mean of the training images, float32 (H*W*3,)."""

    name: str
    classes: tuple[str, ...]
    train: Images
    validation: Images
    test: Images
    mean: Array
    note: str  # the first line of output: which data this is, where, how many

    @property
    def parts(self) -> dict[str, Images]:
        """The three parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def rows(images: Array, mean: Array, dtype: np.dtype[Any] | str = "float32", out: Array | None = None) -> Array:
    """Return X (N, D) = images as float rows minus the mean, in units of the pixel values 0…255.

    images uint8 (N, H, W, 3), mean (D,) with D = H*W*3: a row is the image read line by line, R, G, B of a
    pixel together. out, if given, is an (N, D) array that is filled and returned; its dtype then counts.
    """
    flat = images.reshape(len(images), mean.size)
    X: Array = np.empty(flat.shape, dtype=dtype) if out is None else out
    shift = mean.astype(X.dtype)
    for start in range(0, len(flat), BLOCK):
        block = X[start : start + BLOCK]
        np.copyto(block, flat[start : start + BLOCK])
        np.subtract(block, shift, out=block)
    return X


def default_root() -> Path:
    """Where CIFAR-10 and the caches lie unless told otherwise: GRADTWIN_DATA, or ~/.cache/gradtwin."""
    return Path(os.environ.get("GRADTWIN_DATA") or Path.home() / ".cache" / "gradtwin")


def load(source: str = "auto", root: Path | None = None, seed: int = 0) -> Dataset:
    """Load a source: auto, cifar10, folder:PATH, npz:FILE or synthetic.

    auto is cifar10 if it already lies under root, else synthetic; only cifar10 downloads. seed shuffles and
    splits. Raises Refusal for an unknown source and for data that cannot be used.
    """
    root = (root or default_root()).expanduser()
    kind, colon, place = source.partition(":")
    if source == "cifar10" or (source == "auto" and cifar10.is_there(root)):
        classes, train, test = cifar10.read(root)
        return _dataset("cifar10", classes, train, test, seed, f"CIFAR-10 in {root}")
    if source in ("auto", "synthetic"):
        drawn = synthetic.draw(sum(SYNTHETIC_COUNTS), np.random.default_rng(0))  # one set, whatever the seed
        count = SYNTHETIC_COUNTS[0]
        train, test = (drawn[0][:count], drawn[1][:count]), (drawn[0][count:], drawn[1][count:])
        why = f" (no CIFAR-10 in {root}; to fetch it: gradtwin data --download)" if source == "auto" else ""
        return _dataset("synthetic", synthetic.CLASSES, train, test, seed, f"synthetic shapes{why}")
    if kind == "folder" and place:
        path = Path(place).expanduser()
        classes, parts, remark = folder.read(path, root)
        remark = f" ({remark})" if remark else ""
        first = parts["train"] if "train" in parts else parts["all"]
        return _dataset(source, classes, first, parts.get("test"), seed, f"image folder {path}{remark}")
    if kind == "npz" and place:
        return _from_file(Path(place).expanduser(), seed)
    if colon and kind in ("folder", "npz"):
        raise Refusal(f"--data {source}: a path is missing after the colon")
    known = ", ".join(SOURCES)
    if source and Path(source).expanduser().exists():
        meant: str | None = ("folder:" if Path(source).expanduser().is_dir() else "npz:") + source
    else:
        names = [name.partition(":")[0] for name in SOURCES]
        near = difflib.get_close_matches(kind.lower(), names, n=1, cutoff=0.5)
        meant = SOURCES[names.index(near[0])] if near else None
    hint = f"; did you mean {meant}?" if meant else "."
    raise Refusal(f"--data {source} is no source{hint} Known: {known}")


def from_arrays(
    images: Array,
    labels: Array,
    classes: tuple[str, ...] | None = None,
    *,
    test: Part | None = None,
    seed: int = 0,
    name: str = "arrays",
) -> Dataset:
    """Make a Dataset of arrays a user has; without test a sixth of them is withheld as the test part.

    images (N, H, W, 3), whole numbers 0…255; labels (N,), integers 0…C-1. Without classes, C is what the
    training part's labels say, and the labels are the names. Raises Refusal for wrong shapes, NaN, fractions,
    labels that are no integers or name no class.
    """
    checked = [_check(images, labels, name)]
    if test is not None:
        checked.append(_check(*test, f"{name} (test)"))
    largest = max(int(y.max()) for _, y in checked)
    if classes is None:
        known = int(checked[0][1].max())
        if known >= len(labels):
            raise Refusal(f"{name}: a label of {known:,} among {len(labels):,} images; labels are 0…C-1")
        classes = tuple(str(label) for label in range(known + 1))
    if largest >= len(classes):
        raise Refusal(
            f"{name}: a label of {largest} names no class; the {len(classes)} classes have labels 0…{len(classes) - 1}"
        )
    if len(classes) < 2:
        raise Refusal(f"{name} holds one class only; classifying needs two or more")
    return _dataset(name, classes, checked[0], checked[1] if test else None, seed, f"arrays from {name}")


def _check(images: Array, labels: Array, where: str) -> Part:
    """Bring one part to uint8 and int64, or refuse."""
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim != 4 or images.shape[3] != 3 or images.size == 0:
        raise Refusal(f"{where}: images must be (N, H, W, 3) with N > 0, not {images.shape}")
    if labels.shape != images.shape[:1]:
        raise Refusal(f"{where}: {len(images):,} images need labels of shape ({len(images)},), not {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise Refusal(f"{where}: labels must be integers, not {labels.dtype}")
    wrong = np.flatnonzero(labels < 0)
    if wrong.size:
        first = f"labels[{wrong[0]}] = {labels[wrong[0]]}"
        raise Refusal(f"{where}: {wrong.size:,} labels out of range, the first is {first}")
    if images.dtype != np.uint8:
        if images.dtype.kind not in "iuf":
            raise Refusal(f"{where}: images must be numbers 0…255, not {images.dtype}")
        lost = (images != images).any(axis=(1, 2, 3))  # NaN alone differs from itself; integers never do
        if lost.any():
            raise Refusal(f"{where}: NaN in {lost.sum():,} of {len(images):,} images, first in image {lost.argmax()}")
        if images.min() < 0 or images.max() > 255 or (images != np.rint(images)).any():
            raise Refusal(
                f"{where}: pixels must be whole numbers 0…255, not {images.dtype} from {images.min():.4g} to "
                f"{images.max():.4g}. Scale and round them first."
            )
    return images.astype(np.uint8, copy=False), labels.astype(np.int64)


def _from_file(path: Path, seed: int) -> Dataset:
    """Arrays images and labels of a .npz file; optionally classes, test_images and test_labels."""
    name = f"npz:{path}"
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it is no zip of arrays, or cut off")
            with np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
    except FileNotFoundError as error:
        raise Refusal(f"{name}: no such file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise Refusal(f"{name} cannot be read as a .npz file: {error}") from error
    missing = [key for key in ("images", "labels") if key not in arrays]
    if missing:
        raise Refusal(f"{name} holds no array {' and no '.join(missing)}; it holds {', '.join(arrays) or 'none'}")
    if ("test_images" in arrays) != ("test_labels" in arrays):
        raise Refusal(f"{name}: test_images and test_labels go together; one is missing")
    test = (arrays["test_images"], arrays["test_labels"]) if "test_images" in arrays else None
    classes = tuple(str(c) for c in arrays["classes"].ravel()) if "classes" in arrays else None
    return from_arrays(arrays["images"], arrays["labels"], classes, test=test, seed=seed, name=name)


def _dataset(name: str, classes: tuple[str, ...], first: Part, test: Part | None, seed: int, what: str) -> Dataset:
    """Shuffle and split: a sixth for test unless given; for validation a tenth of train, at most 1,000."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(first[1]))
    withheld = 0 if test else max(1, len(order) // 6)
    checked = min(1_000, max(1, (len(order) - withheld) // 11))
    if len(order) < withheld + checked + 1:
        raise Refusal(f"{name}: {len(order)} images are too few to split into train, validation and test")

    def part(source: Part, chosen: Array) -> Images:
        return Images(np.ascontiguousarray(source[0][chosen]), source[1][chosen])

    validation, train = part(first, order[withheld:][:checked]), part(first, order[withheld + checked :])
    tested = part(test, rng.permutation(len(test[1]))) if test else part(first, order[:withheld])
    if tested.images.shape[1:] != train.images.shape[1:]:
        raise Refusal(f"{name}: test images are {tested.images.shape[1:]}, the others {train.images.shape[1:]}")
    mean = (train.images.sum(axis=0, dtype=np.uint64) / len(train.labels)).astype(np.float32).ravel()
    height, width = train.images.shape[1:3]
    counts = " / ".join(f"{len(p.labels):,}" for p in (train, validation, tested))
    note = f"{what}: {counts} images (train / validation / test), {height}×{width}, {len(classes)} classes"
    return Dataset(name, classes, train, validation, tested, mean, note)
