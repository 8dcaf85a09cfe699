"""What travels through scratch: array types, and the one check that every classifier's labels pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Grads = dict[str, Array]  # gradients by argument name: the vocabulary of messages, tags and plug-ins
Params = dict[str, Array]  # a model is a dict of arrays and functions over it


def check_labels(scores: Array, y: Array) -> None:
    """Refuse labels that do not name a column of scores.

    scores (N, C) float; y (N,) integer with 0 <= y < C. Raises ValueError naming the first offender.
    """
    if scores.ndim != 2 or scores.shape[0] == 0:
        raise ValueError(f"scores must be (N, C) with N >= 1, not {scores.shape}")
    N, C = scores.shape
    if y.shape != (N,) or y.dtype.kind not in "iu":
        raise ValueError(f"y must be {N} integer labels, not {y.dtype} of shape {y.shape}")
    wrong = np.flatnonzero((y < 0) | (y >= C))
    if wrong.size:
        raise ValueError(f"y[{wrong[0]}] = {y[wrong[0]]} is no class: labels run from 0 to {C - 1}")
