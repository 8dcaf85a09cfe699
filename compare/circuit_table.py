"""A circuit as a table for the terminal: the output first, under each gate the wires that go in."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from compare.readings import Readings
from compare.wording import formula, precise, slopes

DEEPEST = 14  # gates from the output to an input, shown as a tree; beyond, the gates in their order


def table(found: Readings) -> Table:
    """Each wire with its value and gradient, and the local gradient by which the gate above passes it on."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("wire", no_wrap=True)
    for column, style in (("value", "green"), ("gradient", "red"), ("local gradient", "blue")):
        shown.add_column(column, justify="right", style=style)
    depth = dict.fromkeys(found.circuit.inputs, 0)
    for g in found.circuit.gates:
        depth[g.name] = 1 + max((depth[w] for w in g.wires()), default=0)
    for branch, name, local in _tree(found) if depth[found.circuit.output] <= DEEPEST else _list(found):
        wire = found.wires[name]
        shown.add_row(branch, precise(wire.value), precise(wire.grad), escape(local))
    return shown


def _tree(found: Readings) -> Iterator[tuple[str, str, str]]:
    """What stands in the first column, the wire's name, the local gradient: for every wire under its gate."""
    gates = {g.name: g for g in found.circuit.gates}
    seen: set[str] = set()

    def grow(name: str, local: str, head: str, below: str) -> Iterator[tuple[str, str, str]]:
        again = name in seen and name in gates
        seen.add(name)
        what = f" = {escape(formula(gates[name]))}" if name in gates and not again else ""
        yield f"{head}[bold]{escape(name)}[/]{what}{' [dim](as above)[/]' if again else ''}", name, local
        if name not in gates or again:
            return
        inner = list(zip(gates[name].wires(), slopes(gates[name], found.wires[name], "{:.6g}".format), strict=True))
        for i, (wire, slope) in enumerate(inner):
            last = i + 1 == len(inner)
            yield from grow(wire, slope, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))

    return grow(found.circuit.output, "", "", "")


def _list(found: Readings) -> Iterator[tuple[str, str, str]]:
    """The same for the gates in their order, with the local gradients of their own wires."""
    for g in found.circuit.gates:
        told = zip(g.wires(), slopes(g, found.wires[g.name], "{:.6g}".format), strict=True)
        yield f"[bold]{escape(g.name)}[/] = {escape(formula(g))}", g.name, "  ".join(f"∂/∂{n} {s}" for n, s in told)
