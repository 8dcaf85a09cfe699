"""Two-layer network as a torch module: Linear, ReLU, Linear, under cross-entropy. Any number of hidden layers."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ref import losses
from ref.linear import PENALTIES

SCHEMES = {"he": lambda n, m: (2 / n) ** 0.5, "xavier": lambda n, m: (2 / (n + m)) ** 0.5}
Params = dict[str, Tensor]


class Network(nn.Module):
    """Linear layers of these widths with ReLUs between; gives the output of each, the scores last."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.linear = nn.ModuleList(nn.Linear(n, m, device="meta") for n, m in pairwise(widths))

    def forward(self, X: Tensor) -> list[Tensor]:
        """X (N, D) through all layers."""
        outs: list[Tensor] = []
        for layer in self.linear:
            outs.append(layer(F.relu(outs[-1]) if outs else X))
        return outs


def init(rng: np.random.Generator, D: int, H: int | Sequence[int], C: int, scheme: str = "he") -> Params:
    """Start weights as torch.nn.init's kaiming_normal_ (for a ReLU) or xavier_normal_, biases 0; float64.

    NumPy's generator draws them, so that both sides can start from the same numbers.
    """
    params: Params = {}
    for k, (n, m) in enumerate(pairwise([D, *([H] if isinstance(H, int) else H), C]), start=1):
        params[f"W{k}"] = torch.from_numpy(rng.normal(0.0, SCHEMES[scheme](n, m), (n, m)))
        params[f"b{k}"] = torch.zeros(m, dtype=torch.float64)
    return params


def scores(params: Params, X: Tensor) -> Tensor:
    """Class scores (N, C); the largest names the predicted class."""
    return outputs(params, X)[-1]


def outputs(params: Params, X: Tensor) -> list[Tensor]:
    """What each affine layer puts out, the last of them the scores. nn.Linear keeps its weight as (outputs, inputs)."""
    named, widths = {}, [X.shape[1]]
    for k in range(len(params) // 2):
        W, b = params[f"W{k + 1}"], params[f"b{k + 1}"]
        named[f"linear.{k}.weight"], named[f"linear.{k}.bias"] = W.T, b
        widths.append(len(b))
    outs: list[Tensor] = functional_call(_network(*widths), named, (X,))
    return outs


def hidden(params: Params, X: Tensor) -> Tensor:
    """What enters the ReLUs, of all hidden layers end to end: the kinks lie where an entry is 0."""
    return torch.cat([out.flatten() for out in outputs(params, X)[:-1]])


def objective(
    params: Params, X: Tensor, y: Tensor, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> Tensor:
    """Softmax loss of the scores plus penalty(W, reg) of every layer's weights, of biases only with decay_bias."""
    value = losses.softmax(scores(params, X), y)
    for name, param in params.items():
        if decay_bias or name.startswith("W"):
            value = value + PENALTIES[penalty](param, reg)
    return value


def flow(params: Params, X: Tensor, y: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What each linear layer puts out, and the loss's gradient by each of these."""
    outs = outputs(params, X.detach().requires_grad_())
    return outs, list(torch.autograd.grad(losses.softmax(outs[-1], y), outs))


@cache
def _network(*widths: int) -> Network:
    return Network(*widths)
