"""Joint augmentation of an image and its target: random scale, flip, and crop.

First cut, then scaled: scaling a whole photograph by up to two to keep a quarter of it costs
several times the work. The window is of whole pixels of the picture, as in torchvision's
`resized_crop`. Random numbers come from the caller, so a sample depends on nothing but its seed.
"""

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
    """(height, width) in pixels at which a model sees a whole image: as `resized_size`, >= 32.

    A side that would be shorter is enlarged to 32 pixels; only then the shape changes.
    """
    height, width = resized_size(height, width, long_side)
    return max(height, SMALLEST), max(width, SMALLEST)


def random_crop(
    image: np.ndarray,
    target: np.ndarray,
    *,
    rng: np.random.Generator,
    crop_size: int,
    base_size: int | None,
    scale: tuple[float, float],
    flip: bool,
    ignore_index: int,
    fill: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Scale by a random factor, flip left-right every second time, and cut a random square.

    Args:
        image: (H, W, 3) uint8.
        target: (H, W) uint8, same size.
        crop_size: side of the square in pixels.
        base_size: long side in pixels to which the picture is shrunk first, or None.
        scale: smallest and largest factor on top of that, drawn uniformly.
        fill: RGB where the scaled picture is smaller than the crop; the target is void there.
    Returns:
        image (crop_size, crop_size, 3) uint8, bilinear, and target (crop_size, crop_size) uint8,
        nearest.
    """
    height, width = resized_size(target.shape[0], target.shape[1], base_size)
    factor = rng.uniform(*scale)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = (_offset(rng, side, crop_size) for side in (height, width))
    mirrored = flip and rng.random() < 0.5

    rows, y = _window(top, crop_size, height, target.shape[0])
    columns, x = _window(left, crop_size, width, target.shape[1])
    size = y.stop - y.start, x.stop - x.start
    crop = np.empty((crop_size, crop_size, 3), dtype=np.uint8)
    crop[:] = np.tile(np.array(fill, dtype=np.uint8), (crop_size, 1))  # row by row: fast
    crop[y, x] = resize_image(image[rows, columns], size)
    labels = np.full((crop_size, crop_size), ignore_index, dtype=np.uint8)
    labels[y, x] = _resize_target(target[rows, columns], size)
    if mirrored:  # 20 times as fast as a reversed copy of numpy's
        crop, labels = (torch.from_numpy(array).flip(1).numpy() for array in (crop, labels))
    return crop, labels


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to size = (height, width), bilinear, averaging when it shrinks."""
    if image.shape[:2] == size:
        return image
    # A copy, since pictures are read-only; with the axis of one, torch sees it as channels-last
    # and takes the kernel for bytes, which is several times as fast as PIL's.
    pixels = torch.from_numpy(image[None].copy()).permute(0, 3, 1, 2)  # (1, 3, H, W)
    resized = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _resize_target(target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W) to size = (height, width): each label is the one under its pixel's centre."""
    y, x = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(target.shape, size, strict=True)
    )
    return target[y][:, x]


def _window(offset: int, crop_size: int, scaled: int, side: int) -> tuple[slice, slice]:
    """Along one axis, which pixels of a picture are seen in the crop, and where in the crop.

    Args:
        offset: where the crop begins in the scaled picture.
        scaled: pixels of the scaled picture.
        side: pixels of the picture itself.
    """
    begin, end = max(offset, 0), min(offset + crop_size, scaled)
    count = min(max(1, round((end - begin) * side / scaled)), side)
    start = min(round(begin * side / scaled), side - count)
    return slice(start, start + count), slice(begin - offset, end - offset)


def _offset(rng: np.random.Generator, side: int, crop_size: int) -> int:
    """First row or column of the crop; negative where the picture is the smaller one."""
    low, high = sorted((0, side - crop_size))
    return int(rng.integers(low, high + 1))
