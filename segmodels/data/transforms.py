"""Sizes at which models take images, and resizing to them."""

import numpy as np
import torch
import torch.nn.functional as F

SMALLEST = 32  # pixels; every model takes this height and width


def resized_size(height: int, width: int, long_side: int | None) -> tuple[int, int]:
    """(height, width) in pixels with the given long side and the same shape; None: as it is."""
    if long_side is None:
        return height, width
    factor = long_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


def seen_size(height: int, width: int, long_side: int | None) -> tuple[int, int]:
    """(height, width) in pixels at which a model takes a whole image: as `resized_size`, >= 32.

    A side that would be shorter is enlarged to 32 pixels; only then the shape changes.
    """
    height, width = resized_size(height, width, long_side)
    return max(height, SMALLEST), max(width, SMALLEST)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to size = (height, width), bilinear, averaging when it shrinks."""
    if image.shape[:2] == size:
        return image
    # A copy, since images are read-only; with the axis of one, torch takes it for channels-last
    # and uses the kernel for bytes, which is several times as fast as PIL's.
    pixels = torch.from_numpy(image[None].copy()).permute(0, 3, 1, 2)  # (1, 3, H, W)
    resized = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def resize_target(target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W) to size = (height, width): each label is the one under its pixel's centre."""
    rows = _centres(target.shape[0], size[0])
    columns = _centres(target.shape[1], size[1])
    return target[rows][:, columns]


def _centres(side: int, resized: int) -> np.ndarray:
    """Along one axis, the pixels under the centres of the resized ones."""
    return (2 * np.arange(resized) + 1) * side // (2 * resized)
