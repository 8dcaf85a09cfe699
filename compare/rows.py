"""Rows for a graph whose nodes stand in columns: few crossings, no two nodes too close, long wires straight.

A plain layered drawing (Sugiyama, Tagawa and Toda, 1981). Links join neighbouring columns: (left, right, port), where
port says where the right node is met: 1 above its middle, -1 below, 0 for wherever it suits. A name with ">" in it
stands for a wire that passes, "source>column".
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence

SWEEPS = 12
Columns = Sequence[Sequence[str]]
Link = tuple[str, str, int]
Near = dict[str, list[tuple[str, int]]]


def order(columns: Columns, links: Sequence[Link]) -> list[list[str]]:
    """The columns sorted so that few wires cross, starting from the order given and from its mirror image."""
    starts = (columns, [column[::-1] for column in columns])
    return min((_sorted(start, links) for start in starts), key=lambda found: crossings(found, links))


def _sorted(columns: Columns, links: Sequence[Link]) -> list[list[str]]:
    """Sort every column by the mean place of its neighbours, to and fro; keep the sweep with the fewest crossings."""
    left, right = _neighbours(links)
    best = now = [list(column) for column in columns]
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        now = [list(column) for column in now]
        place = {name: float(i) for column in now for i, name in enumerate(column)}
        near = left if forward else right
        for column in now[1:] if forward else now[-2::-1]:
            wish = {n: _mean([place[m] - port / 4 for m, port in near.get(n, ())], place[n]) for n in column}
            column.sort(key=wish.__getitem__)
            place.update((name, float(i)) for i, name in enumerate(column))
        best = min(best, now, key=lambda found: crossings(found, links))
    _swap(best, links)
    return best


def _swap(columns: Sequence[list[str]], links: Sequence[Link]) -> None:
    """Exchange neighbours within a column as long as that saves a crossing."""
    place = {name: i for column in columns for i, name in enumerate(column)}
    sides = _neighbours(links)

    def crossed(upper: str, lower: str) -> int:
        ends = ([[(place[m], -port) for m, port in near.get(n, ())] for n in (upper, lower)] for near in sides)
        return sum(p > q for one, other in ends for p in one for q in other)

    saved = True
    while saved:
        saved = False
        for column in columns:
            for i in range(len(column) - 1):
                upper, lower = column[i], column[i + 1]
                if crossed(upper, lower) > crossed(lower, upper):
                    column[i], column[i + 1] = lower, upper
                    place[upper], place[lower] = i + 1, i
                    saved = True


def crossings(columns: Columns, links: Iterable[Link]) -> int:
    """How often two wires cross."""
    place = {name: (c, i) for c, column in enumerate(columns) for i, name in enumerate(column)}
    ends: dict[int, list[tuple[int, int]]] = {}
    total = 0
    for _, (right, port) in sorted((place[a], (place[b], -port)) for a, b, port in links):
        column, row = right
        above = ends.setdefault(column, [])
        total += len(above) - bisect_right(above, (row, port))
        insort(above, (row, port))
    return total


def rows(columns: Columns, links: Sequence[Link]) -> dict[str, float]:
    """A row (downwards) for every name, at least 1 apart within a column, in the columns' order."""
    row = {n: float(i) for column in columns for i, n in enumerate(column)}
    left, right = _neighbours(links)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 1  # the last sweep puts a chain of gates on one line
        near = left if forward else right
        for column in columns[1:] if forward else columns[-2::-1]:
            row.update(_apart(column, {n: _mean([row[m] for m, _ in near.get(n, ())], row[n]) for n in column}))
    passing: dict[str, list[str]] = {}
    for name in row:
        source, stands_in, _ = name.partition(">")
        if stands_in:
            passing.setdefault(source, []).append(name)
    for source, wire in passing.items():
        _straighten(source, wire, columns, row)
    return row


def _neighbours(links: Iterable[Link]) -> tuple[Near, Near]:
    """The neighbours on the left and on the right, each with the port where it is met."""
    left: Near = {}
    right: Near = {}
    for a, b, port in links:
        left.setdefault(b, []).append((a, 0))
        right.setdefault(a, []).append((b, port))
    return left, right


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _apart(column: Sequence[str], wish: Mapping[str, float]) -> dict[str, float]:
    """The rows nearest to the wishes (least squares) that keep the order and a distance of 1.

    Less its position, each wish is wanted in rising order: neighbours that violate it are pooled at their mean.
    """
    pools: list[tuple[float, int]] = []
    for i, name in enumerate(column):
        mean, size = wish[name] - i, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        pools.append((mean, size))
    level = [mean for mean, size in pools for _ in range(size)]
    return {name: level[i] + i for i, name in enumerate(column)}


def _straighten(source: str, wire: Sequence[str], columns: Columns, row: dict[str, float]) -> None:
    """Put a passing wire on one row, its source's if possible, where its neighbours in every column leave room."""
    rooms = []
    for name in wire:
        column = next(c for c in columns if name in c)
        at = column.index(name)
        above = row[column[at - 1]] if at else -math.inf
        below = row[column[at + 1]] if at + 1 < len(column) else math.inf
        rooms.append((above + 1, below - 1))
    for wanted in (row[source], *(row[name] for name in reversed(wire))):
        if all(low <= wanted <= high for low, high in rooms):
            row.update(dict.fromkeys(wire, wanted))
            return
