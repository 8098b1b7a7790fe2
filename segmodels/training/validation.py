"""Losses and confusion of a model over whole pictures, added up where the logits are.

Conventions: rows of the counts are true classes, with void as one more row, columns predicted
ones; logits are resized to the original size before anything is measured. Nothing is copied from
the device per picture; the callers read the totals once.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.data.loading import WholeImages
from segmodels.prediction.inference import autocast, normalize
from segmodels.sections import Loss, Normalize
from segmodels.training import losses

CACHED_PIXELS = 1 << 13  # with 21 classes 0.7 MB


@torch.inference_mode()
def measure(
    model: nn.Module,
    batches: Iterable[WholeImages],
    *,
    num_classes: int,
    ignore_index: int,
    loss: Loss,
    normalization: Normalize,
    device: torch.device,
    precision: str,
) -> tuple[Tensor, Tensor]:
    """Class sums and confusion counts of "out"; the model is left in eval mode.

    Args:
        batches: from `segmodels.data.loading.whole_images`, with targets.
        loss: what is summed up, see `losses.quantities`.
    Returns:
        sums (R, C) float64, see `losses.class_sums`, and counts (C + 1, C) int64, see
        `count_pairs`, both on the device.
    Raises:
        IndexError: a label is out of range, see `losses.class_sums`.
    """
    model.eval()
    rows = len(losses.quantities(loss))
    sums = torch.zeros(rows, num_classes, dtype=torch.float64, device=device)
    counts = torch.zeros(num_classes + 1, num_classes, dtype=torch.int64, device=device)
    for _, image, target, original_size in batches:
        assert target is not None
        with autocast(device, precision):
            logits = model(normalize(image.to(device, non_blocking=True), normalization))["out"]
        if logits.shape[-2:] != original_size:
            logits = F.interpolate(
                logits.float(), original_size, mode="bilinear", align_corners=False
            )
        for strip, labels in strips(logits, target.to(device, non_blocking=True)):
            sums += losses.class_sums(strip, labels, loss, ignore_index=ignore_index)
            counts += count_pairs(labels, label_maps(strip), num_classes, ignore_index)
    return sums, counts


def count_pairs(target: Tensor, prediction: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count pixels by true and predicted class, void being a class of the truth.

    Args:
        target: (...) uint8, classes 0..C-1 or ignore_index.
        prediction: (...) uint8, classes 0..C-1, same size.
    Returns:
        (C + 1, C) int64 on their device; entry [t, p] counts pixels of class t predicted as p, the
        last row those of void. A pixel with a label out of range is counted nowhere, so the total
        tells; `losses.class_sums` refuses it.
    """
    pairs = target.flatten().int() * 256 + prediction.flatten()
    table = torch.bincount(pairs, minlength=256 * 256).view(256, 256)[:, :num_classes]
    return torch.cat([table[:num_classes], table[ignore_index, None]])


def strips(logits: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (N, C, h, W) float32 and target (N, h, W), which on a CPU fit into its cache."""
    n, _, height, width = logits.shape
    rows = max(1, CACHED_PIXELS // (n * width)) if logits.device.type == "cpu" else height
    for strip, labels in zip(logits.split(rows, 2), target.split(rows, 1), strict=True):
        yield strip.to(torch.float32, memory_format=torch.contiguous_format), labels


def label_maps(logits: Tensor) -> Tensor:
    """(N, C, H, W) logits -> (N, H, W) uint8 label of the largest; the first of equals.

    The largest gets its rank, counted from the last class, the others 0: on a CPU a tenth of the
    time of an argmax.
    """
    num_classes = logits.shape[1]
    ranks = torch.arange(num_classes, 0, -1, dtype=logits.dtype, device=logits.device)
    found = logits.clone().eq_(logits.amax(1, keepdim=True)).mul_(ranks.view(-1, 1, 1))
    return (num_classes - found.amax(1)).to(torch.uint8)
