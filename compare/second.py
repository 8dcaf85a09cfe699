"""The second order: the gradient of the gradient. scratch's derivative, differentiated numerically, against autograd's.

A gradient can be right at one point by luck of the case; its slope in a random direction v, H v, is another witness.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from compare.bridge import to_array, to_tensor
from compare.kinds import ask_scratch, ref_scalar
from compare.records import Case, Finding, Pair, Verdict
from compare.sides import side

if TYPE_CHECKING:
    from compare.records import Array

SLACK = 2.0  # an entry may lie this many of its error estimates from autograd's


def second_order(pair: Pair, case: Case, rng: np.random.Generator) -> Iterator[Finding]:
    """H v for every differentiable input of a scalar pair, in float64; the other kinds have none."""
    if pair.kind not in ("loss", "objective"):
        return
    for name in case.wrt:
        v = rng.choice((-1.0, 1.0), case.inputs[name].shape)
        theirs = _by_autograd(pair, case, name, v)

        def gradient(x: Array, name: str = name) -> Array:
            return np.asarray(ask_scratch(pair, replace(case, inputs={**case.inputs, name: x})).grads[name])

        mine, error = side("scratch", "numgrad.gradient_along")(gradient, case.inputs[name], v)
        size = float(np.abs(theirs).max())
        allowed = SLACK * error + 64 * np.finfo(np.float64).eps * (np.abs(theirs) + size) + np.finfo(np.float64).tiny
        off = np.abs(mine - theirs) / allowed
        worst = np.unravel_index(int(off.argmax()), off.shape)
        row = Finding(pair.name, pair.at, "second order", "float64", f"d²{name}·v", Verdict.AGREE)
        if not np.max(off) <= 1:
            entry = tuple(int(i) for i in worst)
            message = (
                f"entry {list(entry)}: the slope of scratch's gradient is {float(mine[worst]):.6g} ± "
                f"{float(error[worst]):.1g}, autograd's second derivative {float(theirs[worst]):.6g}"
            )
            row = replace(row, verdict=Verdict.DIFFER, entry=entry, message=message)
        yield row


def _by_autograd(pair: Pair, case: Case, name: str, v: Array) -> Array:
    """H v by differentiating Σ g · v; zero where the gradient does not depend on the input any more."""
    tensors = {n: to_tensor(x).requires_grad_(n in case.wrt) for n, x in case.inputs.items()}
    value = ref_scalar(pair, case, tensors)
    (g,) = torch.autograd.grad(value, [tensors[name]], create_graph=True)
    if g.grad_fn is None:
        return np.zeros(case.inputs[name].shape)
    (Hv,) = torch.autograd.grad((g * to_tensor(v)).sum(), [tensors[name]], allow_unused=True)
    return np.zeros(case.inputs[name].shape) if Hv is None else to_array(Hv)
