"""The VOC layout: where files lie, how they are read and written, and the palette.

A data set root holds ImageSets/Segmentation/<split>.txt, JPEGImages/<image_id>.jpg and
SegmentationClass/<image_id>.png, and optionally SegmentationObject/ and Annotations/. Targets are
palette PNGs whose indices are the labels: they are read by index, never through RGB or luminance.
Source: VOC2012 development kit, section 4 and VOClabelcolormap.m.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from segmodels.files import write_bytes


def dataset_root(dataset: str) -> Path:
    """The VOC tree of a data set that the download stage has made."""
    return Path("data") / dataset / "VOCdevkit" / "VOC2012"


def image_path(root: str | Path, image_id: str) -> Path:
    return Path(root) / "JPEGImages" / f"{image_id}.jpg"


def target_path(root: str | Path, image_id: str) -> Path:
    return Path(root) / "SegmentationClass" / f"{image_id}.png"


def split_path(root: str | Path, split: str) -> Path:
    return Path(root) / "ImageSets" / "Segmentation" / f"{split}.txt"


def read_ids(path: str | Path) -> list[str]:
    """Image ids of a split list, one a line, in the order of the file."""
    lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_index(dataset: str) -> pd.DataFrame:
    """index.csv of a data set: one row per image, see `segmodels.data.index`."""
    path = Path("data") / dataset / "index.csv"
    return pd.read_csv(path, dtype={"image_id": str}, keep_default_na=False)


def read_image(path: str | Path) -> np.ndarray:
    """Decode a picture.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def read_target(path: str | Path) -> np.ndarray:
    """Read the label map of a palette or greyscale PNG by its stored values.

    Returns:
        (H, W) uint8.
    Raises:
        ValueError: the file stores colours, not labels.
    """
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"{path}: mode {image.mode}, expected a palette PNG (P) or labels (L)")
        if image.mode == "L" and image.tile and image.tile[0][3] != "L":
            raise ValueError(f"{path}: grey of fewer than 8 bits, expected 8 (they get stretched)")
        return np.array(image)


def write_target(path: str | Path, labels: np.ndarray, palette: np.ndarray) -> None:
    """Write a label map as a palette PNG.

    Args:
        labels: (H, W) uint8.
        palette: (256, 3) uint8 from `palette`.
    """
    image = Image.fromarray(labels)
    image.putpalette(palette.tobytes())
    content = BytesIO()
    image.save(content, "PNG")
    write_bytes(path, content.getvalue())


def palette(colours: list[tuple[int, int, int]] | None = None) -> np.ndarray:
    """VOC's colour map, its first entries replaced by a data set's own colours if it has some.

    Bit j of a colour channel, from the top, is bit 3j + c of the label (c = 0, 1, 2 for red, green
    and blue), so neighbouring labels get distant colours and 255 gets (224, 224, 192).

    Returns:
        (256, 3) uint8.
    Reference:
        VOC2012 devkit, VOClabelcolormap.m.
    """
    labels = np.arange(256)[:, None]
    channels = np.arange(3)
    table = sum(((labels >> (3 * j + channels)) & 1) << (7 - j) for j in range(8))
    table = np.asarray(table, dtype=np.uint8)
    if colours is not None:
        table[: len(colours)] = colours
    return table
