"""Learning rates that decay against the best constant one."""

from __future__ import annotations

from collections.abc import Generator

from compare import models
from compare.experiments.claims import Result, judge
from compare.experiments.rates import best_rate
from compare.experiments.setting import Setting

CLAIM = "a learning rate that starts high and decays beats the best constant rate"
SCHEDULES = {"constant": "constant", "step": "step", "exponential": "exponential", "inverse": "1/t", "cosine": "cosine"}


def decay(setting: Setting) -> Generator[str, None, Result]:
    """Each schedule at its own best rate, with the model's rule.

    The claim is judged on the schedule with the best validation accuracy, chosen before the test part is asked.
    """
    material, data = setting.material, setting.images
    rule, tuned = models.model(setting.model).rule, {}
    with setting.pool(material) as submit:
        for schedule, name in SCHEDULES.items():
            plan = setting.plan(material, rule, schedule)
            tuned[schedule] = yield from best_rate(name, plan, setting.seeds, submit)
    best = max((s for s in tuned if s != "constant"), key=lambda s: tuned[s].validation)
    rows = {schedule: one.row(data.test, material) for schedule, one in tuned.items()}
    constant = rows["constant"].accuracy
    judged = judge(rows[best].accuracy, constant)
    N = len(material.train.labels)
    curves = tuple(one.curve("validation_loss", N) for one in tuned.values())
    others = [
        f"{SCHEDULES[s]} against constant: {judge(row.accuracy, constant).told}"
        for s, row in rows.items()
        if s not in ("constant", best)
    ]
    told = f"judged: {SCHEDULES[best]}, the best decay on the validation part; rule: {rule}"
    return Result(
        "decay", CLAIM, judged, tuple(rows.values()), curves, "passes through the training images", "validation loss",
        remarks=(told, *others),
    )  # fmt: skip
