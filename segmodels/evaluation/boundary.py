"""Scores of the pixels along boundaries, where models differ most and whole pictures show it least.

Distances are Chebyshev's, in pixels of the original picture: a band of width w reaches as far as
w steps of a 3 x 3 erosion. Void is one more label that is no class, so its edges are boundaries
(VOC draws a line of void around every object), and no pixel of it ever counts. The prediction is
void where the truth is: what a model says there changes no score, and a prediction that is right
everywhere else has 1.

- boundary IoU of a class: pixels of the class within d of the end of their region, in truth and in
  prediction, intersection over union; d is 2 % of the picture's diagonal, and the picture's edge
  ends a region. Source: Cheng et al., arXiv 2103.16562, and the erosion of their code.
- trimap: IoU over all pixels within w of a boundary of the truth; the picture's edge is none.
  Source: Kohli et al., IJCV 2009; with VOC's void as in DeepLab, arXiv 1606.00915.
"""

import math
from collections.abc import Callable

import numpy as np

DIAGONAL_SHARE = 0.02  # of boundary IoU: d as a share of the diagonal; Cheng et al.'s default
TRIMAP_WIDTHS = (1, 3, 5, 10, 20)  # pixels
NAMES = ("boundary", *(f"trimap_{width}px" for width in TRIMAP_WIDTHS))


def overlaps(
    *, target: np.ndarray, prediction: np.ndarray, num_classes: int, ignore_index: int
) -> dict[str, np.ndarray]:
    """Pixels of each class that are right, true and predicted along the boundaries of a picture.

    Args:
        target: (H, W) uint8, classes 0..num_classes-1 or ignore_index.
        prediction: (H, W) uint8, same size; classes 0..num_classes-1 where the target is no void.
    Returns:
        For each of NAMES (3, num_classes) int64: right, true, predicted.
    """
    prediction = np.where(target == ignore_index, target, prediction)
    width = distance(target.shape)
    true, predicted = (
        _mixed(np.pad(labels, width, constant_values=ignore_index), width)
        for labels in (target, prediction)
    )
    bands = [(true, predicted)]
    for reach in TRIMAP_WIDTHS:
        near = _mixed(np.pad(target, reach, mode="edge"), reach)
        bands.append((near, near))
    counts = [_count(target, prediction, *band, num_classes) for band in bands]
    return dict(zip(NAMES, counts, strict=True))


def distance(shape: tuple[int, ...]) -> int:
    """Width d of boundary IoU's band in a picture of (H, W) pixels: at least 1."""
    return max(1, round(DIAGONAL_SHARE * math.hypot(*shape)))


def _count(
    target: np.ndarray,
    prediction: np.ndarray,
    true: np.ndarray,
    predicted: np.ndarray,
    num_classes: int,
) -> np.ndarray:
    """(3, num_classes) pixels: right in both bands, in the true band, in the predicted one."""
    right = target[true & predicted & (target == prediction)]
    labels = right, target[true], prediction[predicted]
    return np.stack([np.bincount(one, minlength=256)[:num_classes] for one in labels])


def _mixed(padded: np.ndarray, width: int) -> np.ndarray:
    """Pixels with two labels or more within `width`: (H + 2 width, W + 2 width) -> (H, W) bool.

    minimum_filter and maximum_filter of scipy.ndimage find the same pixels, and a picture of
    375 x 500 takes six times as long with them: they compute in float64, one row at a time.
    """
    length = 2 * width + 1

    def extreme(pick: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        return _slide(_slide(padded, length, pick).T, length, pick).T

    return extreme(np.minimum) != extreme(np.maximum)


def _slide(
    labels: np.ndarray, length: int, pick: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Extreme of every `length` consecutive rows, (H, W) -> (H - length + 1, W), by doubling."""
    reach = 1
    while reach < length:
        step = min(reach, length - reach)
        labels = pick(labels[:-step], labels[step:])
        reach += step
    return labels
