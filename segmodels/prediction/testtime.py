"""Ways to get a picture's logits other than one pass of the model over all of it.

Conventions: a network maps pictures (N, 3, h, w) to logits (N, C, h, w). Where several passes see
a pixel (scales, the mirrored picture, windows), their softmax probabilities are averaged, as the
released code of PSPNet (arXiv 1612.01105) and DeepLab v3+ (arXiv 1802.02611) does; what is
returned are logits whose softmax is that mean. One pass alone returns its logits untouched, so
that a variant which has nothing to do changes no bit.

Overlap-tile is that of Ronneberger, Fischer, Brox, arXiv 1505.04597, figure 2: every tile is seen
with the margin that a network of valid convolutions consumes, so that the stitched logits are
those of one pass, whatever the picture's size, in the memory of one tile.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from itertools import chain, product
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.data.transforms import resize_image, seen_size
from segmodels.prediction import crf
from segmodels.prediction.inference import autocast, normalize
from segmodels.sections import Normalize, Predict

Network = Callable[[Tensor], Tensor]


@runtime_checkable
class Valid(Protocol):
    """A model of valid convolutions: what overlap-tile has to know of it."""

    margin: int  # pixels that `valid` loses at each side
    grid: int  # pixels by which tiles may be shifted

    def extend(self, image: Tensor) -> Tensor:
        """A picture (N, 3, H, W) with what is taken to lie around it."""

    def valid(self, extended: Tensor) -> Tensor:
        """Its logits, `margin` smaller at each side."""


def network(
    model: nn.Module,
    *,
    normalization: Normalize,
    device: torch.device,
    precision: str,
    tile: int | None,
) -> Network:
    """A model as a function of pictures; the model is put into eval mode.

    Args:
        tile: height and width in pixels of a tile's logits; None: each picture as a whole.
    Returns:
        function of (N, 3, h, w) uint8 that gives logits (N, C, h, w) float32 on the device. It
        raises ValueError if there is a tile and the model is not of valid convolutions.
    """
    model.eval()

    @torch.inference_mode()
    def logits(image: Tensor) -> Tensor:
        normal = normalize(image.to(device), normalization)
        with autocast(device, precision):
            out: Tensor = model(normal)["out"] if tile is None else _tiled(model, normal, tile)
        return out.float()

    return logits


def scores(
    network: Network,
    batches: Iterable[tuple[list[str], Tensor, *tuple[object, ...]]],
    choices: Predict,
) -> Iterator[tuple[str, Tensor]]:
    """What every picture's label map is the argmax of, under all the choices of `predict`.

    Args:
        batches: from `segmodels.data.loading.whole_images`, as stored.
    Yields:
        image id and logits (C, H, W) float32 on the network's device; with a CRF, its marginals.
    """
    if choices.window:
        network = partial(sliding_window, network, **choices.window.model_dump())
    for image_ids, image, *_ in batches:
        logits = multi_scale(
            network, image, long_side=choices.long_side, scales=choices.scales, flip=choices.flip
        )
        for image_id, picture, score in zip(image_ids, image, logits, strict=True):
            if choices.crf:
                score = crf.refine(score, picture, **choices.crf.model_dump())
            yield image_id, score


def multi_scale(
    network: Network, image: Tensor, *, long_side: int | None, scales: Sequence[float], flip: bool
) -> Tensor:
    """Logits of pictures seen at several sizes, and each time mirrored too if `flip`.

    Args:
        image: (N, 3, H, W) uint8, on the CPU.
        long_side: in pixels, at scale 1; None: as it is.
        scales: factors on it; no side is seen at less than 32 pixels.
    Returns:
        (N, C, H, W); each pass is resized bilinearly (align_corners=False) before the mean.
    """
    height, width = image.shape[-2:]
    sides = [round(scale * (long_side or max(height, width))) for scale in scales]
    seen = (_resized(image, seen_size(height, width, side)) for side in sides)
    passes = (_passes(network, view, flip) for view in seen)
    logits = (_fitted(each, (height, width)) for each in chain.from_iterable(passes))
    if len(sides) == 1 and not flip:
        return next(logits)
    return _log(reduce(torch.add, (each.softmax(1) for each in logits)))


def sliding_window(network: Network, image: Tensor, *, side: int, stride: int) -> Tensor:
    """Logits of pictures seen through overlapping square windows, the last ones at the border.

    Args:
        image: (N, 3, H, W).
        side: of a window in pixels; a picture's side that is smaller is taken whole.
        stride: pixels from one window to the next, 1..side.
    Returns:
        (N, C, H, W).
    """
    height, width = image.shape[-2:]
    if max(height, width) <= side:
        return network(image)
    total = torch.zeros(())
    for top, left in product(_starts(height, side, stride), _starts(width, side, stride)):
        seen = network(image[..., top : top + side, left : left + side]).softmax(1)
        below, right = height - top - seen.shape[-2], width - left - seen.shape[-1]
        total = total + F.pad(seen, (left, right, top, below))
    return _log(total)


@torch.inference_mode()
def overlap_tile(
    network: Callable[[Tensor], Tensor], extended: Tensor, *, margin: int, tile: int, grid: int
) -> Tensor:
    """Logits of a picture, tile by tile.

    Args:
        network: (N, 3, h + 2 margin, w + 2 margin) -> logits (N, C, h, w).
        extended: (N, 3, H + 2 margin, W + 2 margin), a picture and what is taken to lie around it.
        margin: pixels that the network loses at each side.
        tile: height and width of a tile's logits; a side that is smaller is taken whole.
        grid: pixels by which tiles may be shifted: the product of the network's strides.
    Returns:
        (N, C, H, W), equal to network(extended).
    Raises:
        ValueError: tiles of this size do not fit the grid.
    """
    height, width = (size - 2 * margin for size in extended.shape[-2:])
    side = tile + 2 * margin
    rows = []
    for top, below in _tiles(height, tile, grid):
        parts = [
            network(extended[..., top : top + side, left : left + side])[..., :below, :right]
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


def _tiled(model: nn.Module, image: Tensor, tile: int) -> Tensor:
    """Logits (N, C, H, W) of normalised pictures (N, 3, H, W), by overlap-tile."""
    if not isinstance(model, Valid):
        raise ValueError(
            f"predict.tile = {tile}: expected null, since {type(model).__name__} pads its "
            "convolutions and its tiles would not join; overlap-tile is for unet_valid"
        )
    height, width = image.shape[-2:]
    extended = model.extend(image)
    logits = overlap_tile(model.valid, extended, margin=model.margin, tile=tile, grid=model.grid)
    return logits[..., :height, :width]


def _passes(network: Network, image: Tensor, flip: bool) -> Iterator[Tensor]:
    yield network(image)
    if flip:
        yield network(image.flip(-1)).flip(-1)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 3, H, W) uint8 as training and validation resize it: by PIL, averaging."""
    if image.shape[-2:] == size:
        return image
    pictures = [resize_image(picture.permute(1, 2, 0).numpy(), size) for picture in image]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _fitted(logits: Tensor, size: tuple[int, int]) -> Tensor:
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _log(total: Tensor) -> Tensor:
    """Logits of probabilities whose sum is anything; finite, since they may be resized later."""
    return total.clamp_min(torch.finfo(total.dtype).tiny).log()


def _starts(size: int, side: int, stride: int) -> list[int]:
    """Where windows begin; the last one ends with the picture."""
    return [*range(0, size - side, stride), size - side] if size > side else [0]
