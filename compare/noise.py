"""How large rounding may be, here: measured on the case at hand, by moving everything that rounding moves.

The ref is asked K times again (MANY times where that leaves doubt), the axes over which the mathematics sums permuted
each time. In half of the replays the inputs and the result of every torch operation, forward and backward, are moved
by at most one ulp as well (Monte Carlo arithmetic; Parker, 1997). In the other half nothing is moved, but sums and
matrix products are added up one term after the other, as a plain loop does: a library's blocked sums round less and a
loop is not wrong for that, and roundings that repeat (the same pixel value in many images) stay as correlated as they
are. Every second of these sums c times its terms, and divides by c at the end, as code does that has 1/N or reg inside:
terms on a grid may add up without any rounding, and scaled ones not. What these replays do to the answer is what any
stable algorithm may do to it.
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
MANY = 32  # where eight leave doubt: of a single number they are too few to tell an unlucky sum from a wrong one
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


class Jitter(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves this base untyped
    """Inside this context rounding differs: by moved results, or with loops, by sums of scaled terms, in order."""

    def __init__(self, rng: np.random.Generator, loops: bool = False, scale: float = 1.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch leaves this base untyped
        self.loops, self.scale = loops, scale
        self.generator = torch.Generator().manual_seed(int(rng.integers(2**62)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        opened = decompositions().get(func)
        if opened is not None:  # what a fused kernel sums inside rounds as well: 1 in p - 1, for example
            with self:
                return opened(*args, **(kwargs or {}))
        if self.loops:
            loop = LOOPS.get(func)
            return loop(self.scale, *args, **(kwargs or {})) if loop else func(*args, **(kwargs or {}))
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.amax.default or any(r.alias_info is not None for r in func._schema.returns):
            return out  # a selection, a view or an in-place result is no new rounding
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


def _mm(scale: float, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The product a @ b, the terms of each entry added in order (above 512 terms, in 512 bundles)."""
    if scale != 1:
        return _mm(1.0, a * scale, b) / scale
    out = a.new_zeros(a.shape[0], b.shape[1])
    step = -(-a.shape[1] // 512)
    for k in range(0, a.shape[1], step):
        out.addmm_(a[:, k : k + step], b[k : k + step])
    return out


def _addmm(scale: float, bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, **factors: float) -> torch.Tensor:
    return factors.get("beta", 1) * bias + factors.get("alpha", 1) * _mm(scale, a, b)


def _sum(
    scale: float, x: torch.Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, **options: Any
) -> torch.Tensor:
    """x.sum(dim), added in order: NumPy's running sums do just that."""
    axes = sorted(d % x.ndim for d in dim) if dim else list(range(x.ndim))
    if not x.dtype.is_floating_point or x.numel() == 0 or x.ndim == 0:
        return torch.sum(x, axes, keepdim, **options)
    if scale != 1:
        return _sum(1.0, x * scale, axes, keepdim, **options) / scale
    kept = [d for d in range(x.ndim) if d not in axes]
    terms = x.permute(*axes, *kept).reshape(-1, *(x.shape[d] for d in kept)).cpu().numpy()
    total = np.array(np.add.accumulate(terms, axis=0)[-1])
    shape = [1 if d in axes else n for d, n in enumerate(x.shape)] if keepdim else total.shape
    added: torch.Tensor = torch.from_numpy(total.reshape(shape)).to(x.device)
    return added


LOOPS: dict[Any, Callable[..., torch.Tensor]] = {
    torch.ops.aten.mm.default: _mm,
    torch.ops.aten.addmm.default: _addmm,
    torch.ops.aten.sum.default: _sum,
    torch.ops.aten.sum.dim_IntList: _sum,
}


def moved(case: Case, rng: np.random.Generator) -> Case:
    """The case with every float input moved by at most one ulp; zeros stay zero."""

    def move(x: Array) -> Array:
        return (
            x * (1 + np.finfo(x.dtype).eps * rng.integers(-1, 2, x.shape)).astype(x.dtype) if x.dtype.kind == "f" else x
        )

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


def replays(
    ask: Callable[[Case], Outcome], case: Case, sums: Sums, rng: np.random.Generator, count: int = K
) -> list[dict[str, Array]]:
    """The answers, count of them, each a dict of quantities in float64 with its axes in the case's own order.

    An exact case is never moved: there, rounding does nothing, and a moved input would leave the kink.
    """
    answers = []
    for k in range(count):
        loops = case.exact or k % 2 == 1
        replay, back = permuted(case if loops else moved(case, rng), sums, rng)
        with Jitter(rng, loops, float(rng.uniform(1, 2)) if k % 4 == 3 and not case.exact else 1.0):
            outcome = ask(replay)
        answers.append({q: back(q, np.asarray(x, np.float64)) for q, x in outcome.quantities().items()})
    return answers


def noise_of(errors: Sequence[Array], truth: Array, dtype: np.dtype[Any]) -> Noise:
    """Noise of one quantity from its replays' errors (each shaped as truth, float64).

    tensor is the largest ‖error‖. entry is twice the root mean square over the replays of either half, whichever is
    larger; the factor puts the worst of 30,000 entries where a bad draw puts a tensor. Added in quadrature is what
    the entry's row and column have on average, so that a few lucky replays leave no entry with an unfair scale.
    Neither falls below u times the answer itself, nor an entry below the smallest normal number. Of a single number
    the tensor is its entry: the largest of eight draws of one number is too often a lucky one.
    """
    info = np.finfo(dtype)
    u, tiny = float(info.eps) / 2, float(info.tiny)
    tensor = max(float(np.linalg.norm(e)) for e in errors)
    rms = [_root_mean_square(np.stack(errors[k::2])) for k in (0, 1)]
    smooth = [np.hypot(r, np.sqrt(_rank_one(np.square(r)))) for r in rms]
    entry = 2 * np.maximum(*smooth) + u * np.abs(truth) + tiny
    floor = float(entry.sum()) if truth.size == 1 else u * float(np.linalg.norm(truth)) + tiny * np.sqrt(truth.size)
    return Noise(max(tensor, floor), entry)


def chained(noise: Noise, truth: Array) -> Noise:
    """Noise of a schedule, whose rate may be multiplied on from step to step, as torch does and no replay moves.

    By step t such a chain has rounded t times, and the factor, itself rounded, has entered t times over: each by u
    of a rate that may have been the largest. So the noise of step t is never below (t + 1) u max |rate|.
    """
    u = float(np.finfo(np.float64).eps) / 2
    floor = u * np.arange(1, truth.size + 1) * float(np.abs(truth).max())
    return Noise(max(noise.tensor, float(np.linalg.norm(floor))), np.maximum(noise.entry, floor))


def _root_mean_square(errors: Array) -> Array:
    """Over the first axis; scaled first, for the square of 1e-200 (a saturated softmax has such entries) is 0."""
    largest = np.abs(errors).max(axis=0)
    shares = np.divide(errors, largest, out=np.zeros_like(errors), where=largest > 0)
    return np.asarray(largest * np.sqrt(np.mean(np.square(shares), axis=0)))


def _rank_one(square: Array) -> Array:
    """Row mean times column mean over the grand mean; for a vector, or a single row or column, its mean."""
    table = square.reshape(len(square), -1) if square.ndim else square
    if 1 in table.shape or table.ndim < 2:
        return np.full_like(square, square.mean())
    mean = table.mean()
    if mean == 0:
        return np.zeros_like(square)
    rows, columns = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    return np.asarray(rows * (columns / mean)).reshape(square.shape)
