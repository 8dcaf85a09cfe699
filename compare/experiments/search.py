"""Random search and random local search against gradient descent, for the same number of loss evaluations."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from compare import alone, models
from compare.alone import Material
from compare.data import Images, rows
from compare.experiments.claims import Curve, Result, Row, judge
from compare.experiments.setting import Setting
from compare.parties import Plan
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

CLAIM = "searching at random is far worse than following the slope for the same number of loss evaluations"
FAR = 0.1  # of accuracy
SCALE, START, STEP = 1e-4, 1e-3, 1e-4  # the notes' numbers, for weights on pixel values 0…255
PUBLISHED = {"random search": 0.155, "random local search": 0.214, "gradient descent": None}


def search(setting: Setting) -> Generator[str, None, Result]:
    """All three on the hinge loss of a linear classifier over all training images, without a penalty.

    Gradient descent is the plain one, full batch, at the model's own rate; one evaluation of its loss comes with the
    gradient, at about twice the price. Pixels have the training mean subtracted.
    """
    data, count = setting.images, setting.evaluations
    material = Material(data.train, data.validation, data.mean, len(data.classes))
    marks = sorted({*np.geomspace(1, count, 25).round().astype(int).tolist()})
    tested: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    lines: dict[str, list[tuple[float, ...]]] = {name: [] for name in PUBLISHED}
    seconds: dict[str, float] = dict.fromkeys(PUBLISHED, 0.0)
    for seed in setting.seeds:
        for name in PUBLISHED:
            begin, line = time.perf_counter(), []
            for number, params in enumerate(_walk(name, seed, count, material), 1):
                if number in marks:
                    line.append(_right(params, material.validation, material.mean))
                    yield f"{name}, seed {seed}: {number} of {count} evaluations, validation {line[-1]:.1%}"
            lines[name].append(tuple(line))
            seconds[name] += (time.perf_counter() - begin) / len(setting.seeds)
            tested[name].append(_right(params, data.test, data.mean))
    table = [Row(n, tuple(tested[n]), PUBLISHED[n], figures={"seconds": seconds[n]}) for n in PUBLISHED]
    curves = [Curve(name, tuple(marks), tuple(lines[name])) for name in PUBLISHED]
    blind = np.maximum(tested["random search"], tested["random local search"])
    judged = judge(tested["gradient descent"], blind.tolist(), FAR)
    return Result(
        "search", CLAIM, judged, tuple(table), tuple(curves), "loss evaluations", "validation accuracy", log_x=True,
        remarks=(_overtaken(curves),),
    )  # fmt: skip


def _walk(name: str, seed: int, count: int, material: Material) -> Iterator[Mapping[str, Array]]:
    """The best weights so far after each evaluation, for rows of pixel values less the mean."""
    if name == "gradient descent":
        plan = Plan("svm", "sgd", "constant", count, 0, models.model("svm").lr["sgd"], 0.0, "l2", seed=seed)
        for _, _, params in alone.steps(plan, material):
            yield {"W": params["W"] * np.float32(models.SCALE), "b": params["b"]}
        return
    X, y = rows(material.train.images, material.mean), material.train.labels
    hinge, scores = side("scratch", "losses.hinge"), side("scratch", "linear.scores")

    def loss(params: Mapping[str, Array]) -> Any:
        return hinge(scores(params, X), y)[0]

    rng = np.random.default_rng(seed)
    like = {"W": np.zeros((X.shape[1], material.C), X.dtype), "b": np.zeros(material.C, X.dtype)}
    if name == "random search":
        path = side("scratch", "search.random_search")(loss, like, rng, count, SCALE)
    else:
        start = {n: (START * rng.standard_normal(p.shape)).astype(p.dtype) for n, p in like.items()}
        path = side("scratch", "search.local_search")(loss, start, rng, count, STEP)
    for _, params in path:
        yield params


def _right(params: Mapping[str, Array], part: Images, mean: Array) -> float:
    """Share of one part that a linear classifier has right."""
    found = side("scratch", "linear.scores")(params, rows(part.images, mean))
    return float((found.argmax(axis=1) == part.labels).mean())


def _overtaken(curves: list[Curve]) -> str:
    """After how many evaluations the gradient had what local search found in all of its own, by the mean curves."""
    mean = {c.name: np.mean(c.y, axis=0) for c in curves}
    level = max(mean["random search"][-1], mean["random local search"][-1])
    passed = np.flatnonzero(mean["gradient descent"] >= level)
    if not len(passed):
        return "gradient descent never reached what the better search found"
    return (
        f"gradient descent had what the better search found in all its evaluations after {curves[0].x[passed[0]]:.0f}"
        " of them (validation accuracy, mean of the seeds)"
    )
