"""Joint augmentation of an image and its target: random scale, flip, crop, and colours.

First cut, then scaled: scaling a whole photograph by up to two to keep a quarter of it costs
several times the work. The window is of whole pixels of the image, as in torchvision's
`resized_crop`. Random numbers come from the caller, so a sample depends on nothing but its seed.

Another augmentation is a field of `RandomCrop`, a line of its `of`, without which its key does
nothing, a line of its `__call__`, whose random numbers are drawn after those that are there, and a
key of `segmodels.config.schema.Train`. In the end `python -m tools.golden_recipes` writes the
tests' recipes and `python -m tools.reference` the page of keys anew.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from PIL import Image, ImageEnhance

from segmodels.config.schema import Normalize, Train
from segmodels.data.transforms import resize_image, resize_target, resized_size

JITTERED = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)  # in this order


@dataclass(frozen=True)
class RandomCrop:
    """Scale by a random factor, flip left-right every second time, and cut a random square.

    Args:
        size: side of the square in pixels.
        base_size: long side in pixels to which the image is resized first, or None.
        scale: smallest and largest factor on top of that, drawn uniformly.
        flip: whether every second crop is mirrored.
        ignore_index: label of the target where the scaled image is smaller than the crop.
        fill: RGB of the image there, 0..255.
        color_jitter: brightness, contrast and saturation are each multiplied by a factor drawn
            uniformly from 1 - color_jitter to 1 + color_jitter, as Pillow's ImageEnhance does it.

    Example:
        >>> crop = RandomCrop(480, None, (0.5, 2.0), True, 255, (124, 116, 104))
        >>> image, target = crop(image, target, np.random.default_rng(0))
    """

    size: int
    base_size: int | None
    scale: tuple[float, float]
    flip: bool
    ignore_index: int
    fill: tuple[int, ...]
    color_jitter: float = 0

    @classmethod
    def of(cls, recipe: Train, normalize: Normalize, ignore_index: int) -> Self:
        """What a recipe asks for; padding has the mean colour."""
        return cls(
            size=recipe.crop_size,
            base_size=recipe.base_size,
            scale=recipe.scale,
            flip=recipe.flip,
            ignore_index=ignore_index,
            fill=tuple(round(255 * channel) for channel in normalize.mean),
            color_jitter=recipe.color_jitter,
        )

    def __call__(
        self, image: np.ndarray, target: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw a crop.

        Args:
            image: (H, W, 3) uint8.
            target: (H, W) uint8, same size.
        Returns:
            image (size, size, 3) uint8, bilinear, and target (size, size) uint8, nearest.
        """
        height, width = resized_size(target.shape[0], target.shape[1], self.base_size)
        factor = rng.uniform(*self.scale)
        height = max(1, round(height * factor))
        width = max(1, round(width * factor))
        top = _offset(rng, height, self.size)
        left = _offset(rng, width, self.size)
        mirrored = self.flip and rng.random() < 0.5

        rows, y = _window(top, self.size, height, target.shape[0])
        columns, x = _window(left, self.size, width, target.shape[1])
        scaled = (y.stop - y.start, x.stop - x.start)
        crop, labels = self._padding()
        crop[y, x] = self._jittered(resize_image(image[rows, columns], scaled), rng)
        labels[y, x] = resize_target(target[rows, columns], scaled)
        return (_mirror(crop), _mirror(labels)) if mirrored else (crop, labels)

    def _jittered(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An image (H, W, 3) uint8 with other colours; without jitter nothing is drawn."""
        if not self.color_jitter:
            return image
        changed = Image.fromarray(image)
        for enhance in JITTERED:
            factor = rng.uniform(1 - self.color_jitter, 1 + self.color_jitter)
            changed = enhance(changed).enhance(factor)
        return np.asarray(changed)

    def _padding(self) -> tuple[np.ndarray, np.ndarray]:
        """An image of `fill` and a target of void."""
        crop = np.empty((self.size, self.size, 3), dtype=np.uint8)
        crop[:] = np.tile(np.array(self.fill, dtype=np.uint8), (self.size, 1))  # by row: fast
        labels = np.full((self.size, self.size), self.ignore_index, dtype=np.uint8)
        return crop, labels


def _mirror(array: np.ndarray) -> np.ndarray:
    """Left-right; 20 times as fast as a reversed copy of numpy's."""
    return torch.from_numpy(array).flip(1).numpy()


def _window(offset: int, crop_size: int, scaled: int, side: int) -> tuple[slice, slice]:
    """Along one axis, which pixels of an image are in the crop, and where in the crop.

    Args:
        offset: where the crop begins in the scaled image.
        scaled: pixels of the scaled image.
        side: pixels of the image itself.
    """
    begin = max(offset, 0)
    end = min(offset + crop_size, scaled)
    count = min(max(1, round((end - begin) * side / scaled)), side)
    start = min(round(begin * side / scaled), side - count)
    return slice(start, start + count), slice(begin - offset, end - offset)


def _offset(rng: np.random.Generator, side: int, crop_size: int) -> int:
    """First row or column of the crop; negative where the image is the smaller one."""
    low, high = sorted((0, side - crop_size))
    return int(rng.integers(low, high + 1))
