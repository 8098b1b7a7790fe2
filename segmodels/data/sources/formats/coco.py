"""COCO's instance JSON: polygons, and run lengths in both forms.

    annotations/instances_train.json with train/...; one JSON beside its images; one in each split

A pixel's label is that of the smallest object over it, since COCO has no order. Crowds (iscrowd)
are regions with gaps: void, unless `--crowd class` makes them their class. Pixels of no object are
background.
Source: cocodataset.org, "Data format"; polygons by pycocotools, see `painting.coco_polygons`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segmodels.data import layout
from segmodels.data.sources.formats import naming, painting
from segmodels.data.sources.formats.naming import VOID_LABEL, Names
from segmodels.data.sources.formats.sample import (
    SPLITS,
    Asked,
    Found,
    Images,
    Sample,
    Size,
    Sizes,
    check_folder,
    files,
    get,
    numbered,
    read_json,
    split_of,
)

MOST_LOOKED_AT = 50  # files; a source of labelme has thousands
PARTS = ("images", "annotations", "categories")
CROWD = "crowd regions made void; `--crowd class` gives them their class"


@dataclass
class Picture:
    """An entry of `images` and its annotations, each with where it stands."""

    where: str
    entry: dict[str, Any]
    annotations: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    for path in candidates(source)[:MOST_LOOKED_AT]:
        if _looks_so(path):
            return path.name
    return ""


def read(source: Path, asked: Asked) -> Found:
    """Read the JSON files of a source, whose categories are matched by name.

    Raises:
        ValueError: a file is broken, an entry contradicts another one, or --images is not there.
    """
    root = source if source.is_dir() else source.parent
    if root.name == "annotations" and not source.is_dir():
        root = root.parent
    check_folder(root, "--images", asked.images)
    skipped = list[str]()
    contents = _contents(source, skipped)
    tables = {path: _categories(path, content) for path, content in contents.items()}
    known = dict[str, None]()
    for table in tables.values():
        known.update(dict.fromkeys(table.values()))
    names = naming.named(list(known), asked.meaning, asked.classes, objects=True)
    found = Found(names, [], skipped)
    images = Images(root)
    taken = dict[Path, str]()
    for path, content in contents.items():
        reader = Reader(tables[path], names, asked.crowd, found.remarks)
        for picture in _pictures(path, content):
            try:
                image = _image(images, path, picture, asked)
            except ValueError as error:
                found.problems.append(str(error))
                continue
            if image in taken:
                raise ValueError(
                    f"{picture.where}: {image.name} is also {taken[image]}, expected once: give "
                    "the one JSON as SOURCE"
                )
            taken[image] = picture.where
            labels = partial(reader.read, picture)
            name = image.relative_to(root).with_suffix("")
            found.samples.append(Sample(image, name, labels, _split(path, root)))
    return found


@dataclass(frozen=True)
class Reader:
    """Draws the annotations of an image."""

    categories: dict[int, str]
    names: Names
    crowd: str
    remarks: Counter[str]

    def read(self, picture: Picture, sizes: Sizes) -> np.ndarray:
        """The labels of an image, (H, W) uint8.

        Raises:
            ValueError: an annotation is broken, or does not fit the image.
        """
        height = get(picture.entry, "height", int, picture.where)
        width = get(picture.entry, "width", int, picture.where)
        size = sizes.checked(Size(height, width), picture.where)
        crowds = np.zeros(size, bool)
        objects = self._objects(picture, size, crowds)
        labels = painting.paint(objects, size, self.names, self.remarks, smaller_on_top=True)
        labels[crowds & (labels == self.names.unlabelled)] = VOID_LABEL
        return labels

    def _objects(
        self, picture: Picture, size: Size, crowds: np.ndarray
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Name and mask of each object; regions that become void are added to `crowds`."""
        for where, annotation in picture.annotations:
            crowd = annotation.get("iscrowd", 0)
            if crowd not in (0, 1):
                raise ValueError(f"{where}.iscrowd = {crowd!r}: expected 0 or 1: correct it")
            mask = segmentation(annotation.get("segmentation"), size, f"{where}.segmentation")
            if crowd and self.crowd == "void":
                self.remarks[CROWD] += 1
                crowds |= mask
            else:
                yield self.categories[annotation["category_id"]], mask


