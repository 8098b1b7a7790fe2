"""Confusion counts and the scores that training reports every epoch.

Conventions: rows are true classes, columns predicted ones; void pixels never count; scores are
fractions 0..1. A class in neither truth nor prediction has IoU NaN and a class absent from the
truth has accuracy NaN: means are over the classes that remain. One matrix is summed over a whole
split before any score is computed, as VOC does; a mean of per-image scores is another number. An
overlap is what IoU, Dice and accuracy are made of: the pixels of each class that are right, true
and predicted. mIoU is `mean(iou(confusion))`, wherever it is reported.
Source: VOC2012 development kit, VOCevalseg.m.
"""

import numpy as np


def confusion_matrix(
    *, target: np.ndarray, prediction: np.ndarray, num_classes: int, ignore_index: int
) -> np.ndarray:
    """Count pixels by true and predicted class.

    Args:
        target: (H, W) uint8, classes 0..num_classes-1 or ignore_index.
        prediction: (H, W) uint8, classes 0..num_classes-1, same size as target.
    Returns:
        (num_classes, num_classes) int64; entry [t, p] counts pixels of class t predicted as p.
    Raises:
        ValueError: sizes differ, or a label is out of range.
    Reference:
        VOC2012 devkit, VOCevalseg.m: pixels with target 255 are left out.
    """
    if target.shape != prediction.shape:
        raise ValueError(f"target is {target.shape}, prediction is {prediction.shape}")
    # Label maps are runs of equal pairs, some thousand in a photograph: count runs by their length.
    true, predicted = target.ravel(), prediction.ravel()
    changes = np.flatnonzero((true[1:] != true[:-1]) | (predicted[1:] != predicted[:-1]))
    ends = np.append(changes, true.size - 1)[: true.size]
    pairs = (true[ends].astype(np.uint16) << 8) | predicted[ends]
    lengths = np.diff(ends, prepend=-1)
    counts = np.bincount(pairs, lengths, minlength=1 << 16).reshape(256, 256)
    counts[ignore_index] = 0
    confusion = counts[:num_classes, :num_classes].astype(np.int64)
    if confusion.sum() != counts.sum():
        true, predicted = np.argwhere(counts)[:, 0], np.argwhere(counts)[:, 1]
        strange = sorted({int(c) for c in np.append(true, predicted) if c >= num_classes})
        raise ValueError(f"labels {strange}: expected 0..{num_classes - 1} or void {ignore_index}")
    return confusion


def overlap(confusion: np.ndarray) -> np.ndarray:
    """(3, C) int64: pixels of each class that are right, true, predicted."""
    return np.stack([np.diag(confusion), confusion.sum(1), confusion.sum(0)])


def iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, (C,) float64; NaN in neither truth nor prediction."""
    return overlap_iou(overlap(confusion))


def class_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of each true class's pixels that are found, (C,) float64; NaN if not in the truth."""
    return overlap_accuracy(overlap(confusion))


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Share of all pixels with the right class."""
    return float(ratio(np.trace(confusion), confusion.sum()))


def overlap_iou(overlap: np.ndarray) -> np.ndarray:
    """IoU of each class, (..., 3, C) -> (..., C) float64; NaN in neither truth nor prediction."""
    right, true, predicted = np.moveaxis(overlap, -2, 0)
    return ratio(right, true + predicted - right)


def overlap_accuracy(overlap: np.ndarray) -> np.ndarray:
    """Share of each true class's pixels that are right, (3, C) -> (C,); NaN if not in the truth."""
    return ratio(overlap[0], overlap[1])


def mean(scores: np.ndarray) -> float:
    """Mean over the classes that have a score, (C,) -> a fraction; NaN if none has."""
    known = scores[~np.isnan(scores)]
    return float(np.mean(known)) if known.size else float("nan")


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, elementwise, float64; NaN where the whole is 0."""
    whole = np.asarray(whole)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
