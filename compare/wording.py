"""A circuit in words and numbers: what stands at its gates and wires, short for a picture, longer for a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.circuit import Gate

if TYPE_CHECKING:
    from compare.readings import Wire
    from compare.records import Array

SIGNS = {
    "add": "+", "sub": "−", "mul": "×", "div": "÷", "neg": "×−1", "matmul": "@", "sigmoid": "σ", "sqrt": "√",
    "abs": "|·|", "sum": "Σ", "index": "[ ]", "transpose": "ᵀ", "broadcast": "rep", "reshape": "shape", "amax": "max",
}  # fmt: skip


def sign(gate: Gate) -> str:
    """What stands in a gate's circle; a constant input is part of it, as in +1 and 1/x."""
    numbers = [a for a in gate.args if isinstance(a, float)]
    first = bool(numbers) and isinstance(gate.args[0], float)
    if not numbers:
        return SIGNS.get(gate.op, gate.op)
    n = f"{numbers[0]:.3g}".replace("-", "−")
    match gate.op if len(gate.args) == 2 else "":
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


def formula(gate: Gate) -> str:
    """The gate as it would be called: mul(w0, x0)."""
    parts = [a if isinstance(a, str) else f"{a:g}" for a in gate.args]
    return f"{gate.op}({', '.join([*parts, *(f'{k}={_key(v)}' for k, v in gate.options.items())])})"


def _key(value: Any) -> str:
    if isinstance(value, slice):
        return ":".join("" if p is None else str(p) for p in (value.start, value.stop, value.step)).removesuffix(":")
    return f"({', '.join(map(_key, value))})" if isinstance(value, tuple) else "…" if value is ... else str(value)


def number(x: float) -> str:
    """Two decimals, as in the lecture; where those would say nothing, three digits and a power of ten."""
    if x == 0 or not np.isfinite(x):
        return f"{x + 0.0:.2f}".replace("-", "−")  # + 0.0: no −0.00
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
    return f"{'×'.join(map(str, x.shape))} ‖{number(float(np.linalg.norm(x)))}‖"


def precise(x: Array | None) -> str:
    """A value in six digits; of an array with more than four entries, shape and norm."""
    if x is None:
        return "–"
    if x.ndim == 0:
        return f"{float(x) + 0.0:.6g}"
    if x.size <= 4:
        return np.array2string(x, precision=4, separator=", ").replace("\n", "")
    return f"{'×'.join(map(str, x.shape))} ‖{float(np.linalg.norm(x)):.6g}‖"


def slopes(gate: Gate, wire: Wire, digits: Callable[[float], str] = number) -> list[str]:
    """A gate's local gradient by each wire that goes in; of an array, its smallest and largest entry.

    A matrix product's is a product with the other matrix.
    """
    if gate.op == "matmul":
        a, b = gate.args
        return [f"· {b}ᵀ", f"{a}ᵀ ·"]
    told = []
    for x in wire.local:
        low, high = (digits(float(end)) for end in (np.min(x), np.max(x)))
        told.append(low if low == high else f"{low} … {high}")
    return told
