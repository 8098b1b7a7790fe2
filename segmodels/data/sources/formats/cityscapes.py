"""Cityscapes' layout: leftImg8bit/<split>/<city>/ and gtFine (or gtCoarse) beside it.

Masks are *_labelIds.png. As in the benchmark, the 19 classes with a training id count and all else
is void; `--classes` chooses other ones, and `--map NAME=CLASS` takes another of Cityscapes' names
in, or merges some. Masks of the test split, which hold no labels, are left out.
Source: Cordts et al., arXiv 1604.01685; cityscapesScripts, helpers/labels.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath

from segmodels.config.schema import VOID
from segmodels.data.sources.formats import label_files
from segmodels.data.sources.formats.naming import Names
from segmodels.data.sources.formats.sample import Asked, Found, Sample, files, split_of

IMAGE, MASK = "_leftImg8bit", "_labelIds"
KINDS = ("gtFine", "gtCoarse")
NAMES = [
    "unlabeled",
    "ego vehicle",
    "rectification border",
    "out of roi",
    "static",
    "dynamic",
    "ground",
]  # in the order of the ids
NAMES += ["road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail"]
NAMES += ["bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation"]
NAMES += ["terrain", "sky", "person", "rider", "car", "truck"]
NAMES += ["bus", "caravan", "trailer", "train", "motorcycle", "bicycle"]
COLOURS = {  # of the classes with a training id, in its order
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    kind = _kind(source)
    return f"leftImg8bit/ and {kind}/" if kind else ""


def read(source: Path, asked: Asked) -> Found:
    """Match *_leftImg8bit with *_labelIds.

    Raises:
        ValueError: there are no such folders, or --map names what Cityscapes has not.
    """
    kind = _kind(source)
    if kind is None:
        raise ValueError(f"{source}: expected leftImg8bit/ and gtFine/ in it")
    masks = {path.relative_to(source / kind): path for path in files(source / kind, (".png",))}
    pairs = list[tuple[Path, Path]]()
    skipped = list[str]()
    for image in files(source / "leftImg8bit"):
        place = image.relative_to(source / "leftImg8bit")
        stem = place.stem.removesuffix(IMAGE)
        mask = masks.get(place.with_name(f"{stem}_{kind}{MASK}.png"))
        if mask is None or split_of(place) == "test":
            skipped.append(f"{image}: has no labels")
        else:
            pairs.append((image, mask))
    if not pairs:
        raise ValueError(
            f"{source / kind}: no *{MASK}.png for an image of leftImg8bit: put them there"
        )
    wanted = asked.classes or list(COLOURS)
    targets = {name: name if name in wanted else VOID for name in NAMES}
    usual = dict(enumerate(NAMES))
    if asked.classes is None:
        asked = replace(asked, classes=_classes(targets, asked.meaning))
    table = label_files.table(source, [], asked, usual, targets)
    samples = []
    for image, mask in pairs:
        name = PurePath(image.stem.removesuffix(IMAGE))
        samples.append(
            Sample(image, name, partial(table.read, mask), split_of(image.relative_to(source)))
        )
    return Found(_coloured(table.names), samples, skipped)


def _classes(targets: dict[str, str], meaning: Mapping[str, str]) -> list[str]:
    """The classes that names become: those of the benchmark in its order, then those of --map."""
    taken = [meaning.get(name, target) for name, target in targets.items()]
    classes = [name for name in COLOURS if name in taken]
    for name in taken:
        if name != VOID and name not in classes:
            classes.append(name)
    return classes


def _kind(source: Path) -> str | None:
    """The folder of masks."""
    there = [kind for kind in KINDS if (source / kind).is_dir()]
    return there[0] if there and (source / "leftImg8bit").is_dir() else None


def _coloured(names: Names) -> Names:
    """With Cityscapes' colours, where all classes are Cityscapes'."""
    if not set(names.classes) <= set(COLOURS):
        return names
    return Names(names.classes, names.labels, [COLOURS[name] for name in names.classes])
