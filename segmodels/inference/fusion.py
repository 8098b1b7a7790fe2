"""Several passes over an image as one label map, in bounded memory.

Passes may have any size. Each is resized bilinearly (align_corners=False) to the image's size, and
the mean of their softmax probabilities decides. A single pass is resized and no more, so that a
variant which has nothing to do changes no bit.

A large image is done in bands of rows: the logits of 24 million pixels and 21 classes take 2 GB.
"""

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.models.network import label_map

LARGE = 1 << 20  # pixels from which an image is done in bands
BAND = 1 << 24  # logits of a band: 64 MiB

Size = tuple[int, int]  # height and width in pixels


def is_large(size: Size) -> bool:
    """Whether an image is done in bands."""
    return size[0] * size[1] > LARGE


def labels(passes: Iterable[Tensor], size: Size) -> Tensor:
    """Label maps of images from the logits of one or more passes.

    Args:
        passes: (N, C, h, w) float32 each.
        size: of the images.
    Returns:
        (N, H, W) uint8.
    """
    if not is_large(size):
        return label_map(fused(passes, size))
    kept = list(passes)
    n, classes = kept[0].shape[:2]
    rows = max(1, BAND // (n * classes * size[1]))
    ends = [*range(0, size[0], rows), size[0]]
    bands = []
    for top, bottom in pairwise(ends):
        band = [resized_rows(logits, top, bottom, size) for logits in kept]
        bands.append(label_map(_mean(band)))
    return torch.cat(bands, 1)


def fused(passes: Iterable[Tensor], size: Size) -> Tensor:
    """Logits whose softmax is the mean of that of the passes; of a single one its own.

    Args:
        passes: (N, C, h, w) float32 each.
    Returns:
        (N, C, H, W) float32.
    """
    return _mean(resized(logits, size) for logits in passes)


def resized(logits: Tensor, size: Size) -> Tensor:
    """(N, C, h, w) -> (N, C, H, W), bilinear."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def resized_rows(logits: Tensor, top: int, bottom: int, size: Size) -> Tensor:
    """Rows top..bottom-1 of `resized`, (N, C, bottom - top, W), up to rounding."""
    last = logits.shape[-2] - 1
    row = torch.arange(top, bottom, dtype=torch.float64, device=logits.device)
    centre = ((row + 0.5) * (last + 1) / size[0] - 0.5).clamp(0, last)
    above = centre.long()
    share = (centre - above).to(logits.dtype)[:, None]
    below = (above + 1).clamp(max=last)
    rows = torch.lerp(logits[..., above, :], logits[..., below, :], share)
    return resized(rows, (bottom - top, size[1]))


def logs(total: Tensor) -> Tensor:
    """Logits of probabilities whose sum is anything; finite, since they may be resized later."""
    return total.clamp_min(torch.finfo(total.dtype).tiny).log()


def _mean(passes: Iterable[Tensor]) -> Tensor:
    """One pass as it is; of several the logits of their mean probabilities."""
    each = iter(passes)
    total = next(each)
    alone = True
    for logits in each:
        if alone:
            total = total.softmax(1)
        total = total + logits.softmax(1)
        alone = False
    return total if alone else logs(total)
