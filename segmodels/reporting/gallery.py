"""The pictures of the page: which are shown, and how they fit into one file.

A picture is embedded as JPEG; the truth and every model's labels as grey PNG whose values are the
labels, so that the browser draws masks, errors and legend from the same few bytes. Of a large
split a sample is shown, in at most LONG_SIDE pixels: the numbers beside a picture are those of its
original size.
"""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from segmodels.data import images, layout
from segmodels.evaluation import scores
from segmodels.reporting.tables import Result

LONG_SIDE = 400  # pixels
SAMPLE, WORST = 120, 30  # pictures shown of a large split, and how many of them are its worst
BUDGET = 12_000_000  # characters of all pictures and masks
QUALITY = 85  # of JPEG
PALEST = 0.65  # how far the last object of a class is shaded towards white


def mask_colours(palette: list[tuple[int, int, int]] | None, void: int) -> np.ndarray:
    """(256, 3) uint8: the data set's palette, with VOC's void colour for its void label."""
    colours = images.palette(palette)
    colours[void] = images.palette()[255]
    return colours


def mean_miou(results: Sequence[Result]) -> pd.Series:
    """Mean over the models of each picture's own mIoU (index: image id, in the split's order)."""
    ids = results[0].images["image_id"]
    each = [result.images.set_index("image_id")["miou"][ids] for result in results]
    return pd.concat(each, axis=1).mean(axis=1)


def sample(miou: pd.Series, *, most: int = SAMPLE, worst: int = WORST) -> list[str]:
    """Which pictures to show: all; of more than `most` the worst, then others at even distances.

    Args:
        miou: score of each picture (index: image id); NaN, where no pixel counts, is not bad.
    """
    if len(miou) <= most:
        return miou.index.tolist()
    bad = miou.nsmallest(worst).index
    rest = miou.index.drop(bad)
    even = np.linspace(0, len(rest) - 1, most - len(bad)).round().astype(int)
    return [*bad, *rest[even]]


def pictures(
    image_ids: Iterable[str],
    results: Sequence[Result],
    root: Path,
    predictions: Path,
    *,
    budget: int = BUDGET,
) -> list[dict[str, Any]]:
    """What the browser needs of each picture, in the split's order.

    Args:
        image_ids: the pictures, the most wanted first: what exceeds the budget is left out.
        root: VOC tree with pictures and targets.
        predictions: holds <model>/<image_id>.png.
        budget: most characters of all data URIs together.
    Returns:
        For each picture its id; width and height of the original in pixels; image and labels
        (truth, then each model) as data URIs; miou of each model; iou: for each label in the truth
        that of each model. A score is None where no pixel counts.
    """
    place = {image_id: i for i, image_id in enumerate(results[0].images["image_id"])}
    overlaps = np.stack([result.overlap for result in results], axis=1)  # (n, M, 3, C)
    kept = []
    for image_id in image_ids:
        masks = [predictions / result.model / f"{image_id}.png" for result in results]
        entry = {
            "id": image_id,
            **_files(root, image_id, masks),
            **_scores(overlaps[place[image_id]]),
        }
        budget -= len(entry["image"]) + sum(map(len, entry["labels"]))
        if budget < 0:
            break
        kept.append(entry)
    return sorted(kept, key=lambda entry: place[entry["id"]])


def numbers(values: Iterable[float]) -> list[float | None]:
    """Six digits of each value for JSON, which has no NaN and no infinity: those are None."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def jpeg_uri(image: np.ndarray) -> str:
    """(H, W, 3) uint8 as JPEG of at most LONG_SIDE pixels; nothing but pixels is kept of a file."""
    shrunk = _shrunk(image, Image.Resampling.BOX)
    return _uri(shrunk, "JPEG", quality=QUALITY, optimize=True)


def views(labels: np.ndarray, objects: np.ndarray, colours: np.ndarray) -> dict[str, np.ndarray]:
    """The truth of one picture as three tasks see it, each (H, W, 3) uint8.

    Semantic: every pixel has a class. Instance: every object has a mask of its own, and what is no
    object has none (white). Panoptic: every pixel has both; the objects of one class are shades of
    its colour.

    Args:
        labels, objects: (H, W) uint8 of SegmentationClass and SegmentationObject.
        colours: (256, 3) uint8 from `mask_colours`.
    Reference:
        Kirillov et al., Panoptic Segmentation, arXiv 1801.00868.
    """
    instance = images.palette()[objects]
    instance[objects == 0] = 255
    panoptic = colours[labels].astype(float)
    owners = object_classes(labels, objects)
    for label in set(owners.values()):
        same = [number for number, owner in owners.items() if owner == label]
        for number, shade in zip(same, np.linspace(0, PALEST, len(same)), strict=True):
            inside = objects == number
            panoptic[inside] += shade * (255 - panoptic[inside])
    return {
        "semantic": colours[labels],
        "instance": instance,
        "panoptic": panoptic.round().astype(np.uint8),
    }


def exemplar(root: Path, image_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Labels and objects of the picture in which most objects share a class, the first of equals.

    Returns:
        labels and objects, (H, W) uint8; nothing where no picture has a SegmentationObject.
    """
    found: dict[str, np.ndarray] = {}
    most = 0
    for image_id in image_ids:
        path = root / "SegmentationObject" / f"{image_id}.png"
        if path.is_file():
            labels, objects = (
                images.read_target(layout.target_path(root, image_id)),
                images.read_target(path),
            )
            owners = Counter(object_classes(labels, objects).values())
            if max(owners.values(), default=0) > most:
                most, found = max(owners.values()), {"labels": labels, "objects": objects}
    return found


def object_classes(labels: np.ndarray, objects: np.ndarray) -> dict[int, int]:
    """Class of each object: the label that most of its pixels have."""
    found = np.unique(objects[(objects > 0) & (objects < 255)])
    return {int(i): int(np.bincount(labels[objects == i]).argmax()) for i in found}


def png_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 colours, or (H, W) uint8 labels, as PNG of at most LONG_SIDE pixels.

    A label map becomes a grey PNG; no value occurs in it that the map lacks.
    """
    return _uri(_shrunk(pixels, Image.Resampling.NEAREST), "PNG", optimize=True)


def _files(root: Path, image_id: str, masks: Sequence[Path]) -> dict[str, Any]:
    image = images.read_image(layout.image_path(root, image_id))
    labels = [images.read_target(path) for path in (layout.target_path(root, image_id), *masks)]
    size = {"height": image.shape[0], "width": image.shape[1]}
    return {**size, "image": jpeg_uri(image), "labels": [png_uri(one) for one in labels]}


def _scores(overlap: np.ndarray) -> dict[str, Any]:
    """Scores of one picture from its (M, 3, C) int64 overlaps with M models."""
    iou = scores.overlap_iou(overlap)
    return {
        "miou": numbers(scores.overlap_miou(overlap)),
        "iou": {int(label): numbers(iou[:, label]) for label in np.flatnonzero(overlap[0, 1])},
    }


def _shrunk(pixels: np.ndarray, how: Image.Resampling) -> Image.Image:
    picture = Image.fromarray(pixels)
    scale = min(1, LONG_SIDE / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), how) if scale < 1 else picture


def _uri(picture: Image.Image, kind: str, **options: Any) -> str:
    content = BytesIO()
    picture.save(content, kind, **options)
    encoded = base64.b64encode(content.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{encoded}"
