"""Checkpoints of a training: one .npz of arrays and JSON, nothing pickled. Written aside, then renamed into place."""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.records import Refusal

if TYPE_CHECKING:
    from compare.records import Array

FORMAT = 1
KEPT = 2  # the newest, and the one before it
PATTERN = "checkpoint-*.npz"


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after a step: a tree of dicts, lists, arrays, numbers and words."""

    step: int
    path: Path
    tree: dict[str, Any]


def save(folder: Path, step: int, tree: Mapping[str, Any]) -> Path:
    """Write a checkpoint of a training after this step, and drop all but the KEPT newest.

    Raises Refusal where it cannot be written; the older ones stay.
    """
    path = folder / f"checkpoint-{step:09d}.npz"
    aside = path.with_suffix(".part")
    arrays: dict[str, Array] = {}
    text = json.dumps({"format": FORMAT, "step": step, "tree": _split(tree, "", arrays)})
    arrays["json"] = np.frombuffer(text.encode(), np.uint8)
    try:
        with aside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type] # mypy takes the arrays for allow_pickle
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        for old in sorted(folder.glob(PATTERN))[:-KEPT]:
            old.unlink()
    except OSError as error:
        aside.unlink(missing_ok=True)
        older = sorted(folder.glob(PATTERN))
        kept = f"; {older[-1].name} is kept: gradtwin train --resume {folder}" if older else ""
        room = "free some room, then go on" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "see to it, then go on"
        raise Refusal(f"{path} cannot be written ({error.strerror}): {room}{kept}") from error
    return path


def load(folder: Path) -> Checkpoint:
    """Read the newest checkpoint of a run. Raises Refusal where there is none, or where it is damaged."""
    if not folder.is_dir():
        raise Refusal(f"--resume {folder}: no such folder; name a run, such as runs/20260101-120000-softmax-momentum")
    found = sorted(folder.glob(PATTERN))
    if not found:
        done = (folder / "result.json").is_file()
        why = "it is complete" if done else "it ended before its first one, or its loss was not finite; start it again"
        raise Refusal(f"--resume {folder}: there is no checkpoint in it: {why}")
    path = found[-1]
    try:
        arrays = _read(path)
        head = json.loads(arrays.pop("json").tobytes())
        if head["format"] != FORMAT:
            raise Refusal(f"{path} has format {head['format']}, this version reads {FORMAT}: resume it with the other")
        return Checkpoint(head["step"], path, _joined(head["tree"], arrays))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        older = f"go on from {found[-2].name}" if len(found) > 1 else "start again"
        raise Refusal(f"{path} is damaged ({_first(error)}): remove it to {older}") from error


def clear(folder: Path) -> None:
    """Remove the checkpoints of a training that is complete."""
    for path in (*folder.glob(PATTERN), *folder.glob("checkpoint-*.part")):
        path.unlink()


def _read(path: Path) -> dict[str, Array]:
    """All arrays, every byte of them checked against the zip's checksums."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
        return dict(stored)


def _split(tree: Any, at: str, arrays: dict[str, Array]) -> Any:
    """A tree as JSON has it; each array goes to arrays, and a word that says where stands in its place."""
    if isinstance(tree, np.ndarray):
        arrays[at] = tree
        return {"array": at}
    if isinstance(tree, Mapping):
        return {"dict": {str(k): _split(x, f"{at}/{k}", arrays) for k, x in tree.items()}}
    if isinstance(tree, list | tuple):
        return {"list": [_split(x, f"{at}/{k}", arrays) for k, x in enumerate(tree)]}
    return tree


def _joined(tree: Any, arrays: Mapping[str, Array]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, x),) = tree.items()
    if kind == "array":
        return arrays[x]
    if kind == "dict":
        return {k: _joined(v, arrays) for k, v in x.items()}
    return [_joined(v, arrays) for v in x]


def _first(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
