"""A circuit: the gates of an expression in order, and how either side computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compare.records import Refusal


@dataclass(frozen=True)
class Gate:
    """One gate: the wire it makes, the wires (names) and constants (numbers) that go in, and where it is written."""

    name: str
    op: str
    args: tuple[str | float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    column: int = 0

    def wires(self) -> tuple[str, ...]:
        """The names among args."""
        return tuple(a for a in self.args if isinstance(a, str))


@dataclass(frozen=True)
class Circuit:
    """Gates in an order in which they can be computed; output is an input's or a gate's name."""

    text: str
    inputs: tuple[str, ...]
    gates: tuple[Gate, ...]
    output: str


def run(
    circuit: Circuit, ops: Any, values: Mapping[str, Any], constant: Callable[[float], Any] = float
) -> dict[str, Any]:
    """Compute every wire with the gates of ops (scratch.graph or ref.graph): {name: node or tensor}.

    values are the inputs as that side takes them, constant makes its numbers. Raises Refusal, naming the gate and
    its column, where a gate refuses its inputs.
    """
    wires = dict(values)
    for gate in circuit.gates:
        alone = not gate.wires()  # exp(2): that side has to make its own number of 2
        args = [wires[a] if isinstance(a, str) else constant(a) if alone else a for a in gate.args]
        try:
            wires[gate.name] = getattr(ops, gate.op)(*args, **gate.options)
        except (ValueError, TypeError, IndexError, RuntimeError, MemoryError) as error:
            raise Refusal(caret(gate.text, gate.column, str(error))) from error
    return wires


def expand(circuit: Circuit) -> Circuit:
    """The same circuit with every sigmoid opened into its elementary gates: neg, exp, + 1, 1 / x."""
    taken = {*circuit.inputs, *(g.name for g in circuit.gates)}
    gates: list[Gate] = []
    for g in circuit.gates:
        if g.op != "sigmoid":
            gates.append(g)
            continue
        names = [fresh(op, taken) for op in ("neg", "exp", "add")]
        inner = [("neg", g.args), ("exp", (names[0],)), ("add", (names[1], 1.0))]
        gates += [Gate(n, op, args, {}, g.text, g.column) for n, (op, args) in zip(names, inner, strict=True)]
        gates.append(Gate(g.name, "div", (1.0, names[2]), {}, g.text, g.column))
    return Circuit(circuit.text, circuit.inputs, tuple(gates), circuit.output)


def shorten(text: str, most: int = 60) -> str:
    """Text with its middle left out if it is longer than most."""
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"


def caret(text: str, column: int, message: str, margin: int = len("gradtwin: error: ")) -> str:
    """Two lines: the expression around column (from 0), and a caret under it with the message.

    margin is what the command line prints before the first line.
    """
    from rich.cells import cell_len

    start = max(0, column - 40)
    head = "…" if start else ""
    shown = head + text[start : column + 30] + ("…" if column + 30 < len(text) else "")
    shown = "".join(c if c.isprintable() else " " for c in shown)  # a terminal would obey a control character
    before = cell_len(shown[: len(head) + column - start])  # some letters are two columns wide, some none
    return f"{shown}\n{' ' * (margin + before)}^ column {column + 1}: {message}"


def fresh(op: str, taken: set[str]) -> str:
    """A name for a wire that has none, not among those taken: op and a number."""
    number = 1
    while f"{op}{number}" in taken:
        number += 1
    taken.add(f"{op}{number}")
    return f"{op}{number}"
