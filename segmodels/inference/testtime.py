"""Ways to predict an image other than one pass of the model over all of it.

Conventions: a forward function maps images (N, 3, h, w) uint8 to logits (N, C, h, w); a `Network`
is one. Where several passes see a pixel (scales, the mirrored image, windows), their softmax
probabilities are averaged, as the released code of PSPNet (arXiv 1612.01105) and DeepLab v3+
(arXiv 1802.02611) does. One pass alone keeps its logits untouched, so that a variant which has
nothing to do changes no bit.

Overlap-tile is that of Ronneberger, Fischer, Brox, arXiv 1505.04597, figure 2: every tile is seen
with the margin that a network of valid convolutions consumes, so that the stitched logits are
those of one pass, whatever the image's size, in the memory of one tile.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.config.schema import CRF, Predict
from segmodels.data.transforms import resize_image, resized_size, seen_size
from segmodels.inference import crf, fusion
from segmodels.models.network import Network

Forward = Callable[[Tensor], Tensor]


@runtime_checkable
class Valid(Protocol):
    """A model of valid convolutions: what overlap-tile has to know of it."""

    margin: int  # pixels that `valid` loses at each side
    grid: int  # pixels by which tiles may be shifted

    def extend(self, image: Tensor) -> Tensor:
        """An image (N, 3, H, W) with what is taken to lie around it."""

    def valid(self, extended: Tensor) -> Tensor:
        """Its logits, `margin` smaller at each side."""


def label_maps(
    forward: Forward,
    batches: Iterable[tuple[list[str], Tensor, *tuple[object, ...]]],
    choices: Predict,
    *,
    most: int | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """The label map of every image, under all the choices of `predict`.

    Args:
        forward: a `Network`, or for tests another function of images.
        batches: image ids, images (N, 3, H, W) uint8 as stored, and whatever else, as from
            `segmodels.data.loading.whole_images`.
        most: pixels; the long side at which larger images are seen where `choices.long_side` is
            null, and at which a CRF works; None: no limit.
    Yields:
        image id and labels (H, W) uint8 on the forward function's device.
    Raises:
        ValueError: `choices.tile` does not suit the model.
    Example:
        >>> network = load(settings, "unet")
        >>> dict(label_maps(network, [(["a"], image)], settings.predict["miniature"]))
    """
    forward = chosen(forward, choices)
    for image_ids, image, *_ in batches:
        height, width = image.shape[-2:]
        at_once = 1 if fusion.is_large((height, width)) else len(image)
        ids = iter(image_ids)
        for part in image.split(at_once):
            for labels in _label_maps(forward, part, choices, most):
                yield next(ids), labels


def chosen(forward: Forward, choices: Predict) -> Forward:
    """A forward function that sees images through windows or tiles, if that is chosen."""
    if choices.window:
        return partial(sliding_window, forward, **choices.window.model_dump())
    if choices.tile:
        return tiled(forward, choices.tile)
    return forward


def multi_scale(
    forward: Forward, image: Tensor, *, long_side: int | None, scales: Sequence[float], flip: bool
) -> Tensor:
    """Logits of images seen at several sizes, and each time mirrored too if `flip`.

    Args:
        image: (N, 3, H, W) uint8, on the CPU.
        long_side: in pixels, at scale 1; None: as it is.
        scales: factors on it; no side is seen at less than 32 pixels.
    Returns:
        (N, C, H, W); each pass is resized bilinearly (align_corners=False) before the mean.
    """
    height, width = image.shape[-2:]
    each = passes(forward, image, long_side=long_side, scales=scales, flip=flip)
    return fusion.fused(each, (height, width))


def passes(
    forward: Forward, image: Tensor, *, long_side: int | None, scales: Sequence[float], flip: bool
) -> Iterator[Tensor]:
    """Logits of every pass of `multi_scale`, at the size at which it saw the images."""
    height, width = image.shape[-2:]
    for scale in scales:
        side = round(scale * (long_side or max(height, width)))
        view = _resized(image, seen_size(height, width, side))
        yield forward(view)
        if flip:
            yield forward(view.flip(-1)).flip(-1)


def sliding_window(forward: Forward, image: Tensor, *, side: int, stride: int) -> Tensor:
    """Logits of images seen through overlapping square windows, the last ones at the border.

    Args:
        image: (N, 3, H, W).
        side: of a window in pixels; an image's side that is smaller is taken whole.
        stride: pixels from one window to the next, 1..side.
    Returns:
        (N, C, H, W).
    """
    height, width = image.shape[-2:]
    if max(height, width) <= side:
        return forward(image)
    total = torch.zeros(())
    for top, left in product(_starts(height, side, stride), _starts(width, side, stride)):
        seen = forward(image[..., top : top + side, left : left + side]).softmax(1)
        below = height - top - seen.shape[-2]
        right = width - left - seen.shape[-1]
        total = total + F.pad(seen, (left, right, top, below))
    return fusion.logs(total)


def tiled(forward: Forward, tile: int) -> Forward:
    """A network of valid convolutions that sees images tile by tile.

    Args:
        tile: height and width in pixels of a tile's logits.
    Raises:
        ValueError: the model is not of valid convolutions.
    """
    model = getattr(forward, "module", None)
    if not isinstance(forward, Network) or not isinstance(model, Valid):
        raise ValueError(
            f"predict.tile = {tile}: expected null, since {type(model).__name__} pads its "
            "convolutions and its tiles would not join; overlap-tile is for unet_valid"
        )

    def stitched(normal: Tensor) -> Tensor:
        height, width = normal.shape[-2:]
        extended = model.extend(normal)
        logits = overlap_tile(
            model.valid, extended, margin=model.margin, tile=tile, grid=model.grid
        )
        return logits[..., :height, :width]

    return partial(forward, compute=stitched)


@torch.inference_mode()
def overlap_tile(
    forward: Forward, extended: Tensor, *, margin: int, tile: int, grid: int
) -> Tensor:
    """Logits of an image, tile by tile.

    Args:
        forward: (N, 3, h + 2 margin, w + 2 margin) -> logits (N, C, h, w).
        extended: (N, 3, H + 2 margin, W + 2 margin), an image and what is taken to lie around it.
        margin: pixels that the network loses at each side.
        tile: height and width of a tile's logits; a side that is smaller is taken whole.
        grid: pixels by which tiles may be shifted: the product of the network's strides.
    Returns:
        (N, C, H, W), equal to forward(extended).
    Raises:
        ValueError: tiles of this size do not fit the grid.
    """
    height, width = (size - 2 * margin for size in extended.shape[-2:])
    side = tile + 2 * margin
    rows = []
    for top, below in _tiles(height, tile, grid):
        parts = [
            forward(extended[..., top : top + side, left : left + side])[..., :below, :right]
            for left, right in _tiles(width, tile, grid)
        ]
        rows.append(torch.cat(parts, -1))
    return torch.cat(rows, -2)


def _tiles(size: int, tile: int, grid: int) -> list[tuple[int, int]]:
    """Where each tile begins, on the grid, and how much of it counts until the next one begins."""
    if size <= tile:
        return [(0, size)]
    if tile < grid or (size - tile) % grid:
        raise ValueError(
            f"tile = {tile}: expected {grid} or more, and {size} less a multiple of {grid}"
        )
    starts = [*range(0, size - tile, tile // grid * grid), size - tile]
    ends = [*starts[1:], size]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def _label_maps(
    forward: Forward, image: Tensor, choices: Predict, most: int | None
) -> Iterable[Tensor]:
    """Labels (H, W) uint8 of each image of a batch."""
    height, width = image.shape[-2:]
    return fusion.labels(all_passes(forward, image, choices, most), (height, width))


def all_passes(
    forward: Forward, image: Tensor, choices: Predict, most: int | None
) -> Iterable[Tensor]:
    """Logits (N, C, h, w) of every pass that `choices` asks for, or the CRF's marginals alone.

    Args:
        forward: from `chosen`.
        most: see `label_maps`.
    """
    height, width = image.shape[-2:]
    largest = min(most or max(height, width), max(height, width))
    each = passes(
        forward,
        image,
        long_side=choices.long_side or largest,
        scales=choices.scales,
        flip=choices.flip,
    )
    if choices.crf is None:
        return each
    at = resized_size(height, width, largest)
    return [_refined(fusion.fused(each, at), _resized(image, at), choices.crf)]


def _refined(logits: Tensor, image: Tensor, settings: CRF) -> Tensor:
    """Marginals (N, C, H, W) of the CRF; images (N, 3, H, W) uint8."""
    marginals = []
    for score, picture in zip(logits, image, strict=True):
        marginals.append(crf.refine(score, picture, **settings.model_dump()))
    return torch.stack(marginals)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 3, H, W) uint8 as training and validation resize it: averaging where it shrinks."""
    if image.shape[-2:] == size:
        return image
    images = [resize_image(each.permute(1, 2, 0).numpy(), size) for each in image]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _starts(size: int, side: int, stride: int) -> list[int]:
    """Where windows begin; the last one ends with the image."""
    return [*range(0, size - side, stride), size - side] if size > side else [0]
