"""Where the gates of a circuit stand: columns from left to right, rows with few crossings and straight wires.

A gate stands one column right of the last of its inputs; wires that skip columns run through stand-ins. graphviz's
dot says who stands above whom where the package graphviz and the program dot are installed and that saves crossings;
else compare.rows does. Lengths are in inches, y upwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from compare.circuit import Circuit
from compare.rows import Link, crossings, order, rows

GATE = 0.56  # diameter of a gate
GAP = 0.6  # between the end of a wire's label and the next gate's inlet
ROW = 0.95  # between two rows
PORT = 0.16  # how far above and below its middle two wires enter a gate
ORDERED = ("sub", "div", "pow", "matmul")  # the first input enters above, wherever it comes from

Point = tuple[float, float]
Wire = tuple[str, int]  # a gate and which of its wires


@dataclass(frozen=True)
class Layout:
    """Centres of inputs and gates, and the wires between them as cubic Bézier chains (3 n + 1 points).

    A wire leaves its source to the right by stub, where its value and gradient are written, bends, and runs level into
    its gate by inlet, where the local gradient is written. low and height are those of the centres.
    """

    centres: Mapping[str, Point]
    routes: Mapping[Wire, tuple[Point, ...]]
    stub: float
    inlet: float
    width: float
    low: float
    height: float


def layout(circuit: Circuit, stub: float = 0.8, inlet: float = 0.5, dot: bool = True) -> Layout:
    """Place a circuit; with dot, by graphviz where it is installed."""
    columns, paths, links = _columns(circuit)
    found = [order(columns, links)]
    if dot and (dots := _dot(columns, links)):
        found.append(dots)
    columns = min(found, key=lambda columns: crossings(columns, links))
    row = rows(columns, links)
    pitch = inlet + GATE + stub + GAP
    at = {name: (c * pitch, -row[name] * ROW) for c, column in enumerate(columns) for name in column}
    routes = {}
    for gate in circuit.gates:
        mine = [paths[gate.name, i] for i in range(len(gate.wires()))]
        ports = [[], [0.0], [PORT, -PORT]][len(mine)]
        if gate.op not in ORDERED and len(mine) == 2 and row[mine[0][-2]] > row[mine[1][-2]]:
            ports.reverse()
        for i, (path, port) in enumerate(zip(mine, ports, strict=True)):
            routes[gate.name, i] = _route([at[name] for name in path], port, stub, inlet)
    ys = [y for _, y in (*at.values(), *(p for route in routes.values() for p in route))]
    centres = {name: point for name, point in at.items() if ">" not in name}
    width = (len(columns) - 1) * pitch + GATE / 2 + stub
    return Layout(centres, routes, stub, inlet, width, min(ys), max(ys) - min(ys))


def _columns(circuit: Circuit) -> tuple[list[list[str]], dict[Wire, list[str]], list[Link]]:
    """The names in each column, each wire's path (source, a stand-in for every column passed, gate), and the links."""
    column = dict.fromkeys(circuit.inputs, 0)
    for gate in circuit.gates:
        column[gate.name] = 1 + max((column[w] for w in gate.wires()), default=-1)
    columns: list[list[str]] = [[] for _ in range(1 + max(column.values()))]
    for name in _as_written(circuit):
        columns[column[name]].append(name)
    paths: dict[Wire, list[str]] = {}
    links: dict[Link, None] = {}
    for gate in circuit.gates:
        ordered = gate.op in ORDERED and len(gate.wires()) == 2
        for i, source in enumerate(gate.wires()):
            passed = [f"{source}>{c}" for c in range(column[source] + 1, column[gate.name])]
            for c, name in enumerate(passed, column[source] + 1):
                if name not in columns[c]:
                    columns[c].append(name)
            path = paths[gate.name, i] = [source, *passed, gate.name]
            links |= dict.fromkeys((a, b, 0) for a, b in pairwise(path[:-1]))
            links[path[-2], path[-1], (1 - 2 * i) if ordered else 0] = None
    return columns, paths, list(links)


def _route(stops: Sequence[Point], port: float, stub: float, inlet: float) -> tuple[Point, ...]:
    """From the end of the source's stub past the places of stand-ins to the rim of the gate, port above its middle."""
    (x, y), *passed, (gx, gy) = stops
    chain = [(x + GATE / 2 + stub, y)]
    for px, py in passed:
        chain += _bend(chain[-1], (px - GATE / 2 - inlet, py))
        chain += _bend(chain[-1], (px + GATE / 2 + stub, py))
    rim = ((GATE / 2) ** 2 - port**2) ** 0.5
    chain += _bend(chain[-1], (gx - GATE / 2 - inlet, gy + port))
    return (*chain, *_bend(chain[-1], (gx - rim, gy + port)))


def _bend(a: Point, b: Point) -> list[Point]:
    """The rest of a cubic Bézier from a to b that is level at both ends."""
    half = (a[0] + b[0]) / 2
    return [(half, a[1]), (half, b[1]), b]


def _as_written(circuit: Circuit) -> list[str]:
    """Names in the order in which the output, read from left to right, needs them."""
    gates = {g.name: g for g in circuit.gates}
    seen: dict[str, None] = {}
    stack = [circuit.output]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen[name] = None
            stack += reversed(gates[name].wires()) if name in gates else ()
    return [*seen, *(n for n in (*circuit.inputs, *gates) if n not in seen)]


def _dot(columns: Sequence[Sequence[str]], links: Iterable[Link]) -> list[list[str]] | None:
    """The columns in dot's order; None where the package or the program is missing, or dot fails."""
    if shutil.which("dot") is None:
        return None
    try:
        import graphviz
    except ImportError:
        return None
    ids = {name: f"n{i}" for i, name in enumerate(name for column in columns for name in column)}
    graph = graphviz.Digraph(graph_attr={"rankdir": "LR"}, node_attr={"shape": "box", "label": ""})
    for column in columns:
        with graph.subgraph() as rank:
            rank.attr(rank="same")
            for name in column:
                rank.node(ids[name])
    for a, b, port in links:
        graph.edge(ids[a], ids[b], headport=("w", "nw", "sw")[port])
    try:
        lines = graph.pipe(format="plain", encoding="utf-8").splitlines()
    except (graphviz.CalledProcessError, OSError):
        return None
    height = {words[1]: float(words[3]) for words in map(str.split, lines) if words[0] == "node"}
    return [sorted(column, key=lambda name: -height[ids[name]]) for column in columns]
