"""The race of the two-layer network, 100 hidden units, at a batch of real size: both forms, torch's best, the floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from compare.records import Case
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array
    from compare.timing import Call

D, H, C = 3072, 100, 10
Answer = Callable[[], tuple["Array", Mapping[str, "Array"]]]  # value and gradients


def case(rng: np.random.Generator, N: int) -> Case:
    """Weights at He's scale, N rows and labels."""
    params = side("scratch", "two_layer.init")(rng, D, H, C)
    inputs = {**params, "X": rng.normal(0, 1, (N, D)), "y": rng.integers(0, C, N)}
    return Case(f"N {N}", inputs, tuple(params))


def forms(asked: Case) -> Iterator[tuple[str, Answer, float]]:
    """Yield the objective, textbook and fused, and the megabytes that each keeps from call to call."""
    X, y = asked.inputs["X"], asked.inputs["y"]
    params = {name: asked.inputs[name] for name in asked.wrt}
    page, fused = side("scratch", "two_layer.objective"), side("scratch", "fused_two_layer.Network")(X.dtype)
    fused(params, X, y)  # makes its buffers
    yield "textbook", lambda: page(params, X, y), 0.0
    yield "fused", lambda: fused(params, X, y), fused.nbytes / 1e6


def best_torch(asked: Case) -> Call:
    """Write it in torch's fastest form: weights stored (outputs, inputs), F.linear, gradients into .grad."""
    x = {name: torch.from_numpy(array) for name, array in asked.inputs.items()}
    params = [x["W1"].T.contiguous(), x["b1"].clone(), x["W2"].T.contiguous(), x["b2"].clone()]
    W1, b1, W2, b2 = (p.requires_grad_() for p in params)

    def call() -> None:
        W1.grad = b1.grad = W2.grad = b2.grad = None
        loss: torch.Tensor = F.cross_entropy(F.linear(F.relu(F.linear(x["X"], W1, b1)), W2, b2), x["y"])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    return call


def as_written(asked: Case) -> Call:
    """Write it as people do, X @ W + b with W (inputs, outputs)."""
    x = {name: torch.from_numpy(array) for name, array in asked.inputs.items()}
    W1, b1, W2, b2 = (x[name].clone().requires_grad_() for name in asked.wrt)

    def call() -> None:
        W1.grad = b1.grad = W2.grad = b2.grad = None
        loss: torch.Tensor = F.cross_entropy(torch.relu(x["X"] @ W1 + b1) @ W2 + b2, x["y"])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    return call


def products(asked: Case) -> Call:
    """The five matrix products and nothing else, into arrays that are there already: the floor."""
    X, W1, W2 = (asked.inputs[name] for name in ("X", "W1", "W2"))
    hidden, scores = X @ W1, np.empty((len(X), W2.shape[1]), X.dtype)
    G, dhidden, dW1, dW2 = np.full_like(scores, 1 / len(X)), *(np.empty_like(a) for a in (hidden, W1, W2))

    def call() -> None:
        np.dot(X, W1, out=hidden)
        np.dot(hidden, W2, out=scores)
        np.dot(hidden.T, G, out=dW2)
        np.dot(G, W2.T, out=dhidden)
        np.dot(X.T, dhidden, out=dW1)

    return call
