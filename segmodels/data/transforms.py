"""Joint augmentation of an image and its target: random scale, flip, and crop.

Only the window that survives the crop is ever resized: scaling a whole photograph by up to two to
keep a quarter of it costs several times the work and gives the same pixels but for the window's
edge. Random numbers come from the caller, so a sample depends on nothing but its seed.
"""

import numpy as np
from PIL import Image


def resized_size(height: int, width: int, long_side: int | None) -> tuple[int, int]:
    """(height, width) in pixels with the given long side and the same shape; None: as it is."""
    if long_side is None:
        return height, width
    factor = long_side / max(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))


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

    window = (max(left, 0), max(top, 0), min(left + crop_size, width), min(top + crop_size, height))
    crop = np.full((crop_size, crop_size, 3), fill, dtype=np.uint8)
    labels = np.full((crop_size, crop_size), ignore_index, dtype=np.uint8)
    inside = np.s_[window[1] - top : window[3] - top, window[0] - left : window[2] - left]
    crop[inside] = _resized_window(image, (height, width), window, Image.Resampling.BILINEAR)
    labels[inside] = _resized_window(target, (height, width), window, Image.Resampling.NEAREST)
    if mirrored:
        crop, labels = crop[:, ::-1], labels[:, ::-1]
    return np.ascontiguousarray(crop), np.ascontiguousarray(labels)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to size = (height, width), bilinear, averaging when it shrinks."""
    if image.shape[:2] == size:
        return image
    return _resized_window(image, size, (0, 0, size[1], size[0]), Image.Resampling.BILINEAR)


def _offset(rng: np.random.Generator, side: int, crop_size: int) -> int:
    """First row or column of the crop; negative where the picture is the smaller one."""
    low, high = sorted((0, side - crop_size))
    return int(rng.integers(low, high + 1))


def _resized_window(
    array: np.ndarray,
    size: tuple[int, int],
    window: tuple[int, int, int, int],
    resampling: Image.Resampling,
) -> np.ndarray:
    """The window (left, top, right, bottom) of `array` resized to size = (height, width)."""
    down, across = array.shape[0] / size[0], array.shape[1] / size[1]
    left, top, right, bottom = window
    box = (
        left * across,
        top * down,
        min(right * across, array.shape[1]),
        min(bottom * down, array.shape[0]),
    )
    resized = Image.fromarray(array).resize((right - left, bottom - top), resampling, box=box)
    return np.asarray(resized)
