"""The only crossing between NumPy and torch. On the CPU both see the same memory: nothing is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from compare.records import Refusal

if TYPE_CHECKING:
    from compare.records import Array


def to_tensor(array: Array, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> torch.Tensor:
    """Array as tensor, sharing memory on the CPU unless dtype changes; integers become int64, as torch's labels."""
    writable = array if array.flags.writeable else array.copy()
    tensor = torch.from_numpy(np.ascontiguousarray(writable) if writable.ndim else np.array(writable))
    if not tensor.dtype.is_floating_point:
        return tensor.to(device, torch.int64)
    return tensor.to(device, dtype or tensor.dtype)


def to_array(tensor: torch.Tensor) -> Array:
    """Tensor as array, sharing memory where it lies on the CPU; cut off from autograd."""
    return tensor.numpy(force=True)


def device_named(name: str) -> torch.device:
    """The device of --device. Raises Refusal for one that is not there or is no device."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise Refusal(f"--device {name}: no such device; use cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise Refusal(f"--device {name}: gradtwin computes on cpu or cuda")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise Refusal(f"--device {name}: torch {torch.__version__} sees {count} CUDA devices here; use cpu")
    return device
