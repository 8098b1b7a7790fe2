"""Scoring a folder of label maps, whichever program has made them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from segmodels.data import voc
from segmodels.evaluation.confusion import confusion_matrix


def count(
    predictions: Path, root: Path, image_ids: Iterable[str], *, num_classes: int, ignore_index: int
) -> np.ndarray:
    """Confusion of a folder of predictions, summed over the images of a split.

    Args:
        predictions: holds <image_id>.png, a label map of the picture's size, palette or greyscale.
        root: VOC tree with the targets.
    Returns:
        (num_classes, num_classes) int64, rows are true classes.
    Raises:
        ValueError: a file has another size or a label out of range.
        OSError: a file is missing or no picture.
    """
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    for image_id in image_ids:
        path = predictions / f"{image_id}.png"
        try:
            confusion += confusion_matrix(
                target=voc.read_target(voc.target_path(root, image_id)),
                prediction=voc.read_target(path),
                num_classes=num_classes,
                ignore_index=ignore_index,
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return confusion
