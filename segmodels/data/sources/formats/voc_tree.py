"""PASCAL VOC's layout: JPEGImages, SegmentationClass, and the lists of ImageSets/Segmentation.

The lists train, val and test are taken over; images in none of them are left out. Masks are read by
their values, or by their colours where a labelmap.txt (of CVAT) or `--table` names some.
Source: VOC2012 development kit, section 4.
"""

from functools import partial
from pathlib import Path, PurePath

from segmodels.data import layout
from segmodels.data.sources import tidy
from segmodels.data.sources.formats import label_files
from segmodels.data.sources.formats.sample import Asked, Found, Sample

LISTS = ("train", "val", "test")


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    root = _root(source)
    return f"{root.relative_to(source) / 'SegmentationClass'}/" if root else ""


def read(source: Path, asked: Asked) -> Found:
    """Read the lists of a tree, or, where there are none, its folders.

    Raises:
        ValueError: a list names no image that is there, or the masks' values are not named.
    """
    root = _root(source)
    if root is None:
        raise ValueError(f"{source}: expected JPEGImages/ and SegmentationClass/ in it")
    images = _only(root / "JPEGImages", layout.SUFFIXES)
    targets = _only(root / "SegmentationClass", layout.SUFFIXES)
    listed = _listed(root)
    problems = _lacking(root, listed, {"JPEGImages": images, "SegmentationClass": targets})
    splits = dict[str, str | None]()
    for image_id, named in listed.items():
        if image_id not in problems:
            splits[image_id] = named
    why = "in none of the lists train, val, test"
    if not splits:
        tidy.refuse(list(problems.values()), root)
        splits = {image_id: None for image_id in images if image_id in targets}
        why = "has no mask"
    table = label_files.table(root, [targets[image_id] for image_id in splits], asked)
    samples = []
    for image_id, split in splits.items():
        labels = partial(table.read, targets[image_id])
        samples.append(Sample(images[image_id], PurePath(image_id), labels, split))
    others = sorted(set(images) - set(splits) - set(problems))
    skipped = [f"{images[image_id]}: {why}" for image_id in others]
    return Found(table.names, samples, skipped, problems=list(problems.values()))


def _listed(root: Path) -> dict[str, str]:
    """The split of each image that a list names.

    Raises:
        ValueError: an image is in two lists.
    """
    splits = dict[str, str]()
    for split in LISTS:
        path = layout.split_path(root, split)
        for image_id in layout.read_split(root, split) if path.is_file() else []:
            if image_id in splits:
                raise ValueError(
                    f"{path}: {layout.printable(image_id)} is also in {splits[image_id]}.txt, "
                    "expected in one: remove the line"
                )
            splits[image_id] = split
    return splits


def _lacking(
    root: Path, listed: dict[str, str], folders: dict[str, dict[str, Path]]
) -> dict[str, str]:
    """A line for each image of a list that has no file in one of the folders.

    Args:
        folders: the files by id that each image of a list must have.
    """
    problems = dict[str, str]()
    for image_id, split in listed.items():
        lacking = [folder for folder, there in folders.items() if image_id not in there]
        if lacking:
            problems[image_id] = (
                f"{layout.split_path(root, split)}: {layout.printable(image_id)} is not in "
                f"{root / lacking[0]}, expected its file: put it there or remove the line"
            )
    return problems


def _root(source: Path) -> Path | None:
    """The tree in a source: itself, or VOCdevkit/VOC2012 in it."""
    for root in (source, source / "VOC2012", source / "VOCdevkit/VOC2012"):
        if (root / "JPEGImages").is_dir() and (root / "SegmentationClass").is_dir():
            return root
    return None


def _only(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a folder by id.

    Raises:
        ValueError: two have one id.
    """
    found = tidy.by_id(folder, suffixes)
    for paths in found.values():
        if len(paths) > 1:
            raise ValueError(
                f"{folder}: {paths[0].name} and {paths[1].name} have one id, expected one file: "
                "remove one of them"
            )
    return {image_id: paths[0] for image_id, paths in found.items() if not image_id.startswith(".")}
