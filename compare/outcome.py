"""What a lockstep training came to, as people, programs and TensorBoard read it."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import choices, lockstep, models, telling
from compare.tables import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from compare.data import Dataset
    from compare.lockstep import Flag, Step
    from compare.parties import Plan
    from compare.records import Array

SIDES = ("scratch", "ref")
LATE = 5  # the first steps warm caches up: their times do not count where there are more


@dataclass
class Tally:
    """What is collected while a training runs."""

    last: Step | None = None
    seconds: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SIDES})
    units: dict[str, float] = field(default_factory=lambda: {"weights": 0.0, "loss": 0.0})

    def add(self, step: Step) -> None:
        """Take one step in."""
        self.last = step
        self.seconds["scratch"].append(step.scratch.seconds)
        self.seconds["ref"].append(step.ref.seconds)
        self.units["weights"] = max(self.units["weights"], step.params.noise_units)
        self.units["loss"] = max(self.units["loss"], step.loss.noise_units)

    def state(self) -> dict[str, Any]:
        """What is remembered, for a checkpoint."""
        return {"seconds": {name: np.array(s) for name, s in self.seconds.items()}, "units": self.units}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what state says."""
        self.seconds = {name: list(s) for name, s in state["seconds"].items()}
        self.units = dict(state["units"])


@dataclass(frozen=True)
class Result:
    """The end of a training. units are the largest of any step; seconds are medians over the steps."""

    last: Step
    steps: int  # planned
    complete: bool
    test_accuracy: Mapping[str, float]
    scores: Mapping[str, Array]
    units: Mapping[str, float]
    seconds: Mapping[str, float]
    training: float  # seconds of all steps of both sides together, the control runs not counted

    @property
    def flagged(self) -> Flag | None:
        """The first step outside the noise, if any."""
        return self.last.flagged


def conclude(plan: Plan, data: Dataset, tally: Tally, steps: int, complete: bool) -> Result:
    """Test both sides on the withheld images, once, and sum up."""
    assert tally.last is not None, "no step was done"  # noqa: S101 the caller's promise
    scores = lockstep.scores(plan, data, data.test, tally.last)
    right = {name: float((s.argmax(axis=1) == data.test.labels).mean()) for name, s in scores.items()}
    seconds = {name: statistics.median(times[LATE:] or times) for name, times in tally.seconds.items()}
    total = sum(sum(times) for times in tally.seconds.values())
    return Result(tally.last, steps, complete, right, scores, dict(tally.units), seconds, total)


def as_json(plan: Plan, result: Result, folder: str | None) -> dict[str, Any]:
    """The fields of `train` in JSON. Only seconds_per_step and run differ between two runs of one seed."""
    last, flag = result.last, result.flagged
    return {
        "model": plan.model,
        "rule": plan.rule,
        "schedule": plan.schedule,
        "settings": hyperparameters(plan),
        "steps": last.step,
        "steps_planned": result.steps,
        "complete": result.complete,
        "verdict": "differ" if flag else "agree",
        "test_accuracy": result.test_accuracy,
        "loss": {"scratch": last.scratch.loss, "ref": last.ref.loss},
        "drift": {
            "relative": last.params.relative,
            "relative_noise": last.params.relative_noise,
            "noise_units": result.units["weights"],
            "loss_relative": last.loss.relative,
            "loss_noise_units": result.units["loss"],
            "bound": lockstep.BOUND,
            "excused": last.excused,
        },
        "flagged": None
        if flag is None
        else {"step": flag.step, "stage": flag.stage, "tensor": flag.tensor, "entry": flag.entry,
              "noise_units": flag.noise_units, "scratch": flag.scratch, "ref": flag.ref, "replayed": flag.replayed,
              "causes": [{"cause": c.cause, "unexplained": c.unexplained} for c in flag.causes]},
        "weights": {name: digest(getattr(last, name).params) for name in SIDES},
        "seconds_per_step": result.seconds,
        "run": folder,
    }  # fmt: skip


def digest(params: Mapping[str, Array]) -> str:
    """The first 16 digits of the weights' SHA-256: the same for the same bits."""
    whole = hashlib.sha256()
    for p in params.values():
        whole.update(np.ascontiguousarray(p).tobytes())
    return whole.hexdigest()[:16]


