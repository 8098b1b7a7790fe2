"""Cross-entropy and soft Dice over logits and integer targets, in torch's order (logits, target).

Both are functions of four sums for each class (`class_sums`), and sums of batches add up to those
of an epoch: so an epoch's figures are those of one batch of all its pixels, in whatever order they
came. Void never counts; where every pixel is void, both losses and their gradients are 0.

Cross-entropy: mean over the pixels, each with the weight of its true class, divided by the sum of
these weights, as torch does. Dice: 1 - mean over the classes present in the target of
2 overlap / (predicted + true), the first two with probabilities (Milletari et al., arXiv
1606.04797, section 3, who square the denominator's).
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.sections import Loss


class Losses(NamedTuple):
    """The loss as configured, and both parts without weights, which every training can report."""

    loss: float
    cross_entropy: float  # nats per pixel
    dice: float  # 0..1


def class_sums(logits: Tensor, target: Tensor, *, ignore_index: int, learn_dice: bool) -> Tensor:
    """Sum up for each class what the losses are made of, over the pixels that are not void.

    Without kernels that vary on CUDA, such as a reduced 2-D NLL or a weighted bincount.

    Args:
        logits: (N, C, H, W) float; computed in float32 or wider, added up over rows in float64.
        target: (N, H, W) integer, classes 0..C-1 or ignore_index; not written to.
        learn_dice: whether overlap and predicted shall have a gradient, which costs time.
    Returns:
        (4, C) of the logits' dtype, at least float32. nats: cross-entropy of the pixels that truly
        are of the class; overlap: probability of the class at these pixels; predicted: the same at
        all pixels; true: number of these pixels.
    Raises:
        IndexError: a label is out of range (on the CPU; CUDA ends the process).
    """
    num_classes = logits.shape[1]
    wide = torch.promote_types(logits.dtype, torch.float32)
    logits = logits.to(wide, memory_format=torch.contiguous_format)  # log_softmax is slow on others
    log_shares = F.log_softmax(logits, 1)  # (N, C, H, W)
    nats = F.nll_loss(log_shares, target.long(), ignore_index=ignore_index, reduction="none")
    counts = target != ignore_index  # (N, H, W)
    with torch.set_grad_enabled(learn_dice and torch.is_grad_enabled()):
        overlap = (-nats).exp()
        # On a CPU exp2 takes a third of the time of exp.
        shares = (log_shares * math.log2(math.e)).exp2_() * counts[:, None].to(wide)
    predicted = shares.sum((2, 3)).double().sum(0)
    bins = _bins(torch.where(counts, target, num_classes), num_classes)
    sums = [_by_class(values, bins, num_classes) for values in (nats, overlap, counts)]
    return torch.stack([*sums[:2], predicted, sums[2]]).to(wide)


def _bins(labels: Tensor, num_classes: int) -> Tensor:
    """Where each pixel (N, H, W) is counted: C + 1 bins for each row of a picture, the last void.

    `index_add` in a fixed order is slow on CUDA where many values meet in one bin.
    """
    rows = torch.arange(labels[..., 0].numel(), device=labels.device).view(*labels.shape[:2], 1)
    return rows * (num_classes + 1) + labels


def _by_class(values: Tensor, bins: Tensor, num_classes: int) -> Tensor:
    """Sums (C,) float64 of values (N, H, W), void left out."""
    rows = bins[..., 0].numel()
    sums = torch.zeros(rows * (num_classes + 1), dtype=torch.float64, device=values.device)
    sums = sums.index_add(0, bins.flatten(), values.flatten().double())
    return sums.view(rows, num_classes + 1).sum(0)[:num_classes]


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
