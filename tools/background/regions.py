"""Splitting and merging, and what a partition of a picture is worth against the truth.

A region is a set of pixels with one number. Homogeneous means that in every channel the largest and
the smallest value differ by at most `spread`: part of a homogeneous region is homogeneous, so a
pair of regions that may not be merged never may be later. Source: Horowitz and Pavlidis, "Picture
Segmentation by a Tree Traversal Algorithm", Journal of the ACM 23 (2), 1976. numpy only.
"""

from heapq import heapify, heappop, heappush
from itertools import product
from typing import NamedTuple

import numpy as np

from segmodels.evaluation.confusion import confusion_matrix

REACH = 1  # pixels by which a boundary may be off (Chebyshev distance)


class Region(NamedTuple):
    """What decides whether two regions may become one."""

    low: np.ndarray  # (channels,) smallest values
    high: np.ndarray  # (channels,) largest values
    total: np.ndarray  # (channels,) sum of the values
    pixels: int


def split(image: np.ndarray, spread: float) -> np.ndarray:
    """Cut a picture into quarters until every block is homogeneous.

    Args:
        image: (H, W, channels) float.
        spread: largest difference of two values in a block, in the image's unit.
    Returns:
        (H, W) int64, blocks numbered from 0.
    """
    height, width, _ = image.shape
    blocks = np.empty((height, width), dtype=np.int64)
    count = 0
    todo = [(slice(0, height), slice(0, width))]
    while todo:
        rows, columns = todo.pop()
        if (np.ptp(image[rows, columns], axis=(0, 1)) <= spread).all():
            blocks[rows, columns] = count
            count += 1
        else:
            todo += product(_halves(rows), _halves(columns))
    return blocks


def merge(image: np.ndarray, regions: np.ndarray, spread: float) -> np.ndarray:
    """Unite touching regions, those of nearest mean first, while the union is homogeneous.

    Args:
        image: (H, W, channels) float.
        regions: (H, W) integers; regions touch along the sides of pixels.
        spread: as for `split`.
    Returns:
        (H, W) int64, numbered from 0: no two touching regions are homogeneous together.
    """
    numbers = np.unique(regions, return_inverse=True)[1].reshape(regions.shape)
    known = dict(enumerate(_describe(image, numbers)))
    touching = _touching(numbers)
    heirs = np.arange(len(known))  # the region that took each one in, itself while it lives
    queue: list[tuple[float, int, int]] = []  # distance of the means, and the two regions
    for a in touching:
        for b in touching[a]:
            if a < b:
                queue.append((_distance(known[a], known[b]), a, b))
    heapify(queue)
    while queue:
        _, a, b = heappop(queue)
        if a not in known or b not in known or not _homogeneous(known[a], known[b], spread):
            continue
        new = len(heirs)  # a fresh number, so that old entries of the queue cannot mean it
        heirs = np.append(heirs, new)
        heirs[[a, b]] = new
        known[new] = _united(known.pop(a), known.pop(b))
        touching[new] = (touching.pop(a) | touching.pop(b)) - {a, b}
        for other in touching[new]:
            touching[other] = (touching[other] - {a, b}) | {new}
            heappush(queue, (_distance(known[other], known[new]), other, new))
    while (heirs[heirs] != heirs).any():
        heirs = heirs[heirs]
    return np.unique(heirs[numbers], return_inverse=True)[1].reshape(regions.shape)


def squares(shape: tuple[int, int], count: int) -> np.ndarray:
    """A picture of (H, W) pixels as a plain grid of about `count` equal cells, (H, W) int64."""
    height, width = shape
    rows = max(1, round((count * height / width) ** 0.5))
    columns = max(1, round(count / rows))
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    return row[:, None] * columns + column


def oracle(regions: np.ndarray, target: np.ndarray, void: int) -> np.ndarray:
    """Give every region the class that most of its pixels truly have.

    This needs the truth: the score of the result is what a perfect classifier of regions would
    reach, not what the method reaches.

    Args:
        regions: (H, W) integers.
        target: (H, W) uint8, classes and void.
    Returns:
        (H, W) uint8 without void; a region that is all void becomes background.
    """
    numbers = np.unique(regions, return_inverse=True)[1].reshape(regions.shape)
    counts = confusion_of(numbers, target)
    counts[:, void] = 0
    return counts.argmax(1).astype(np.uint8)[numbers]


