"""The pictures of docs/agreement.md and of `gradtwin selftest`, as matplotlib figures: nothing here writes a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from compare.differ import BOUND
from compare.dose import PLACES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from compare.calibrate import Sample
    from compare.dose import Response
    from compare.records import Array

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by eyes that see red and green alike


def figure(width: float = 8.0, height: float = 3.4, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty figure of some panels side by side."""
    made = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    axes = list(np.atleast_1d(made.subplots(1, panels)))
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
    return made, axes


def bound(ax: Axes, vertical: bool = True) -> None:
    """The line that parts agreement from difference."""
    (ax.axvline if vertical else ax.axhline)(BOUND, color="0.35", linestyle="--", linewidth=1)


def dose_curve(found: Sequence[Response]) -> Figure:
    """How often an error of a size is found: a panel a precision, a line a place."""
    dtypes = list(dict.fromkeys(r.dtype for r in found))
    made, axes = figure(panels=len(dtypes))
    for ax, dtype in zip(axes, dtypes, strict=True):
        for place, colour, width in zip(PLACES, COLOURS, (5.0, 3.6, 2.4, 1.2), strict=True):
            rows = [r for r in found if r.dtype == dtype and r.place == place]
            ax.plot([r.units for r in rows], [r.share for r in rows], color=colour, linewidth=width, label=place)
        bound(ax)
        planted = min((r.planted for r in found if r.dtype == dtype), default=0)
        ax.set(xscale="log", title=f"{dtype}: {planted} errors of each size and place",
               xlabel="size of the planted error, noise units")  # fmt: skip
        ax.set_ylim(-0.03, 1.03)
    axes[0].set_ylabel("found, share")
    axes[0].legend(frameon=False, loc="upper left")
    return made


def calibration(samples: Sequence[Sample]) -> Figure:
    """The noise units of correct variants: how many lie beyond a value, a line a precision."""
    made, (ax,) = figure(6.4)
    for dtype, colour in zip(("float32", "float64"), COLOURS, strict=False):
        units = np.sort([max(s.tensor_units, s.entry_units) for s in samples if s.dtype == dtype])
        if units.size:
            ax.plot(units, 1 - np.arange(units.size) / units.size, color=colour, drawstyle="steps-post",
                    label=f"{dtype}, {units.size:,} answers")  # fmt: skip
    bound(ax)
    ax.set(yscale="log", xlim=(0, BOUND + 0.5), xlabel="noise units of correct code", ylabel="share beyond",
           title="Correct implementations, every pair")  # fmt: skip
    ax.legend(frameon=False)
    return made


def rounding_grows(sizes: Array, relative: Mapping[str, Array], units: Mapping[str, Array]) -> Figure:
    """The same correct code over growing sums: its error as people look at it, and in noise units."""
    made, (left, right) = figure(panels=2)
    for ax, lines in ((left, relative), (right, units)):
        for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
            ax.plot(sizes, values, color=colour, marker="o", markersize=3, label=name)
        ax.set(xscale="log", xlabel="terms in the sum")
    left.set(yscale="log", title="relative error of a float32 gradient")
    bound(right, vertical=False)
    right.set(ylim=(0, BOUND + 0.5), title="the same errors in noise units")
    left.legend(frameon=False)
    return made


def step_curve(steps: Array, errors: Mapping[str, Array], told: tuple[float, float]) -> Figure:
    """Error of a difference quotient against its step; told is what scratch.numgrad makes of it, error and estimate."""
    made, (ax,) = figure(6.4)
    for (name, values), colour in zip(errors.items(), COLOURS, strict=False):
        ax.plot(steps, np.maximum(values, 1e-18), color=colour, label=name)
    ax.axhline(told[1], color=COLOURS[2], linestyle=":", label="scratch.numgrad, the error it tells")
    ax.axhline(told[0], color=COLOURS[2], label="scratch.numgrad, the error it makes")
    ax.set(xscale="log", yscale="log", xlabel="step h", ylabel="relative error", ylim=(None, 1e8),
           title="Numerical gradient of softmax, one weight")  # fmt: skip
    ax.legend(frameon=False)
    return made


def kink_band(distances: Array, slope: Array, error: Array) -> Figure:
    """Slope and error of max(0, x), told by the numerical gradient, over the distance from the kink."""
    made, (ax,) = figure(6.4)
    ax.fill_between(distances, slope - error, slope + error, color=COLOURS[0], alpha=0.25, label="slope ± error")
    ax.plot(distances, slope, color=COLOURS[0], label="slope")
    ax.set_xscale("symlog", linthresh=1e-16, linscale=0.4)
    ax.set_xticks([-1, -1e-4, -1e-8, -1e-12, 0, 1e-12, 1e-8, 1e-4, 1])
    ax.set(xlabel="x", title="Numerical gradient of max(0, x)", ylim=(-0.2, 1.2))
    ax.legend(frameon=False, loc="upper left")
    return made
