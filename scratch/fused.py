"""The linear objectives of scratch.linear in their fast form: the same numbers up to rounding, in less time.

X is read from far memory once instead of twice. Chunks of it, small enough for a cache, pass through scores, loss
and gradient before the next one comes. Each trick stands in the function that needs it:

- Nothing large is allocated; buffers stay from call to call. Rows are gathered, widened and centred a chunk at a
  time (_fetch), and where there is nothing to do X itself is read.
- The gradient is (C, n) · (n, D), which BLAS multiplies faster than (D, n) · (n, C); its kernels take classes by
  four, and are faster with twelve than with ten (_scores, _add_gradient).
- Scores lie transposed, (C, n), so that reductions over classes run along whole rows (_softmax, _hinge).
- 1/N is folded into the softmax's normaliser (_softmax).

scratch.fused_tiled has the products in yet another form, for one kind of processor.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratch.arrays import Array, Grads, Params, check_labels
from scratch.linear import PENALTIES

CHUNK = 3_200_000  # bytes: smaller ones stay nearer, but then the gradient is added up more often
LANES = 16  # rows of a chunk come in multiples of this


def softmax_objective(
    params: Params, X: Array, y: Array, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> tuple[Array, Grads]:
    """Softmax loss of X · W + b plus penalty(W, reg): the fast form of scratch.linear.softmax_objective.

    Arguments, result and errors are those of scratch.linear. Buffers are made for this one call, so that small
    batches gain nothing: for speed keep a Linear from call to call.
    """
    return _once("softmax", params, X, y, reg, penalty, decay_bias)


def svm_objective(
    params: Params, X: Array, y: Array, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> tuple[Array, Grads]:
    """Hinge loss (margin 1) of X · W + b plus penalty(W, reg); otherwise as softmax_objective."""
    return _once("hinge", params, X, y, reg, penalty, decay_bias)


def _once(
    loss: str, params: Params, X: Array, y: Array, reg: float, penalty: str, decay_bias: bool
) -> tuple[Array, Grads]:
    D, C = params["W"].shape
    dtype = np.result_type(X, params["W"], params["b"])
    return Linear(loss, D, C, dtype)(params, X, y, reg, penalty, decay_bias)


class Linear:
    """A linear objective that remembers its buffers, for calls with many batches of one width D.

    loss is "softmax" or "hinge"; dtype float32 or float64. mean (D,) is subtracted from every row of X, which may
    then be uint8. Subtracting mean · W from the scores instead showed no gain in a training step: it is not offered.
    """

    copies = False  # whether even rows that could be read where they are go through the buffer

    def __init__(self, loss: str, D: int, C: int, dtype: DTypeLike = np.float32, *, mean: Array | None = None) -> None:
        self.loss = {"softmax": _softmax, "hinge": _hinge}[loss]
        self.D, self.C = D, C
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {self.dtype}")
        if mean is not None and mean.shape != (D,):
            raise ValueError(f"mean must have shape ({D},), not {mean.shape}")
        self.mean = None if mean is None else mean.astype(self.dtype)
        self._make_buffers()

    def _make_buffers(self) -> None:
        """Room for one chunk of rows, for the gradients, and for one chunk's share of them."""
        self.rows = max(LANES, min(256, CHUNK // (self.D * self.dtype.itemsize)) // LANES * LANES)
        self.X = np.empty((self.rows if self.mean is not None else 0, self.D), self.dtype)  # or when it is needed
        self.products = np.empty((self.rows, self.C), self.dtype)
        self.fours = -(-self.C // 4) * 4
        self.room = np.empty(self.fours * self.rows, self.dtype)
        self.dW, self.part = (np.empty((self.fours, self.D), self.dtype) for _ in range(2))
        self.db = np.empty(self.C, self.dtype)

    def __call__(
        self,
        params: Params,
        X: Array,
        y: Array,
        reg: float = 0.0,
        penalty: str = "l2",
        decay_bias: bool = False,
        rows: Array | None = None,
        out: Grads | None = None,
    ) -> tuple[Array, Grads]:
        """Value and gradients over X (N, D) and y (N,); with rows (n,), over X[rows] and y[rows].

        Gradients are written into out["W"] (D, C) and out["b"] (C,), and out is returned. Without out they
        are views of this object's buffers, which the next call overwrites. Inputs are only read.
        Raises ValueError for labels that name no class and for other shapes, IndexError for rows outside X,
        KeyError for an unknown penalty.
        """
        y = self._labels(X, y, rows)
        self._pack(params)
        N, loss = len(y), 0.0
        for start in range(0, N, self.rows):
            stop = min(start + self.rows, N)
            near = self._fetch(X, start, stop, rows)
            scores = self._scores(near)
            loss += self.loss(scores[: self.C], y[start:stop], N)
            self._add_gradient(scores, near, first=start == 0)
        grads = self._gradients()
        value: Array = np.asarray(loss / N, self.dtype)[()]
        decay = PENALTIES[penalty]
        for name in ("W", "b") if decay_bias else ("W",):
            if reg:
                extra, dextra = decay(params[name].astype(self.dtype, copy=False), reg)
                value = value + extra
                grads[name] += dextra["W"]
        if out is None:
            return value, grads
        for name, grad in grads.items():
            np.copyto(out[name], grad)
        return value, out

    def scores(self, params: Params, X: Array) -> Array:
        """Class scores (N, C) of X, as a call computes them on its way."""
        self._pack(params)
        out = np.empty((len(X), self.C), self.dtype)
        for start in range(0, len(X), self.rows):
            near = self._fetch(X, start, min(start + self.rows, len(X)), None)
            out[start : start + len(near)] = self._scores(near)[: self.C].T
        return out

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that are kept from call to call."""
        return sum(a.nbytes for a in (self.X, self.products, self.room, self.dW, self.part, self.db))

    def _labels(self, X: Array, y: Array, rows: Array | None) -> Array:
        """Check that the arguments fit together and return the labels of the rows asked for."""
        if X.ndim != 2 or X.shape[1] != self.D:
            raise ValueError(f"X must be (N, {self.D}), not {X.shape}")
        if rows is not None and rows.size and (rows.min() < 0 or rows.max() >= len(X)):  # _fetch clips in silence
            raise IndexError(f"rows must lie in 0 … {len(X) - 1}, not {rows.min()} … {rows.max()}")
        y = y if rows is None else y[rows]
        N = len(X) if rows is None else len(rows)
        # two reductions find that all is well; what is wrong with other labels, check_labels says
        if not (N and y.shape == (N,) and y.dtype.kind in "iu" and y.min() >= 0 and y.max() < self.C):
            check_labels(np.broadcast_to(self.dtype.type(0), (N, self.C)), y)
        return y

    def _pack(self, params: Params) -> None:
        """Take the parameters, W in rows whatever its layout: another one would round otherwise."""
        self._check_shapes(params)
        self.W, self.b = (np.ascontiguousarray(params[name], self.dtype) for name in ("W", "b"))

    def _check_shapes(self, params: Params) -> None:
        shapes = params["W"].shape, params["b"].shape
        if shapes != ((self.D, self.C), (self.C,)):
            raise ValueError(f"W, b must be ({self.D}, {self.C}), ({self.C},), not {shapes[0]}, {shapes[1]}")

    def _fetch(self, X: Array, start: int, stop: int, rows: Array | None) -> Array:
        """Rows start … stop: gathered, widened and centred in the buffer, or of X itself where that is the same."""
        usable = X.dtype == self.dtype and X.flags.c_contiguous and not self.copies
        if usable and rows is None and self.mean is None:
            return X[start:stop]
        if not len(self.X):
            self.X = np.empty((self.rows, self.D), self.dtype)
        # mode="clip" spares take() a copy; the rows were checked before
        chunk = X[start:stop] if rows is None else np.take(X, rows[start:stop], axis=0, mode="clip")
        near = self.X[: stop - start, : self.D]
        np.copyto(near, chunk)
        if self.mean is not None:
            near -= self.mean
        return near

    def _scores(self, near: Array) -> Array:
        """Scores (C, n) of a chunk (n, D), and below them rows of zeros, up to a multiple of four."""
        n = len(near)
        products = np.dot(near, self.W, out=self.products[:n])
        scores: Array = self.room[: self.fours * n].reshape(self.fours, n)
        np.add(products.T, self.b[:, None], out=scores[: self.C])
        scores[self.C :] = 0
        return scores

    def _add_gradient(self, dscores: Array, near: Array, first: bool) -> None:
        """Add dscores, in the form of _scores, times near (n, D) to the gradient while the chunk is still near."""
        np.dot(dscores, near, out=self.dW if first else self.part)
        if first:
            np.add.reduce(dscores[: self.C], axis=1, out=self.db)
        else:
            self.dW += self.part
            self.db += np.add.reduce(dscores[: self.C], axis=1)

    def _gradients(self) -> Grads:
        return {"W": self.dW[: self.C].T, "b": self.db}


def _softmax(scores: Array, y: Array, N: int) -> float:
    """Turn scores (C, n) into dscores (p − onehot) / N, in place, and return the sum of the n losses."""
    n = len(y)
    flat, true = scores.reshape(-1), y.astype(np.intp) * n + np.arange(n)
    scores -= np.maximum.reduce(scores, axis=0)
    losses = -flat[true]
    np.exp(scores, out=scores)
    total = np.add.reduce(scores, axis=0)
    losses += np.log(total)
    share = scores.dtype.type(1 / N)
    scores *= share / total
    flat[true] -= share
    return float(losses.sum(dtype=np.float64))


def _hinge(scores: Array, y: Array, N: int) -> float:
    """Turn scores (C, n) into dscores of the hinge loss, in place, and return the sum of the n losses.

    The true class is not masked: it violates the margin by exactly 1, which is taken off again at the end.
    """
    n = len(y)
    flat, true = scores.reshape(-1), y.astype(np.intp) * n + np.arange(n)
    scores -= flat[true]
    scores += 1
    np.maximum(scores, 0, out=scores)
    loss = float(scores.sum(dtype=np.float64)) - n
    np.sign(scores, out=scores)  # 1 for each violation, the true class included
    flat[true] -= np.add.reduce(scores, axis=0)
    scores /= N
    return loss
