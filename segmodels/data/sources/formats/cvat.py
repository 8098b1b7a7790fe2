"""CVAT for images 1.1: annotations.xml with polygons, boxes, ellipses and masks.

Objects lie over each other by z_order, then in their order. Points, lines, cuboids, skeletons and
tags cover no area and are left out; `subset` says the split.
Source: docs.cvat.ai, "XML annotation format". Polygons and boxes as CVAT exports masks of them, by
pycocotools, see `painting.coco_polygons`; of an ellipse the pixels with their centre within it.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from segmodels.data import layout
from segmodels.data.sources.formats import naming, painting
from segmodels.data.sources.formats.sample import (
    SPLITS,
    Asked,
    Found,
    Images,
    Sample,
    Size,
    Sizes,
    check_folder,
    number,
    read_text,
    whole,
)

SHAPES = ("polygon", "box", "ellipse", "mask")
OTHERS = ("polyline", "points", "cuboid", "skeleton", "tag")
FOLDERS = ["images", "."]


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    for path in _candidates(source):
        start = path.read_bytes()[:100_000]
        if b"<annotations" in start and b"<meta" in start:
            return path.name
    return ""


def read(source: Path, asked: Asked) -> Found:
    """Read an annotations.xml.

    Raises:
        ValueError: there is none, it is broken, or --images is not there.
    """
    paths = _candidates(source)
    if len(paths) != 1:
        raise ValueError(f"{source}: {len(paths)} XML files, expected one: give it as SOURCE")
    path = paths[0]
    root = path.parent
    check_folder(root, "--images", asked.images)
    tree = _tree(path)
    images = tree.findall("image")
    if not images:
        raise ValueError(f"{path}: no <image>, expected CVAT for images 1.1: export it as that")
    known = dict[str, None]()
    for label in tree.iterfind("meta//labels/label/name"):
        known[label.text or ""] = None
    for shape in tree.iterfind("image/*"):
        if shape.tag in SHAPES:
            known[shape.get("label", "")] = None
    names = naming.named(list(known), asked.meaning, asked.classes, objects=True)
    found = Found(names, [])
    pictures = Images(root)
    taken = set[Path]()
    for place, image in enumerate(images):
        where = f"{path}: image {image.get('id', place)}"
        try:
            file = _file(pictures, asked, image.get("name"), where)
        except ValueError as error:
            found.problems.append(str(error))
            continue
        if file in taken:
            raise ValueError(f"{where}.name = {file.name}: comes twice, expected once: remove one")
        taken.add(file)
        reader = partial(_labels, image, where, found)
        split = SPLITS.get(image.get("subset", "").lower())
        found.samples.append(Sample(file, file.relative_to(root).with_suffix(""), reader, split))
    found.skipped += [f"{p}: is not in {path.name}" for p in pictures.paths if p not in taken]
    for kind in OTHERS:
        if count := len(tree.findall(f"image/{kind}")):
            found.skipped.append(f"{path}: {count} <{kind}>: cover no area")
    return found


def _candidates(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".xml" else []
    usual = source / "annotations.xml"
    return [usual] if usual.is_file() else [p for p in sorted(source.glob("*.xml")) if p.is_file()]


def _tree(path: Path) -> ElementTree.Element:
    """The XML; entities, of which a few lines can make gigabytes, are refused."""
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path}: has a <!DOCTYPE>, expected none: export it again")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: no XML ({error}); is it cut off? Export it again") from None


def _file(images: Images, asked: Asked, name: str | None, where: str) -> Path:
    """The file of an image.

    Raises:
        ValueError: it has no name, is not there, or leaves the source.
    """
    if not name:
        raise ValueError(f"{where}.name: missing, expected that of its file: export it again")
    folders = [asked.images] if asked.images else FOLDERS
    for folder in folders:
        if found := images.find(images.source / folder, name, f"{where}.name"):
            return found
    raise ValueError(
        f"{where}.name = {layout.printable(name)}: not in {images.source / folders[0]}, expected "
        "there: --images names another folder"
    )


def _shapes(image: ElementTree.Element, where: str) -> list[tuple[str, ElementTree.Element]]:
    """What covers an area, the uppermost last, each with where it stands."""
    count = Counter[str]()
    found = list[tuple[float, str, ElementTree.Element]]()
    for shape in image:
        if shape.tag in SHAPES:
            place = f"{where}: {shape.tag} {count[shape.tag]}"
            count[shape.tag] += 1
            found.append((number(shape.get("z_order", "0"), f"{place}.z_order"), place, shape))
    found.sort(key=lambda each: each[0])  # stable
    return [(place, shape) for _, place, shape in found]


def _labels(image: ElementTree.Element, where: str, found: Found, sizes: Sizes) -> np.ndarray:
    """The labels of an image, (H, W) uint8."""
    height = whole(image.get("height"), f"{where}.height")
    width = whole(image.get("width"), f"{where}.width")
    size = sizes.checked(Size(height, width), where)
    return painting.paint(_objects(image, where, size), size, found.names, found.remarks)


def _objects(
    image: ElementTree.Element, where: str, size: Size
) -> Iterator[tuple[str, np.ndarray]]:
    for place, shape in _shapes(image, where):
        yield shape.get("label", ""), _mask(shape, size, place)


def _mask(shape: ElementTree.Element, size: Size, where: str) -> np.ndarray:
    """A shape as CVAT exports it, (H, W) bool."""
    if shape.tag == "mask":
        return _runs(shape, size, where)
    if shape.tag == "ellipse":
        return _ellipse(shape, size, where)
    if shape.tag == "box":
        corners = _box(shape, where)
        painting.check_inside(corners, size, where)
        return painting.coco_polygons([corners], size)
    flat = list[str]()
    for pair in shape.get("points", "").split(";"):
        flat += pair.split(",")
    return painting.coco_polygons([painting.points(flat, size, f"{where}.points")], size)


def _box(shape: ElementTree.Element, where: str) -> np.ndarray:
    """The corners of a box, turned about its centre."""
    left, top, right, bottom = _numbers(shape, where, "xtl", "ytl", "xbr", "ybr")
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    centre = corners.mean(axis=0)
    return (corners - centre) @ _turned(shape, where) + centre


def _turned(shape: ElementTree.Element, where: str) -> np.ndarray:
    """A matrix that turns (N, 2) x, y clockwise by a shape's rotation in degrees."""
    angle = np.deg2rad(number(shape.get("rotation", "0"), f"{where}.rotation"))
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, sine], [-sine, cosine]])


