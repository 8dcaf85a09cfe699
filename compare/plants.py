"""Known bugs, each an edit of scratch's own source as somebody once wrote it, and its cause in diagnose's words.

The catalogue lies in compare.bugs_losses, bugs_linear and bugs_numgrad. A bug is planted in a copy of the module's
source, which then answers in its place; scratch itself is never touched.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from compare.records import Refusal

LINEAR = "scratch.linear"


@dataclass(frozen=True)
class Plant:
    """One bug: in module, each `old` text (which occurs once) becomes its `new`; the pair that is asked.

    truth is the beginning or a part of the cause that diagnose must name, or several where any is right.
    """

    name: str
    module: str
    pair: str
    truth: tuple[str, ...]
    edits: tuple[tuple[str, str], ...]

    def modules(self) -> dict[str, ModuleType]:
        """A fresh copy of the module with the bug, and of the linear objectives built on it.

        Raises Refusal where the source no longer holds the text that is to be edited.
        """
        at = f"scratch.{self.module}"
        source = inspect.getsource(import_module(at))
        for old, new in self.edits:
            if source.count(old) != 1:
                raise Refusal(f"bug {self.name!r}: {old!r} occurs {source.count(old)} times in {at}, not once")
            if old == new:
                raise Refusal(f"bug {self.name!r} changes nothing in {at}: {old!r}")
            source = source.replace(old, new)
        wrong = _executed(at, source)
        if self.module in ("losses", "penalties", "layers") and self.pair.endswith("_objective"):
            return {at: wrong, LINEAR: _rebuilt(wrong, self.module)}
        return {at: wrong}


def _executed(at: str, source: str) -> ModuleType:
    module = ModuleType(at)
    exec(compile(source, f"<{at}, with a bug>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 # own source
    return module


def _rebuilt(wrong: ModuleType, name: str) -> ModuleType:
    """The linear objectives on top of the wrong module."""
    linear = _executed(LINEAR, inspect.getsource(import_module(LINEAR)))
    replaced: Mapping[str, Mapping[str, object]] = {
        "losses": {"losses": wrong},
        "penalties": {"PENALTIES": {n: getattr(wrong, n, None) for n in ("l2", "l1", "elastic_net")}},
        "layers": {n: getattr(wrong, n, None) for n in ("affine_forward", "affine_backward")},
    }
    linear.__dict__.update(replaced[name])
    return linear
