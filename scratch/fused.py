"""The linear objectives of scratch.linear in their fast form: the same numbers up to rounding, in less time.

X is read from far memory once instead of twice. Chunks of it, small enough for the core's own cache, pass
through scores, loss and gradient before the next one comes. Each trick stands in the function that needs it:

- A chunk is copied into an aligned buffer (_fetch). A vector load that straddles two cache lines costs two;
  rows of 3,073 floats straddle nearly always. The copy costs less than it saves, and on the way it can gather
  shuffled rows, widen bytes and subtract the mean.
- The buffer has spare columns. The first holds 1, and its weights are b: the bias costs nothing (_pack).
- Scores lie transposed, (C, n), so that reductions over classes run along whole rows (_softmax, _hinge).
- 1/N is folded into the softmax's normaliser (_softmax).
- OpenBLAS packs the operands of a product unless M·N·K <= 1e6; for ten classes packing costs more than the
  product. Tiles of columns stay under that bound (_tiles). It pays on OpenBLAS's SkylakeX cores alone.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratch.arrays import Array, Grads, Params, check_labels
from scratch.linear import PENALTIES

UNPACKED = 1_000_000  # OpenBLAS multiplies without packing up to this M·N·K
NEAR = 800_000  # bytes of a chunk: two thirds of the second-level cache of a current server core
LANES = 16  # columns come in multiples of this: 64 bytes of float32, a cache line and a vector
FEW_CLASSES = 32  # with more classes than this packing is worth its price


def softmax_objective(
    params: Params, X: Array, y: Array, reg: float = 0.0, penalty: str = "l2", decay_bias: bool = False
) -> tuple[Array, Grads]:
    """Softmax loss of X · W + b plus penalty(W, reg): the fast form of scratch.linear.softmax_objective.

    Arguments, result and errors are those of scratch.linear. Buffers are made for this one call and nothing is
    tiled, so that small batches gain nothing: for speed keep a Linear from call to call.
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

    loss is "softmax" or "hinge"; dtype float32 or float64. tiled chooses the products for OpenBLAS's SkylakeX
    cores; elsewhere leave it False. mean (D,) is subtracted from every row of X, which may then be uint8.
    Subtracting mean · W from the scores instead showed no gain in a training step: it is not offered.
    """

    def __init__(
        self,
        loss: str,
        D: int,
        C: int,
        dtype: DTypeLike = np.float32,
        *,
        tiled: bool = False,
        mean: Array | None = None,
    ) -> None:
        self.loss = {"softmax": _softmax, "hinge": _hinge}[loss]
        self.D, self.C = D, C
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, not {self.dtype}")
        if mean is not None and mean.shape != (D,):
            raise ValueError(f"mean must have shape ({D},), not {mean.shape}")
        self.mean = None if mean is None else mean.astype(self.dtype)
        self.rows, tiles, width = _tiles(D + 1, C, self.dtype.itemsize, tiled)
        size = tiles * width
        self.X = _aligned((self.rows, size), self.dtype)
        self.W = _aligned((C, size), self.dtype)
        self.dW = _aligned((C, size), self.dtype)
        self.X[:, D] = 1
        # the same memory seen as (tiles, rows or classes, columns of a tile)
        self.X_tiles, self.W_tiles, self.dW_tiles = (
            a.reshape(len(a), tiles, width).transpose(1, 0, 2) for a in (self.X, self.W, self.dW)
        )
        self.part = _aligned((tiles, C, width), self.dtype)  # one chunk's share of dW

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
            n = self._fetch(X, start, stop, rows)
            scores = self._scores(n)
            loss += self.loss(scores, y[start:stop], N)
            self._add_gradient(scores, n, first=start == 0)
        grads = {"W": self.dW[:, : self.D].T, "b": self.dW[:, self.D]}
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
        parts = [self._scores(self._fetch(X, k, min(k + self.rows, len(X)), None)) for k in range(0, len(X), self.rows)]
        return np.concatenate(parts, axis=1).T

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that are kept from call to call."""
        return sum(a.nbytes for a in (self.X, self.W, self.dW, self.part))

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
            check_labels(np.broadcast_to(self.X[0, 0], (N, self.C)), y)
        return y

    def _pack(self, params: Params) -> None:
        """Lay W out transposed, (C, D), and put b where it meets X's column of ones."""
        W, b = params["W"], params["b"]
        if W.shape != (self.D, self.C) or b.shape != (self.C,):
            raise ValueError(f"W, b must be ({self.D}, {self.C}), ({self.C},), not {W.shape}, {b.shape}")
        np.copyto(self.W[:, : self.D], W.T)
        self.W[:, self.D] = b

    def _fetch(self, X: Array, start: int, stop: int, rows: Array | None) -> int:
        """Copy a chunk of X into the aligned buffer, gathered, widened and centred; return how many rows."""
        n = stop - start
        chunk = X[start:stop]
        if rows is not None:
            # mode="clip" spares take() a copy; the rows were checked before
            chunk = np.take(X, rows[start:stop], axis=0, mode="clip")
        near = self.X[:n, : self.D]
        np.copyto(near, chunk)
        if self.mean is not None:
            near -= self.mean
        return n

    def _scores(self, n: int) -> Array:
        """Scores (C, n) of the first n rows of the buffer, the sum of the tiles' products."""
        products = np.matmul(self.X_tiles[:, :n], self.W_tiles.transpose(0, 2, 1))
        scores = np.empty((self.C, n), self.dtype)
        np.add.reduce(products, axis=0, out=scores.T)
        return scores

    def _add_gradient(self, dscores: Array, n: int, first: bool) -> None:
        """Add dscores (C, n) · X (n, D) to the gradient while the chunk is still near."""
        np.matmul(dscores, self.X_tiles[:, :n], out=self.dW_tiles if first else self.part)
        if not first:
            self.dW_tiles += self.part


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


def _tiles(D: int, C: int, itemsize: int, tiled: bool) -> tuple[int, int, int]:
    """Rows of a chunk, number of tiles, columns of a tile, so that tiles · columns >= D."""
    rows = max(LANES, min(256, NEAR // (D * itemsize)) // LANES * LANES)
    widest = UNPACKED // (rows * C) // LANES * LANES
    tiles = -(-D // widest) if tiled and C <= FEW_CLASSES else 1
    return rows, tiles, -(-D // (tiles * LANES)) * LANES


def _aligned(shape: tuple[int, int] | tuple[int, int, int], dtype: np.dtype[Any]) -> Array:
    """Zeros that start on a cache line, as NumPy's own arrays need not."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)
