"""Losses over logits and integer targets, in torch's order (logits, target); void never counts."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy_sum(
    logits: Tensor, target: Tensor, *, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Cross-entropy summed over the pixels that are not void, and their number.

    The sum and the count are returned apart, so that means over a batch, an epoch or several
    processes all divide by the number of pixels that counted. The reduction is done here because
    CUDA's reduced 2-D NLL has no deterministic kernel.

    Args:
        logits: (N, C, H, W) float; computed in float32 or wider.
        target: (N, H, W) integer, classes 0..C-1 or ignore_index; not written to.
    Returns:
        sum in nats and number of pixels, both scalars of the logits' dtype, at least float32.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    losses = F.cross_entropy(logits, target.long(), ignore_index=ignore_index, reduction="none")
    return losses.sum(), (target != ignore_index).sum().to(losses.dtype)


def cross_entropy(logits: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """Mean cross-entropy in nats over the pixels that are not void; 0 if all are."""
    total, count = cross_entropy_sum(logits, target, ignore_index=ignore_index)
    return total / count.clamp(min=1)
