"""labelme: a JSON file for each image, beside it or elsewhere.

Shapes lie over each other in their order. `_background_` is background and `__ignore__` void, as in
labelme's own examples. Images without a JSON are left out: nobody has labelled them.
Source: github.com/labelmeai/labelme, utils/shape.py: shapes are drawn by Pillow, outline included,
lines 10 pixels wide and points as discs of radius 5.
"""

import base64
import binascii
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segmodels.config.schema import BACKGROUND, VOID
from segmodels.data import images, layout
from segmodels.data.sources.formats import naming, painting
from segmodels.data.sources.formats.sample import (
    Asked,
    Found,
    Images,
    Sample,
    Size,
    Sizes,
    files,
    get,
    numbered,
    read_json,
    split_of,
)

USUAL = {"_background_": BACKGROUND, "__ignore__": VOID}
LINE, POINT = 10, 5  # pixels, width and radius
LEAST = {
    "polygon": 3,
    "rectangle": 2,
    "circle": 2,
    "line": 2,
    "linestrip": 2,
    "point": 1,
    "mask": 2,
}


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    for path in files(source, (".json",))[:1] if source.is_dir() else []:
        start = path.read_bytes()[:1_000_000]
        if b'"shapes"' in start or b'"imagePath"' in start:
            return path.relative_to(source).as_posix()
    return ""


def read(source: Path, asked: Asked) -> Found:
    """Read all JSON files of a folder.

    Raises:
        ValueError: there are none, one is broken, or two are of one image.
    """
    entries = {path: _content(path) for path in files(source, (".json",))}
    if not entries:
        raise ValueError(f"{source}: no *.json, expected a file of labelme for each image in it")
    known = dict[str, None]()
    for path, content in entries.items():
        for where, shape in numbered(content["shapes"], f"{path}: shapes"):
            label = get(shape, "label", str, where)
            if label.strip():
                known[label] = None
    names = naming.named(list(known), asked.meaning, asked.classes, usual=USUAL, objects=True)
    found = Found(names, [])
    images, taken = Images(source), dict[Path, Path]()
    for path, content in entries.items():
        try:
            image = _image(images, path, content["imagePath"])
        except ValueError as error:
            found.problems.append(str(error))
            continue
        if other := taken.get(image):
            raise ValueError(
                f"{path}: imagePath is also that of {other.name}, expected one: remove one"
            )
        taken[image] = path
        name = path.relative_to(source).with_suffix("")
        labels = partial(_labels, path, content, found)
        found.samples.append(Sample(image, name, labels, split_of(name)))
    found.skipped += [f"{p}: has no JSON" for p in images.paths if p not in taken]
    return found


def _image(images: Images, path: Path, name: str) -> Path:
    """The image of a JSON.

    Raises:
        ValueError: it is not there, or leaves the source.
    """
    image = images.find(path.parent, name, f"{path}: imagePath")
    if image is None:
        raise ValueError(
            f"{path}: imagePath = {layout.printable(name)}: no such file: put the image there or "
            "remove the JSON"
        )
    return image


def _content(path: Path) -> dict[str, Any]:
    """What is needed of a JSON."""
    content = read_json(path)
    get(content, "shapes", list, str(path))
    get(content, "imagePath", str, str(path))
    wanted = ("shapes", "imagePath", "imageHeight", "imageWidth")
    return {key: content[key] for key in wanted if content.get(key) is not None}


def _labels(path: Path, content: dict[str, Any], found: Found, sizes: Sizes) -> np.ndarray:
    """The labels of an image, (H, W) uint8."""
    size = sizes.shown
    if "imageHeight" in content:
        stated = (get(content, key, int, str(path)) for key in ("imageHeight", "imageWidth"))
        size = sizes.checked(Size(*stated), str(path))
    return painting.paint(_objects(path, content, size), size, found.names, found.remarks)


def _objects(path: Path, content: dict[str, Any], size: Size) -> Iterator[tuple[str, np.ndarray]]:
    for where, shape in numbered(content["shapes"], f"{path}: shapes"):
        if not shape["label"].strip():
            raise ValueError(
                f"{where}.label = {shape['label']!r}: expected the name of a class: give it one, "
                "or leave the image out with --skip"
            )
        yield shape["label"], _mask(shape, size, where)


def _mask(shape: dict[str, Any], size: Size, where: str) -> np.ndarray:
    """A shape as labelme draws it, (H, W) bool."""
    kind = shape.get("shape_type") or "polygon"
    if kind not in LEAST:
        raise ValueError(
            f"{where}.shape_type = {kind!r}: expected one of {', '.join(LEAST)}: draw it so"
        )
    pairs = get(shape, "points", list, where)
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise ValueError(f"{where}.points: expected a list of [x, y]: export it again")
    flat = list(chain.from_iterable(pairs))
    corners = painting.points(flat, size, f"{where}.points", least=LEAST[kind])
    exact = kind in ("rectangle", "circle", "line", "point", "mask")
    if exact and len(corners) != LEAST[kind]:
        raise ValueError(
            f"{where}.points: {len(corners)} of a {kind}, expected {LEAST[kind]}: draw it again"
        )
    if kind == "polygon":
        return painting.pillow_polygon(corners, size)
    if kind == "mask":
        return _bitmap(get(shape, "mask", str, where), corners, size, f"{where}.mask")
    return _drawn(kind, corners, size)


def _drawn(kind: str, corners: np.ndarray, size: Size) -> np.ndarray:
    mask, draw = painting.canvas(size)
    xy = [(x, y) for x, y in corners.tolist()]
    (x, y), (other_x, other_y) = xy[0], xy[-1]
    if kind == "rectangle":
        box = (min(x, other_x), min(y, other_y), max(x, other_x), max(y, other_y))
        draw.rectangle(box, outline=1, fill=1)
    elif kind in ("circle", "point"):
        radius = POINT if kind == "point" else float(np.hypot(x - other_x, y - other_y))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    else:
        draw.line(xy, fill=1, width=LINE)
    return np.array(mask, dtype=bool)


def _bitmap(text: str, corners: np.ndarray, size: Size, where: str) -> np.ndarray:
    """A shape of kind mask: a PNG in base64, placed by the corners of its box, both within."""
    (left, top), (right, bottom) = corners.astype(int).tolist()
    height, width = bottom - top + 1, right - left + 1
    mask = np.zeros(size, bool)
    inside = 0 <= top <= bottom < size.height and 0 <= left <= right < size.width
    try:
        with Image.open(BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if not inside or image.size != (width, height):
                raise ValueError(
                    f"{where}: {image.size[0]} x {image.size[1]} pixels, expected {width} x "
                    f"{height} within {size}, as its points say: draw it again"
                )
            mask[top : bottom + 1, left : right + 1] = np.asarray(image.convert("L")) > 0
    except (*images.DAMAGED, *images.BOMB, binascii.Error) as error:
        if str(error).startswith(where):
            raise
        raise ValueError(f"{where}: no PNG in base64: draw it again") from None
    return mask
