"""The gates of the computational graph under scratch.graph's names, on tensors; autograd goes back."""

from typing import Any

import torch
from torch import Tensor

Number = Tensor | float


def add(a: Number, b: Number) -> Number:
    """Sum."""
    return a + b


def sub(a: Number, b: Number) -> Number:
    """Difference."""
    return a - b


def mul(a: Number, b: Number) -> Number:
    """Product, entry by entry."""
    return a * b


def div(a: Number, b: Number) -> Number:
    """Quotient."""
    return a / b


def pow(a: Number, b: Number) -> Number:
    """Power."""
    return a**b


def max(a: Number, b: Number) -> Tensor:
    """Larger of a and b; at a tie each receives half of the gradient."""
    return torch.maximum(*_tensors(a, b))


def min(a: Number, b: Number) -> Tensor:
    """Smaller of a and b; at a tie each receives half of the gradient."""
    return torch.minimum(*_tensors(a, b))


def _tensors(a: Number, b: Number) -> tuple[Tensor, Tensor]:
    like = a if isinstance(a, Tensor) else torch.as_tensor(b)
    return torch.as_tensor(a, dtype=like.dtype, device=like.device), torch.as_tensor(b, dtype=like.dtype)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product."""
    return torch.matmul(a, b)


def neg(a: Tensor) -> Tensor:
    """Negative."""
    return torch.neg(a)


def exp(a: Tensor) -> Tensor:
    """Exponential."""
    return torch.exp(a)


def log(a: Tensor) -> Tensor:
    """Natural logarithm."""
    return torch.log(a)


def sqrt(a: Tensor) -> Tensor:
    """Square root; infinite derivative at 0."""
    return torch.sqrt(a)


def abs(a: Tensor) -> Tensor:
    """Absolute value; derivative 0 at 0."""
    return torch.abs(a)


def sigmoid(a: Tensor) -> Tensor:
    """Logistic function 1 / (1 + e^-a)."""
    return torch.sigmoid(a)


def tanh(a: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(a)


def relu(a: Tensor) -> Tensor:
    """Rectifier max(0, a); derivative 0 at 0."""
    return torch.relu(a)


def sum(a: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Sum over axis, or over all."""
    return torch.sum(a, dim=axis, keepdim=keepdims)


def mean(a: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Mean over axis, or over all."""
    return torch.mean(a, dim=axis, keepdim=keepdims)


def amax(a: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Largest entry along axis, or of all; ties share the gradient evenly (max(dim) picks one)."""
    return torch.amax(a, dim=() if axis is None else axis, keepdim=keepdims)


def transpose(a: Tensor, axes: tuple[int, ...] | None = None) -> Tensor:
    """Axes in another order, or reversed."""
    return a.permute(tuple(reversed(range(a.ndim))) if axes is None else axes)


def reshape(a: Tensor, shape: int | tuple[int, ...]) -> Tensor:
    """Entries in another shape."""
    return a.reshape(shape)


def broadcast(a: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Copies of a up to shape."""
    return torch.broadcast_to(a, shape)


def index(a: Tensor, key: Any) -> Tensor:
    """Entries a[key]."""
    return a[key]
