"""gradtwin data: fetch and describe the images that everything else trains and is judged on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compare.options import Data, DataRoot, Json, Quiet, Seed
from compare.records import Refusal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from compare.data import Dataset
    from compare.records import Array

PER_CLASS = 10  # pictures a class on the contact sheet
MOST_CLASSES = 20  # shown there; the others are counted
GAP = 2  # white pixels between two pictures


def data(
    data: Data = "auto",
    data_root: DataRoot = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch CIFAR-10 into --data-root.")] = False,
    sheet: Annotated[Path, typer.Option(metavar="FILE.png", help="Where the contact sheet is written.")] = Path(
        "runs/data.png"
    ),
    seed: Seed = 0,
    json_to: Json = None,
    quiet: Quiet = False,
) -> int:
    """Fetch and describe the data: counts, classes, pixel statistics and a contact sheet."""
    from compare import report
    from compare.data import load

    if download and data not in ("auto", "cifar10"):
        raise Refusal(f"--download fetches CIFAR-10; it does not go with --data {data}")
    dataset = load("cifar10" if download else data, data_root, seed)
    counts = pixel_counts(dataset.train.images)
    mean, std = channel_statistics(counts)
    save(contact_sheet(dataset, counts), sheet)
    describe(report.console(quiet, json_to), dataset, mean, std, sheet)
    report.write_json(json_to, "data", seed, dataset.name, as_json(dataset, mean, std, sheet))
    return 0


def pixel_counts(images: Array) -> Array:
    """Return how often each of the 256 values occurs in each channel, (3, 256); 1,000 images at a time."""
    import numpy as np

    counts = np.zeros((3, 256))
    for start in range(0, len(images), 1_000):
        for channel in range(3):
            counts[channel] += np.bincount(images[start : start + 1_000, ..., channel].ravel(), minlength=256)
    return counts


def channel_statistics(counts: Array) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation a channel, in pixel values; exact, from pixel_counts."""
    import numpy as np

    value, total = np.arange(256), counts.sum(axis=1)
    mean = counts @ value / total
    variance = (counts * (value - mean[:, None]) ** 2).sum(axis=1) / total
    return [float(m) for m in mean], [float(s) for s in np.sqrt(variance)]


def mosaic(images: Array, labels: Array, classes: int, columns: int = PER_CLASS) -> Array:
    """Lay out the first images of each class, a class a row, on white: uint8 (rows, columns, 3) of pixels."""
    import numpy as np

    height, width = images.shape[1:3]
    step_y, step_x = height + GAP, width + GAP
    sheet = np.full((classes * step_y - GAP, columns * step_x - GAP, 3), 255, dtype=np.uint8)
    for label in range(classes):
        for column, index in enumerate(np.flatnonzero(labels == label)[:columns]):
            y, x = label * step_y, column * step_x
            sheet[y : y + height, x : x + width] = images[index]
    return sheet


