"""What training and prediction share: how a picture enters a model, and a label map leaves it.

Conventions: images arrive as uint8 and are normalised on the device; logits are resized
bilinearly (align_corners=False) to the original size before the argmax, never the label map.
"""

import torch
from torch import Tensor

from segmodels.sections import Normalize


def normalize(image: Tensor, normalization: Normalize) -> Tensor:
    """(N, 3, H, W) uint8 -> float32, channels-last: 0..1, less the mean, over the deviation."""
    n, _, height, width = image.shape
    # Whole rows: broadcasting over an innermost axis of three is several times slower on a CPU.
    rows = image.permute(0, 2, 3, 1).float().reshape(n, height, 3 * width)
    # torch.tensor(..., device=) would make the program wait until the GPU has done all before it.
    shift, spread = (
        (torch.tensor(values) * 255).to(image.device, non_blocking=True).repeat(width)
        for values in (normalization.mean, normalization.std)
    )
    return rows.sub_(shift).div_(spread).view(n, height, width, 3).permute(0, 3, 1, 2)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a model computes in `precision`: fp32, bf16 or fp16."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def label_map(logits: Tensor) -> Tensor:
    """(C, H, W) logits -> (H, W) uint8 label of the largest; the first of equals."""
    return logits.max(0).indices.to(torch.uint8)
