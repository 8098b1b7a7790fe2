"""Ways to get a picture's logits other than one pass of the model over all of it.

Overlap-tile is that of Ronneberger, Fischer, Brox, arXiv 1505.04597, figure 2: every tile is seen
with the margin that a network of valid convolutions consumes, so that the stitched logits are
those of one pass, whatever the picture's size, in the memory of one tile.
"""

from collections.abc import Callable

import torch
from torch import Tensor


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