def contact_sheet(dataset: Dataset, pixels: Array) -> Figure:
    """Draw ten training images a class beside the mean image and how often each pixel value occurs (pixel_counts)."""
    import numpy as np
    from matplotlib.figure import Figure

    train = dataset.train
    height, width = train.images.shape[1:3]
    shown = min(len(dataset.classes), MOST_CLASSES)
    pictures = mosaic(train.images, train.labels, shown)
    grid_w = 6.0
    grid_h = grid_w * pictures.shape[0] / pictures.shape[1]
    left, right, top, bottom = 1.75, 3.1, 0.8, 0.35
    total_w, total_h = left + grid_w + right, top + max(grid_h, 4.4) + bottom
    figure = Figure(figsize=(total_w, total_h), dpi=120, facecolor="white")

    def place(x: float, y: float, w: float, h: float) -> Any:
        """Axes at inches from the left and from the top."""
        return figure.add_axes((x / total_w, 1 - (y + h) / total_h, w / total_w, h / total_h))

    def title(x: float, y: float, text: str, size: float, colour: str = "#222222", **more: Any) -> None:
        figure.text(x / total_w, 1 - y / total_h, text, fontsize=size, color=colour, va="baseline", **more)

    counts = ", ".join(f"{len(part.labels):,} {name}" for name, part in dataset.parts.items())
    title(0.25, 0.35, shorten(dataset.name, 60), 14, weight="bold")
    title(0.25, 0.58, f"{counts} images of {height}×{width}", 9, "#666666")

    grid = place(left, top, grid_w, grid_h)
    grid.imshow(pictures, interpolation="nearest", aspect="auto")
    grid.set_axis_off()
    per_class = np.bincount(train.labels, minlength=len(dataset.classes))
    row = grid_h / shown
    for label in range(shown):
        y = top + (label + 0.5) * row
        title(left - 0.12, y, shorten(dataset.classes[label], 18), 10, ha="right")
        title(left - 0.12, y + 0.15, f"{per_class[label]:,}", 7.5, "#888888", ha="right")
    if shown < len(dataset.classes):
        title(left, top + grid_h + 0.2, f"… and {len(dataset.classes) - shown} more classes", 9, "#666666")

    x, w = left + grid_w + 0.45, right - 0.75
    title(x, top + 0.1, "training mean", 10)
    average = place(x, top + 0.2, w * 0.72, w * 0.72 * height / width)
    average.imshow(
        np.rint(dataset.mean.reshape(height, width, 3)).astype(np.uint8),
        interpolation="nearest",
        aspect="auto",
    )
    average.set_axis_off()
    y = top + 0.2 + w * 0.72 * height / width + 0.45
    title(x, y, "pixel values, training part", 10)
    values = place(x, y + 0.1, w, 1.25)
    for count, colour in zip(pixels, ("#d1495b", "#3a9d5d", "#3b6fb6"), strict=True):
        values.plot(np.arange(64) * 4 + 1.5, count.reshape(64, 4).sum(axis=1), color=colour, linewidth=1.3)
    values.set_xlim(0, 255)
    values.set_ylim(bottom=0)
    values.set_xticks([0, 128, 255])
    values.set_yticks([])
    values.tick_params(labelsize=8, colors="#666666", length=2)
    for side in ("left", "top", "right"):
        values.spines[side].set_visible(False)
    return figure


def shorten(text: str, most: int) -> str:
    """Cut text in its middle if it is longer than most."""
    keep = most // 2
    return text if len(text) <= most else f"{text[: most - keep - 1]}…{text[-keep:]}"


def save(figure: Figure, path: Path, option: str = "--sheet") -> None:
    """Write the figure as PNG, whole or not at all. Raises Refusal where it cannot be written."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(aside, format="png")
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise Refusal(f"cannot write {path} ({error.strerror or error}). Name another file: {option}") from error


def describe(out: Console, dataset: Dataset, mean: list[float], std: list[float], sheet: Path) -> None:
    """Print what there is: counts a class and part, pixel statistics, where the contact sheet lies."""
    import numpy as np
    from rich.markup import escape

    from compare.tables import plain_table

    out.print(dataset.note, markup=False, soft_wrap=True)
    table = plain_table()
    table.add_column("class", overflow="fold")
    parts = dataset.parts
    counts = [np.bincount(part.labels, minlength=len(dataset.classes)) for part in parts.values()]
    for name in parts:
        table.add_column(name, justify="right", no_wrap=True)
    for label, name in enumerate(dataset.classes):
        table.add_row(escape(name), *(f"{count[label]:,}" for count in counts))
    table.add_row("all", *(f"{count.sum():,}" for count in counts), style="bold")
    out.print(table)
    for what, values in (("mean", mean), ("standard deviation", std)):
        told = ", ".join(f"{name} {value:.1f}" for name, value in zip("RGB", values, strict=True))
        out.print(f"pixel {what} of the training part: {told}", markup=False)
    out.print(f"contact sheet: {sheet}", markup=False, soft_wrap=True)


def as_json(dataset: Dataset, mean: list[float], std: list[float], sheet: Path) -> dict[str, Any]:
    """The fields of `data` in JSON; counts are in the order of classes."""
    import numpy as np

    return {
        "note": dataset.note,
        "shape": list(dataset.train.images.shape[1:]),
        "classes": list(dataset.classes),
        "parts": {
            name: {
                "images": len(part.labels),
                "counts": np.bincount(part.labels, minlength=len(dataset.classes)).tolist(),
            }
            for name, part in dataset.parts.items()
        },
        "mean": mean,
        "std": std,
        "sheet": str(sheet),
    }
