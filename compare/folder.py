"""A folder of classes, each a folder of images, through torchvision: decoded once, cached as uint8 arrays.

The cache is one .npz file (no pickle; zip checks its sums on reading) named after the folder and after its
listing: paths, sizes and times of change. It is written aside and renamed; a damaged one is made anew.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.records import Refusal

if TYPE_CHECKING:
    from compare.records import Array

PARTS = ("train", "test")
CHUNK = 256  # files a task of the thread pool
FORMAT = "1"  # part of the cache's name: a new layout is a new name
Files = list[tuple[str, int]]  # (path, label), as torchvision's ImageFolder lists them


def read(path: Path, cache: Path) -> tuple[tuple[str, ...], dict[str, tuple[Array, Array]], str]:
    """Return the classes, (images, labels) by part, and a remark where the cache could not be written.

    path holds train and test, each a folder of classes, or is a folder of classes itself: then the one part
    is called "all". images uint8 (N, H, W, 3), grey ones made RGB; labels int64 (N,); in the listing's order.
    Raises Refusal: no such folder, fewer than two classes, an empty one, classes that differ between the
    parts, unreadable images, images of different sizes.
    """
    if not path.is_dir():
        raise Refusal(f"folder:{path}: no such folder" + (" (a file)" if path.exists() else ""))
    found = [part for part in PARTS if (path / part).is_dir()]
    if len(found) == 1:
        raise Refusal(
            f"folder:{path} has {found[0]} but no {'test' if found == ['train'] else 'train'}. "
            f"Add it, or split this one by seed: folder:{path / found[0]}"
        )
    places = {part: path / part for part in found} or {"all": path}
    listings = {part: _listing(place) for part, place in places.items()}
    classes = next(iter(listings.values()))[0]
    if any(other != classes for other, _ in listings.values()):
        odd = sorted(set(listings["train"][0]) ^ set(listings["test"][0]))
        raise Refusal(f"folder:{path}: train and test have different classes; in one only: {_some(odd)}")
    files = [item for _, listed in listings.values() for item in listed]

    kept = _place(path, files, cache)
    images, remark = _cached(kept, len(files)), ""
    if images is None:
        images = decode(files, path)
        remark = _keep(images, kept)
    parts, start = {}, 0
    for part, (_, listed) in listings.items():
        labels = np.array([label for _, label in listed], dtype=np.int64)
        parts[part] = images[start : start + len(listed)], labels
        start += len(listed)
    return tuple(classes), parts, remark


def _listing(place: Path) -> tuple[list[str], Files]:
    from torchvision.datasets import ImageFolder

    try:
        dataset = ImageFolder(str(place), allow_empty=True)
    except FileNotFoundError as error:
        raise Refusal(f"folder:{place} holds no folders: expected one folder of images a class") from error
    if len(dataset.classes) < 2:
        raise Refusal(f"folder:{place} holds one class only ({dataset.classes[0]}); classifying needs two or more")
    counts = Counter(dataset.targets)
    empty = [name for label, name in enumerate(dataset.classes) if not counts[label]]
    if empty:
        raise Refusal(f"folder:{place}: no image in {_some(empty)}. Remove it, or fill it in (jpg, png, …).")
    return dataset.classes, dataset.samples


def _load(path: str) -> Array:
    """One image as uint8 (H, W, 3). Raises OSError or ValueError for what is no whole 8-bit image."""
    from PIL import Image

    with Image.open(path) as image:
        if image.mode.startswith("I") or image.mode == "F":
            raise ValueError(f"{image.mode} pixels, more than 8 bits")
        return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB"))


def decode(files: Files, path: Path) -> Array:
    """Decode all files into one uint8 array, in threads: Pillow lets others run while it decodes."""
    sizes: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], str] = {}
    unreadable: list[str] = []
    images = np.empty((0,), dtype=np.uint8)

    def chunk(start: int) -> list[Array | str]:
        loaded: list[Array | str] = []
        for name, _ in files[start : start + CHUNK]:
            try:
                loaded.append(_load(name))
            except Exception as error:  # a damaged file makes Pillow raise nearly anything
                reason = "no image" if "cannot identify" in str(error) else str(error)
                loaded.append(f"{os.path.relpath(name, path)} ({reason})")
        return loaded

    with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
        starts = range(0, len(files), CHUNK)
        for start, loaded in zip(starts, pool.map(chunk, starts), strict=True):
            unreadable += [image for image in loaded if isinstance(image, str)]
            for offset, image in enumerate(loaded):
                if isinstance(image, str):
                    continue
                size = (image.shape[1], image.shape[0])
                if not sizes:
                    images = np.empty((len(files), *image.shape), dtype=np.uint8)
                if size not in sizes:
                    first[size] = os.path.relpath(files[start + offset][0], path)
                sizes[size] += 1
                if len(sizes) == 1:
                    images[start + offset] = image
    if unreadable:
        raise Refusal(
            f"folder:{path}: {len(unreadable):,} of {len(files):,} images cannot be read: "
            f"{_some(unreadable)}. Remove or replace them."
        )
    if len(sizes) > 1:
        told = [f"{n:,} of {w}×{h} (such as {first[w, h]})" for (w, h), n in sizes.most_common()]
        raise Refusal(f"folder:{path}: images of {len(sizes)} sizes: {_some(told)}. Bring them to one size.")
    return images


def _place(path: Path, files: Files, cache: Path) -> Path:
    """Where the cache of this folder with this content lies."""
    listing = hashlib.sha256(FORMAT.encode())
    for name, label in files:
        stat = os.stat(name)
        listing.update(os.fsencode(f"{name}\0{label}\0{stat.st_size}\0{stat.st_mtime_ns}\n"))
    where = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]
    return cache / f"folder-{where}-{listing.hexdigest()[:16]}.npz"


def _cached(kept: Path, count: int) -> Array | None:
    try:
        with kept.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images: Array = arrays["images"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    whole = images.dtype == np.uint8 and images.ndim == 4 and images.shape[::3] == (count, 3)
    return images if whole else None


def _keep(images: Array, kept: Path) -> str:
    """Write the cache aside, rename it into place, drop the one of the folder's former content."""
    aside: str | None = None
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, prefix=".folder-", delete=False) as file:
            aside = file.name
            np.savez(file, images=images)
        os.replace(aside, kept)
        aside = None
        for former in kept.parent.glob(f"{kept.name[:15]}-*.npz"):
            if former != kept:
                former.unlink(missing_ok=True)
    except OSError as error:
        return f"not cached in {kept.parent}: {error.strerror or error}"
    finally:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)
    return ""


def _some(names: list[Any], most: int = 3) -> str:
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + rest
