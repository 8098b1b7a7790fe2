"""Objects that are gone at the training size: smaller than one cell of a network's features.

An object is a connected component of a class's pixels (8 neighbours). Its area is taken at the
size to which training shrinks the image, `base_size`, before the random scale.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from segmodels.config.schema import BACKGROUND, Dataset
from segmodels.data import images, layout, splits
from segmodels.data.doctor.finding import Finding, alone

FINE, COARSE = 8, 16  # output strides: a cell of the features covers as many pixels a side
# Of a class's pixels. If objects smaller than a cell are not found, recall is at most 1 - LOST.
LOST = 0.2


def areas(labels: np.ndarray, label: int) -> np.ndarray:
    """Pixels of each object of a class, (n,) integers.

    Args:
        labels: (H, W) uint8.
    """
    components, _ = ndimage.label(labels == label, structure=np.ones((3, 3)))
    return np.bincount(components.ravel())[1:]  # 0 is what is not of the class


def findings(
    root: Path,
    index: pd.DataFrame,
    data: Dataset,
    name: str,
    base_size: int | None,
    watch: Callable[[list[str]], Iterable[str]] = iter,
) -> list[Finding]:
    """Classes of which objects smaller than a cell hold much, in the training masks.

    Args:
        root: VOC tree.
        index: one row per image.
        name: of the data set in params.yaml, for the advice.
        base_size: long side in pixels to which training resizes images; None: as they are.
        watch: wraps the work, e.g. in a progress bar.
    """
    of_train = index["split"].isin(splits.OF_TRAIN)
    table = measure(root, index.loc[of_train, "image_id"].tolist(), base_size, watch)
    shown = list[str]()
    suspects = list[str]()
    for label, class_ in enumerate(data.classes):
        objects = table[table["label"] == label]
        if class_ == BACKGROUND or objects.empty:
            continue
        total = objects["area"].sum()
        coarse = objects[objects["area"] < COARSE**2]
        fine = objects[objects["area"] < FINE**2]
        lost = coarse["area"].sum() / total
        if lost >= LOST:
            shown.append(f"{class_} ({lost:.0%}; {fine['area'].sum() / total:.0%})")
            suspects.append(str(coarse["image_id"].value_counts().index[0]))
    if not shown:
        return []
    at = "the images' own size" if base_size is None else f"{base_size} px (long side)"
    text = (
        f"at {at} objects smaller than {COARSE} x {COARSE} pixels ({FINE} x {FINE}), a cell of the "
        f"features at output stride {COARSE} ({FINE}), hold much of {', '.join(shown)}: a larger "
        f"`train.{name}.base_size`, or a model with skips or `output_stride: 8`"
    )
    return [Finding(text, alone(list(dict.fromkeys(suspects))))]


def measure(
    root: Path,
    image_ids: list[str],
    base_size: int | None,
    watch: Callable[[list[str]], Iterable[str]] = iter,
) -> pd.DataFrame:
    """The objects of some masks: image_id, label, and area in pixels at the training size."""
    parts = [pd.DataFrame({"image_id": [""], "label": [0], "area": [0.0]})[:0]]
    for image_id in watch(image_ids):
        labels = images.read_target(layout.target_path(root, image_id))
        factor = 1.0 if base_size is None else base_size / max(labels.shape)
        for label in np.unique(labels).tolist():
            found = areas(labels, label) * factor**2
            parts.append(pd.DataFrame({"image_id": image_id, "label": label, "area": found}))
    return pd.concat(parts, ignore_index=True)
