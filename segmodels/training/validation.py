"""Losses and confusion of a model over whole pictures, added up where the logits are.

Conventions: rows of the confusion are true classes, columns predicted ones; logits are resized to
the original size before anything is measured. Nothing is copied from the device per image; the
callers read the totals once.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.config.schema import Loss, Normalize
from segmodels.data.loading import WholeImages
from segmodels.models.network import forward, label_map, strip_height
from segmodels.training import losses


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
    """Class sums and confusion of "out"; the model is left in eval mode.

    Args:
        batches: from `segmodels.data.loading.whole_images`, with targets.
        loss: what is summed up, see `losses.quantities`.
    Returns:
        sums (R, C) float64, see `losses.class_sums`, and confusion (C, C) int64, both on the
        device.
    Raises:
        IndexError: a label is out of range, see `losses.class_sums`.
    """
    model.eval()
    rows = len(losses.quantities(loss))
    sums = torch.zeros(rows, num_classes, dtype=torch.float64, device=device)
    counts = torch.zeros(256, 256, dtype=torch.int64, device=device)
    for _, image, target, original_size in batches:
        assert target is not None
        seen = image.to(device, non_blocking=True)
        logits = forward(model, seen, normalization=normalization, precision=precision)["out"]
        if logits.shape[-2:] != original_size:
            logits = F.interpolate(
                logits.float(), original_size, mode="bilinear", align_corners=False
            )
        for strip, labels in strips(logits, target.to(device, non_blocking=True)):
            sums += losses.class_sums(strip, labels, loss, ignore_index=ignore_index)
            counts += count_pairs(labels, label_map(strip))
    return sums, counts[:num_classes, :num_classes].contiguous()


def count_pairs(target: Tensor, prediction: Tensor) -> Tensor:
    """Count pixels by true and predicted label; `confusion.confusion_matrix` on any device.

    Args:
        target: (...) uint8.
        prediction: (...) uint8, same size.
    Returns:
        (256, 256) int64 on their device; entry [t, p] counts pixels of label t predicted as p.
    """
    pairs = target.flatten().int() * 256 + prediction.flatten()
    return torch.bincount(pairs, minlength=256 * 256).view(256, 256)


def strips(logits: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (N, C, h, W) float32 and target (N, h, W), which on a CPU fit into its cache."""
    rows = strip_height(logits)
    for strip, labels in zip(logits.split(rows, 2), target.split(rows, 1), strict=True):
        yield strip.to(torch.float32, memory_format=torch.contiguous_format), labels
