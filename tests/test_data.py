from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compare import cifar10
from compare import data as data_module
from compare.data import from_arrays, load, rows
from compare.records import Refusal


def numbered(count: int, size: tuple[int, int] = (2, 2)) -> tuple[np.ndarray, np.ndarray]:
    """Images that are recognised by their first two bytes, and labels 0, 1, 2, 0, …"""
    images = np.zeros((count, *size, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(count) % 256, np.arange(count) // 256
    return images, np.arange(count) % 3


def numbers(part: data_module.Images) -> np.ndarray:
    return part.images[:, 0, 0, 0].astype(int) + 256 * part.images[:, 0, 0, 1].astype(int)


# rows


def test_rows_by_hand() -> None:
    images = np.array([[[[0, 1, 255]]], [[[10, 20, 30]]]], dtype=np.uint8)  # (2, 1, 1, 3)
    X = rows(images, np.array([1, 2, 3.5], dtype=np.float32))
    assert X.dtype == np.float32
    assert X.tolist() == [[-1, -1, 251.5], [9, 18, 26.5]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 64, 65, 200])
def test_rows_round_once_for_any_number_of_images(dtype: str, count: int) -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (count, 4, 5, 3), dtype=np.uint8)
    mean = rng.uniform(0, 255, 60).astype(np.float32)
    exact = images.reshape(count, 60).astype(np.float64) - mean  # float32 operands: exact in float64
    assert np.array_equal(rows(images, mean, dtype), exact.astype(dtype))


def test_rows_fill_out_and_keep_the_images() -> None:
    images, _ = numbered(70)
    before, out = images.copy(), np.full((70, 12), np.nan)
    assert rows(images, np.ones(12, dtype=np.float32), out=out) is out
    assert np.array_equal(out, images.reshape(70, 12) - 1.0)
    assert np.array_equal(images, before)


# split


def test_the_parts_are_disjoint_and_hold_every_image() -> None:
    dataset = from_arrays(*numbered(660))
    assert [len(part.labels) for part in dataset.parts.values()] == [500, 50, 110]  # 660 / 6, then 550 / 11
    seen = np.concatenate([numbers(part) for part in dataset.parts.values()])
    assert sorted(seen) == list(range(660))
    for part in dataset.parts.values():
        assert np.array_equal(part.labels, numbers(part) % 3)
        assert part.labels.dtype == np.int64


def test_validation_never_exceeds_a_thousand_and_a_given_test_part_stays_whole() -> None:
    images, labels = numbered(12_000, (1, 1))
    test = np.full((7, 1, 1, 3), 255, dtype=np.uint8), np.arange(7) % 3
    dataset = from_arrays(images, labels, test=test)
    assert [len(part.labels) for part in dataset.parts.values()] == [11_000, 1_000, 7]
    assert dataset.test.images.min() == 255


def test_the_seed_decides_the_split() -> None:
    first, again, other = (from_arrays(*numbered(300), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(numbers(first.test), numbers(again.test))
    assert set(numbers(first.test)) != set(numbers(other.test))


def test_the_mean_is_of_the_training_part_alone() -> None:
    images, labels = numbered(300)
    dataset = from_arrays(images, labels, test=(np.full_like(images, 255), labels))
    expected = dataset.train.images.reshape(-1, 12).astype(np.float64).mean(axis=0)
    assert dataset.mean.dtype == np.float32
    assert np.array_equal(dataset.mean, expected.astype(np.float32))


# arrays


def with_nan(images: np.ndarray) -> np.ndarray:
    floats = images.astype(np.float32)
    floats[4, 1, 0, 2] = np.nan
    return floats


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda x, y: (with_nan(x), y), r"NaN in 1 of 30 images, first in image 4"),
        (lambda x, y: (x / 255, y), r"whole numbers 0…255, not float64 from 0 to 0\.1137"),
        (lambda x, y: (x.astype(int) - 1, y), r"whole numbers 0…255, not int64 from -1"),
        (lambda x, y: (x.astype(str), y), r"images must be numbers"),
        (lambda x, y: (x[..., 0], y), r"images must be \(N, H, W, 3\) with N > 0, not \(30, 2, 2\)"),
        (lambda x, y: (x[:0], y[:0]), r"with N > 0, not \(0, 2, 2, 3\)"),
        (lambda x, y: (x, y[:-1]), r"30 images need labels of shape \(30,\), not \(29,\)"),
        (lambda x, y: (x, y.astype(float)), r"labels must be integers, not float64"),
        (lambda x, y: (x, y > 0), r"labels must be integers, not bool"),
        (lambda x, y: (x, y - 1), r"10 labels out of range, the first is labels\[0\] = -1"),
        (lambda x, y: (x, y + 1), r"a label of 3 names no class; the 3 classes have labels 0…2"),
    ],
)
def test_unusable_arrays_are_refused(spoil: Callable[..., tuple[np.ndarray, np.ndarray]], told: str) -> None:
    images, labels = numbered(30)
    from_arrays(images, labels, ("a", "b", "c"))
    with pytest.raises(Refusal, match=told):
        from_arrays(*spoil(images, labels), ("a", "b", "c"))


