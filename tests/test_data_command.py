import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compare.commands.data import channel_statistics, contact_sheet, mosaic, pixel_counts
from compare.commands.data import data as data_command
from compare.data import from_arrays
from compare.records import Refusal


def numbered(count: int, size: tuple[int, int] = (2, 2)) -> tuple[np.ndarray, np.ndarray]:
    """Images that are recognised by their first two bytes, and labels 0, 1, 2, 0, …"""
    images = np.zeros((count, *size, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(count) % 256, np.arange(count) // 256
    return images, np.arange(count) % 3


def test_the_command_describes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(
        tmp_path / "a.npz",
        images=(made := numbered(60))[0],
        labels=made[1],
        classes=np.array(["[a]", "b", "c"]),
    )
    sheet, result = tmp_path / "new" / "sheet.png", tmp_path / "out.json"
    assert data_command(f"npz:{tmp_path / 'a.npz'}", sheet=sheet, json_to=str(result)) == 0
    out = capsys.readouterr().out
    assert "46 / 4 / 10 images" in out
    assert "[a]" in out
    assert str(sheet) in out
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1_000
    told = json.loads(result.read_text())
    assert (told["schema"], told["command"], told["shape"]) == (1, "data", [2, 2, 3])
    assert sum(sum(part["counts"]) for part in told["parts"].values()) == 60
    assert [p.name for p in sheet.parent.iterdir()] == ["sheet.png"]


def test_the_command_can_be_quiet_and_can_speak_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "a.npz", images=(made := numbered(60))[0], labels=made[1])
    source, sheet = f"npz:{tmp_path / 'a.npz'}", tmp_path / "s.png"
    data_command(source, sheet=sheet, quiet=True)
    assert capsys.readouterr().out == ""
    data_command(source, sheet=sheet, json_to="-")
    assert json.loads(capsys.readouterr().out)["classes"] == ["0", "1", "2"]


def test_the_command_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=(made := numbered(60))[0], labels=made[1])
    (tmp_path / "file").touch()
    source = f"npz:{tmp_path / 'a.npz'}"
    with pytest.raises(Refusal, match="--sheet"):
        data_command(source, sheet=tmp_path / "file" / "s.png")
    with pytest.raises(Refusal, match="--json"):
        data_command(source, sheet=tmp_path / "s.png", json_to=str(tmp_path / "file" / "x.json"))
    with pytest.raises(Refusal, match="--download fetches CIFAR-10"):
        data_command(source, download=True)


def test_mosaic_and_statistics_by_hand() -> None:
    images = np.zeros((3, 1, 1, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = 10, 20, 60
    sheet = mosaic(images, np.array([1, 0, 1]), classes=2, columns=2)
    assert sheet[..., 0].tolist() == [[20, 255, 255, 255], [255] * 4, [255] * 4, [10, 255, 255, 60]]
    counts = pixel_counts(images)
    assert counts[0, [10, 20, 60]].tolist() == [1, 1, 1]
    assert counts.sum(axis=1).tolist() == [3, 3, 3]
    mean, std = channel_statistics(counts)
    assert mean == [30, 0, 0]
    assert std == pytest.approx([(1400 / 3) ** 0.5, 0, 0], rel=1e-15)  # (20² + 10² + 30²) / 3


def test_the_sheet_of_many_classes_and_long_names_stays_in_bounds() -> None:
    images, _ = numbered(90, (3, 5))
    names = tuple(f"a class with a rather long name {i}" for i in range(30))
    data = from_arrays(images, np.arange(90) % 30, names)
    figure = contact_sheet(data, pixel_counts(data.train.images))
    texts = [text.get_text() for text in figure.texts]
    assert "… and 10 more classes" in texts
    assert max(map(len, texts)) < 80
