"""The race of one training step with its gather: 256 shuffled rows of 49,000 images, momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from compare.bench import Task
from compare.check import generator
from compare.kinds import cast
from compare.races import BATCH, C, answered, judged, products
from compare.records import Case, Pair
from compare.sides import side
from compare.timing import Call, linear_form

if TYPE_CHECKING:
    from compare.records import Array

NAME = "train_step"
IMAGES, QUICK_IMAGES, PIXELS, LR = 49_000, 10_000, 3072, 1e-7


class Images:
    """Random images as training holds them: uint8 rows, labels, a mean, and shuffled batches of them."""

    def __init__(self, seed: int, count: int = IMAGES) -> None:
        rng = generator(seed, "bench", NAME)
        self.pixels = rng.integers(0, 256, (count, PIXELS), dtype=np.uint8)
        self.labels = rng.integers(0, C, count)
        self.mean = np.full(PIXELS, 127.5, np.float32)
        self.order = rng.permutation(count)

    def batches(self) -> Iterator[Array]:
        """Row numbers of batch after batch, over and over in one shuffled order."""
        while True:
            for start in range(0, len(self.order) - BATCH + 1, BATCH):
                yield self.order[start : start + BATCH]


def tasks(pair: Pair, seed: int = 0, count: int = IMAGES) -> Iterator[Task]:
    """Race both forms of the step; pair is the softmax objective, which judges their gradients."""
    images = Images(seed, count)
    rows = images.order[:BATCH]
    W = generator(seed, "bench", NAME, "W").normal(0, 1e-3, (PIXELS, C))
    X = images.pixels[rows] - images.mean
    inputs = {"W": W, "b": np.zeros(C), "X": X, "y": images.labels[rows]}
    case = cast(Case("a batch", inputs, ("W", "b")), "float32")
    params = {"W": case.inputs["W"], "b": case.inputs["b"]}
    judge_answer, ref, floor = judged(pair, case), _torch(images), products(case)
    for form, gradient, held in gradients(images):
        agree = partial(judge_answer, partial(answered, partial(gradient, params, rows)))
        yield Task(NAME, form, _scratch(images, gradient), ref, agree, floor, held_mb=held)


def gradients(images: Images) -> Iterator[tuple[str, Callable[..., Any], float]]:
    """Yield the objective from row numbers, textbook after an indexed copy and fused, and megabytes kept."""
    page = side("scratch", "linear.softmax_objective")
    fused = side("scratch", linear_form())("softmax", PIXELS, C, mean=images.mean)

    def textbook(params: dict[str, Array], rows: Array) -> Any:
        return page(params, images.pixels[rows] - images.mean, images.labels[rows])

    def fast(params: dict[str, Array], rows: Array) -> Any:
        return fused(params, images.pixels, images.labels, rows=rows)

    yield "textbook", textbook, 0.0
    yield "fused", fast, fused.nbytes / 1e6


def _scratch(images: Images, gradient: Callable[..., Any]) -> Call:
    """Gather, gradient, update. W lies in Fortran order, as the fast form's gradients do."""
    params = {"W": np.zeros((PIXELS, C), np.float32, order="F"), "b": np.zeros(C, np.float32)}
    rule, batches = side("scratch", "optim.Momentum")(), images.batches()
    states = {name: rule.init(param) for name, param in params.items()}

    def step() -> None:
        _, grads = gradient(params, next(batches))
        for name, param in params.items():
            rule.update(param, grads[name], states[name], LR)

    return step


def _torch(images: Images) -> Call:
    """Loop in torch at its best: float32 images (four times the memory), index_select, F.linear."""
    X = torch.empty(images.pixels.shape)
    torch.sub(torch.from_numpy(images.pixels), torch.from_numpy(images.mean), out=X)
    y, batches = torch.from_numpy(images.labels), images.batches()
    W, b = torch.zeros(C, PIXELS, requires_grad=True), torch.zeros(C, requires_grad=True)
    optimizer = torch.optim.SGD([W, b], lr=LR, momentum=0.9)

    def step() -> None:
        rows = torch.from_numpy(next(batches))
        optimizer.zero_grad()
        loss: torch.Tensor = F.cross_entropy(F.linear(X.index_select(0, rows), W, b), y.index_select(0, rows))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()

    return step
