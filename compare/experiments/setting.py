"""What every experiment is given."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from compare import alone, models
from compare.alone import Material
from compare.data import Dataset
from compare.parties import Plan
from compare.pool import Submit, pool


@dataclass(frozen=True)
class Setting:
    """Images, and how much is done with them. passes goes through the training images; evaluations are of the loss."""

    images: Dataset
    seeds: tuple[int, ...]
    model: str = "softmax"
    passes: int = 10
    evaluations: int = 1000
    processes: int = 1

    @property
    def material(self) -> Material:
        """Training images, and a tenth withheld to choose by."""
        return alone.withhold(self.images, alone.enough(self.images))

    def plan(self, material: Material, rule: str, schedule: str = "constant", batch: int = 256) -> Plan:
        """A training of the model with its own penalty, at the rule's own rate; batch 0 is the full set."""
        m = models.model(self.model)
        fitting = 0 if batch > len(material.train.labels) else batch
        return Plan(m.name, rule, schedule, self.passes, fitting, m.lr[rule], m.reg, m.penalty, hidden=m.hidden)

    def pool(self, material: Material) -> AbstractContextManager[Submit]:
        """Where trainings go."""
        return pool(material, self.processes)
