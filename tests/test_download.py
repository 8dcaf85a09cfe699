"""CIFAR-10 over loopback: a small archive in the layout of the real one, and everything that can go wrong."""

import errno
import hashlib
import io
import pickle
import resource
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from compare import cifar10
from compare.commands.data import data as data_command
from compare.data import load
from compare.records import Refusal

pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")

CLASSES = ["airplane", "automobile", "bird"]
PER_BATCH = 20
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


class Python2(pickle.Pickler):
    """Pickle arrays as the published files do: Python 2 wrote the flags of a dtype as 0 and 1."""

    def reducer_override(self, thing: object) -> Any:
        if isinstance(thing, np.dtype):
            return np.dtype, ("u1", 0, 1), (3, "|", None, None, None, -1, -1, 0)
        return NotImplemented


def pickled(thing: object) -> bytes:
    buffer = io.BytesIO()
    Python2(buffer, protocol=2).dump(thing)
    return buffer.getvalue()


def batch(start: int) -> bytes:
    """Images numbered from start: red holds the number, green 100, blue 200, as three planes of 32×32."""
    numbers = np.arange(start, start + PER_BATCH, dtype=np.uint8)
    planes = [np.repeat(value, 1024, axis=1) for value in (numbers[:, None], numbers[:, None] * 0 + 100)]
    pixels = np.hstack([*planes, np.full((PER_BATCH, 1024), 200, dtype=np.uint8)])
    return pickled({"data": pixels, "labels": [int(n) % 3 for n in numbers]})


FILES = {name: batch(i * PER_BATCH) for i, name in enumerate([*BATCHES, "test_batch"])}
FILES["batches.meta"] = pickled({"label_names": CLASSES})