def confusion_of(numbers: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(regions, 256) int64: pixels of each region by their true label."""
    pairs = numbers.ravel().astype(np.int64) * 256 + target.ravel()
    return np.bincount(pairs, minlength=256 * (int(numbers.max()) + 1)).reshape(-1, 256)


def foreground(labels: np.ndarray, void: int) -> np.ndarray:
    """Labels (H, W) uint8 with every class as 1; background and void stay."""
    return np.where((labels > 0) & (labels != void), 1, labels).astype(np.uint8)


def score(prediction: np.ndarray, target: np.ndarray, classes: int, void: int) -> np.ndarray:
    """Confusion (classes, classes) int64 of one picture."""
    return confusion_matrix(
        target=target, prediction=prediction, num_classes=classes, ignore_index=void
    )


def edges_of(regions: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose right or lower neighbour belongs to another region."""
    edges = np.zeros(regions.shape, dtype=bool)
    edges[:-1] |= regions[:-1] != regions[1:]
    edges[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    return edges


def boundary_counts(edges: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Counts of which boundary precision and recall are made, with REACH pixels of tolerance.

    Args:
        edges, truth: (H, W) bool, predicted and true boundary pixels.
    Returns:
        (4,) int64: predicted pixels near a true one, predicted pixels, true pixels near a predicted
        one, true pixels.
    """
    correct = (edges & _grown(truth)).sum()
    detected = (truth & _grown(edges)).sum()
    return np.array([correct, edges.sum(), detected, truth.sum()])


def boundary_scores(counts: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean F of summed `boundary_counts`; 0 without pixels."""
    correct, predicted, detected, true = counts.tolist()
    precision = correct / max(1, predicted)
    recall = detected / max(1, true)
    if precision + recall == 0:
        return 0.0, 0.0, 0.0
    return precision, recall, 2 * precision * recall / (precision + recall)


def _grown(pixels: np.ndarray) -> np.ndarray:
    """Pixels within REACH of a set, (H, W) bool."""
    padded = np.pad(pixels, REACH)
    side = 2 * REACH + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return np.asarray(views.any((2, 3)))


def _halves(side: slice) -> list[slice]:
    """Two halves; only one if the side has a single pixel."""
    middle = (side.start + side.stop) // 2
    if middle == side.start:
        return [side]
    return [slice(side.start, middle), slice(middle, side.stop)]


def _describe(image: np.ndarray, numbers: np.ndarray) -> list[Region]:
    """Regions 0, 1, ... of a picture."""
    flat = numbers.ravel()
    order = np.argsort(flat, kind="stable")
    values = image.reshape(-1, image.shape[2])[order]  # region after region
    starts = np.flatnonzero(np.diff(flat[order], prepend=-1))
    low = np.minimum.reduceat(values, starts, axis=0)
    high = np.maximum.reduceat(values, starts, axis=0)
    total = np.add.reduceat(values, starts, axis=0)
    pixels = np.bincount(flat).tolist()
    return [Region(*fields) for fields in zip(low, high, total, pixels, strict=True)]


def _touching(numbers: np.ndarray) -> dict[int, set[int]]:
    """Region -> regions that share a side of a pixel with it."""
    neighbours: dict[int, set[int]] = {int(number): set() for number in np.unique(numbers)}
    for one, other in ((numbers[:-1], numbers[1:]), (numbers[:, :-1], numbers[:, 1:])):
        differ = one != other
        for a, b in set(zip(one[differ].tolist(), other[differ].tolist(), strict=True)):
            neighbours[a].add(b)
            neighbours[b].add(a)
    return neighbours


def _distance(a: Region, b: Region) -> float:
    return float(np.abs(a.total / a.pixels - b.total / b.pixels).max())


def _homogeneous(a: Region, b: Region, spread: float) -> bool:
    both = np.maximum(a.high, b.high) - np.minimum(a.low, b.low)
    return bool((both <= spread).all())


def _united(a: Region, b: Region) -> Region:
    return Region(
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
        total=a.total + b.total,
        pixels=a.pixels + b.pixels,
    )
