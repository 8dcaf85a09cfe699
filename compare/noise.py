"""How large rounding may be, here: measured on the case at hand, by moving everything that rounding moves.

The ref is asked K times again with (1) its inputs moved by at most one ulp, (2) the axes over which the mathematics
sums permuted, (3) the result of every torch operation, forward and backward, moved by at most one ulp (Monte Carlo
arithmetic; Parker, 1997). What these replays do to the answer is what any stable algorithm may do to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch._decomp import get_decompositions
from torch.utils._python_dispatch import TorchDispatchMode

from compare.records import Case, Noise, Outcome

if TYPE_CHECKING:
    from compare.records import Array

K = 8
Sums = Sequence[Mapping[str, int]]  # each: quantity or argument -> the axis of it that one sum runs over


@cache
def decompositions() -> Mapping[Any, Callable[..., Any]]:
    """The fused operations of torch that are taken apart before they are moved, each as its elementary ones."""
    aten = torch.ops.aten
    fused = [aten._log_softmax, aten._log_softmax_backward_data, aten.nll_loss_forward, aten.nll_loss_backward,
             aten._softmax, aten._softmax_backward_data, aten.mean, aten.threshold_backward, aten.sigmoid_backward,
             aten.tanh_backward, aten.native_layer_norm, aten.native_layer_norm_backward,
             aten.native_batch_norm_backward, aten.linalg_vector_norm]  # fmt: skip
    return get_decompositions(fused)


class Jitter(TorchDispatchMode):
    """Inside this context every floating-point result of a torch operation is moved by at most one ulp."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(int(rng.integers(2**62)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        opened = decompositions().get(func)
        if opened is not None:  # what a fused kernel sums inside rounds as well: 1 in p - 1, for example
            with self:
                return opened(*args, **(kwargs or {}))
        out = func(*args, **(kwargs or {}))
        if any(result.alias_info is not None for result in func._schema.returns):
            return out  # a view or an in-place result is no new rounding
        if isinstance(out, tuple):
            return tuple(self._moved(o) for o in out)
        return self._moved(out)

    def _moved(self, out: Any) -> Any:
        if not isinstance(out, torch.Tensor) or not out.dtype.is_floating_point:
            return out
        # 1 + ξ with ξ of -u, 0 or u (the spacing below 1) rounds to a neighbour of the result, or to itself
        unit = torch.finfo(out.dtype).eps
        xi = torch.randint(-1, 2, out.shape, generator=self.generator, dtype=torch.int8).to(out.device, out.dtype)
        return out * (1 + unit * xi)


def moved(case: Case, rng: np.random.Generator) -> Case:
    """The case with every float input moved by at most one ulp; zeros stay zero."""

    def move(x: Array) -> Array:
        return x * (1 + np.finfo(x.dtype).eps * rng.integers(-1, 2, x.shape)).astype(x.dtype) if x.dtype.kind == "f" else x

    return Case(case.name, {n: move(x) for n, x in case.inputs.items()}, case.wrt, case.options, case.exact)


def permuted(case: Case, sums: Sums, rng: np.random.Generator) -> tuple[Case, Callable[[str, Array], Array]]:
    """The case with each summed axis in another order, and what puts an answer's axes back."""
    inputs = dict(case.inputs)
    undo: list[tuple[Mapping[str, int], Array]] = []
    for axes in sums:
        first = next(name for name in axes if name in inputs)
        order = rng.permutation(inputs[first].shape[axes[first]])
        for name in axes.keys() & inputs.keys():
            inputs[name] = np.take(inputs[name], order, axis=axes[name])
        undo.append((axes, np.argsort(order)))

    def back(quantity: str, x: Array) -> Array:
        name = quantity if quantity == "value" else quantity.removeprefix("d")
        for axes, order in undo:
            if name in axes:
                x = np.take(x, order, axis=axes[name])
        return x

    return Case(case.name, inputs, case.wrt, case.options, case.exact), back


def replays(ask: Callable[[Case], Outcome], case: Case, sums: Sums, rng: np.random.Generator) -> list[dict[str, Array]]:
    """The K answers, each a dict of quantities in float64 with its axes in the case's own order.

    An exact case is only permuted: there, rounding moves nothing, and a moved input would leave the kink.
    """
    answers = []
    for _ in range(K):
        replay, back = permuted(case if case.exact else moved(case, rng), sums, rng)
        if case.exact:
            outcome = ask(replay)
        else:
            with Jitter(rng):
                outcome = ask(replay)
        answers.append({q: back(q, np.asarray(x, np.float64)) for q, x in outcome.quantities().items()})
    return answers


def noise_of(errors: Sequence[Array], truth: Array, dtype: np.dtype[Any]) -> Noise:
    """Noise of one quantity from its replays' errors (each shaped as truth, float64).

    tensor is the largest ‖error‖; entry is the root mean square over the replays, smoothed by adding in quadrature
    what its row and column have on average, so that eight lucky replays leave no entry with an unfair small scale.
    Neither falls below u times the answer itself, nor an entry below the smallest normal number.
    """
    info = np.finfo(dtype)
    u, tiny = float(info.eps) / 2, float(info.tiny)
    stack = np.stack([np.asarray(e) for e in errors])
    tensor = max(float(np.linalg.norm(e)) for e in stack)
    square = np.mean(stack * stack, axis=0)
    entry = np.sqrt(square + _rank_one(square)) + u * np.abs(truth) + tiny
    floor = u * float(np.linalg.norm(truth)) + tiny * np.sqrt(truth.size)
    return Noise(max(tensor, floor), entry)


def _rank_one(square: Array) -> Array:
    """Row mean times column mean over the grand mean; for a vector, its mean."""
    if square.ndim < 2:
        return np.full_like(square, square.mean())
    table = square.reshape(len(square), -1)
    mean = table.mean()
    if mean == 0:
        return np.zeros_like(square)
    rows, columns = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    return np.asarray(rows * (columns / mean)).reshape(square.shape)