def segmentation(value: Any, size: Size, where: str) -> np.ndarray:
    """The mask of an object, (H, W) bool.

    Raises:
        ValueError: it is none of COCO's forms, or of another size.
    """
    if isinstance(value, dict):
        if value.get("size") != [size.height, size.width]:
            raise ValueError(
                f"{where}.size = {value.get('size')!r}: expected [{size.height}, {size.width}], "
                "the image's height and width: export it again"
            )
        counts = value.get("counts")
        if isinstance(counts, str):
            counts = painting.uncompressed(counts, f"{where}.counts")
        if not isinstance(counts, list):
            raise ValueError(f"{where}.counts: expected run lengths or text: export it again")
        return painting.runs(counts, size, f"{where}.counts", columns=True)
    if not isinstance(value, list) or not value:
        raise ValueError(
            f"{where}: expected a list of polygons, or run lengths; a box alone has no mask: "
            "export it with masks, or leave the image out with --skip"
        )
    polygons = [painting.points(part, size, place) for place, part in numbered(value, where)]
    return painting.coco_polygons(polygons, size)


def candidates(source: Path) -> list[Path]:
    """JSON files that may be COCO's: the source itself, or those at its top and one level below."""
    if source.is_file():
        return [source] if source.suffix.lower() == ".json" else []
    depth = len(source.parts) + 2
    return [path for path in files(source, (".json",)) if len(path.parts) <= depth]


def _looks_so(path: Path) -> bool:
    """Whether a JSON has COCO's parts, however broken it is."""
    content = path.read_bytes()
    return b'"categories"' in content and b'"images"' in content


def _contents(source: Path, skipped: list[str]) -> dict[Path, dict[str, Any]]:
    """What the JSON files of a source hold; those of another kind join `skipped`."""
    contents = dict[Path, dict[str, Any]]()
    for path in candidates(source):
        content = _content(path)
        if content is None:
            skipped.append(f"{path}: no COCO instances")
        else:
            contents[path] = content
    if not contents:
        raise ValueError(f"{source}: no JSON with {', '.join(PARTS)}, expected COCO's instances")
    return contents


def _content(path: Path) -> dict[str, Any] | None:
    """What a JSON holds; None where it is another kind of file."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(part in content for part in PARTS):
        return None
    for part in PARTS:
        get(content, part, list, str(path))
    return content


def _categories(path: Path, content: dict[str, Any]) -> dict[int, str]:
    found = dict[int, str]()
    for where, entry in numbered(content["categories"], f"{path}: categories"):
        number = get(entry, "id", int, where)
        name = get(entry, "name", str, where)
        if number in found or name in found.values():
            raise ValueError(f"{where}: id {number} or name {name!r} comes twice: rename one")
        found[number] = name
    return found


def _pictures(path: Path, content: dict[str, Any]) -> list[Picture]:
    """The images of a JSON with their annotations."""
    categories = _categories(path, content)
    found = dict[int, Picture]()
    for where, entry in numbered(content["images"], f"{path}: images"):
        number = get(entry, "id", int, where)
        if number in found:
            raise ValueError(
                f"{where}.id = {number}: also that of {found[number].where}, expected one"
            )
        found[number] = Picture(where, entry)
    ids = set[int]()
    for where, entry in numbered(content["annotations"], f"{path}: annotations"):
        own = get(entry, "id", int, where)
        if own in ids:
            raise ValueError(f"{where}.id = {own}: comes twice, expected once: export it again")
        ids.add(own)
        image = get(entry, "image_id", int, where)
        category = get(entry, "category_id", int, where)
        if image not in found:
            raise ValueError(f"{where}.image_id = {image}: no such id in images: remove it")
        if category not in categories:
            raise ValueError(
                f"{where}.category_id = {category}: expected one of categories, "
                f"{naming.some(list(map(str, categories)))}: correct it"
            )
        found[image].annotations.append((where, entry))
    return list(found.values())


def _image(images: Images, path: Path, picture: Picture, asked: Asked) -> Path:
    """The file of an image: beside the JSON, or in the one folder that has it.

    Raises:
        ValueError: it is not there, is there twice, or leaves the source.
    """
    name = get(picture.entry, "file_name", str, picture.where)
    where = f"{picture.where}.file_name"
    root = images.source
    for base in [root / asked.images] if asked.images else [path.parent, root]:
        if found := images.find(base, name, where):
            return found
    there = list[Path]()
    if not asked.images:
        for folder in images.folders:
            if found := images.find(folder, name, where):
                there.append(found)
        if split := _split(path, root):
            there = [image for image in there if _word(image.parent.name) == split] or there
    if len(there) != 1:
        found_in = f"in {len(there)} folders" if there else "not found"
        raise ValueError(
            f"{where} = {layout.printable(name)}: {found_in}, expected one file: --images names "
            "its folder"
        )
    return there[0]


def _split(path: Path, root: Path) -> str | None:
    """The split that a JSON's folder or name speaks of."""
    return split_of(path.relative_to(root)) or _word(path.stem)


def _word(text: str) -> str | None:
    """The split in a name such as instances_train2017."""
    for word in text.lower().replace("-", "_").split("_"):
        if (plain := word.rstrip("0123456789")) in SPLITS:
            return SPLITS[plain]
    return None
