"""Cross-entropy and soft Dice over logits and integer targets, in torch's order (logits, target).

Both are functions of four sums for each class (`class_sums`), and sums of batches add up to those
of an epoch: so an epoch's figures are those of one batch of all its pixels, in whatever order they
came. Void never counts; where every pixel is void, both losses and their gradients are 0.

Cross-entropy: mean over the pixels, each with the weight of its true class, divided by the sum of
these weights, as torch does. Dice: 1 - mean over the classes present in the target of
2 overlap / (predicted + true), the first two with probabilities (Milletari et al., arXiv
1606.04797, section 3, who square the denominator's).
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.params import Loss


class Losses(NamedTuple):
    """The loss as configured, and both parts without weights, which every training can report."""

    loss: float
    cross_entropy: float  # nats per pixel
    dice: float  # 0..1


def class_sums(logits: Tensor, target: Tensor, *, ignore_index: int, learn_dice: bool) -> Tensor:
    """Sum up for each class what the losses are made of, over the pixels that are not void.

    Without kernels that vary on CUDA, such as a reduced 2-D NLL or scattered additions.

    Args:
        logits: (N, C, H, W) float; computed in float32 or wider.
        target: (N, H, W) integer, classes 0..C-1 or ignore_index; not written to.
        learn_dice: whether overlap and predicted shall have a gradient, which costs time.
    Returns:
        (4, C) of the logits' dtype, at least float32. nats: cross-entropy of the pixels that truly
        are of the class; overlap: probability of the class at these pixels; predicted: the same at
        all pixels; true: number of these pixels.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    log_shares = F.log_softmax(logits, 1)  # (N, C, H, W)
    nats = F.nll_loss(log_shares, target.long(), ignore_index=ignore_index, reduction="none")
    shares = (log_shares if learn_dice else log_shares.detach()).exp()
    counts = (target != ignore_index)[:, None]  # (N, 1, H, W)
    classes = torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)
    is_true = (target[:, None] == classes) & counts  # (N, C, H, W)
    sums = (
        torch.where(is_true, nats[:, None], 0),
        torch.where(is_true, shares, 0),
        torch.where(counts, shares, 0),
        is_true.to(logits.dtype),
    )
    return torch.stack([values.sum((0, 2, 3)) for values in sums])


def cross_entropy(sums: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy in nats per pixel; 0 if no pixel counts.

    Args:
        sums: (4, C) from `class_sums`.
        class_weights: (C,); None: all are 1.
    """
    nats, _, _, true = sums
    if class_weights is not None:
        nats, true = nats * class_weights, true * class_weights
    total = true.sum()
    return nats.sum() / torch.where(total > 0, total, 1)


def dice(sums: Tensor) -> Tensor:
    """Soft Dice loss, 0..1, of sums (4, C): the mean over the classes present; 0 if none is."""
    _, overlap, predicted, true = sums
    present = true > 0
    losses = 1 - 2 * overlap / torch.where(present, predicted + true, 1)
    return torch.where(present, losses, 0).sum() / present.sum().clamp(min=1)


def objective(sums: Tensor, weights: Loss, class_weights: Tensor | None) -> Tensor:
    """Both parts with their weights; `class_weights` are the cross-entropy's."""
    parts = cross_entropy(sums, class_weights), dice(sums)
    return weights.cross_entropy * parts[0] + weights.dice * parts[1]


def median_frequency(pixels: np.ndarray) -> np.ndarray:
    """Class weights by which rare classes count more.

    A class's frequency is its share of the pixels of the images in which it occurs, its weight the
    median of all frequencies divided by its own. A class that never occurs has weight 1 and no part
    in the median: no training pixel is of it.

    Args:
        pixels: (images, C) number of pixels of each class, void aside.
    Returns:
        (C,) float64.
    Reference:
        Eigen and Fergus, arXiv 1411.4734, on semantic labels.
    """
    labelled = pixels.sum(1, keepdims=True)
    total = ((pixels > 0) * labelled).sum(0)
    frequency = pixels.sum(0) / np.maximum(total, 1)
    occurs = frequency > 0
    weights = np.ones(len(frequency))
    weights[occurs] = np.median(frequency[occurs]) / frequency[occurs]
    return weights
