"""The pictures and the chart layout of the TensorBoard log, as arrays: nothing here writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from compare.data import Dataset
    from compare.records import Array

LAYOUT = {  # of the Custom Scalars page: curves that belong into one chart
    "Lockstep: scratch against ref": {
        "weights, relative distance and what rounding does": [
            "Multiline",
            ["drift/weights$", "drift/weights, noise"],
        ],
        "gradients, relative distance and what rounding does": [
            "Multiline",
            ["drift/gradients$", "drift/gradients, noise"],
        ],
        "loss, relative distance and what rounding does": ["Multiline", ["drift/loss$", "drift/loss, noise"]],
        "noise units": ["Multiline", ["drift in noise units/.*"]],
    }
}
TILE, GAP, LINE = 64, 6, 14  # pixels: a picture's side, the space between two, a line of text
PAPER, INK = (255, 255, 255), (30, 30, 30)
WRONG = 24  # images classified wrongly that are shown


def templates(W: Array, data: Dataset) -> Array:
    """One picture a class: its column of W (D, C) as an image, grey for 0, each class stretched to its own range."""
    return _sheet([_weights(w, data) for w in W.T], [[name] for name in data.classes], columns=5)


def difference(gap: Array, data: Dataset) -> Array:
    """As templates, of a difference of weights; the line below a class says how large the largest entry is."""
    notes = [[name, f"max {np.abs(w).max():.1e}"] for name, w in zip(data.classes, gap.T, strict=True)]
    return _sheet([_weights(w, data) for w in gap.T], notes, columns=5)


def misclassified(data: Dataset, scores: Array) -> Array:
    """Withheld images that scores (N, C) classify wrongly, the surest first: true class, and what it was taken for."""
    found, labels = scores.argmax(axis=1), data.test.labels
    lead = scores.max(axis=1) - scores[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(found != labels)
    chosen = wrong[np.argsort(-lead[wrong], kind="stable")][:WRONG]
    notes = [[data.classes[labels[i]], f"as {data.classes[found[i]]}"] for i in chosen]
    return _sheet([data.test.images[i] for i in chosen], notes, columns=6)


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
