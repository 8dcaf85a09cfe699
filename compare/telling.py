"""A training in sentences: what is about to be trained, and what came of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from compare import choices, lockstep, models

if TYPE_CHECKING:
    from compare.outcome import Result
    from compare.parties import Plan
    from compare.stages import Flag


def settings_line(plan: Plan, batch: int, steps: int) -> str:
    """What is about to be trained, in one line."""
    flips = "" if plan.augment == "none" else f" with {plan.augment}"
    return (
        f"{_title(plan)}: {choices.told(plan.rule, plan.rule_options)}, lr {plan.lr:g} ("
        f"{choices.told(plan.schedule, plan.schedule_options)}), {plan.penalty} reg "
        f"{plan.reg:g}, {plan.epochs} epochs of batches of {batch:,}{flips}: {steps:,} steps in {plan.dtype}; "
        f"{'scratch' if not plan.scratch else Path(plan.scratch).name} on cpu, ref on {plan.device}"
    )


def _title(plan: Plan) -> str:
    """The model's title; of a network with its layers, hidden units and start weights."""
    title, hidden = models.model(plan.model).title, plan.hidden
    if not hidden:
        return title
    title = title if len(hidden) == 1 else f"{len(hidden) + 1}-layer network"
    alike = len(hidden) > 2 and len(set(hidden)) == 1
    units = f"{len(hidden)} × {hidden[0]}" if alike else ", ".join(map(str, hidden))
    return f"{title} ({units} hidden units, {plan.init})"


def verdict(result: Result) -> str:
    """The verdict in one sentence."""
    flag = result.flagged
    if flag is None:
        n = result.last.excused
        steps = (
            "1 step that took drift further, judged by itself, was"
            if n == 1
            else f"{n} steps that took drift further, judged by themselves, were"
        )
        chaos = f" {steps} right: chaos." if n else ""
        return (
            f"agree: in all {result.last.step:,} steps scratch and ref stayed within {lockstep.BOUND:g} times the "
            f"spread of the control runs, what rounding does to this training.{chaos}"
        )
    return f"differ: from {told(flag)}"


def told(flag: Flag) -> str:
    """Step, stage, tensor and values of a flag in one sentence."""
    where = f" at {list(flag.entry)}" if flag.entry else ""
    values = "" if flag.scratch is None else f": scratch has {flag.scratch:.9g}, the ref {flag.ref:.9g}"
    units = f", {flag.noise_units:.3g} noise units apart" if math.isfinite(flag.noise_units) else ""
    how = {
        "": ". Asked again it does not show: it lies in what scratch remembers",
        "float32": ". In float64 it does not show: it is a matter of precision",
        "float64": "",
    }[flag.replayed]
    return f"step {flag.step:,} on, in the {flag.stage}: {flag.tensor}{where}{values}{units}{how}"


def causes(flag: Flag) -> list[str]:
    """The likely causes, a line each."""
    return [f"likely: {c.cause} (leaves {c.unexplained:.2%} unexplained)" for c in flag.causes]


def flagged(flag: Flag) -> str:
    """A flag for TensorBoard's Text page."""
    return "\n\n".join([f"**Scratch differs from {told(flag)}**", *causes(flag)])
