"""The update rules side by side, each at its own best rate."""

from __future__ import annotations

from collections.abc import Generator

from compare.experiments.claims import Judgement, Result
from compare.experiments.rates import best_rate
from compare.experiments.setting import Setting

RULES = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")


def rules(setting: Setting) -> Generator[str, None, Result]:
    """A constant rate for each rule, the best on the validation part. The lecture claims nothing here: a table."""
    material, data = setting.material, setting.images
    tuned = {}
    with setting.pool(material) as submit:
        for rule in RULES:
            tuned[rule] = yield from best_rate(rule, setting.plan(material, rule), setting.seeds, submit)
    N = len(material.train.labels)
    table = tuple(one.row(data.test, material) for one in tuned.values())
    curves = tuple(one.curve("validation_loss", N) for one in tuned.values())
    told = Judgement(None, "no claim is made: a table")
    return Result("rules", "", told, table, curves, "passes through the training images", "validation loss")
