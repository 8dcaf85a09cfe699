"""An experiment as people, programs and TensorBoard read it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from compare.experiments.claims import Result, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from compare.records import Array

COLOURS = ("#8c959f", "#1f6feb", "#1a7f37", "#bf8700", "#c62828", "#8250df")


def table(result: Result) -> Table:
    """A line for each method."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    columns, lines = cells(result)
    for k, name in enumerate(columns):
        made.add_column(name, justify="right" if k else "left")
    for line in lines:
        made.add_row(*line)
    return made


def cells(result: Result) -> tuple[list[str], list[list[str]]]:
    """Names of the columns and the cells of the table; columns that say nothing are left out."""
    figures = list(dict.fromkeys(name for row in result.rows for name in row.figures))
    published = any(row.published is not None for row in result.rows)
    settings = any(row.settings for row in result.rows)
    columns = [
        "method",
        *["CIFAR-10, published"] * published,
        "test accuracy",
        "± seeds",
        *["settings"] * settings,
        *figures,
    ]
    return columns, [_line(row, published, settings, figures) for row in result.rows]


def _line(row: Row, published: bool, settings: bool, figures: list[str]) -> list[str]:
    spread = "" if row.spread is None else f"{row.spread:.2%}"
    found = ["" if row.published is None else f"{row.published:.1%}"] if published else []
    numbers = [f"{row.figures[name]:.3g}" if name in row.figures else "" for name in figures]
    return [row.method, *found, f"{row.ours:.2%}", spread, *[row.settings] * settings, *numbers]


def remarks(result: Result) -> list[str]:
    """The lines below the table: the claim, the verdict, and what else was seen."""
    claim = [f"claim: {result.claim}"] if result.claim else []
    return [*claim, result.judgement.told, *result.remarks]


def markdown(result: Result) -> str:
    """The table and the verdict for TensorBoard's Text page."""
    columns, lines = cells(result)
    head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    return "\n".join([*head, *(f"| {' | '.join(line)} |" for line in lines), "", *remarks(result)])


def as_json(result: Result) -> dict[str, Any]:
    """The fields of `experiment` in JSON."""
    rows = [
        {"method": r.method, "published": r.published, "ours": r.ours, "spread": r.spread, "seeds": list(r.accuracy),
         "settings": r.settings, "figures": dict(r.figures)}
        for r in result.rows
    ]  # fmt: skip
    return {
        "name": result.name, "claim": result.claim, "holds": result.judgement.holds, "verdict": result.judgement.told,
        "rows": rows, "remarks": list(result.remarks),
    }  # fmt: skip


def picture(result: Result, title: str, note: str) -> Figure:
    """The curves, mean over the seeds, the range of the seeds shaded; note says which images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for curve, colour in zip(result.curves, COLOURS, strict=False):
        y = np.array(curve.y)
        axes.plot(curve.x, y.mean(axis=0), color=colour, label=curve.name)
        axes.fill_between(curve.x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.15, linewidth=0)
    for row, colour in zip(result.rows, COLOURS, strict=False):
        if row.published is not None:
            axes.axhline(row.published, color=colour, linestyle=":", label=f"{row.method}, published")
    if result.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(result.x_label)
    axes.set_ylabel(result.y_label)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    seeds = max((len(curve.y) for curve in result.curves), default=0)
    line = f"{note}; mean of {seeds} seeds, their range shaded" if seeds > 1 else f"{note}; one seed"
    axes.set_title(f"{title}\n{line}", fontsize=10, loc="left")
    return figure


def pixels(figure: Figure) -> Array:
    """The picture as (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call] # matplotlib leaves it untyped
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call] # as above


def png(figure: Figure) -> bytes:
    """The picture as a PNG file's bytes."""
    kept = io.BytesIO()
    figure.savefig(kept, format="png")
    return kept.getvalue()
