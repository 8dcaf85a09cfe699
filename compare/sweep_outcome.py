"""What a sweep came to, as people, programs and TensorBoard read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from compare.space import Value
from compare.sweep import Trial

if TYPE_CHECKING:
    from compare.parties import Plan

SHOWN = 10  # trials in the table


@dataclass(frozen=True)
class Swept:
    """A sweep that is done or interrupted. tested: None, or what the winner came to in lockstep, as JSON has it."""

    name: str
    store: str | None
    space: Mapping[str, str]
    base: Plan
    wanted: int  # trials
    validation: int  # images
    trials: Sequence[Trial]
    winner: Trial | None
    tested: Mapping[str, Any] | None
    complete: bool


def words(settings: Mapping[str, Value]) -> str:
    """Settings in one line."""
    return ", ".join(f"{name} {_value(v)}" for name, v in settings.items())


def line(trial: Trial) -> str:
    """One trial that is done."""
    came = "failed: " + trial.fault if trial.accuracy is None else f"validation {trial.accuracy:.2%}"
    return f"trial {trial.number}: {words(trial.settings)}: {came} ({trial.seconds:.1f} s)"


def table(trials: Sequence[Trial], names: Sequence[str]) -> Table:
    """The best trials, best first, with the settings of these names."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", *names, "validation", "loss", "seconds"):
        made.add_column(name, justify="right")
    ranked = sorted(trials, key=lambda t: (-(t.accuracy or -1.0), t.loss or 0.0, t.number))
    for t in ranked[:SHOWN]:
        came = ("failed", "") if t.accuracy is None else (f"{t.accuracy:.2%}", f"{t.loss:.4f}")
        made.add_row(str(t.number), *(_value(t.settings.get(n, "")) for n in names), *came, f"{t.seconds:.1f}")
    return made


def as_json(swept: Swept) -> dict[str, Any]:
    """The fields of `sweep` in JSON."""
    tested, winner = swept.tested or {}, swept.winner
    return {
        "model": swept.base.model,
        "study": swept.name if swept.store else None,
        "store": swept.store,
        "space": swept.space,
        "trials_planned": swept.wanted,
        "validation_images": swept.validation,
        "trials": [_json(t) for t in sorted(swept.trials, key=lambda t: t.number)],
        "best": None if winner is None else _json(winner),
        "complete": swept.complete,
        "test_accuracy": tested.get("test_accuracy"),
        "verdict": tested.get("verdict"),
        "run": tested.get("run"),
    }


def _json(t: Trial) -> dict[str, Any]:
    return {
        "number": t.number, "settings": t.settings, "validation_accuracy": t.accuracy, "validation_loss": t.loss,
        "seconds": t.seconds, "fault": t.fault,
    }  # fmt: skip


def _value(v: Value) -> str:
    return f"{v:.3g}" if isinstance(v, float) else str(v)
