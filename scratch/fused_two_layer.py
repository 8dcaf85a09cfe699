"""The objective of scratch.two_layer in its fast form: the same numbers up to rounding, hardly more than its products.

Nearly all of the time goes into matrix products, which NumPy's BLAS does as well as anybody. What is left to gain:

- Nothing large is allocated. Fresh memory costs a page fault every 4 KiB; buffers stay from call to call.
- A hidden layer lies in one buffer, first as x W + b, then as its ReLU: where it is above 0 the gradient passes.
- Scores lie transposed, (C, N), and 1/N is folded into the softmax's normaliser, as in scratch.fused.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratch.arrays import Array, Grads, Params, check_labels
from scratch.fused import _softmax
from scratch.linear import PENALTIES


def objective(
    params: Params, X: Array, y: Array, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> tuple[Array, Grads]:
    """Softmax loss of the network's scores plus penalty(W, reg): scratch.two_layer.objective.

    Arguments, result and errors are those of scratch.two_layer. Buffers are made for this one call; a Network
    keeps its own from call to call.
    """
    return Network(np.result_type(X, *params.values()))(params, X, y, reg, penalty, decay_bias)


class Network:
    """The objective, remembering its buffers: made anew only for other widths or a larger batch.

    dtype is float32 or float64. The gradients that a call returns are overwritten by the next one.
    """

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {self.dtype}")
        self.widths: tuple[int, ...] = ()
        self.rows = 0
        self.grads: Grads = {}
        self.outs: list[Array] = []
        self.douts: list[Array] = []

    def __call__(
        self,
        params: Params,
        X: Array,
        y: Array,
        reg: float = 0.0,
        penalty: str = "l2",
        decay_bias: bool = False,
    ) -> tuple[Array, Grads]:
        """Value, and the gradients in buffers of this object; arguments as those of objective."""
        N, n = len(X), len(params) // 2
        inputs, scores = self._forward(params, X)
        check_labels(scores.T, y)
        value: Array = np.asarray(_softmax(scores, y, N) / N, self.dtype)[()]
        dout = scores.T
        for k in range(n, 0, -1):
            below = inputs[k - 1]
            np.dot(below.T, dout, out=self.grads[f"W{k}"])
            np.add.reduce(dout, axis=0, out=self.grads[f"b{k}"])
            if k > 1:
                dbelow = self.douts[k - 2][:N]
                np.dot(dout, params[f"W{k}"].T, out=dbelow)
                dout = np.multiply(dbelow, below > 0, out=dbelow)
        for name, param in params.items():
            if reg and (decay_bias or name.startswith("W")):
                extra, dextra = PENALTIES[penalty](param, reg)
                value = value + extra
                self.grads[name] += dextra["W"]
        return value, self.grads

    def scores(self, params: Params, X: Array) -> Array:
        """Class scores (N, C) of X, as a call computes them on its way."""
        return self._forward(params, X)[1].T

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that are kept from call to call."""
        return sum(a.nbytes for a in (*self.grads.values(), *self.outs, *self.douts))

    def _forward(self, params: Params, X: Array) -> tuple[list[Array], Array]:
        """What enters each affine layer, and the scores, transposed (C, N)."""
        self._fit(params, X)
        n, inputs = len(params) // 2, [np.asarray(X, self.dtype)]
        for k in range(1, n):
            out = self.outs[k - 1][: len(X)]
            np.dot(inputs[-1], params[f"W{k}"], out=out)
            out += params[f"b{k}"]
            inputs.append(np.maximum(out, 0, out=out))
        scores = np.dot(params[f"W{n}"].T, inputs[-1].T)
        scores += params[f"b{n}"][:, None]
        return inputs, scores

    def _fit(self, params: Params, X: Array) -> None:
        """Make the buffers if these are other widths than last time, or more rows."""
        widths = (X.shape[1], *(len(params[f"b{k}"]) for k in range(1, len(params) // 2 + 1)))
        if widths == self.widths and len(X) <= self.rows:
            return
        self.widths, self.rows = widths, len(X)
        self.grads = {name: np.empty(p.shape, self.dtype) for name, p in params.items()}
        self.outs, self.douts = ([np.empty((len(X), H), self.dtype) for H in widths[1:-1]] for _ in range(2))
