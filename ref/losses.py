"""Losses over class scores, means over the N examples."""

import torch.nn.functional as F
from torch import Tensor


def softmax(scores: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of the softmax probabilities: scores (N, C), y (N,) int64 labels."""
    return F.cross_entropy(scores, y)


def margins(scores: Tensor, y: Tensor, margin: float = 1.0) -> Tensor:
    """How far each class violates the margin, s_j - s_y + margin, as (N, C); column y_i holds margin itself."""
    return scores - scores.gather(1, y[:, None]) + margin


def hinge(scores: Tensor, y: Tensor, margin: float = 1.0) -> Tensor:
    """Multiclass SVM loss: a sum over the classes j ≠ y, a mean over examples.

    multi_margin_loss also divides by the number of classes. relu has derivative 0 at the kink; maximum has ½ there,
    clamp 0 or 1 by the version of torch.
    """
    violation = F.relu(margins(scores, y, margin))
    return violation.scatter(1, y[:, None], 0.0).sum() / len(y)
