"""Splitting and merging, and what a partition of a picture is worth against the truth.

A region is a set of pixels with one number. Homogeneous means that in every channel the largest and
the smallest value differ by at most `spread`: part of a homogeneous region is homogeneous, so a
pair of regions that may not be merged never may be later. Source: Horowitz and Pavlidis, "Picture
Segmentation by a Tree Traversal Algorithm", Journal of the ACM 23 (2), 1976. numpy only.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
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
    blocks = np.empty(image.shape[:2], dtype=np.int64)
    todo, count = [(slice(0, image.shape[0]), slice(0, image.shape[1]))], 0
    while todo:
        block = todo.pop()
        values = image[block]
        if (np.ptp(values, axis=(0, 1)) <= spread).all():
            blocks[block] = count
            count += 1
        else:
            todo += [(rows, columns) for rows in _halves(block[0]) for columns in _halves(block[1])]
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
    queue = [(_distance(known[a], known[b]), a, b) for a in touching for b in touching[a] if a < b]
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
    down, right = np.arange(height) * rows // height, np.arange(width) * columns // width
    return down[:, None] * columns + right


def oracle(regions: np.ndarray, target: np.ndarray, void: int) -> np.ndarray:
    """Give every region the class that most of its pixels truly have.

    Nobody who has no truth can do this: the score of the result is what a perfect recogniser of
    regions would reach, not what the method reaches.

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
        edges, truth: (H, W) bool, found and true boundary pixels.
    Returns:
        (4,) int64: found pixels near a true one, found, true pixels near a found one, true.
    """
    found = [(edges & _grown(truth)).sum(), edges.sum()]
    return np.array([*found, (truth & _grown(edges)).sum(), truth.sum()])


def boundary_scores(counts: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean F of summed `boundary_counts`; 0 if none is."""
    precision, recall = counts[0] / max(1, counts[1]), counts[2] / max(1, counts[3])
    total = precision + recall
    return float(precision), float(recall), float(2 * precision * recall / total) if total else 0.0


def _grown(pixels: np.ndarray) -> np.ndarray:
    """Pixels within REACH of a set, (H, W) bool."""
    padded = np.pad(pixels, REACH)
    side = 2 * REACH + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return np.asarray(views.any((2, 3)))


def _halves(side: slice) -> list[slice]:
    middle = (side.start + side.stop) // 2
    return [part for part in (slice(side.start, middle), slice(middle, side.stop)) if _length(part)]


def _length(part: slice) -> int:
    return part.stop - part.start


def _describe(image: np.ndarray, numbers: np.ndarray) -> list[Region]:
    """Regions 0, 1, ... of a picture."""
    values, flat = image.reshape(-1, image.shape[2]), numbers.ravel()
    order = np.argsort(flat, kind="stable")
    starts = np.flatnonzero(np.diff(flat[order], prepend=-1))
    parts: list[Callable[..., np.ndarray]] = [np.minimum.reduceat, np.maximum.reduceat]
    low, high = (part(values[order], starts, axis=0) for part in parts)
    total, pixels = np.add.reduceat(values[order], starts, axis=0), np.bincount(flat)
    return [Region(*parts) for parts in zip(low, high, total, pixels.tolist(), strict=True)]


def _touching(numbers: np.ndarray) -> dict[int, set[int]]:
    """Region -> regions that share a side of a pixel with it."""
    found: dict[int, set[int]] = {int(number): set() for number in np.unique(numbers)}
    for one, other in ((numbers[:-1], numbers[1:]), (numbers[:, :-1], numbers[:, 1:])):
        differ = one != other
        for a, b in set(zip(one[differ].tolist(), other[differ].tolist(), strict=True)):
            found[a].add(b)
            found[b].add(a)
    return found


def _distance(a: Region, b: Region) -> float:
    return float(np.abs(a.total / a.pixels - b.total / b.pixels).max())


def _homogeneous(a: Region, b: Region, spread: float) -> bool:
    both = np.maximum(a.high, b.high) - np.minimum(a.low, b.low)
    return bool((both <= spread).all())


def _united(a: Region, b: Region) -> Region:
    return Region(
        np.minimum(a.low, b.low), np.maximum(a.high, b.high), a.total + b.total, a.pixels + b.pixels
    )
