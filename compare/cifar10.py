"""CIFAR-10 through torchvision: its reader, its download, its md5 sums.

torchvision writes straight to where it reads from. Here everything arrives and is unpacked in a folder
aside, and only what passed every md5 is renamed into place: no later run finds anything half-written.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import io
import os
import shutil
import socket
import sys
import tarfile
import tempfile
import urllib.error
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.records import Refusal

if TYPE_CHECKING:
    from compare.records import Array

FOLDER = "cifar-10-batches-py"  # torchvision's CIFAR10.base_folder, known without importing torchvision
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NEEDED = "about 360 MB (archive 170, unpacked 186)"
STALLED = 60.0  # seconds without a byte after which a download is given up


def is_there(root: Path) -> bool:
    """Whether torchvision's folder of CIFAR-10 lies under root. A cheap look: nothing is opened."""
    return (root / FOLDER).is_dir()


def read(root: Path) -> tuple[tuple[str, ...], tuple[Array, Array], tuple[Array, Array]]:
    """Return the classes, then (images, labels) of the training and of the test part; fetch them if need be.

    images uint8 (N, 32, 32, 3), N = 50,000 and 10,000; labels int64 (N,). An archive that lies in root
    already is unpacked rather than downloaded. Raises Refusal where files are damaged, the download fails,
    or there is no room; root is then left as it was.
    """
    if not is_there(root):
        _fetch(root)
    try:
        train, test = _open(root, train=True), _open(root, train=False)
    except (RuntimeError, OSError, ValueError, KeyError, EOFError) as error:
        damaged = _damaged(root / FOLDER)
        what = f"{damaged} is missing or damaged" if damaged else f"cannot be read ({error})"
        raise Refusal(
            f"CIFAR-10 in {root / FOLDER}: {what}. Delete the folder, then: gradtwin data --download"
        ) from error
    parts = [(part.data, np.array(part.targets, dtype=np.int64)) for part in (train, test)]
    return tuple(train.classes), parts[0], parts[1]


def _open(root: Path, *, train: bool, download: bool = False) -> Any:
    from torchvision.datasets import CIFAR10

    with warnings.catch_warnings():
        # Python 2 pickled the published files, and wrote a dtype's flags as numbers; NumPy >= 2.4 may warn of that
        warnings.filterwarnings("ignore", message=".*align should be passed", category=Warning)
        return CIFAR10(str(root), train=train, download=download)


def _damaged(folder: Path) -> str:
    """Name of the first file that is not what torchvision expects, or "" if all are."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    expected = [(CIFAR10.meta["filename"], CIFAR10.meta["md5"]), *CIFAR10.train_list, *CIFAR10.test_list]
    return next((name for name, md5 in expected if not check_integrity(str(folder / name), md5)), "")


def _fetch(root: Path) -> None:
    """Bring CIFAR-10 to root / FOLDER, all of it or nothing."""
    from torchvision.datasets import CIFAR10

    archive = root / CIFAR10.filename
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".cifar10-") as name:
            aside = Path(name)
            if archive.is_file():
                _unpack(archive, aside)
            else:
                _download(aside, root)
            if damaged := _damaged(aside / FOLDER):
                raise Refusal(f"{archive} holds a damaged {damaged}. Delete the archive and run again.")
            try:
                (aside / FOLDER).rename(root / FOLDER)
            except OSError:
                if not is_there(root):  # otherwise another process was quicker, with the same verified files
                    raise
    except OSError as error:
        if error.errno in NO_ROOM:
            free = shutil.disk_usage(root).free / 1e6
            raise Refusal(
                f"no room for CIFAR-10 in {root}: it needs {NEEDED}, {free:,.0f} MB are free "
                f"({os.strerror(error.errno or 0)}). Nothing was kept; make room or name another --data-root."
            ) from error
        raise Refusal(
            f"cannot write CIFAR-10 to {root} ({error.strerror or error}). Name a writable --data-root."
        ) from error


def _unpack(archive: Path, aside: Path) -> None:
    """Unpack an archive that was there already, after its md5."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import calculate_md5, extract_archive

    if (md5 := calculate_md5(str(archive))) != CIFAR10.tgz_md5:
        raise Refusal(
            f"{archive} is damaged: {archive.stat().st_size:,} bytes with md5 {md5}, "
            f"expected {CIFAR10.tgz_md5}. Delete it, then: gradtwin data --download"
        )
    extract_archive(str(archive), str(aside))


def _download(aside: Path, root: Path) -> None:
    """Download and unpack into aside."""
    from torchvision.datasets import CIFAR10

    arrived = aside / CIFAR10.filename
    by_hand = f"Nothing was kept. Try again, or put {CIFAR10.filename} into {root} by hand."
    try:
        with _patience(), _progress_on_a_terminal_only():
            _open(aside, train=False, download=True)
    except (RuntimeError, tarfile.TarError, EOFError) as error:  # torchvision says no more than "corrupted"
        if isinstance(error, RuntimeError) and arrived.is_file():
            from torchvision.datasets.utils import calculate_md5

            raise Refusal(
                f"CIFAR-10 from {CIFAR10.url} arrived damaged or cut off: {arrived.stat().st_size:,} bytes "
                f"with md5 {calculate_md5(str(arrived))}, expected {CIFAR10.tgz_md5}. {by_hand}"
            ) from error
        raise Refusal(f"CIFAR-10 from {CIFAR10.url} cannot be unpacked ({error}). {by_hand}") from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        size = f"after {arrived.stat().st_size:,} bytes " if arrived.is_file() else ""
        raise Refusal(f"CIFAR-10 did not arrive {size}from {CIFAR10.url} ({error}). {by_hand}") from error


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Give up on a server that fell silent; torchvision would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _progress_on_a_terminal_only() -> contextlib.AbstractContextManager[object]:
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return contextlib.nullcontext() if terminal else contextlib.redirect_stderr(io.StringIO())
