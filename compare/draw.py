"""A circuit drawn as the lecture does: values green above the wires, gradients red below, gates as circles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.circuit import Circuit, Gate
from compare.layout import GATE, Layout, layout
from compare.readings import Readings, Wire
from compare.records import Refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table
    from rich.tree import Tree

    from compare.records import Array

GREEN, RED, INK, FAINT, FACE = "#1a7f37", "#c62828", "#24292f", "#8c959f", "#eef3fb"
MARGIN = 0.45
MOST_DRAWN = 400  # gates in one picture
DEEPEST_TREE = 14  # gates from the output to an input, drawn as a tree; a table beyond
SIGNS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "×−1", "matmul": "@", "sigmoid": "σ", "sqrt": "√",
    "abs": "|·|", "sum": "Σ", "index": "[ ]", "transpose": "ᵀ", "broadcast": "rep", "reshape": "shape",
}  # fmt: skip


def sign(gate: Gate) -> str:
    """What stands in a gate's circle; a constant input is part of it, as in +1 and 1/x."""
    numbers = [a for a in gate.args if isinstance(a, float)]
    first = bool(numbers) and isinstance(gate.args[0], float)
    if not numbers or len(gate.args) == 1:
        return SIGNS.get(gate.op, gate.op)
    n = f"{numbers[0]:.3g}".replace("-", "−")
    match gate.op:
        case "add":
            return n if n.startswith("−") else f"+{n}"
        case "sub":
            return f"{n}−x" if first else f"−{n}".replace("−−", "+")
        case "mul":
            return f"×{n}"
        case "div":
            return f"{n}/x" if first else f"/{n}"
        case "pow":
            return f"{n}^x" if first else f"x^{n}"
    return f"{gate.op} {n}"


def number(x: float) -> str:
    """Two decimals, as in the lecture; where those would say nothing, three digits and a power of ten."""
    if x == 0 or not np.isfinite(x):
        return f"{x:.2f}".replace("-", "−")
    text = f"{x:.2f}" if 0.01 <= abs(x) < 10_000 else f"{x:.2e}"
    return text.replace("-", "−")


def brief(x: Array | None) -> str:
    """A wire's value or gradient in a few characters; of an array, its shape and Euclidean norm."""
    if x is None:
        return "–"
    if x.ndim == 0:
        return number(float(x))
    if x.size <= 3 and x.ndim == 1:
        return "[" + ", ".join(number(float(v)) for v in x) + "]"
    return f"{'×'.join(map(str, x.shape))}  ‖{number(float(np.linalg.norm(x)))}‖"


def placed(found: Readings, dot: bool = True) -> Layout:
    """The circuit's layout, with wires long enough for their labels. Raises Refusal past MOST_DRAWN gates."""
    if len(found.circuit.gates) > MOST_DRAWN:
        raise Refusal(f"{len(found.circuit.gates)} gates are too many for a picture; at most {MOST_DRAWN}")
    longest = max(len(brief(x)) for w in found.wires.values() for x in (w.value, w.grad))
    return layout(found.circuit, max(0.7, 0.095 * longest + 0.12), dot)


def picture(found: Readings, dot: bool = True) -> Figure:
    """The circuit as a matplotlib figure."""
    from matplotlib.figure import Figure

    where = placed(found, dot)
    circuit = found.circuit
    names = 0.115 * max(map(len, circuit.inputs)) + 0.1  # inputs carry their names on the left
    width, height = names + where.width + 2 * MARGIN, where.height + 2 * MARGIN + 0.85
    figure = Figure(figsize=(width, height), dpi=160, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-MARGIN - names, where.width + MARGIN)
    low = where.low - MARGIN - 0.1
    axes.set_ylim(low, low + height)
    axes.set_axis_off()
    for (target, _), route in where.routes.items():
        _curve(axes, route, target)
    gates = {g.name: g for g in circuit.gates}
    for name, (x, y) in where.centres.items():
        _wire(axes, found.wires[name], x, y, where.stub)
        if name in gates:
            _gate(axes, gates[name], x, y, name in found.kinks)
        else:
            axes.text(x + GATE / 2 - 0.08, y, name, ha="right", va="center", fontsize=13, color=INK, family="serif",
                      style="italic")  # fmt: skip
    axes.text(-MARGIN - names + 0.2, low + height - 0.28, _title(circuit), fontsize=12, color=INK, va="center",
              family="monospace", weight="bold")  # fmt: skip
    axes.text(-MARGIN - names + 0.2, low + height - 0.52, "values", fontsize=9.5, color=GREEN, va="center")
    axes.text(-MARGIN - names + 0.75, low + height - 0.52, "gradients", fontsize=9.5, color=RED, va="center")
    return figure


