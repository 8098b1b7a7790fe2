"""PASCAL VOC's layout: JPEGImages, SegmentationClass, and the lists of ImageSets/Segmentation.

The lists train, val and test are taken over; images in none of them are left out. Masks are read by
their values, or by their colours where a labelmap.txt (of CVAT) or `--table` names some.
Source: VOC2012 development kit, section 4.
"""

from functools import partial
from pathlib import Path, PurePath

from segmodels.data import tidy, voc
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
        ValueError: an image or mask of a list is missing, or the masks' values are not named.
    """
    root = _root(source)
    if root is None:
        raise ValueError(f"{source}: expected JPEGImages/ and SegmentationClass/ in it")
    lists = {name: voc.split_path(root, name) for name in LISTS}
    splits = {name: voc.read_split(root, name) for name, path in lists.items() if path.is_file()}
    images = _only(root / "JPEGImages", voc.SUFFIXES)
    targets = _only(root / "SegmentationClass", voc.SUFFIXES)
    listed = [(image_id, name) for name, ids in splits.items() for image_id in ids]
    wanted: list[tuple[str, str | None]] = [*listed]
    if not listed:
        wanted = [(image_id, None) for image_id in images if image_id in targets]
    for image_id, name in listed:
        for folder, there in (("JPEGImages", images), ("SegmentationClass", targets)):
            if image_id not in there:
                raise ValueError(
                    f"{lists[str(name)]}: {voc.shown(image_id)} is not in {root / folder}, "
                    "expected its file: put it there or remove the line"
                )
    used = [targets[image_id] for image_id, _ in wanted]
    table = label_files.table(root, used, asked)
    samples = []
    for image_id, name in wanted:
        labels = partial(table.read, targets[image_id])
        samples.append(Sample(images[image_id], PurePath(image_id), labels, name))
    left = set(images) - {image_id for image_id, _ in wanted}
    why = "in none of the lists train, val, test" if listed else "has no mask"
    skipped = [f"{images[image_id]}: {why}" for image_id in sorted(left)]
    return Found(table.names, samples, skipped)


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
