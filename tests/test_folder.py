import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compare import folder
from compare.data import load
from compare.records import Refusal


def paint(place: Path, value: int, size: tuple[int, int] = (4, 3), mode: str = "RGB") -> None:
    """One image of one grey value, width 4 and height 3 unless told otherwise."""
    place.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(place)


@pytest.fixture
def two_parts(tmp_path: Path) -> Path:
    """Twelve training and four test images of two classes; ants are dark, bees bright."""
    path = tmp_path / "pictures"
    for part, count in (("train", 6), ("test", 2)):
        for name, value in (("ants", 10), ("bees", 200)):
            for i in range(count):
                paint(path / part / name / f"{i}.png", value + i)
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each call of decode decoded."""
    calls: list[int] = []
    decode = folder.decode

    def counted(files: folder.Files, path: Path) -> np.ndarray:
        calls.append(len(files))
        return decode(files, path)

    monkeypatch.setattr(folder, "decode", counted)
    return calls


def test_train_and_test_folders(two_parts: Path, tmp_path: Path) -> None:
    dataset = load(f"folder:{two_parts}", tmp_path / "root")
    assert dataset.classes == ("ants", "bees")
    assert dataset.name == f"folder:{two_parts}"
    assert [part.images.shape for part in dataset.parts.values()] == [
        (11, 3, 4, 3),
        (1, 3, 4, 3),
        (4, 3, 4, 3),
    ]
    for part in dataset.parts.values():
        assert np.array_equal(part.labels, part.images[:, 0, 0, 0] >= 200)
    assert sorted(dataset.test.images[:, 2, 3, 1]) == [10, 11, 200, 201]
    assert "11 / 1 / 4 images" in dataset.note


def test_one_folder_of_classes_is_split_by_seed(two_parts: Path, tmp_path: Path) -> None:
    dataset = load(f"folder:{two_parts / 'train'}", tmp_path / "root")
    assert [len(part.labels) for part in dataset.parts.values()] == [
        9,
        1,
        2,
    ]  # 12 / 6 withheld, 10 // 11 -> 1
    values = np.concatenate([part.images[:, 0, 0, 0] for part in dataset.parts.values()])
    assert sorted(values) == [10, 11, 12, 13, 14, 15, 200, 201, 202, 203, 204, 205]


def test_every_kind_of_8_bit_file_becomes_rgb(tmp_path: Path) -> None:
    for i in range(3):
        paint(tmp_path / "p" / "grey" / f"{i}.png", 77, mode="L")
        paint(tmp_path / "p" / "rgb" / f"{i}.bmp", 33)
    Image.new("P", (4, 3), 0).save(tmp_path / "p" / "rgb" / "palette.png", transparency=b"\x00")
    Image.new("RGBA", (4, 3), (1, 2, 3, 128)).save(tmp_path / "p" / "rgb" / "alpha.png")
    dataset = load(f"folder:{tmp_path / 'p'}", tmp_path / "root")
    pixels = {tuple(p.tolist()) for part in dataset.parts.values() for p in part.images[:, 0, 0]}
    assert pixels == {(77, 77, 77), (33, 33, 33), (0, 0, 0), (1, 2, 3)}


def test_the_second_load_reads_the_cache(two_parts: Path, tmp_path: Path, decoded: list[int]) -> None:
    first, second = (load(f"folder:{two_parts}", tmp_path / "root") for _ in range(2))
    assert decoded == [16]
    assert np.array_equal(first.train.images, second.train.images)
    assert np.array_equal(first.test.labels, second.test.labels)


def test_a_change_in_the_folder_is_seen_and_the_old_cache_goes(
    two_parts: Path, tmp_path: Path, decoded: list[int]
) -> None:
    load(f"folder:{two_parts}", tmp_path / "root")
    changed = two_parts / "test" / "ants" / "0.png"
    paint(changed, 99)
    os.utime(changed, ns=(1, 1))  # a time of change of its own, however coarse the clock of the file system
    dataset = load(f"folder:{two_parts}", tmp_path / "root")
    assert 99 in dataset.test.images
    assert decoded == [16, 16]
    assert len(list((tmp_path / "root").iterdir())) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:300] + bytes([whole[300] ^ 1]) + whole[301:],  # one bit of one pixel
    ],
)
def test_a_damaged_cache_is_made_anew(
    spoil: Callable[[bytes], bytes], two_parts: Path, tmp_path: Path, decoded: list[int]
) -> None:
    first = load(f"folder:{two_parts}", tmp_path / "root")
    (kept,) = (tmp_path / "root").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(spoil(whole))
    again = load(f"folder:{two_parts}", tmp_path / "root")
    assert decoded == [16, 16]
    assert np.array_equal(first.train.images, again.train.images)
    assert kept.read_bytes() == whole


def test_a_cache_of_other_content_is_made_anew(two_parts: Path, tmp_path: Path, decoded: list[int]) -> None:
    load(f"folder:{two_parts}", tmp_path / "root")
    (kept,) = (tmp_path / "root").iterdir()
    np.savez(kept, images=np.zeros((15, 3, 4, 3), dtype=np.uint8))
    load(f"folder:{two_parts}", tmp_path / "root")
    assert decoded == [16, 16]


def test_no_cache_is_no_obstacle_and_is_told(two_parts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    dataset = load(f"folder:{two_parts}", tmp_path / "file" / "root")
    assert f"not cached in {tmp_path}/file/root" in dataset.note
    assert len(dataset.train.labels) == 11


def test_a_cache_that_breaks_off_leaves_nothing(
    two_parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, **arrays: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    dataset = load(f"folder:{two_parts}", tmp_path / "root")
    assert "No space left on device" in dataset.note
    assert list((tmp_path / "root").iterdir()) == []


def break_two(path: Path) -> None:
    (path / "train" / "ants" / "1.png").write_bytes(b"no picture")
    whole = (path / "test" / "bees" / "0.png").read_bytes()
    (path / "test" / "bees" / "0.png").write_bytes(whole[:-30])


def remove(place: Path) -> None:
    for file in place.rglob("*.png"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (break_two, r"2 of 16 images cannot be read: train/ants/1\.png \(no image\), test/bees/0\.png"),
        (
            lambda p: paint(p / "train/ants/3.png", 5, (8, 3)),
            r"2 sizes: 15 of 4×3 .*, 1 of 8×3 \(such as train/ants/3",
        ),
        (lambda p: paint(p / "test/ants/0.png", 5, (4, 4)), r"1 of 4×4 \(such as test/ants/0\.png\)"),
        (
            lambda p: paint(p / "train/ants/0.png", 5, mode="I;16"),
            r"1 of 16 images .* \(I;16 pixels, more than 8",
        ),
        (lambda p: remove(p / "train" / "bees"), r"no image in bees"),
        (lambda p: (p / "train" / "bees").rename(p / "train" / "wasps"), r"in one only: bees, wasps"),
        (lambda p: (p / "test").rename(p / "spare"), r"has train but no test.*folder:.*/train"),
        (lambda p: (p / "train").rename(p / "spare"), r"has test but no train"),
    ],
)
def test_unusable_folders_are_refused(spoil: Callable[[Path], object], told: str, two_parts: Path) -> None:
    root = two_parts.parent / "root"
    spoil(two_parts)
    with pytest.raises(Refusal, match=told):
        load(f"folder:{two_parts}", root)
    assert not root.exists()


def test_folders_without_classes_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "flat" / "0.png", 1)
    paint(tmp_path / "lone" / "ants" / "0.png", 1)
    for name, told in {
        "none": "no such folder",
        "flat": "holds no folders",
        "lone": r"one class only \(ants\)",
        "flat/0.png": r"no such folder \(a file\)",
    }.items():
        with pytest.raises(Refusal, match=told):
            load(f"folder:{tmp_path / name}", tmp_path / "root")


def test_many_unreadable_images_are_counted_and_three_are_named(tmp_path: Path) -> None:
    for i in range(300):  # more than one task of the pool
        place = tmp_path / "p" / "ab"[i % 2] / f"{i:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
    with pytest.raises(Refusal, match=r"300 of 300 .*a/000\.png .*a/002\.png .*a/004\.png .* and 297 more"):
        load(f"folder:{tmp_path / 'p'}", tmp_path / "root")
