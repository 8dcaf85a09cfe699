"""Where a circuit sits at a kink or a tie, and the same circuit with the choices made there held fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.circuit import Circuit, Gate

if TYPE_CHECKING:
    from compare.records import Array


def slopes_of(op: str, node: Any) -> tuple[Array, ...]:
    """The local gradient by each wire that goes in: what an upstream gradient of ones becomes."""
    if op in ("input", "matmul"):
        return ()
    one = np.ones(node.value.shape) if np.ndim(node.value) else 1.0
    with np.errstate(all="ignore"):
        return tuple(np.asarray(local(one)) for _, local in node.edges)


def kinks_of(circuit: Circuit, nodes: Mapping[str, Any]) -> tuple[str, ...]:
    """Gates where a convention decides: at 0, at a tie, or (power) where the exponent's gradient is not real."""
    found = []
    for g in circuit.gates:
        a, b = ([nodes[x].value if isinstance(x, str) else x for x in g.args] + [0.0])[:2]
        if g.op in ("abs", "relu", "sqrt"):
            hit = np.any(np.equal(a, 0))
        elif g.op in ("max", "min"):
            hit = np.any(np.equal(a, b))
        elif g.op == "amax":
            top = np.max(a, g.options.get("axis"), keepdims=True)
            hit = np.any(np.sum(np.equal(a, top), g.options.get("axis")) > 1)
        elif g.op == "pow":
            hit = np.any(np.less_equal(a, 0) if isinstance(g.args[1], str) else np.equal(a, 0) & (b < 1))
        else:
            continue
        if hit:
            found.append(g.name)
    return tuple(found)


def frozen(circuit: Circuit, nodes: Mapping[str, Any], kinks: Sequence[str]) -> tuple[Circuit, Mapping[str, Array]]:
    """The circuit with each gate of kinks as slope × wire + slope × wire + rest, and these constants.

    There it has the same values and gradients, but a wire that moves by a rounding crosses nothing. Slopes that are
    not finite are 0.
    """
    gates: list[Gate] = []
    constants: dict[str, Array] = {}
    for g in circuit.gates:
        if g.name not in kinks or not g.wires():
            gates.append(g)
            continue
        total, rest = f"{g.name}+", np.asarray(nodes[g.name].value)
        for i, (wire, slope) in enumerate(zip(g.wires(), slopes_of(g.op, nodes[g.name]), strict=True)):
            held, term, before = f"{g.name}/{i}", f"{g.name}*{i}", total
            constants[held] = np.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)
            gates.append(Gate(term, "mul", (wire, held)))
            moving = nodes[wire].value * constants[held]
            if g.op == "amax":
                gates.append(Gate(f"{term}+", "sum", (term,), g.options))
                term, moving = f"{term}+", np.sum(moving, **g.options)
            rest = rest - moving
            total = g.name if i + 1 == len(g.wires()) else f"{g.name}+{i}"
            gates.append(Gate(total, "add", (before, term)))
        constants[f"{g.name}+"] = rest
    return Circuit(circuit.text, circuit.inputs, tuple(gates), circuit.output), constants
