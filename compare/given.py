"""The values that a user gives an expression's names: numbers, lists, .npy files, or expressions of other names."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from keyword import iskeyword
from typing import TYPE_CHECKING

import numpy as np

from compare.circuit import shorten
from compare.parsing import WIRES
from compare.records import Refusal

if TYPE_CHECKING:
    from compare.records import Array


def given(assignments: Sequence[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """NAME=VALUE as typed: (inputs as float64 arrays, parts as text). VALUE is a number, a list, a .npy file or text.

    Raises Refusal naming the assignment for whatever is none of these, not finite, or given twice.
    """
    inputs: dict[str, Array] = {}
    parts: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name, text = unicodedata.normalize("NFKC", name.strip()), text.strip()
        if not equals or not name.isidentifier() or iskeyword(name):
            raise Refusal(f"{assignment[:60]!r} is no NAME=VALUE, as in x=2, x=weights.npy or q='x + y'")
        if name in WIRES:
            raise Refusal(f"{name}=…: {name} is the name of a gate; call the input something else")
        if name in inputs or name in parts:
            raise Refusal(f"{name} is given twice")
        value = array_of(name, text)
        if value is None:
            parts[name] = text
        else:
            inputs[name] = value
    return inputs, parts


def array_of(name: str, text: str) -> Array | None:
    """Return the number, list or .npy file that text names as float64; None for any other text.

    Raises Refusal naming it for a file or list that cannot be read, and for what is empty or not finite.
    """
    value = _read(name, text)
    if value is not None and value.size == 0:
        raise Refusal(f"{name}={shorten(text)}: an empty array")
    if value is not None and not np.isfinite(value).all():
        raise Refusal(f"{name}={shorten(text)}: a value must be finite")
    return value


def _read(name: str, text: str) -> Array | None:
    if text.startswith("@") or text.endswith(".npy"):
        return _load(name, text.removeprefix("@"))
    try:
        if text.startswith("["):
            return np.asarray(json.loads(text), dtype=np.float64)
        return np.asarray(float(text))
    except (ValueError, TypeError, RecursionError) as error:
        if text.startswith("["):
            raise Refusal(f"{name}={text[:40]}: no list of numbers with rows of one length") from error
    if not text:
        raise Refusal(f"{name}= has no value")
    return None


def _load(name: str, path: str) -> Array:
    try:
        with open(path, "rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise Refusal(f"{name}={path}: cannot be read as .npy: {error.strerror or error}") from error
    except (ValueError, EOFError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else "too large"
        raise Refusal(f"{name}={path}: cannot be read as .npy: {reason}") from error
    if array.dtype.kind not in "iufb":
        raise Refusal(f"{name}={path}: holds no array of real numbers")
    with np.errstate(over="ignore"):  # a longer float may become infinite: refused like any other
        return array.astype(np.float64)
