"""A circuit drawn as the lecture does: values green above the wires, gradients red below, gates as circles.

The local gradients stand in blue where the wires enter their gate: on the way back, the gradient on the right of a
gate times the local gradient of a wire is what flows into that wire.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from compare.circuit import Gate, shorten
from compare.layout import GATE, Layout, Point, layout
from compare.readings import Readings
from compare.records import Refusal
from compare.wording import brief, sign, slopes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREEN, RED, BLUE, INK, FACE = "#1a7f37", "#c62828", "#3a63a8", "#24292f", "#eef3fb"
KINK = "#b26a00"  # the rim of a gate that sits at a tie or a kink
MARGIN = 0.45
LETTER = 0.088  # width of a figure of a value or gradient
SMALL = 0.078  # of a local gradient
MOST_DRAWN = 400  # gates in one picture
MOST_PIXELS = 32_768  # along an edge; a quarter of that along a square's


def placed(found: Readings, dot: bool = True) -> Layout:
    """The circuit's layout, with wires long enough for their labels. Raises Refusal past MOST_DRAWN gates."""
    gates = found.circuit.gates
    if len(gates) > MOST_DRAWN:
        raise Refusal(f"{len(gates)} gates are too many for a picture; at most {MOST_DRAWN}")
    labels = (brief(x) for w in found.wires.values() for x in (w.value, w.grad))
    inlets = (slope for g in gates for slope in slopes(g, found.wires[g.name]))
    stub = max(0.7, LETTER * max(map(len, labels)) + 0.12)
    return layout(found.circuit, stub, max(0.4, SMALL * max(map(len, inlets), default=0) + 0.1), dot)


def picture(found: Readings, dot: bool = True) -> Figure:
    """The circuit as a matplotlib figure."""
    from matplotlib.figure import Figure

    where = placed(found, dot)
    circuit = found.circuit
    names = 0.115 * max(map(cell_len, circuit.inputs)) + 0.1  # inputs carry their names on the left
    left, low = -MARGIN - names + GATE / 2, where.low - MARGIN - 0.1
    width, height = where.width + MARGIN - left, where.height + 2 * MARGIN + 0.85
    width = max(width, 0.115 * len(shorten(circuit.text, 80)) + MARGIN, 3.6)
    dpi = min(160.0, MOST_PIXELS / max(width, height), MOST_PIXELS / (width * height) ** 0.5 / 4)
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left, left + width)
    axes.set_ylim(low, low + height)
    axes.set_axis_off()
    for route in where.routes.values():
        _curve(axes, route)
    gates = {g.name: g for g in circuit.gates}
    for name, (x, y) in where.centres.items():
        _wire(axes, brief(found.wires[name].value), brief(found.wires[name].grad), (x, y), where.stub)
        if name in gates:
            _gate(axes, sign(gates[name]), (x, y), name in found.kinks)
            _slopes(axes, gates[name], slopes(gates[name], found.wires[name]), where)
        else:
            axes.text(x + GATE / 2 - 0.08, y, name, ha="right", va="center", fontsize=13, color=INK, family="serif",
                      style="italic")  # fmt: skip
    top = low + height
    axes.text(left + 0.2, top - 0.28, shorten(circuit.text, 80), fontsize=12, color=INK, va="center",
              family="monospace", weight="bold")  # fmt: skip
    legend = [(0.0, "value", GREEN), (0.5, "gradient", RED), (1.2, "local gradient", BLUE)]
    for at, word, color in [*legend, (2.3, "at a kink or a tie", KINK)] if found.kinks else legend:
        axes.text(left + 0.2 + at, top - 0.52, word, fontsize=9.5, color=color, va="center")
    return figure


def save(found: Readings, path: Path) -> str:
    """Write the picture as PNG or SVG, by the file's ending; returns the letters that a PNG shows as boxes.

    Raises Refusal where it cannot be written.
    """
    import matplotlib

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gradtwin"}):
            warnings.filterwarnings("ignore", "Glyph", UserWarning)  # told in our words
            picture(found).savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise Refusal(f"{path}: cannot be written: {error.strerror or error}") from error
    return "" if path.suffix == ".svg" else unknown(shorten(found.circuit.text, 80) + "".join(found.circuit.inputs))


def unknown(text: str) -> str:
    """The letters of text that the picture's fonts do not have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in ("serif", "monospace")]
    return "".join(sorted(c for c in set(text) if any(not font.get_char_index(ord(c)) for font in fonts)))


def _curve(axes: Axes, route: tuple[Point, ...]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    codes = [Curve.MOVETO] + [Curve.CURVE4] * (len(route) - 1)
    axes.add_patch(PathPatch(Curve(list(route), codes), fill=False, edgecolor=INK, linewidth=1.1, zorder=1))


def _wire(axes: Axes, value: str, gradient: str, at: Point, stub: float) -> None:
    start, y = at[0] + GATE / 2, at[1]
    axes.plot([start, start + stub], [y, y], color=INK, linewidth=1.1, zorder=1, solid_capstyle="round")
    middle = start + stub / 2
    axes.text(middle, y + 0.07, value, color=GREEN, ha="center", va="bottom", fontsize=10.5)
    axes.text(middle, y - 0.08, gradient, color=RED, ha="center", va="top", fontsize=10.5)


def _gate(axes: Axes, text: str, at: Point, kink: bool) -> None:
    from matplotlib.patches import Circle

    edge = KINK if kink else BLUE
    axes.add_patch(Circle(at, GATE / 2, facecolor=FACE, edgecolor=edge, linewidth=1.4, zorder=2))
    size = 15 if len(text) == 1 else 11.5 if len(text) <= 3 else 9 if len(text) <= 5 else 6.5
    axes.text(at[0], at[1] - 0.01, text, ha="center", va="center", fontsize=size, color=INK, zorder=3)


def _slopes(axes: Axes, gate: Gate, told: list[str], where: Layout) -> None:
    """Write the local gradients over and under the wires' last stretch."""
    x, y = where.centres[gate.name]
    for i, slope in enumerate(told):
        end = where.routes[gate.name, i][-1][1]
        above = end >= y
        axes.text(x - GATE / 2 - where.inlet / 2, end + (0.05 if above else -0.06), slope, color=BLUE, fontsize=8.5,
                  ha="center", va="bottom" if above else "top")  # fmt: skip
