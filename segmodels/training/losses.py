"""The losses, by name, in torch's order (logits, target).

Every loss is a function of sums over pixels, one sum for each class, and sums of batches add up to
those of an epoch. So an epoch's figures are those of one batch of all its images, in whatever order
they came. Void never counts; where every pixel is void, a loss and its gradient are 0.

To add a loss, write an entry of LOSSES and give it a weight, 0 by default, in
`segmodels.config.schema.Loss`. The training step, validation, checkpoints, history.csv, the reports
and the tests of all losses go by its name. Its own constants stand here, as FOCUS does. What it is
compared with, an outside witness, goes into tests/training/test_losses.py. In the end
`python -m tools.golden_recipes` writes the tests' recipes and `python -m tools.reference` the page
of keys anew.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.config.schema import Loss

FOCUS = 2  # gamma of the focal loss
TRUE = "true"  # among the sums of every loss, the last of them: the pixels of each class


@dataclass(frozen=True)
class Pixels:
    """What a loss can sum up, at every pixel of a batch."""

    log_probabilities: Tensor  # (N, C, H, W)
    nats: Tensor  # (N, H, W): minus the log-probability of the true class; 0 where void
    labelled: Tensor  # (N, H, W) bool: False where void


Quantity = Callable[[Pixels], Tensor]  # void is left out of its sum, whatever is there
Sums = dict[str, Tensor]  # (C,) each
Values = dict[str, float]  # "loss", as configured, then losses by name


@dataclass(frozen=True)
class SummedLoss:
    """A loss.

    Args:
        sums: what it sums up. Values (N, H, W) are added to the sum of the class that the pixel
            truly is of; values (N, C, H, W) to the sums of all classes. Losses may share a sum:
            the same name is then the same function.
        value: (its sums and "true", weights of the classes or None) -> the loss, a scalar.
        linear: whether the value is linear in `sums`, so that its gradient depends on no other
            sum than "true", which is known before the model has seen the batch.
        always: whether a training that does not learn from it reports it all the same.
    """

    sums: dict[str, Quantity]
    value: Callable[[Sums, Tensor | None], Tensor]
    linear: bool = False
    always: bool = False


def cross_entropy(sums: Sums, class_weights: Tensor | None) -> Tensor:
    """Mean over the pixels, in nats, each with the weight of its true class.

    As in torch, divided by the sum of these weights.
    """
    nats = sums["nats"]
    true = sums[TRUE]
    if class_weights is not None:
        nats = nats * class_weights
        true = true * class_weights
    return nats.sum() / _at_least_one(true.sum())


def dice(sums: Sums, class_weights: Tensor | None) -> Tensor:
    """1 - mean over the classes present in the target of 2 overlap / (predicted + true), 0..1.

    Class weights are not used.

    Reference:
        Milletari et al., arXiv 1606.04797, section 3, who square the terms of the denominator.
    """
    true = sums[TRUE]
    present = true > 0
    total = torch.where(present, sums["predicted"] + true, 1)
    by_class = torch.where(present, 1 - 2 * sums["overlap"] / total, 0)
    return by_class.sum() / present.sum().clamp(min=1)


def focal(sums: Sums, class_weights: Tensor | None) -> Tensor:
    """Mean over the pixels of (1 - p)^2 times -ln p, p being the probability of the true class.

    Without alpha, the paper's weights of classes; class weights are not used either.

    Reference:
        Lin et al., arXiv 1708.02002, section 3.2, gamma = 2. There p is a sigmoid's and the sum is
        divided by the number of anchors with an object; here p is the softmax's.
    """
    return sums["focal"].sum() / _at_least_one(sums[TRUE].sum())


def _at_least_one(total: Tensor) -> Tensor:
    """A divisor: 1 in place of 0, where no pixel counts."""
    return torch.where(total > 0, total, 1)


def _nats(pixels: Pixels) -> Tensor:
    return pixels.nats


def _probability_of_truth(pixels: Pixels) -> Tensor:
    return (-pixels.nats).exp()


def _probabilities(pixels: Pixels) -> Tensor:
    """Of all classes. On a CPU exp2 takes a third of the time of exp."""
    return (pixels.log_probabilities * math.log2(math.e)).exp2_()


def _focused_nats(pixels: Pixels) -> Tensor:
    improbability = -torch.expm1(-pixels.nats)  # 1 - p, exact where p is near 1
    return improbability**FOCUS * pixels.nats


def _labelled(pixels: Pixels) -> Tensor:
    return pixels.labelled


LOSSES = {
    "cross_entropy": SummedLoss({"nats": _nats}, cross_entropy, linear=True, always=True),
    "dice": SummedLoss(
        {"overlap": _probability_of_truth, "predicted": _probabilities}, dice, always=True
    ),
    "focal": SummedLoss({"focal": _focused_nats}, focal, linear=True),
}


def measured(weights: Loss) -> dict[str, SummedLoss]:
    """The losses that a training computes; the others cost nothing."""
    return {name: loss for name, loss in LOSSES.items() if loss.always or name in weights.learned}


def quantities(weights: Loss) -> dict[str, Quantity]:
    """What a training sums up; the rows of `class_sums`."""
    rows: dict[str, Quantity] = {}
    for loss in measured(weights).values():
        rows |= loss.sums
    rows[TRUE] = _labelled
    return rows


def linear(weights: Loss) -> bool:
    """Whether the gradient of the objective depends on no other sum than "true"."""
    return all(LOSSES[name].linear for name in weights.learned)


def class_sums(logits: Tensor, target: Tensor, weights: Loss, *, ignore_index: int) -> Tensor:
    """Sum up for each class what the losses are made of, over the pixels that are not void.

    Without kernels that vary on CUDA, such as a reduced 2-D NLL or a weighted bincount.

    Args:
        logits: (N, C, H, W) float; computed in float32 or wider, added up over rows in float64.
        target: (N, H, W) integer, classes 0..C-1 or ignore_index; not written to.
        weights: only sums of losses with a weight have a gradient, which costs time.
    Returns:
        (R, C) of the logits' dtype, at least float32: a row for each of `quantities(weights)`.
    Raises:
        IndexError: a label is out of range (on the CPU; CUDA ends the process).
    """
    num_classes = logits.shape[1]
    wide = torch.promote_types(logits.dtype, torch.float32)
    logits = logits.to(wide, memory_format=torch.contiguous_format)  # log_softmax is slow on others
    log_probabilities = F.log_softmax(logits, 1)
    nats = F.nll_loss(log_probabilities, target.long(), ignore_index=ignore_index, reduction="none")
    pixels = Pixels(log_probabilities, nats, target != ignore_index)
    bins = _bins(torch.where(pixels.labelled, target, num_classes), num_classes)
    learned = set[str]()
    for name in weights.learned:
        learned.update(LOSSES[name].sums)
    rows = []
    for name, quantity in quantities(weights).items():
        with torch.set_grad_enabled(name in learned and torch.is_grad_enabled()):
            rows.append(_by_class(quantity(pixels), pixels.labelled, bins, num_classes))
    return torch.stack(rows).to(wide)


def _bins(labels: Tensor, num_classes: int) -> Tensor:
    """Where each pixel (N, H, W) is counted: C + 1 bins for each row of an image, the last void.

    `index_add` in a fixed order is slow on CUDA where many values meet in one bin.
    """
    rows = torch.arange(labels[..., 0].numel(), device=labels.device).view(*labels.shape[:2], 1)
    return rows * (num_classes + 1) + labels


def _by_class(values: Tensor, labelled: Tensor, bins: Tensor, num_classes: int) -> Tensor:
    """Sums (C,) float64 of values (N, H, W) or (N, C, H, W), void left out."""
    if values.dim() == 4:
        return (values * labelled[:, None].to(values.dtype)).sum((2, 3)).double().sum(0)
    rows = bins[..., 0].numel()
    sums = torch.zeros(rows * (num_classes + 1), dtype=torch.float64, device=values.device)
    sums = sums.index_add(0, bins.flatten(), values.flatten().double())
    return sums.view(rows, num_classes + 1).sum(0)[:num_classes]


def objective(sums: Tensor, weights: Loss, class_weights: Tensor | None) -> Tensor:
    """The losses of sums (R, C) from `class_sums`, each times its weight, added up.

    Args:
        class_weights: (C,); None: all are 1.
    """
    named = _named(sums, weights)
    total = sums.new_zeros(())
    for name, weight in weights.learned.items():
        total = total + weight * LOSSES[name].value(named, class_weights)
    return total


def values(sums: Tensor, weights: Loss, class_weights: Tensor | None) -> Values:
    """Figures of sums (R, C): the objective as "loss", and each loss that is measured by its name.

    The latter are without weights of losses and classes, so that trainings can be compared.
    """
    named = _named(sums, weights)
    figures = {"loss": objective(sums, weights, class_weights)}
    for name, loss in measured(weights).items():
        figures[name] = loss.value(named, None)
    at_once = torch.stack(list(figures.values())).tolist()  # one transfer from the device
    return dict(zip(figures, at_once, strict=True))


def _named(sums: Tensor, weights: Loss) -> Sums:
    return dict(zip(quantities(weights), sums, strict=True))


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


def sqrt_median_frequency(pixels: np.ndarray) -> np.ndarray:
    """The square roots of `median_frequency`: rare classes count more, but not so much more."""
    return np.sqrt(median_frequency(pixels))


CLASS_WEIGHTS = {  # by their names in params.yaml
    "sqrt_median_frequency": sqrt_median_frequency,
    "median_frequency": median_frequency,
}
