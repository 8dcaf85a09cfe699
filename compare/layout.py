"""Where the gates of a circuit stand: columns from left to right, as few crossings as a plain method finds.

graphviz's dot places them where the package graphviz and the program dot are installed; a layered layout of our own
(Sugiyama, Tagawa and Toda, 1981) where not. Lengths are in inches, y upwards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from compare.circuit import Circuit

GATE = 0.56  # diameter of a gate
GAP = 0.75  # between the end of a wire's label and the next column
ROW = 0.95  # between two rows
SWEEPS = 12
DOT_FROM = 4  # gates: below, every layout is the same

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Centres of inputs and gates, and the wires between them as cubic Bézier chains (3 n + 1 points).

    A wire leaves its source to the right by stub, where its value and gradient are written, and then bends; routes
    are keyed by (gate, which of its wires).
    """

    centres: Mapping[str, Point]
    routes: Mapping[tuple[str, int], tuple[Point, ...]]
    stub: float
    width: float
    low: float
    height: float


def layout(circuit: Circuit, stub: float = 0.8, dot: bool = True) -> Layout:
    """Place a circuit; with dot, by graphviz where it is installed. stub is the length kept for a wire's label."""
    found = _dot(circuit, stub) if dot and len(circuit.gates) >= DOT_FROM else None
    return found or _plain(circuit, stub)


def _columns(circuit: Circuit) -> dict[str, int]:
    column = dict.fromkeys(circuit.inputs, 0)
    for gate in circuit.gates:
        column[gate.name] = 1 + max((column[w] for w in gate.wires()), default=-1)
    return column


def _plain(circuit: Circuit, stub: float) -> Layout:
    column = _columns(circuit)
    layers: list[list[str]] = [[] for _ in range(1 + max(column.values()))]
    for name in _depth_first(circuit):
        layers[column[name]].append(name)
    links: list[tuple[str, str]] = []  # between neighbouring columns; long wires run through stand-ins
    paths: dict[tuple[str, int], list[str]] = {}
    for gate in circuit.gates:
        for i, source in enumerate(gate.wires()):
            path = [source]
            for c in range(column[source] + 1, column[gate.name]):
                path.append(f"{source}>{c}")
                if path[-1] not in layers[c]:
                    layers[c].append(path[-1])
            path.append(gate.name)
            paths[gate.name, i] = path
            links += pairwise(path)
    rows = _rows(layers, sorted(set(links)))
    low, high = min(rows.values()), max(rows.values())
    pitch = GATE + stub + GAP
    at = {n: (c * pitch + GATE / 2, (high - rows[n]) * ROW) for c, layer in enumerate(layers) for n in layer}
    routes = {}
    for key, path in paths.items():
        x, y = at[path[0]]
        chain = [(x + GATE / 2 + stub, y)]
        for stop in path[1:]:
            sx, sy = at[stop]
            chain += _bend(chain[-1], (sx - GATE / 2, sy))
            if stop != path[-1]:  # past a gate's place in a straight line
                chain += _bend(chain[-1], (sx + GATE / 2 + stub, sy))
        routes[key] = tuple(chain)
    centres = {name: at[name] for name in column}
    return Layout(centres, routes, stub, (len(layers) - 1) * pitch + GATE + stub, 0.0, (high - low) * ROW)


def _bend(a: Point, b: Point) -> list[Point]:
    """The rest of a cubic Bézier from a to b that is level at both ends."""
    half = (a[0] + b[0]) / 2
    return [(half, a[1]), (half, b[1]), b]


def _depth_first(circuit: Circuit) -> list[str]:
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


def _rows(layers: Sequence[list[str]], links: Sequence[tuple[str, str]]) -> dict[str, float]:
    """A row for every name: each near the mean of its neighbours, none closer than 1 to the next in its column."""
    left: dict[str, list[str]] = {n: [] for layer in layers for n in layer}
    right: dict[str, list[str]] = {n: [] for layer in layers for n in layer}
    for a, b in links:
        right[a].append(b)
        left[b].append(a)
    row = {n: float(i) for layer in layers for i, n in enumerate(layer)}
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers[1:] if forward else layers[-2::-1]:
            near = left if forward else right
            if sweep >= SWEEPS // 2:
                near = {n: left[n] + right[n] for n in layer}
            wish = {n: sum(row[m] for m in near[n]) / len(near[n]) if near[n] else row[n] for n in layer}
            layer.sort(key=lambda n: wish[n])
            row.update(_apart(layer, wish))
    return row


def _apart(layer: Sequence[str], wish: Mapping[str, float]) -> dict[str, float]:
    """The rows nearest to the wishes (least squares) that keep the order and a distance of 1.

    Less its position, each wish is wanted in rising order: neighbours that violate it are pooled at their mean.
    """
    pools: list[tuple[float, int]] = []
    for i, name in enumerate(layer):
        mean, size = wish[name] - i, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        pools.append((mean, size))
    level = [mean for mean, size in pools for _ in range(size)]
    return {name: level[i] + i for i, name in enumerate(layer)}


def _dot(circuit: Circuit, stub: float) -> Layout | None:
    """The layout by dot; None where the package or the program is missing, or dot fails."""
    if shutil.which("dot") is None:
        return None
    try:
        import graphviz
    except ImportError:
        return None
    box = GATE + stub
    uses = [source for g in circuit.gates for source in g.wires()]
    as_written = "in" if len(uses) == len(set(uses)) else ""  # a tree needs no crossing to keep the text's order
    graph = graphviz.Digraph(
        graph_attr={"rankdir": "LR", "ranksep": str(GAP), "nodesep": str(ROW - GATE), "ordering": as_written},
        node_attr={"shape": "box", "fixedsize": "true", "width": str(box), "height": str(GATE), "label": ""},
        edge_attr={"arrowhead": "none", "tailport": "e", "headport": "w"},
    )
    ids = {name: f"n{i}" for i, name in enumerate((*circuit.inputs, *(g.name for g in circuit.gates)))}
    with graph.subgraph() as first:
        first.attr(rank="same")
        for name in circuit.inputs:
            first.node(ids[name])
    wires = [(g.name, i, source) for g in circuit.gates for i, source in enumerate(g.wires())]
    for g in circuit.gates:
        graph.node(ids[g.name])
    for number, (target, _, source) in enumerate(wires):
        graph.edge(ids[source], ids[target], comment=str(number))
    try:
        drawn = json.loads(graph.pipe(format="json"))
    except (graphviz.CalledProcessError, OSError, ValueError):
        return None
    names = {i: name for name, i in ids.items()}
    boxes = {names[o["name"]]: _point(o["pos"]) for o in drawn["objects"] if o["name"] in names}
    routes = {}
    for edge in drawn.get("edges", ()):
        target, i, _ = wires[int(edge["comment"])]
        routes[target, i] = tuple(_point(p) for p in edge["pos"].split())
    centres = {name: (x - stub / 2, y) for name, (x, y) in boxes.items()}
    ys = [y for _, y in (*centres.values(), *(p for route in routes.values() for p in route))]
    right = max(x for x, _ in boxes.values()) + box / 2
    return Layout(centres, routes, stub, right, min(ys), max(ys) - min(ys))


def _point(text: str) -> Point:
    x, y = text.split(",")[:2]
    return float(x) / 72, float(y) / 72