def save(found: Readings, path: Path) -> None:
    """Write the picture as PNG or SVG, by the file's ending. Raises Refusal where it cannot be written."""
    import matplotlib

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gradtwin"}):
            picture(found).savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise Refusal(f"{path}: cannot be written: {error.strerror or error}") from error


def _title(circuit: Circuit) -> str:
    return circuit.text if len(circuit.text) <= 80 else circuit.text[:79] + "…"


def _curve(axes: Axes, route: tuple[tuple[float, float], ...], target: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    codes = [Curve.MOVETO] + [Curve.CURVE4] * (len(route) - 1)
    axes.add_patch(PathPatch(Curve(list(route), codes), fill=False, edgecolor=INK, linewidth=1.1, zorder=1))


def _wire(axes: Axes, wire: Wire, x: float, y: float, stub: float) -> None:
    start = x + GATE / 2
    axes.plot([start, start + stub], [y, y], color=INK, linewidth=1.1, zorder=1, solid_capstyle="round")
    middle = start + stub / 2
    axes.text(middle, y + 0.07, brief(wire.value), color=GREEN, ha="center", va="bottom", fontsize=10.5)
    axes.text(middle, y - 0.08, brief(wire.grad), color=RED, ha="center", va="top", fontsize=10.5)


def _gate(axes: Axes, gate: Gate, x: float, y: float, kink: bool) -> None:
    from matplotlib.patches import Circle

    edge = "#b26a00" if kink else "#4a6fa5"
    axes.add_patch(Circle((x, y), GATE / 2, facecolor=FACE, edgecolor=edge, linewidth=1.4, zorder=2))
    text = sign(gate)
    size = 15 if len(text) == 1 else 11.5 if len(text) <= 3 else 9 if len(text) <= 5 else 6.5
    axes.text(x, y - 0.01, text, ha="center", va="center", fontsize=size, color=INK, zorder=3)


def tree(found: Readings) -> Tree | Table:
    """The circuit for the terminal, the output first: each wire with value and gradient, each gate with its local."""
    from rich.markup import escape
    from rich.table import Table
    from rich.tree import Tree

    gates = {g.name: g for g in found.circuit.gates}
    depth = dict.fromkeys(found.circuit.inputs, 0)
    for g in found.circuit.gates:
        depth[g.name] = 1 + max((depth[w] for w in g.wires()), default=0)
    if depth[found.circuit.output] > DEEPEST_TREE:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("wire", "gate", "value", "gradient", "local gradients"):
            table.add_column(column)
        for g in found.circuit.gates:
            w = found.wires[g.name]
            table.add_row(escape(g.name), escape(formula(g)), f"[green]{escape(precise(w.value))}[/]",
                          f"[red]{escape(precise(w.grad))}[/]", escape(local(g, w)))  # fmt: skip
        return table
    shown: set[str] = set()

    def grow(name: str, into: Any) -> Any:
        wire = found.wires[name]
        text = f"[bold]{escape(name)}[/]"
        if name in gates:
            text += f" = {escape(formula(gates[name]))}"
        text += f"  [green]{escape(precise(wire.value))}[/]  [red]{escape(precise(wire.grad))}[/]"
        if name in gates:
            text += f"  [dim]{escape(local(gates[name], wire))}[/]"
        again = name in shown and name in gates
        branch = Tree(text) if into is None else into.add(text + ("  [dim](as above)[/]" if again else ""))
        shown.add(name)
        for inner in dict.fromkeys(gates[name].wires()) if name in gates and not again else ():
            grow(inner, branch)
        return branch

    grown: Tree = grow(found.circuit.output, None)
    return grown


def formula(gate: Gate) -> str:
    """The gate as it would be called: mul(w0, x0)."""
    parts = [a if isinstance(a, str) else f"{a:g}" for a in gate.args]
    return f"{gate.op}({', '.join([*parts, *(f'{k}={_key(v)}' for k, v in gate.options.items())])})"


def _key(value: Any) -> str:
    if isinstance(value, slice):
        return ":".join("" if p is None else str(p) for p in (value.start, value.stop, value.step)).removesuffix(":")
    return f"({', '.join(map(_key, value))})" if isinstance(value, tuple) else "…" if value is ... else str(value)


def local(gate: Gate, wire: Wire) -> str:
    """The local gradients in words: ∂/∂w0 = -1."""
    if not wire.local:
        return ""
    return "  ".join(f"∂/∂{n} = {precise(d)}" for n, d in zip(gate.wires(), wire.local, strict=True))


def precise(x: Array | None) -> str:
    """A value in six digits; of an array with more than four entries, shape and norm."""
    if x is None:
        return "–"
    if x.ndim == 0:
        return f"{float(x):.6g}"
    if x.size <= 4:
        return np.array2string(x, precision=4, separator=", ").replace("\n", "")
    return f"{'×'.join(map(str, x.shape))} ‖{float(np.linalg.norm(x)):.6g}‖"