def test_labels_without_class_names() -> None:
    images, labels = numbered(30)
    assert from_arrays(images.astype(np.float32), labels).classes == ("0", "1", "2")
    with pytest.raises(Refusal, match="one class only"):
        from_arrays(images, labels * 0)
    with pytest.raises(Refusal, match=r"a label of 2,000 among 30 images"):
        from_arrays(images, labels * 1_000)
    with pytest.raises(Refusal, match="too few to split"):
        from_arrays(*numbered(2))


def test_a_test_label_that_the_training_part_does_not_know_is_refused() -> None:
    images, labels = numbered(30)
    with pytest.raises(Refusal, match=r"a label of 3 names no class; the 3 classes have labels 0…2"):
        from_arrays(images, labels, test=(images, labels + 1))


def test_a_test_part_of_another_size_is_refused() -> None:
    with pytest.raises(Refusal, match=r"test images are \(4, 4, 3\), the others \(2, 2, 3\)"):
        from_arrays(*numbered(30), test=numbered(6, (4, 4)))


def test_arrays_come_back_from_a_file(tmp_path: Path) -> None:
    images, labels = numbered(60)
    np.savez(tmp_path / "a.npz", images=images, labels=labels.astype(np.uint8), classes=np.array(["x", "y", "z"]))
    dataset = load(f"npz:{tmp_path / 'a.npz'}")
    assert dataset.classes == ("x", "y", "z")
    assert sorted(np.concatenate([numbers(part) for part in dataset.parts.values()])) == list(range(60))
    np.savez(tmp_path / "b.npz", images=images, labels=labels, test_images=images[:5], test_labels=labels[:5])
    assert sorted(numbers(load(f"npz:{tmp_path / 'b.npz'}").test)) == [0, 1, 2, 3, 4]


def test_files_that_hold_no_arrays_are_refused(tmp_path: Path) -> None:
    images, labels = numbered(60)
    np.savez(tmp_path / "half.npz", images=images)
    np.savez(tmp_path / "lone.npz", images=images, labels=labels, test_images=images)
    np.savez(tmp_path / "object.npz", images=images, labels=labels.astype(object))
    np.savez(tmp_path / "whole.npz", images=images, labels=labels)
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    np.save(tmp_path / "single.npy", images)
    for name, told in {
        "none.npz": "no such file",
        "half.npz": "holds no array labels; it holds images",
        "lone.npz": "test_images and test_labels go together",
        "object.npz": "cannot be read as a .npz file",
        "cut.npz": "cannot be read as a .npz file",
        "flipped.npz": "cannot be read as a .npz file",
        "single.npy": "it is no zip of arrays",
    }.items():
        with pytest.raises(Refusal, match=told) as refusal:
            load(f"npz:{tmp_path / name}")
        assert name in str(refusal.value)


# sources


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("cifar", "did you mean cifar10"),
        ("CIFAR10", "did you mean cifar10"),
        ("sinthetic", "did you mean synthetic"),
        ("folder", "did you mean folder:PATH"),
        ("xyzzy", "no source. Known: auto, cifar10, folder:PATH, npz:FILE, synthetic"),
        ("folder:", "a path is missing"),
        ("npz:", "a path is missing"),
    ],
)
def test_an_unknown_source_is_refused_with_the_closest_known(source: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=told):
        load(source, tmp_path)


def test_a_bare_path_is_told_its_prefix(tmp_path: Path) -> None:
    (tmp_path / "a.npz").touch()
    with pytest.raises(Refusal, match=f"did you mean folder:{tmp_path}"):
        load(str(tmp_path))
    with pytest.raises(Refusal, match=f"did you mean npz:{tmp_path}/a.npz"):
        load(str(tmp_path / "a.npz"))


def test_auto_without_cifar10_is_synthetic_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "read", lambda root: pytest.fail("auto must not fetch"))
    dataset = load("auto", tmp_path)
    assert dataset.name == "synthetic"
    assert f"no CIFAR-10 in {tmp_path}" in dataset.note
    assert "gradtwin data --download" in dataset.note
    assert list(tmp_path.iterdir()) == []


def test_the_data_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADTWIN_DATA", str(tmp_path))
    assert data_module.default_root() == tmp_path
    monkeypatch.delenv("GRADTWIN_DATA")
    assert data_module.default_root() == Path.home() / ".cache" / "gradtwin"
