"""YOLO's polygons: a text file for each image, a line `class x y x y ...` for each object.

    images/a.jpg labels/a.txt    images/train/a.jpg labels/train/a.txt    train/images train/labels

Coordinates are shares of width and height. Names come from data.yaml, classes.txt or *.names, or
from `--classes` without background. An image without text file shows background alone, as YOLO
takes it. A pixel's label is that of the smallest object over it, since the lines have no order.
Source: docs.ultralytics.com, "Instance Segmentation Datasets"; ultralytics, polygon2mask: corners
are cut to whole pixels and the outline counts. Here a hundredth of a pixel is added before, which
the printed digits may lack, and Pillow draws in place of OpenCV.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segmodels.data.sources.formats import naming, painting
from segmodels.data.sources.formats.naming import Names
from segmodels.data.sources.formats.sample import (
    Asked,
    Found,
    Sample,
    Sizes,
    files,
    number,
    read_text,
    split_folders,
    split_of,
    subfolders,
    whole,
)

LISTS = ("classes.txt", "obj.names", "data.names")
YAMLS = ("data.yaml", "dataset.yaml", "data.yml")
NO_LABELS = {*LISTS, "train.txt", "val.txt", "test.txt", "notes.txt"}
BARELY = 0.01  # pixels that printed digits lack; and the share by which a corner may lie outside
BACKGROUND = "images without label file: background alone"


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    for images, labels in _places(source):
        if files(images) and files(labels, (".txt",)):
            return f"{images.relative_to(source)}/ and {labels.relative_to(source)}/*.txt"
    return ""


def read(source: Path, asked: Asked) -> Found:
    """Match images and text files.

    Raises:
        ValueError: there are no such folders, or nobody names the classes.
    """
    places = _places(source)
    if not places:
        raise ValueError(
            f"{source}: expected images/ and labels/ in it, or these in train/ and val/"
        )
    known, wanted = _names(source), asked.classes
    if known is None:
        known = dict(enumerate(asked.classes or []))
        wanted = None
        if not known:
            raise ValueError(
                f"{source}: no {YAMLS[0]} or {LISTS[0]} names its classes: --classes does"
            )
    names = naming.named(list(known.values()), asked.meaning, wanted, objects=True)
    found = Found(names, [])
    reader = Reader(known, names, found.remarks)
    for images, labels in places:
        texts = {
            path.relative_to(labels).with_suffix(""): path for path in files(labels, (".txt",))
        }
        for image in files(images):
            key = image.relative_to(images).with_suffix("")
            name = image.relative_to(source).with_suffix("")
            read_labels = partial(reader.read, texts.pop(key, None))
            found.samples.append(Sample(image, name, read_labels, split_of(name)))
        for path in texts.values():
            if path.name not in NO_LABELS:
                found.skipped.append(f"{path}: is the label file of no image")
    return found


@dataclass(frozen=True)
class Reader:
    """Draws the polygons of a text file; `known` names its class numbers."""

    known: dict[int, str]
    names: Names
    remarks: Counter[str]

    def read(self, path: Path | None, sizes: Sizes) -> np.ndarray:
        """The labels of an image, (H, W) uint8.

        Raises:
            ValueError: a line is no polygon, or of an unknown class.
        """
        if path is None:
            self.remarks[BACKGROUND] += 1
            return painting.paint([], sizes.shown, self.names, self.remarks)
        objects = self._objects(path, sizes)
        return painting.paint(objects, sizes.shown, self.names, self.remarks, smaller_on_top=True)

    def _objects(self, path: Path, sizes: Sizes) -> Iterator[tuple[str, np.ndarray]]:
        size = sizes.shown
        for place, line in enumerate(read_text(path).splitlines(), 1):
            words = line.split()
            where = f"{path}: line {place}"
            if not words:
                continue
            label = whole(words[0], f"{where}: class")
            if label not in self.known:
                raise ValueError(
                    f"{where}: class = {label}: expected {_numbers(self.known)}: correct it"
                )
            if len(words) == 5:
                raise ValueError(
                    f"{where}: 4 numbers, a box: expected a polygon of 3 points or more: "
                    "export it with masks, or leave the image out with --skip"
                )
            shares = [number(word, f"{where}: number {k}") for k, word in enumerate(words[1:], 1)]
            for share in shares:
                if not -BARELY <= share <= 1 + BARELY:
                    raise ValueError(
                        f"{where}: {share:g}, expected shares of 0 to 1: divide by the image's size"
                    )
            corners = painting.points(shares, size, where) * [size.width, size.height]
            mask = painting.pillow_polygon(np.floor(corners + BARELY), size)
            yield self.known[label], mask


def _numbers(known: dict[int, str]) -> str:
    """The class numbers that have names."""
    if set(known) == set(range(len(known))):
        return f"0 to {max(known)}"
    return f"one of {naming.some([str(label) for label in sorted(known)])}"


def _places(source: Path) -> list[tuple[Path, Path]]:
    """The pairs of folders images and labels."""
    found = list[tuple[Path, Path]]()
    for folder in split_folders(source):
        folders = subfolders(folder)
        if "images" in folders and "labels" in folders:
            found.append((folders["images"], folders["labels"]))
    return found


def _names(source: Path) -> dict[int, str] | None:
    """The classes that a source names, by number; None where it names none."""
    for name in YAMLS:
        file = source / name
        if file.is_file():
            return _of_yaml(file)
    for folder in (source, source / "labels"):
        for name in LISTS:
            file = folder / name
            if file.is_file():
                return _of_list(file)
    return None


def _of_list(path: Path) -> dict[int, str]:
    """Names by number of a file with a name a line."""
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return _checked(dict(enumerate(names)), path)


def _of_yaml(path: Path) -> dict[int, str]:
    try:
        content: Any = yaml.safe_load(read_text(path))
        names = content["names"]
    except (yaml.YAMLError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{path}: expected YAML with `names:`; add them") from None
    return _checked(dict(enumerate(names)) if isinstance(names, list) else names, path)


def _checked(names: Any, path: Path) -> dict[int, str]:
    """Names by number, each text and there once."""
    if not isinstance(names, dict) or not names or any(type(key) is not int for key in names):
        raise ValueError(f"{path}: names: expected a list, or a number and a name each: correct it")
    if any(not isinstance(name, str | int) for name in names.values()):
        raise ValueError(f"{path}: names: one is no text, expected text alone: correct it")
    found = {number: str(name) for number, name in names.items()}
    if len(set(found.values())) < len(found):
        raise ValueError(f"{path}: names: one comes twice, expected each once: rename it")
    return found
