"""The pictures and the chart layout of the TensorBoard log, as arrays: nothing here writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from compare.data import Dataset
    from compare.records import Array

LAYOUT = {  # of the Custom Scalars page: curves that belong into one chart
    "Training": {
        "loss": ["Multiline", ["train/loss"]],
        "accuracy, training and validation part": ["Multiline", ["accuracy/train", "accuracy/validation"]],
    },
    "Lockstep: scratch against ref": {
        "log10 of the weights' drift, and of the control runs' spread": [
            "Multiline",
            ["log10 of drift/weights$", "log10 of drift/weights, spread"],
        ],
        "log10 of drift over spread: suspect above 0.5": ["Multiline", ["log10 of drift/.*, over spread"]],
        "flagged: 0, and 1 from the step at fault": ["Multiline", ["drift/flagged"]],
        "learning rate": ["Multiline", ["drift/lr of scratch", "drift/lr of ref"]],
        "log10 of the gradients' drift and spread": [
            "Multiline",
            ["log10 of drift/gradients$", "log10 of drift/gradients, spread"],
        ],
        "log10 of the loss's drift and spread": ["Multiline", ["log10 of drift/loss$", "log10 of drift/loss, spread"]],
    },
}
TILE, GAP, LINE = 64, 6, 14  # pixels: a picture's side, the space between two, a line of text
PAPER, INK = (255, 255, 255), (30, 30, 30)
UNITS = 100  # hidden units that are shown
WRONG = 24  # images classified wrongly that are shown


def templates(params: Mapping[str, Array], data: Dataset) -> Array:
    """What each class, or each hidden unit of a network, looks for: its column of weights as an image.

    Grey is 0; each column is stretched to its own range. Of a network's units the UNITS of largest weight are
    shown, by number.
    """
    return _weight_sheet(params, data, False)


def difference(gap: Mapping[str, Array], data: Dataset) -> Array:
    """As templates, of a difference of weights; the line below says how large the largest entry is."""
    return _weight_sheet(gap, data, True)


def _weight_sheet(params: Mapping[str, Array], data: Dataset, sized: bool) -> Array:
    network = "W1" in params
    columns = params["W1" if network else "W"].T
    shown = (
        np.sort(np.argsort(-np.linalg.norm(columns, axis=1), kind="stable")[:UNITS]) if network else range(len(columns))
    )
    names = [f"unit {k}" if network else data.classes[k] for k in shown]
    sizes = [[f"max {np.abs(columns[k]).max():.1e}"] if sized else [] for k in shown]
    notes = [[name, *size] for name, size in zip(names, sizes, strict=True)]
    return _sheet([_weights(columns[k], data) for k in shown], notes, columns=10 if network else 5)


def misclassified(data: Dataset, scores: Array) -> Array:
    """Withheld images that scores (N, C) classify wrongly, the surest first: true class, and what it was taken for."""
    found, labels = scores.argmax(axis=1), data.test.labels
    lead = scores.max(axis=1) - scores[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(found != labels)
    chosen = wrong[np.argsort(-lead[wrong], kind="stable")][:WRONG]
    notes = [[data.classes[labels[i]], f"as {data.classes[found[i]]}"] for i in chosen]
    return _sheet([data.test.images[i] for i in chosen], notes, columns=4)  # TensorBoard shows that at full size


def _weights(w: Array, data: Dataset) -> Array:
    largest = float(np.abs(w).max()) or 1.0
    return np.asarray(np.rint(127.5 + 127.5 * w / largest), np.uint8).reshape(data.train.images.shape[1:])


def _sheet(pictures: Sequence[Array], notes: Sequence[Sequence[str]], columns: int) -> Array:
    """Pictures side by side, uint8 (H, W, 3), each with its lines of text below."""
    lines = max((len(n) for n in notes), default=1)
    columns = max(1, min(columns, len(pictures)))
    high, wide = TILE + LINE * lines + GAP, TILE + GAP
    sheet = Image.new("RGB", (columns * wide + GAP, max(1, math.ceil(len(pictures) / columns)) * high + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for k, (picture, note) in enumerate(zip(pictures, notes, strict=True)):
        left, top = GAP + k % columns * wide, GAP + k // columns * high
        sheet.paste(Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.NEAREST), (left, top))
        for row, text in enumerate(note):
            while len(text) > 1 and draw.textlength(text, font=font) > TILE:
                text = text[:-2] + "…"
            draw.text((left, top + TILE + row * LINE), text, INK, font)
    return np.asarray(sheet)
