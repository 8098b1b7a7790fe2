"""Scores of a finished evaluation: functions of counts that training does not need.

Conventions are those of confusion.py. `miou` is the mean over the classes in truth or prediction
(`classes_counted`), `miou_present` over those in the truth (`classes_present`). The floor is what a
model reaches that calls every pixel label 0, the background.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from segmodels.evaluation.confusion import (
    class_accuracy,
    iou,
    mean,
    overlap,
    overlap_accuracy,
    overlap_iou,
    ratio,
)

PARTS = ["right_pixels", "true_pixels", "predicted_pixels"]  # of an overlap, in this order


def summarize(confusion: np.ndarray) -> dict[str, float | int]:
    """The numbers of metrics.json: fractions 0..1 and two counts of classes.

    Args:
        confusion: (C, C) int64, rows = true class, columns = predicted.
    Returns:
        miou and mean_dice over the classes in truth or prediction, miou_present and mean_acc over
        those in the truth; fw_iou weights IoU by the class's share of the true pixels.
    Raises:
        ValueError: the matrix counts no pixel.
    """
    return of_overlap(overlap(confusion))


def of_overlap(overlap: np.ndarray) -> dict[str, float | int]:
    """The numbers of `summarize` from (3, C) int64: pixels right, true and predicted.

    A pixel may be true without being predicted, where a program has left it undecided.

    Raises:
        ValueError: no pixel counts.
    """
    right, true, predicted = overlap
    if not true.any():
        raise ValueError("the confusion matrix counts no pixel: is every target void?")
    scores, present = overlap_iou(overlap), true > 0
    return {
        "miou": mean(scores),
        "miou_present": mean(scores[present]),
        "fw_iou": float(scores[present] @ true[present] / true.sum()),
        "mean_dice": mean(ratio(2 * right, true + predicted)),
        "pixel_acc": float(right.sum() / true.sum()),
        "mean_acc": mean(overlap_accuracy(overlap)),
        "classes_counted": int((~np.isnan(scores)).sum()),
        "classes_present": int(present.sum()),
    }


def dice(confusion: np.ndarray) -> np.ndarray:
    """2 |A and B| / (|A| + |B|) of each class, (C,) float64; NaN in neither truth nor prediction.

    Also called F1. It orders two models as IoU does: dice = 2 iou / (1 + iou).
    """
    right, true, predicted = overlap(confusion)
    return ratio(2 * right, true + predicted)


def overlap_miou(overlap: np.ndarray) -> np.ndarray:
    """Mean over the classes in truth or prediction, (..., 3, C) -> (...); NaN if there is none."""
    scores = overlap_iou(overlap)
    rows = scores.reshape(-1, scores.shape[-1])
    return np.array([mean(row) for row in rows]).reshape(scores.shape[:-1])[()]


def band_scores(overlaps: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """{area}_miou of a whole split; None where an area has no pixel that counts.

    Args:
        overlaps: area -> (n, 3, C) int64.
    """
    found = {name: float(overlap_miou(overlap.sum(0))) for name, overlap in overlaps.items()}
    return {f"{name}_miou": None if np.isnan(miou) else miou for name, miou in found.items()}


def floor_confusion(true_pixels: np.ndarray) -> np.ndarray:
    """Confusion (C, C) int64 of "all background" where class c has true_pixels[c] pixels."""
    confusion = np.zeros((len(true_pixels), len(true_pixels)), dtype=np.int64)
    confusion[:, 0] = true_pixels
    return confusion


def per_class_table(
    confusion: np.ndarray, at_boundary: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Scores of each class, empty where it has none.

    Args:
        at_boundary: (3, C) int64, overlap of the pixels along boundaries.
    Returns:
        class, iou, boundary_iou, dice, acc, true_pixels, predicted_pixels.
    """
    return pd.DataFrame(
        {
            "class": classes,
            "iou": iou(confusion),
            "boundary_iou": overlap_iou(at_boundary),
            "dice": dice(confusion),
            "acc": class_accuracy(confusion),
            "true_pixels": confusion.sum(1),
            "predicted_pixels": confusion.sum(0),
        }
    )


def groups_table(
    confusion: np.ndarray, classes: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Scores of groups of classes, such as VOC's animals.

    Returns:
        group; miou and miou_present of its classes, empty where there is none; merged_iou: of the
        group as one class, so that a cat taken for a dog is right; true_pixels.
    """
    rows = []
    for group, members in groups.items():
        inside = np.isin(list(classes), list(members))
        scores, present = iou(confusion), confusion.sum(1) > 0
        true, predicted = confusion[inside].sum(), confusion[:, inside].sum()
        right = confusion[np.ix_(inside, inside)].sum()
        merged = float(ratio(right, true + predicted - right))
        rows.append((group, mean(scores[inside]), mean(scores[inside & present]), merged, true))
    return pd.DataFrame(rows, columns=["group", "miou", "miou_present", "merged_iou", PARTS[1]])


def confusion_table(confusion: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """true, predicted, pixels, fraction of the true class's pixels (0 where the truth lacks it)."""
    true_pixels = confusion.sum(1, keepdims=True)
    return pd.DataFrame(
        {
            "true": np.repeat(classes, len(classes)),
            "predicted": np.tile(classes, len(classes)),
            "pixels": confusion.ravel(),
            "fraction": (confusion / np.maximum(true_pixels, 1)).ravel(),
        }
    )


def confused(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The pairs of classes that cost most pixels, from `confusion_table`; the worst first."""
    wrong = table[(table["true"] != table["predicted"]) & (table["pixels"] > 0)]
    return wrong.sort_values("pixels", ascending=False, kind="stable").head(most)


def images_table(
    image_ids: Sequence[str], overlap: np.ndarray, at_boundary: np.ndarray
) -> pd.DataFrame:
    """Scores of each picture by itself, to find the best and the worst.

    Args:
        overlap, at_boundary: (n, 3, C) int64, of whole pictures and of their boundaries.
    Returns:
        image_id; miou and boundary_miou over the classes in truth or prediction of that picture;
        pixel_acc; rank by miou, 1 is the best. A score is empty where no pixel counts.
    """
    right, true, _ = overlap.sum(axis=-1).T
    table = pd.DataFrame(
        {
            "image_id": list(image_ids),
            "miou": overlap_miou(overlap),
            "boundary_miou": overlap_miou(at_boundary),
            "pixel_acc": ratio(right, true),
        }
    )
    rank = table["miou"].rank(method="first", ascending=False, na_option="bottom")
    return table.assign(rank=rank.astype(int))


def overlap_table(
    image_ids: Sequence[str], overlap: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """(n, 3, C) int64 as image_id, class and PARTS: a row for each class that a picture has."""
    image, label = np.nonzero(overlap[:, 1:].any(axis=1))
    names = {"image_id": np.array(image_ids)[image], "class": np.array(classes)[label]}
    return pd.DataFrame(names | dict(zip(PARTS, overlap[image, :, label].T, strict=True)))


def overlap_of(table: pd.DataFrame, image_ids: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """(n, 3, C) int64 back from `overlap_table`."""
    found = np.zeros((len(image_ids), len(PARTS), len(classes)), dtype=np.int64)
    image = pd.Index(image_ids).get_indexer(pd.Index(table["image_id"]))
    label = pd.Index(classes).get_indexer(pd.Index(table["class"]))
    found[image, :, label] = table[PARTS].to_numpy()
    return found
