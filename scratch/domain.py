"""Why a gate has no value at some inputs, in one line that names the gate, the shapes and the entry."""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratch.gates import Value


def _no_power(a: Value, b: Value) -> Any:
    return ((a == 0) & (b < 0)) | ((a < 0) & (b != np.round(b)))


OUTSIDE: dict[str, tuple[Callable[..., Any], str]] = {  # where a gate has no value, and why
    "div": (lambda a, b: b == 0, "division by zero"),
    "log": (lambda a: a <= 0, "only positive numbers have a logarithm"),
    "sqrt": (lambda a: a < 0, "negative numbers have no real square root"),
    "pow": (_no_power, "a negative base needs a whole exponent, a base of 0 one that is not negative"),
}


def explain(op: str, error: Exception, *values: Value) -> str:
    """Say what is wrong with these values at this gate: their shapes if those do not fit, else the entry."""
    shapes = [np.shape(value) for value in values]
    both = " and ".join(map(str, shapes))
    if op == "matmul" and () in shapes:
        return f"matmul: shapes {both}: a number has no matrix product; times is *"
    if op == "matmul" and not isinstance(error, ArithmeticError):
        return f"matmul: shapes {both} do not fit: the first needs as many columns as the second has rows"
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        return f"{op}: shapes {both} do not broadcast"
    if op in OUTSIDE:
        test, why = OUTSIDE[op]
        found = np.argwhere(np.broadcast_to(test(*values), shape))
        if len(found):
            at = tuple(map(int, found[0]))
            numbers = ", ".join(f"{float(np.broadcast_to(value, shape)[at]):.6g}" for value in values)
            return f"{op}({numbers}){f' at entry {at}' if at else ''}: {why}"
    if isinstance(error, ArithmeticError):
        given = ", ".join(f"array {np.shape(value)}" if np.shape(value) else f"{value:.6g}" for value in values)
        return f"{op}({given}): the result is no finite number"
    return f"{op} of shape {both}: {error}"
