"""scratch.fused with its products in tiles: faster on OpenBLAS's SkylakeX cores (AVX-512), slower on all others.

- OpenBLAS packs the operands of a product unless M·N·K <= 1e6; for ten classes packing costs more than the
  product. Tiles of columns stay under that bound (_tiles).
- Every chunk is copied into an aligned buffer. A vector load that straddles two cache lines costs two; rows of
  3,073 floats straddle nearly always, and products that pack nothing pay for it each time.
- The buffer has spare columns. The first holds 1, and its weights are b: the bias costs nothing (_pack).
"""

from typing import Any

import numpy as np

from scratch.arrays import Array, Grads, Params
from scratch.fused import LANES, Linear

UNPACKED = 1_000_000  # OpenBLAS multiplies without packing up to this M·N·K
NEAR = 800_000  # bytes of a chunk: two thirds of the second-level cache of a current server core
FEW_CLASSES = 32  # with more classes than this packing is worth its price


class Tiled(Linear):
    """A Linear that lays X, W and dW out in tiles of columns; arguments and answers are those of Linear."""

    copies = True

    def _make_buffers(self) -> None:
        """The same memory twice: as (rows or classes, columns), and as (tiles, rows or classes, columns of a tile)."""
        self.rows, tiles, width = _tiles(self.D + 1, self.C, self.dtype.itemsize)
        size = tiles * width
        self.X = _aligned((self.rows, size), self.dtype)
        self.W = _aligned((self.C, size), self.dtype)
        self.dW = _aligned((self.C, size), self.dtype)
        self.X[:, self.D] = 1
        self.X_tiles, self.W_tiles, self.dW_tiles = (
            a.reshape(len(a), tiles, width).transpose(1, 0, 2) for a in (self.X, self.W, self.dW)
        )
        self.part = _aligned((tiles, self.C, width), self.dtype)  # one chunk's share of dW

    @property
    def nbytes(self) -> int:
        """Bytes of the buffers that are kept from call to call."""
        return sum(a.nbytes for a in (self.X, self.W, self.dW, self.part))

    def _pack(self, params: Params) -> None:
        """Lay W out transposed, (C, D), and put b where it meets X's column of ones."""
        self._check_shapes(params)
        np.copyto(self.W[:, : self.D], params["W"].T)
        self.W[:, self.D] = params["b"]

    def _scores(self, near: Array) -> Array:
        """Scores (C, n), the sum of the tiles' products with the first n rows of the buffer."""
        products = np.matmul(self.X_tiles[:, : len(near)], self.W_tiles.transpose(0, 2, 1))
        scores = np.empty((self.C, len(near)), self.dtype)
        np.add.reduce(products, axis=0, out=scores.T)
        return scores

    def _add_gradient(self, dscores: Array, near: Array, first: bool) -> None:
        """As Linear's, tile by tile; the column of ones adds up db."""
        np.matmul(dscores, self.X_tiles[:, : len(near)], out=self.dW_tiles if first else self.part)
        if not first:
            self.dW_tiles += self.part

    def _gradients(self) -> Grads:
        return {"W": self.dW[:, : self.D].T, "b": self.dW[:, self.D]}


def _tiles(D: int, C: int, itemsize: int) -> tuple[int, int, int]:
    """Rows of a chunk, number of tiles, columns of a tile, so that tiles · columns >= D."""
    rows = max(LANES, min(256, NEAR // (D * itemsize)) // LANES * LANES)
    widest = UNPACKED // (rows * C) // LANES * LANES
    tiles = -(-D // widest) if C <= FEW_CLASSES else 1
    return rows, tiles, -(-D // (tiles * LANES)) * LANES


def _aligned(shape: tuple[int, int] | tuple[int, int, int], dtype: np.dtype[Any]) -> Array:
    """Zeros that start on a cache line, as NumPy's own arrays need not."""
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)