def _ellipse(shape: ElementTree.Element, size: Size, where: str) -> np.ndarray:
    x, y, radius_x, radius_y = _numbers(shape, where, "cx", "cy", "rx", "ry")
    if radius_x <= 0 or radius_y <= 0:
        raise ValueError(
            f"{where}: radii {radius_x:g} and {radius_y:g}, expected above 0: remove it"
        )
    ends = np.array([(x - radius_x, y - radius_y), (x + radius_x, y + radius_y)])
    painting.check_inside(ends, size, where)
    rows, columns = np.mgrid[: size.height, : size.width] + 0.5
    across = np.stack([columns - x, rows - y], axis=-1) @ _turned(shape, where).T
    return ((across / [radius_x, radius_y]) ** 2).sum(axis=-1) <= 1


def _runs(shape: ElementTree.Element, size: Size, where: str) -> np.ndarray:
    """A mask: run lengths along the rows of its box."""
    left, top, width, height = (
        whole(shape.get(key), f"{where}.{key}") for key in ("left", "top", "width", "height")
    )
    if top + height > size.height or left + width > size.width:
        raise ValueError(
            f"{where}: box {width} x {height} at {left}, {top}, expected one within {size}: "
            "draw it again"
        )
    texts = shape.get("rle", "").split(",")
    counts = [whole(text.strip(), f"{where}.rle[{place}]") for place, text in enumerate(texts)]
    mask = np.zeros(size, bool)
    box = painting.runs(counts, Size(height, width), f"{where}.rle", columns=False)
    mask[top : top + height, left : left + width] = box
    return mask


def _numbers(shape: ElementTree.Element, where: str, *keys: str) -> tuple[float, ...]:
    return tuple(number(shape.get(key), f"{where}.{key}") for key in keys)
