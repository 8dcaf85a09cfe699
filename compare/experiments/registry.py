"""Every experiment by name."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from compare.experiments import batch_size, decay, rules, search
from compare.experiments.claims import Result
from compare.experiments.setting import Setting


@dataclass(frozen=True)
class Experiment:
    """What is measured; run yields what it is doing and returns what came out. seeds are as many as it takes."""

    title: str
    run: Callable[[Setting], Generator[str, None, Result]]
    seeds: int = 5


EXPERIMENTS = {
    "search": Experiment("random search and random local search against gradient descent", search.search, seeds=3),
    "batch-size": Experiment("the full batch against samples, for the same work", batch_size.batch_size),
    "decay": Experiment("decaying learning rates against the best constant one", decay.decay),
    "rules": Experiment("update rules at their best rates", rules.rules),
}
