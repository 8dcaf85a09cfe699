"""How compare reaches either side: by one dotted name, when it is needed and not before (torch takes seconds)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_stand_ins: dict[str, Any] = {}


def side(package: str, at: str) -> Any:
    """What stands at a dotted name of one side: "scratch" and "losses.softmax" give the function itself."""
    module, name = at.rsplit(".", 1)
    place = f"{package}.{module}"
    return getattr(_stand_ins.get(place) or import_module(place), name)


@contextmanager
def standing_in(modules: Mapping[str, ModuleType | Any]) -> Iterator[None]:
    """Let other modules answer in place of, say, "scratch.losses", for as long as this context lasts."""
    before = dict(_stand_ins)
    _stand_ins.update(modules)
    try:
        yield
    finally:
        _stand_ins.clear()
        _stand_ins.update(before)
