"""The pictures of the page: which are shown, and how they fit into one file.

A picture is embedded as JPEG. The truth and every model's prediction are embedded as grey PNG whose
values are the labels: the browser draws masks, errors and legend from these few bytes. Of a large
split a sample is shown. Pictures have at most LONG_SIDE pixels a side, but the numbers beside them
are those of the original size.
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

from segmodels.config.schema import BACKGROUND
from segmodels.data import images, layout
from segmodels.evaluation import scores
from segmodels.reporting.result import Result

LONG_SIDE = 400  # pixels
SAMPLE = 120  # pictures shown of a large split
WORST = 30  # of these, how many are the worst of the split
BUDGET = 12_000_000  # characters of all pictures and masks together
QUALITY = 85  # of JPEG
PALEST = 0.65  # how far the last object of a class is shaded towards white, 0..1


def mask_colours(palette: list[tuple[int, int, int]] | None, void: int) -> np.ndarray:
    """(256, 3) uint8: the data set's palette, with VOC's void colour for its void label."""
    colours = images.palette(palette)
    colours[void] = images.palette()[255]
    return colours


def has_background(classes: Sequence[str]) -> bool:
    """Whether the label 0 is background, where drawings leave the photograph as it is."""
    return classes[0] == BACKGROUND


def mean_miou(results: Sequence[Result]) -> pd.Series:
    """Mean over the models of each picture's own mIoU (index: image id, in the split's order)."""
    image_ids = results[0].images["image_id"]
    columns = [result.images.set_index("image_id")["miou"][image_ids] for result in results]
    return pd.concat(columns, axis=1).mean(axis=1)


def sample(miou: pd.Series, *, most: int = SAMPLE, worst: int = WORST) -> list[str]:
    """Which pictures to show: all; of more than `most` the worst, then others at even distances.

    Args:
        miou: score of each picture (index: image id); NaN, where no pixel counts, is not bad.
    """
    if len(miou) <= most:
        return miou.index.tolist()
    worst_ids = miou.nsmallest(worst).index
    others = miou.index.drop(worst_ids)
    places = np.linspace(0, len(others) - 1, most - len(worst_ids)).round().astype(int)
    return [*worst_ids, *others[places]]


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
        image_ids: the pictures, the most wanted first; the budget cuts off the end of the list.
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
    entries: list[dict[str, Any]] = []
    for image_id in image_ids:
        masks = [predictions / result.model / f"{image_id}.png" for result in results]
        entry = {"id": image_id}
        entry |= _files(root, image_id, masks)
        entry |= _scores(overlaps[place[image_id]])
        budget -= len(entry["image"]) + sum(len(uri) for uri in entry["labels"])
        if budget < 0:
            break
        entries.append(entry)
    return sorted(entries, key=lambda entry: place[entry["id"]])


def numbers(values: Iterable[float]) -> list[float | None]:
    """Six digits of each value for JSON, which has no NaN and no infinity: those are None."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]


def jpeg_uri(image: np.ndarray) -> str:
    """(H, W, 3) uint8 as JPEG of at most LONG_SIDE pixels, without metadata."""
    shrunk = _shrunk(image, Image.Resampling.BOX)
    return _uri(shrunk, "JPEG", quality=QUALITY, optimize=True)


def views(labels: np.ndarray, objects: np.ndarray, colours: np.ndarray) -> dict[str, np.ndarray]:
    """The truth of one picture for three tasks, each (H, W, 3) uint8.

    Semantic: every pixel has the colour of its class. Instance: every object has a colour of its
    own, and what is no object is white. Panoptic: the objects of a class are shades of its colour.

    Args:
        labels, objects: (H, W) uint8 of SegmentationClass and SegmentationObject.
        colours: (256, 3) uint8 from `mask_colours`.
    Reference:
        Kirillov et al., Panoptic Segmentation, arXiv 1801.00868.
    """
    instance = images.palette()[objects]
    instance[objects == 0] = 255
    panoptic = colours[labels].astype(float)
    class_of = object_classes(labels, objects)
    for label in set(class_of.values()):
        members = [number for number in class_of if class_of[number] == label]
        shades = np.linspace(0, PALEST, len(members))
        for number, shade in zip(members, shades, strict=True):
            inside = objects == number
            panoptic[inside] += shade * (255 - panoptic[inside])
    return {
        "semantic": colours[labels],
        "instance": instance,
        "panoptic": panoptic.round().astype(np.uint8),
    }


def exemplar(root: Path, image_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Labels and objects of the picture in which most objects share a class, the first in a tie.

    Returns:
        labels and objects, (H, W) uint8; {} where no picture has a SegmentationObject.
    """
    best: dict[str, np.ndarray] = {}
    most = 0
    for image_id in image_ids:
        path = root / "SegmentationObject" / f"{image_id}.png"
        if not path.is_file():
            continue
        labels = images.read_target(layout.target_path(root, image_id))
        objects = images.read_target(path)
        class_sizes = Counter(object_classes(labels, objects).values())
        largest = max(class_sizes.values(), default=0)
        if largest > most:
            most = largest
            best = {"labels": labels, "objects": objects}
    return best


def object_classes(labels: np.ndarray, objects: np.ndarray) -> dict[int, int]:
    """Class of each object: the label that most of its pixels have."""
    classes = {}
    for number in np.unique(objects[(objects > 0) & (objects < 255)]):
        pixels = np.bincount(labels[objects == number])
        classes[int(number)] = int(pixels.argmax())
    return classes


def png_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 colours, or (H, W) uint8 labels, as PNG of at most LONG_SIDE pixels.

    A label map becomes a grey PNG. Shrinking adds no label that the map lacks.
    """
    return _uri(_shrunk(pixels, Image.Resampling.NEAREST), "PNG", optimize=True)


def _files(root: Path, image_id: str, masks: Sequence[Path]) -> dict[str, Any]:
    image = images.read_image(layout.image_path(root, image_id))
    paths = [layout.target_path(root, image_id), *masks]
    height, width, _ = image.shape
    return {
        "height": height,
        "width": width,
        "image": jpeg_uri(image),
        "labels": [png_uri(images.read_target(path)) for path in paths],
    }


def _scores(overlap: np.ndarray) -> dict[str, Any]:
    """Scores of one picture from its (M, 3, C) int64 overlaps with M models."""
    iou = scores.overlap_iou(overlap)
    true_labels = np.flatnonzero(overlap[0, 1])
    return {
        "miou": numbers(scores.overlap_miou(overlap)),
        "iou": {int(label): numbers(iou[:, label]) for label in true_labels},
    }


def _shrunk(pixels: np.ndarray, resampling: Image.Resampling) -> Image.Image:
    picture = Image.fromarray(pixels)
    scale = LONG_SIDE / max(picture.size)
    if scale >= 1:
        return picture
    width = max(1, round(picture.width * scale))
    height = max(1, round(picture.height * scale))
    return picture.resize((width, height), resampling)


def _uri(picture: Image.Image, kind: str, **options: Any) -> str:
    content = BytesIO()
    picture.save(content, kind, **options)
    encoded = base64.b64encode(content.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{encoded}"