def tarred(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Server:
    """What the loopback server sends, how much of what it promised, and how often it was asked."""

    archive: bytes = b""
    promised: int | None = None
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve the small archive where torchvision looks for the real one; the md5 sums are the small one's."""
    told = Server(tarred(FILES))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            self.send_response(told.status)
            self.send_header("Content-Length", str(told.promised or len(told.archive)))
            self.end_headers()
            self.wfile.write(told.archive)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is no error: torchvision does so after looking for redirections."""

    http = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{http.server_port}/cifar-10-python.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(told.archive))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5(FILES[name])] for name in BATCHES])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(FILES["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(FILES["batches.meta"])})
    yield told
    http.shutdown()
    http.server_close()
    thread.join()


def refused(root: Path, *told: str) -> None:
    """Loading is refused in words that name each of told, and root is left without anything new."""
    before = sorted(root.rglob("*")) if root.exists() else []
    with pytest.raises(Refusal) as refusal:
        load("cifar10", root)
    for words in told:
        assert words in str(refusal.value)
    assert (sorted(root.rglob("*")) if root.exists() else []) == before


def test_the_download_arrives_and_is_split(server: Server, tmp_path: Path) -> None:
    dataset = load("cifar10", tmp_path / "root")
    assert dataset.classes == tuple(CLASSES)
    assert [len(part.labels) for part in dataset.parts.values()] == [
        91,
        9,
        20,
    ]  # 100 // 11 = 9 for validation
    for part in dataset.parts.values():
        assert part.images.flags.c_contiguous
        assert (part.images[..., 1] == 100).all()
        assert (part.images[..., 2] == 200).all()
        assert np.array_equal(part.labels, part.images[:, 0, 0, 0] % 3)
    assert sorted(dataset.test.images[:, 31, 31, 0]) == list(range(100, 120))
    assert [p.name for p in (tmp_path / "root").iterdir()] == ["cifar-10-batches-py"]
    assert f"CIFAR-10 in {tmp_path / 'root'}" in dataset.note


def test_what_is_there_is_not_fetched_again_and_auto_takes_it(server: Server, tmp_path: Path) -> None:
    load("cifar10", tmp_path)
    asked = len(server.asked)
    assert load("auto", tmp_path).name == load("cifar10", tmp_path).name == "cifar10"
    assert len(server.asked) == asked > 0


def test_the_command_downloads(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert data_command("auto", tmp_path, download=True, sheet=tmp_path / "sheet.png") == 0
    told = capfd.readouterr()
    assert "91 / 9 / 20 images" in told.out
    assert told.err == ""  # a progress bar belongs on a terminal only


def test_an_archive_put_there_by_hand_is_unpacked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(server.archive)
    assert len(load("cifar10", tmp_path).test.labels) == 20
    assert server.asked == []


def test_a_wrong_md5_is_refused(server: Server, tmp_path: Path) -> None:
    right = CIFAR10.tgz_md5
    server.archive = tarred(FILES | {"data_batch_3": batch(7)})
    refused(
        tmp_path,
        CIFAR10.url,
        "damaged or cut off",
        md5(server.archive),
        right,
        "Nothing was kept",
        str(tmp_path),
    )
    assert load("auto", tmp_path).name == "synthetic"


def test_a_download_cut_off_half_way_is_refused_and_the_next_one_succeeds(server: Server, tmp_path: Path) -> None:
    whole = server.archive
    server.archive, server.promised = whole[: len(whole) // 2], len(whole)
    refused(tmp_path, CIFAR10.url, f"{len(whole) // 2:,} bytes", "Nothing was kept", str(tmp_path))
    server.archive = whole
    assert len(load("cifar10", tmp_path).test.labels) == 20


def test_a_server_without_the_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.status = 404
    refused(tmp_path, CIFAR10.url, "404", "by hand")


def test_no_server_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:1/cifar-10-python.tar.gz")  # nobody listens on port 1
    refused(tmp_path, "http://127.0.0.1:1/", "did not arrive", "by hand")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, the disk without room")
def test_a_disk_full_while_downloading_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "filename", "/dev/full")  # torchvision then writes the archive there: ENOSPC
    refused(tmp_path, "no room", str(tmp_path), "360 MB", "No space left on device", "--data-root")


def test_a_limit_on_the_size_of_files_is_refused(server: Server, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(server.archive) // 2, hard))  # the kernel refuses the rest
    try:
        refused(tmp_path, "no room", str(tmp_path), "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_full_while_unpacking_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract_some(archive: tarfile.TarFile, path: str, **more: object) -> None:
        archive.extract("cifar-10-batches-py/data_batch_1", path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extractall", extract_some)
    refused(tmp_path, "no room", "Nothing was kept")


def test_ctrl_c_while_unpacking_leaves_nothing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(archive: tarfile.TarFile, path: str, **more: object) -> None:
        archive.extract("cifar-10-batches-py/data_batch_1", path)
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "extractall", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load("cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_archive_that_lay_there_is_refused_and_kept(server: Server, tmp_path: Path) -> None:
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(server.archive[:-1])
    refused(tmp_path, f"{archive} is damaged", f"{len(server.archive) - 1:,} bytes", "Delete it")
    assert server.asked == []


@pytest.mark.parametrize("source", ["cifar10", "auto"])
@pytest.mark.parametrize("name", ["data_batch_4", "test_batch", "batches.meta"])
def test_a_damaged_or_missing_file_is_named(server: Server, source: str, name: str, tmp_path: Path) -> None:
    load("cifar10", tmp_path)
    place = tmp_path / cifar10.FOLDER / name
    place.write_bytes(place.read_bytes()[:-1])
    told = f"{name} is missing or damaged. Delete the folder"
    with pytest.raises(Refusal, match=told):
        load(source, tmp_path)
    place.unlink()
    with pytest.raises(Refusal, match=told):
        load(source, tmp_path)


def test_a_root_that_cannot_be_written_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "root", f"cannot write CIFAR-10 to {tmp_path}/file/root", "--data-root")


def test_the_folder_of_torchvision_is_known_by_its_name() -> None:
    assert CIFAR10.base_folder == cifar10.FOLDER
