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
    """(N, 3, H, W) uint8 -> float32: 0..1, less the channel's mean, over its deviation."""
    shift = torch.tensor(normalization.mean, device=image.device).view(1, 3, 1, 1) * 255
    spread = torch.tensor(normalization.std, device=image.device).view(1, 3, 1, 1) * 255
    return ((image.float() - shift) / spread).contiguous(memory_format=torch.channels_last)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a model computes in `precision`: fp32 or bf16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    batches: Iterable[tuple[list[str], Tensor, tuple[int, int]]],
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
    for image_ids, image, original_size in batches:
        with autocast(device, precision):
            logits = model(normalize(image.to(device), normalization))["out"].float()
        if logits.shape[-2:] != original_size:
            logits = F.interpolate(logits, size=original_size, mode="bilinear", align_corners=False)
        yield from zip(image_ids, logits, strict=True)


def label_map(logits: Tensor) -> Tensor:
    """(C, H, W) logits -> (H, W) uint8 label of the largest; the first of equals."""
    return logits.max(0).indices.to(torch.uint8)
