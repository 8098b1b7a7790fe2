"""A folder of images and one of masks, matched by name.

    images/a.jpg  masks/a.png      images/train/a.jpg  masks/train/a_mask.png
    train/images/a.jpg  train/labels/a.png      a.jpg  a_mask.png in one folder

A mask is called like its image, or all masks have one ending more (`_mask`, `_L`, `.jpg`).
`--images`, `--masks` and `--mask-suffix` say what is not found.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePath
from typing import NamedTuple

from segmodels.data.sources.formats import label_files
from segmodels.data.sources.formats.sample import (
    Asked,
    Found,
    Sample,
    files,
    split_folders,
    split_of,
    subfolders,
)

IMAGES = ["images", "image", "imgs", "img", "photos", "pictures", "inputs", "input", "rgb"]
MASKS = ["masks", "mask", "labels", "label", "annotations", "gt", "groundtruth", "ground_truth"]
MASKS += ["targets", "target", "segmentation", "annots"]
ENDINGS = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_L")


class Place(NamedTuple):
    """A folder of images and that of their masks."""

    images: Path
    masks: Path


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    places = _places(source, Asked())
    if not places or not files(places[0].images) or not files(places[0].masks):
        return ""
    first = places[0]
    if first.images == first.masks:
        return f"masks NAME{_beside(source)} beside images"
    return f"{first.images.relative_to(source)}/ and {first.masks.relative_to(source)}/"


def read(source: Path, asked: Asked) -> Found:
    """Match masks with images.

    Raises:
        ValueError: there are no such folders, or the values of the masks are not named.
    """
    places = _places(source, asked)
    if not places:
        raise ValueError(
            f"{source}: no folders of images and masks in it, expected such as images/ and masks/: "
            "--images and --masks name them"
        )
    pairs = list[tuple[Path, Path]]()
    skipped = list[str]()
    for place in places:
        pairs += _matched(place, asked.mask_suffix, skipped)
    if not pairs:
        raise ValueError(
            f"{places[0].masks}: no mask is called like an image of {places[0].images}: "
            "--mask-suffix says what its names have more"
        )
    table = label_files.table(source, [mask for _, mask in pairs], asked)
    samples = []
    for image, mask in pairs:
        name = image.relative_to(source).with_suffix("")
        samples.append(Sample(image, name, partial(table.read, mask), split_of(name)))
    return Found(table.names, samples, skipped)


def _places(source: Path, asked: Asked) -> list[Place]:
    """The pairs of folders of a source."""
    if asked.images or asked.masks:
        place = Place(source / (asked.images or "."), source / (asked.masks or "."))
        for folder in place:
            if not folder.is_dir():
                raise ValueError(f"{folder}: no such folder; --images and --masks name them")
        return [place]
    found = list[Place]()
    for folder in split_folders(source):
        folders = subfolders(folder)
        images = [folders[name] for name in IMAGES if name in folders]
        masks = [folders[name] for name in MASKS if name in folders]
        if images and masks:
            found.append(Place(images[0], masks[0]))
    if not found and source.is_dir() and (asked.mask_suffix or _beside(source)):
        found.append(Place(source, source))
    return found


def _beside(folder: Path) -> str:
    """The ending of masks that lie beside their images; "" where there are none."""
    stems = {_key(path, folder) for path in files(folder)}
    for ending in ENDINGS:
        for stem in stems:
            if stem.endswith(ending) and stem.removesuffix(ending) in stems:
                return ending
    return ""


def _matched(place: Place, suffix: str | None, skipped: list[str]) -> Iterator[tuple[Path, Path]]:
    """Each image with its mask; what has no other joins `skipped`."""
    images = _by_key(place.images)
    masks = _by_key(place.masks)
    if suffix is None:
        suffix = _beside(place.images) if place.images == place.masks else _suffix(images, masks)
    if place.images == place.masks:
        masks = {key: path for key, path in masks.items() if key.endswith(suffix)}
        images = {key: path for key, path in images.items() if key not in masks}
    of_image = dict[str, Path]()
    for key, path in masks.items():
        if key.endswith(suffix):
            of_image[key.removesuffix(suffix)] = path
    matched = set[Path]()
    for key, image in images.items():
        if key in of_image:
            matched.add(of_image[key])
            yield image, of_image[key]
        else:
            skipped.append(f"{image}: has no mask {key}{suffix} in {place.masks}")
    for path in masks.values():
        if path not in matched:
            skipped.append(f"{path}: is the mask of no image in {place.images}")


def _by_key(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by their path in it without suffix.

    Raises:
        ValueError: two have the same.
    """
    found = dict[str, Path]()
    for path in files(folder):
        other = found.setdefault(_key(path, folder), path)
        if other != path:
            raise ValueError(f"{path}: called like {other.name}, expected one: remove one of them")
    return found


def _key(path: Path, folder: Path) -> str:
    """Path in a folder without suffix, in NFC."""
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _suffix(images: dict[str, Path], masks: dict[str, Path]) -> str:
    """What most masks are called more than their image; "" where most are called alike."""
    more = Counter[str]()
    for key in masks:
        folder = PurePath(key).parent
        for cut in range(len(PurePath(key).name) + 1):
            stem = key[: len(key) - cut]
            if stem in images and PurePath(stem).parent == folder:
                more[key[len(stem) :]] += 1
    best = max(more.values(), default=0)
    return min((ending for ending, count in more.items() if count == best), key=len, default="")
