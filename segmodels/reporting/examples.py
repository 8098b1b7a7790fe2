"""A few images with ground truth and prediction: a JPEG sheet for each model, for `dvc plots`.

All models and revisions show the same images of a split, so that two sheets can be compared.
Sheets contain photographs: DVC keeps them, Git never does.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

COUNT = 6  # images on a sheet
SIDE, GAP = 200, 4  # pixels: long side of an image, and between two
OPACITY = 0.6  # of the colours over the image
QUALITY = 85  # of JPEG


def choose(image_ids: Sequence[str]) -> list[str]:
    """COUNT of the images at even distances; all, if there are no more."""
    count = min(COUNT, len(image_ids))
    places = np.linspace(0, len(image_ids) - 1, count).round().astype(int)
    return [image_ids[place] for place in places]


def column(
    image: np.ndarray,
    target: np.ndarray,
    prediction: np.ndarray,
    colours: np.ndarray,
    *,
    background: bool = True,
) -> list[Image.Image]:
    """An image, its ground truth and its prediction, the labels as colours over the image.

    Args:
        image: (H, W, 3) uint8 RGB.
        target, prediction: (H, W) uint8 labels.
        colours: (256, 3) uint8 RGB of each label.
        background: whether the label 0 is background, which has no colour.
    Returns:
        Three images whose long side is SIDE.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # BOX averages what it shrinks, and like NEAREST shows the pixels of what it enlarges.
    photo = Image.fromarray(image).resize(size, Image.Resampling.BOX)
    panels = [photo]
    for labels in (target, prediction):
        small = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
        tinted = Image.blend(photo, Image.fromarray(colours[small]), OPACITY)
        panels.append(Image.composite(tinted, photo, Image.fromarray(small >= int(background))))
    return panels


def sheet(columns: Sequence[Sequence[Image.Image]]) -> bytes:
    """Columns of images beside each other, on white, as JPEG."""
    width = SIDE + GAP
    height = max(panels[0].height for panels in columns) + GAP
    size = (width * len(columns) - GAP, height * len(columns[0]) - GAP)
    page = Image.new("RGB", size, "white")
    for x, panels in enumerate(columns):
        for y, panel in enumerate(panels):
            page.paste(panel, (x * width, y * height))
    content = BytesIO()
    page.save(content, "JPEG", quality=QUALITY)
    return content.getvalue()