def hyperparameters(plan: Plan) -> dict[str, str | float | int]:
    """Settings and conventions, by name; numbers and words only, as TensorBoard's table of them wants it."""
    return {
        "model": plan.model, "rule": plan.rule, "schedule": plan.schedule, "lr": plan.lr, "reg": plan.reg,
        "penalty": plan.penalty, "epochs": plan.epochs, "batch size": plan.batch_size or "full",
        "augment": plan.augment, "dtype": plan.dtype, "seed": plan.seed, "device": plan.device,
        "row scale": models.SCALE, "loss convention": models.model(plan.model).convention,
        "rule options": choices.told("", plan.rule_options), "decay bias": plan.decay_bias,
        "schedule options": choices.told("", plan.schedule_options), "clip": plan.clip or "none",
        "resync": plan.resync, "scratch": plan.scratch or "gradtwin's", "control runs": plan.controls,
        **({"hidden": ",".join(map(str, plan.hidden)), "init": plan.init} if plan.hidden else {}),
    }  # fmt: skip


def figures(result: Result) -> dict[str, dict[str, float]]:
    """Final figures of each side."""
    drift = {"drift, relative": result.last.params.relative, "drift, noise units": result.units["weights"]}
    losses = {"scratch": result.last.scratch.loss, "ref": result.last.ref.loss}
    return {
        name: {
            "test accuracy": result.test_accuracy[name],
            "loss": losses[name],
            "ms per step": 1e3 * result.seconds[name],
        }
        | drift
        for name in SIDES
    }


HEAD = ("", "scratch", "ref", "apart", "noise units, at most")


def rows(result: Result) -> list[tuple[str, str, str, str, str]]:
    """The figures side by side under HEAD: what, scratch, ref, how far apart, and how far at most in noise units."""
    last, units = result.last, result.units
    a, b = result.test_accuracy["scratch"], result.test_accuracy["ref"]
    fast, slow = result.seconds["scratch"], result.seconds["ref"]
    return [
        ("test accuracy", f"{a:.2%}", f"{b:.2%}", f"{abs(a - b):.2%}", ""),
        ("last batch's loss", f"{last.scratch.loss:.6f}", f"{last.ref.loss:.6f}", f"{last.loss.relative:.1e}",
         f"{units['loss']:.2f}"),
        ("norm of weights", f"{_size(last.scratch.params):.6f}", f"{_size(last.ref.params):.6f}",
         f"{last.params.relative:.1e}", f"{units['weights']:.2f}"),
        ("time a step", f"{1e3 * fast:.3f} ms", f"{1e3 * slow:.3f} ms", f"{fast / slow:.2f} of ref's", ""),
    ]  # fmt: skip


def table(result: Result) -> Table:
    """The figures for a terminal."""
    made = plain_table()
    for column in HEAD:
        made.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows(result):
        made.add_row(*row)
    return made


def remarks(result: Result, folder: str | None, logging: float = 0.0) -> list[str]:
    """The lines below the table; logging is the seconds that writing the log took."""
    last = result.last
    lines = [telling.verdict(result)]
    if result.flagged is not None:
        lines += [f"    {line}" for line in telling.causes(result.flagged)]
    if not result.complete:
        how = "ended" if result.last.lost else "interrupted"
        lines.insert(0, f"{how} after step {result.last.step:,} of {result.steps:,}")
    if not result.complete and folder is not None and any(Path(folder).glob("checkpoint-*.npz")):
        lines.append(f"to go on: gradtwin train --resume {folder}")
    lines.append(f"weights, SHA-256: scratch {digest(last.scratch.params)}, ref {digest(last.ref.params)}")
    if folder is not None:
        # of a training of less than a second the share would say how long it takes to open the files
        share = f", {logging / result.training:.1%} of the training" if result.training > 1 else ""
        lines.append(f"logged in {folder} ({logging:.2f} s{share}): gradtwin board")
    return lines


def markdown(result: Result) -> str:
    """The figures and the verdict for TensorBoard's Text page."""
    lines = [f"| {' | '.join(HEAD)} |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(result)]
    return "\n".join([*lines, "", *remarks(result, None)])


def _size(params: Mapping[str, Array]) -> float:
    return float(sum(float((p.astype("float64") ** 2).sum()) for p in params.values()) ** 0.5)
