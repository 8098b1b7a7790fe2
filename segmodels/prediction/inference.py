"""From a picture to logits and a label map at its original size.

Conventions: images arrive as uint8 and are normalised on the device; logits are resized
bilinearly (align_corners=False) to the original size before the argmax, never the label map.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.params import Normalize


def normalize(image: Tensor, normalization: Normalize) -> Tensor:
    """(N, 3, H, W) uint8 -> float32, channels-last: 0..1, less the mean, over the deviation."""
    n, _, height, width = image.shape
    # Whole rows: broadcasting over an innermost axis of three is several times slower on a CPU.
    rows = image.permute(0, 2, 3, 1).float().reshape(n, height, 3 * width)
    shift, spread = (
        (torch.tensor(values, device=image.device) * 255).repeat(width)
        for values in (normalization.mean, normalization.std)
    )
    return rows.sub_(shift).div_(spread).view(n, height, width, 3).permute(0, 3, 1, 2)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a model computes in `precision`: fp32, bf16 or fp16."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    batches: Iterable[tuple[list[str], Tensor, Tensor | None, tuple[int, int]]],
    *,
    normalization: Normalize,
    device: torch.device,
    precision: str,
) -> Iterator[tuple[str, Tensor]]:
    """Logits of every picture at its original size; the model is left in eval mode.

    Args:
        batches: from `segmodels.data.loading.whole_images`.
    Yields:
        image id and logits (C, H, W) float32 on the device.
    """
    model.eval()
    for image_ids, image, _, original_size in batches:
        with autocast(device, precision):
            logits = model(normalize(image.to(device), normalization))["out"].float()
        if logits.shape[-2:] != original_size:
            logits = F.interpolate(logits, size=original_size, mode="bilinear", align_corners=False)
        yield from zip(image_ids, logits, strict=True)


def label_map(logits: Tensor) -> Tensor:
    """(C, H, W) logits -> (H, W) uint8 label of the largest; the first of equals."""
    return logits.max(0).indices.to(torch.uint8)
