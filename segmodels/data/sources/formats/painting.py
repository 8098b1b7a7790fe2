"""Objects drawn into a label map, each by the pixel rule of its format's own tool."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segmodels.data.sources.formats.naming import Names
from segmodels.data.sources.formats.sample import Size, number

OVERLAP = "pixels where objects of two classes overlap: the upper one counts"
EMPTY = "objects that cover no pixel"
BITS, MORE, SIGN, FIRST = 0x1F, 0x20, 0x10, 48  # of a character of COCO's compressed counts


def paint(
    objects: Iterable[tuple[str, np.ndarray]],
    size: Size,
    names: Names,
    remarks: Counter[str],
    *,
    smaller_on_top: bool = False,
) -> np.ndarray:
    """Draw objects over each other, one at a time.

    Args:
        objects: name and mask of each, (H, W) bool.
        remarks: counts overlaps and objects without a pixel.
        smaller_on_top: whether the smaller of two lies on top; otherwise, and of equals, the later.
    Returns:
        (H, W) uint8 labels.
    """
    labels = np.full(size, names.unlabelled, np.uint8)
    nothing = size.height * size.width + 1
    area_on_top = np.full(size, nothing, np.int32)
    for name, mask in objects:
        label = names.labels[name]
        area = int(np.count_nonzero(mask))
        if area == 0:
            remarks[EMPTY] += 1
        if differ := np.count_nonzero(mask & (area_on_top < nothing) & (labels != label)):
            remarks[OVERLAP] += int(differ)
        if smaller_on_top:
            mask = mask & (area <= area_on_top)
        labels[mask] = label
        area_on_top[mask] = area
    return labels


class NotInstalled(ValueError):
    """A package is missing: a problem of no file."""


def require_coco() -> Any:
    """pycocotools' masks.

    Raises:
        NotInstalled: it is not there.
    """
    try:
        from pycocotools import mask
    except ImportError:
        raise NotInstalled(
            "polygons of COCO and CVAT are drawn with pycocotools, which is not installed: "
            "pip install 'segmodels[coco]'"
        ) from None
    return mask


def points(values: Any, size: Size, where: str, *, least: int = 3) -> np.ndarray:
    """The corners x0, y0, x1, y1, ... of a polygon.

    A corner may lie outside of the image, as tools leave it at the edges, but no further than the
    image is wide and high.

    Returns:
        (N, 2) float64 x, y.
    Raises:
        ValueError: they are no such corners.
    """
    if not isinstance(values, list) or len(values) % 2:
        count = len(values) if isinstance(values, list) else "no"
        raise ValueError(
            f"{where}: {count} coordinates, expected a list x, y, x, y, ...: draw it again"
        )
    flat = [number(value, f"{where}[{place}]") for place, value in enumerate(values)]
    if len(flat) < 2 * least:
        raise ValueError(
            f"{where}: {len(flat) // 2} points, expected {least} or more: remove it or "
            "draw it again"
        )
    corners = np.array(flat).reshape(-1, 2)
    check_inside(corners, size, where)
    return corners


def check_inside(corners: np.ndarray, size: Size, where: str) -> None:
    """Refuse coordinates that cannot be of this image.

    Raises:
        ValueError: one is further outside than the image is wide and high.
    """
    extent = np.array([size.width, size.height])
    far = ((corners < -extent) | (corners > 2 * extent)).any(axis=1)
    if far.any():
        x, y = corners[far][0].tolist()
        raise ValueError(
            f"{where}: point {x:g}, {y:g}, expected one of an image of {size} pixels: correct it"
        )


def coco_polygons(parts: list[np.ndarray], size: Size) -> np.ndarray:
    """An object of several polygons as pycocotools draws it.

    A pixel counts where its centre lies within; x = 0 is the left edge of the first pixel.
    Source: pycocotools, frPyObjects and merge (rleFrPoly: edges are drawn at five times the size).

    Returns:
        (H, W) bool.
    """
    tool = require_coco()
    pieces = tool.frPyObjects([part.ravel().tolist() for part in parts], *size)
    return tool.decode(tool.merge(pieces)).astype(bool)


def pillow_polygon(corners: np.ndarray, size: Size) -> np.ndarray:
    """A polygon as Pillow draws it, outline included; x = 0 is the first pixel.

    Returns:
        (H, W) bool.
    """
    mask, draw = canvas(size)
    draw.polygon([(x, y) for x, y in corners.tolist()], fill=1, outline=1)
    return np.array(mask, dtype=bool)


def canvas(size: Size) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty mask and a pen."""
    mask = Image.new("L", (size.width, size.height))
    return mask, ImageDraw.Draw(mask)


def runs(counts: list[int], size: Size, where: str, *, columns: bool) -> np.ndarray:
    """A mask of run lengths, which begin with those of pixels outside.

    Args:
        columns: whether they go down the columns, as in COCO, or along the rows, as in CVAT.
    Returns:
        (H, W) bool.
    Raises:
        ValueError: they are not whole, or not as many as the mask has pixels.
    """
    for place, count in enumerate(counts):
        if type(count) is not int or not 0 <= count <= size.height * size.width:
            raise ValueError(
                f"{where}[{place}] = {count!r}: expected a run length of 0 to "
                f"{size.height * size.width}: export it again"
            )
    if sum(counts) != size.height * size.width:
        raise ValueError(
            f"{where}: runs of {sum(counts):,} pixels, expected {size.height * size.width:,} "
            f"({size}): export it again"
        )
    inside = np.arange(len(counts)) % 2 == 1
    mask = np.repeat(inside, counts)
    return mask.reshape(size, order="F" if columns else "C")


def uncompressed(text: str, where: str) -> list[int]:
    """The run lengths in COCO's compressed counts.

    pycocotools reads past the end of a text that is cut off, so it is not asked.
    Source: cocoapi, maskApi.c, rleFrString: five bits a character, the least first, and from the
    third length on the difference to the last but one.

    Raises:
        ValueError: it is no such text.
    """
    counts = list[int]()
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            code = ord(text[place]) - FIRST if place < len(text) else -1
            if not 0 <= code < 2 * MORE or shift > 60:
                raise ValueError(f"{where}: no compressed run lengths at {place}: export it again")
            value |= (code & BITS) << shift
            more = bool(code & MORE)
            shift += 5
            place += 1
            if not more and code & SIGN:
                value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts
