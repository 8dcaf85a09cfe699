"""How compare reaches either side: by one dotted name, when it is needed and not before (torch takes seconds)."""

from importlib import import_module
from typing import Any


def side(package: str, at: str) -> Any:
    """What stands at a dotted name of one side: "scratch" and "losses.softmax" give the function itself."""
    module, name = at.rsplit(".", 1)
    return getattr(import_module(f"{package}.{module}"), name)
