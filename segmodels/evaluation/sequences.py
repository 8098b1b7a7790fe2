"""Blocks of video, the unit of an interval where images are frames.

Neighbouring frames show nearly the same, so the images of a drive are not independent, and an
interval over images is too narrow. Here the unit is a block: a stretch of one video, all of whose
images are drawn together. Blocks do not overlap, stretch over numbers of frames and not of images,
and those of one video are equally long, as close to the wanted length as that allows.

How long? The length has to exceed the distance at which images still resemble each other; longer
blocks are fewer, and an interval over few units is uncertain itself. A video is at least one block.
What no block covers is that another drive would show another place: with two drives the spread
between drives cannot be estimated.

    block = sequences.blocks(image_ids, pattern=r"(.+_f?)([0-9]+)", length=300)
    low, high = bootstrap.intervals(sequences.summed(overlap, block)[None], np.ones((1, 1)))[0]

Source: Carlstein, "The use of subseries values ...", Annals of Statistics 14, 1986 (blocks that do
not overlap); Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 8.6.
"""

import re
from collections.abc import Sequence

import numpy as np


def blocks(image_ids: Sequence[str], *, pattern: str, length: int) -> np.ndarray:
    """Which block each image belongs to.

    Args:
        pattern: of a whole image id; its two groups are the video and the number of the frame.
        length: of a block, in numbers of frames.
    Returns:
        (n,) int64, 0, 1, ... in the order of the videos' first images and of their frames.
    Raises:
        ValueError: an image id has another form.
    """
    frames: dict[str, list[tuple[int, int]]] = {}  # by video: number, place in image_ids
    for place, image_id in enumerate(image_ids):
        match = re.fullmatch(pattern, image_id)
        if match is None:
            raise ValueError(
                f"image id {image_id}: expected the form of sequence.pattern, {pattern}"
            )
        video, number = match.groups()
        frames.setdefault(video, []).append((int(number), place))
    block = np.zeros(len(image_ids), dtype=np.int64)
    first_block = 0
    for numbered in frames.values():
        numbers, places = np.array(sorted(numbered)).T
        span = numbers[-1] - numbers[0] + 1
        count = max(1, round(span / length))
        within = (numbers - numbers[0]) * count // span
        _, within = np.unique(within, return_inverse=True)  # a gap in a video leaves no empty block
        block[places] = first_block + within
        first_block += within[-1] + 1
    return block


def summed(overlap: np.ndarray, block: np.ndarray) -> np.ndarray:
    """(n, 3, C) int64 of images -> (B, 3, C) of blocks.

    Args:
        block: (n,), from `blocks`.
    """
    total = np.zeros((block.max(initial=-1) + 1, *overlap.shape[1:]), dtype=np.int64)
    np.add.at(total, block, overlap)
    return total
