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
    check_folder,
    files,
    refuse_unread,
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


def options(asked: Asked) -> str:
    """The options that say where images and masks are, as in a command; "" if there are none."""
    named = {
        "--images": asked.images,
        "--masks": asked.masks,
        "--mask-suffix": asked.mask_suffix,
    }
    return " ".join(f"{option} {value}" for option, value in named.items() if value)


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
        refuse_unread(places[0].images)
        raise ValueError(
            f"{places[0].masks}: no mask is called like an image of {places[0].images}: "
            "--mask-suffix says what its names have more, --images and --masks name their folders"
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
        check_folder(source, "--images", asked.images)
        check_folder(source, "--masks", asked.masks)
        images = source / asked.images if asked.images else _known(source, IMAGES) or source
        masks = source / asked.masks if asked.masks else _known(source, MASKS) or source
        return [Place(images, masks)]
    found = list[Place]()
    for folder in split_folders(source):
        known_images = _known(folder, IMAGES)
        known_masks = _known(folder, MASKS)
        if known_images and known_masks:
            found.append(Place(known_images, known_masks))
    if not found and source.is_dir() and (asked.mask_suffix or _beside(source)):
        found.append(Place(source, source))
    return found


def _known(folder: Path, names: list[str]) -> Path | None:
    """The first folder in a folder that is called as one of the names."""
    folders = subfolders(folder)
    return next((folders[name] for name in names if name in folders), None)


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
