"""The race of the computational graph against torch's eager autograd: on numbers and on arrays of 256 × 100."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compare import readings
from compare.bench import Task
from compare.check import generator
from compare.circuit import run
from compare.differ import BOUND
from compare.parsing import parse
from compare.records import Verdict
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

NAME = "graph"
SHAPE = (256, 100)


def tasks(seed: int = 0) -> Iterator[Task]:
    """The lecture's neuron on numbers, and seven gates on arrays; either side builds its graph anew at every call."""
    rng = generator(seed, "bench", NAME)
    arrays = {"X": rng.normal(0, 1, SHAPE), "Y": rng.normal(0, 1, SHAPE), "b": rng.normal(0, 1, SHAPE[1])}
    numbers = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}
    yield task("numbers", "sigmoid(w0*x0 + w1*x1 + w2)", {name: np.asarray(x) for name, x in numbers.items()})
    yield task("256×100", "sum(relu(X*Y + b)*sigmoid(X) - tanh(Y))", {n: x.astype("f4") for n, x in arrays.items()})


def task(size: str, text: str, inputs: Mapping[str, Array]) -> Task:
    """Race forward and backward through the expression text, in the inputs' own precision."""
    circuit = parse(text, inputs)
    node, backward = side("scratch", "graph.Node"), side("scratch", "graph.backward")
    gates, tensors = readings.Gates("scratch"), readings.Gates("ref")

    def scratch() -> dict[str, Any]:
        leaves = {name: node(x) for name, x in inputs.items()}
        backward(run(circuit, gates, leaves)[circuit.output])
        return {name: leaf.grad for name, leaf in leaves.items()}

    def ref() -> dict[str, Any]:
        leaves = {name: torch.from_numpy(x).requires_grad_() for name, x in inputs.items()}
        run(circuit, tensors, leaves)[circuit.output].backward()
        return {name: leaf.grad for name, leaf in leaves.items()}

    def agree() -> str:
        """The witnesses agree in float64, and the calls raced lie no further from that than precision explains."""
        found = readings.read(circuit, {name: x.astype(np.float64) for name, x in inputs.items()})
        mine, theirs = scratch(), ref()
        for name, x in inputs.items():
            exact = np.asarray(found.wires[name].grad)
            rounding = np.linalg.norm(theirs[name].numpy() - exact) + np.finfo(x.dtype).eps * np.linalg.norm(exact)
            off = np.linalg.norm(mine[name] - exact) / rounding
            if found.wires[name].verdict is not Verdict.AGREE or not off <= BOUND:
                return f"d{name}: {off:.3g} times torch's own rounding away"
        return ""

    return Task(f"{NAME} {size}", "textbook", scratch, ref, agree)
