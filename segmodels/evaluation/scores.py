"""Scores of a finished evaluation: functions of one confusion matrix that training does not need.

Conventions are those of confusion.py. `miou` is the mean over the classes in truth or prediction
(`classes_counted`), `miou_present` over those in the truth (`classes_present`). The floor is what
a model reaches that calls every pixel label 0, the background.
"""

import numpy as np
import pandas as pd

from segmodels.evaluation.confusion import class_accuracy, iou, mean, pixel_accuracy


def summarize(confusion: np.ndarray) -> dict[str, float | int]:
    """The numbers of metrics.json: fractions 0..1 and two counts of classes.

    Args:
        confusion: (C, C) int64, rows = true class, columns = predicted.
    Raises:
        ValueError: the matrix counts no pixel.
    """
    if not confusion.any():
        raise ValueError("the confusion matrix counts no pixel: is every target void?")
    present = confusion.sum(1) > 0
    scores = iou(confusion)
    return {
        "miou": mean(scores),
        "miou_present": mean(scores[present]),
        "pixel_acc": pixel_accuracy(confusion),
        "mean_acc": mean(class_accuracy(confusion)),
        "classes_counted": int((~np.isnan(scores)).sum()),
        "classes_present": int(present.sum()),
    }


def floor_confusion(true_pixels: np.ndarray) -> np.ndarray:
    """Confusion (C, C) int64 of "all background" where class c has true_pixels[c] pixels."""
    confusion = np.zeros((len(true_pixels), len(true_pixels)), dtype=np.int64)
    confusion[:, 0] = true_pixels
    return confusion


def per_class_table(confusion: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """class, iou, acc, true_pixels, predicted_pixels; a score is empty where the class has none."""
    return pd.DataFrame(
        {
            "class": classes,
            "iou": iou(confusion),
            "acc": class_accuracy(confusion),
            "true_pixels": confusion.sum(1),
            "predicted_pixels": confusion.sum(0),
        }
    )


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
