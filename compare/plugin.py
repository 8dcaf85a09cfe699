"""A user's own implementation, named FILE:NAME: found and loaded. compare.guest does it in a process of its own."""

from __future__ import annotations

import difflib
import sys
import traceback
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from compare.records import Refusal


def load(spec: str) -> Any:
    """What FILE:NAME names, or the one public function or class of FILE. The file is executed, here and now.

    NAME may have dots (Class.method). Imports of the file's neighbours work, and a file inside a package is
    imported as a part of it. Raises Refusal where there is no such file or name, or where the file cannot be
    executed; it names the line.
    """
    path, name = split(spec)
    return find(executed(path), path, name)


def split(spec: str) -> tuple[Path, str]:
    """Path and name of FILE:NAME; the name is empty for FILE alone. Raises Refusal where FILE is no file."""
    file, colon, name = spec.rpartition(":")
    if not colon or not name.replace(".", "").isidentifier():
        file, name = (spec, "") if not (colon and not name) else (file, "")
    if not file:
        raise Refusal(f"{spec!r} names no file: FILE:NAME, such as my_optim.py:step")
    path = Path(file)
    if path.is_file():
        return path.resolve(), name
    if path.is_dir():
        raise Refusal(f"{file} is a folder: name a file and what to take from it, FILE:NAME")
    near = path.parent if path.parent.is_dir() else Path()
    close = difflib.get_close_matches(path.name, [p.name for p in near.glob("*.py")], 1, cutoff=0.7)
    raise Refusal(f"there is no file {file}" + (f": did you mean {near / close[0]}?" if close else ""))


def executed(path: Path) -> ModuleType:
    """The file as a module, executed anew at every call. Raises Refusal, with the line, where that fails."""
    root, name = _dotted(path)
    sys.path.insert(0, str(root))  # its neighbours come first while it loads; later only after everything installed
    try:
        if "." in name:
            sys.modules.pop(name, None)
            return import_module(name)
        found = spec_from_file_location(f"{name} (plugin)", path)  # a name that no import can take: it hides nothing
        if found is None or found.loader is None:
            raise Refusal(f"{path}: not a Python file; its name must end in .py")
        module = module_from_spec(found)
        sys.modules[module.__name__] = module  # dataclasses look themselves up there
        found.loader.exec_module(module)
        return module
    except (Refusal, KeyboardInterrupt):
        raise
    except BaseException as error:  # a file may do anything while it loads, even sys.exit
        raise Refusal(f"{path} cannot be loaded: {told(error, path)}") from error
    finally:
        sys.path.remove(str(root))
        if str(root) not in sys.path:
            sys.path.append(str(root))


def _dotted(path: Path) -> tuple[Path, str]:
    """Where imports start, and the module's name from there: with dots for a file inside a package."""
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file():
        root, parts = root.parent, [root.name, *parts]
    return root, ".".join(parts)


def told(error: BaseException, path: Path) -> str:
    """An exception in one line: the line of the user's file that it came from, its type and what it says."""
    if isinstance(error, SyntaxError):
        where = f"line {error.lineno}" + ("" if error.filename in (None, str(path)) else f" of {error.filename}")
        return f"{where}: {error.msg}" + (f": {error.text.strip()}" if error.text else "")
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"line {lines[-1]}: " if lines else ""
    if isinstance(error, SystemExit):
        return f"{where}it calls sys.exit"
    text = next(iter(str(error).splitlines()), "")
    return f"{where}{type(error).__name__}" + (f": {text}" if text else "")


def find(module: ModuleType, path: Path, name: str) -> Any:
    """What stands under a name of the module; without a name, its one candidate. Raises Refusal otherwise."""
    if not name:
        known = candidates(module)
        if len(known) != 1:
            what = f"{len(known)} candidates, {', '.join(known)}" if known else "no public function or class"
            raise Refusal(f"{path} holds {what}: name one, {path.name}:NAME")
        name = known[0]
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if not n.startswith("_")]
            close = difflib.get_close_matches(part, public, 1, cutoff=0.6)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(candidates(module)) or 'nothing'}"
            raise Refusal(f"{path} has no {part!r}: {hint}")
        found = getattr(found, part)
    steps = any(callable(getattr(found, n, None)) for n in ("step", "update"))  # as a dict has update, too
    if not callable(found) and (not steps or type(found).__module__ == "builtins"):
        raise Refusal(f"{path.name}:{name} is of type {type(found).__name__}, neither a function nor a class")
    return found


def candidates(module: ModuleType) -> list[str]:
    """Public functions and classes that the file itself defines."""
    return [
        name
        for name, x in vars(module).items()
        if not name.startswith("_") and callable(x) and getattr(x, "__module__", "") == module.__name__
    ]
