"""Photographs that EXIF turns although their masks were drawn on what is stored.

`tidy` stores those without EXIF whose size tells. Where it does not, upside down or in a square,
the borders of the mask do: they follow the edges of the image that they were drawn on.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from segmodels.data import images, layout
from segmodels.data.doctor.finding import Finding, alone, plural

CLEARER = 1.2  # times the contrast along the borders; a mask that is drawn right loses by turning


def findings(
    root: Path, image_ids: list[str], watch: Callable[[list[str]], Iterable[str]] = iter
) -> list[Finding]:
    """Images whose masks fit them better as they are stored.

    Args:
        root: VOC tree.
        watch: wraps the work, e.g. in a progress bar.
    """
    misfits = [image_id for image_id in watch(image_ids) if _fits_as_stored(root, image_id)]
    if not misfits:
        return []
    text = (
        f"{plural(len(misfits), 'image')}: the mask fits only without the turn that EXIF asks for, "
        f"{misfits[0]} first: store the image without EXIF, or turn the mask"
    )
    return [Finding(text, alone(misfits))]


def border_contrast(image: np.ndarray, labels: np.ndarray) -> float:
    """How much stronger the edges of an image are along the borders of a mask than elsewhere.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) integer.
    Returns:
        mean step of grey between neighbours of different labels, over that of all neighbours; 1
        where there are none.
    """
    grey = image.astype(float).mean(axis=2)
    on_border = list[np.ndarray]()
    everywhere = list[np.ndarray]()
    for values, classes in ((grey, labels), (grey.T, labels.T)):
        steps = np.abs(np.diff(values, axis=1))
        everywhere.append(steps.ravel())
        on_border.append(steps[classes[:, 1:] != classes[:, :-1]])
    border = np.concatenate(on_border)
    mean = np.concatenate(everywhere).mean()
    return float(border.mean() / mean) if border.size and mean else 1.0


def _fits_as_stored(root: Path, image_id: str) -> bool:
    path = layout.image_path(root, image_id)
    with images.open_image(path, *images.FORMATS) as image:
        if images.is_upright(image):
            return False
        stored = np.asarray(image.convert("RGB"))
    shown = images.read_image(path)
    labels = images.read_target(layout.target_path(root, image_id))
    if stored.shape != shown.shape:
        return False
    return border_contrast(stored, labels) >= CLEARER * border_contrast(shown, labels)
