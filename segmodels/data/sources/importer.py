"""Bring a labelled data set of any form into VOC's tree.

JPEG and PNG images keep their bytes, others become PNGs of what a viewer shows. Masks become
palette PNGs whose values are labels. The tree is written beside its destination and renamed when it
is whole.
"""

import os
import shutil
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image

from segmodels.core.files import check_space, write_bytes, write_json
from segmodels.data import channels, images, layout
from segmodels.data.sources import formats, splits, tidy
from segmodels.data.sources.formats.naming import Colour, Names
from segmodels.data.sources.formats.painting import NotInstalled
from segmodels.data.sources.formats.sample import Asked, Found, Sample, Size, Sizes

KEPT = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png"}  # formats whose files are copied
DESCRIPTION = "dataset.json"  # beside the folders: names and colours of the classes
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


class Planned(NamedTuple):
    """A sample, what it will be called, and where it goes."""

    sample: Sample
    image_id: str
    split: str


Watch = Callable[[list[Planned]], Iterable[Planned]]


@dataclass
class Report:
    """What was brought in.

    Args:
        pixels: of each label and void, by split.
        images: in which a label occurs, by split.
        skipped: a line for each thing that was left out.
        remarks: how often something happened that a person should know.
        sign: what the format was recognised by; "" where a person said it.
        groups: that stay together, by split; empty where nobody asked for groups.
    """

    format: str
    sign: str
    names: Names
    splits: Counter[str] = field(default_factory=Counter)
    pixels: dict[str, np.ndarray] = field(default_factory=dict)
    images: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)

    def count(self, split: str, labels: np.ndarray) -> None:
        """Add a label map."""
        pixels = np.bincount(labels.ravel(), minlength=256)
        self.splits[split] += 1
        self.pixels[split] = self.pixels.get(split, 0) + pixels
        self.images[split] = self.images.get(split, 0) + (pixels > 0)


def bring(
    source: Path,
    root: Path,
    form: str,
    asked: Asked,
    choice: splits.Choice,
    *,
    skip: bool = False,
    palette: Sequence[Colour] | None = None,
    watch: Watch = iter,
) -> Report:
    """Import a data set.

    Args:
        source: folder or file in one of the formats.
        root: becomes a VOC tree, see segmodels.data.layout.
        form: key of `formats.FORMATS`, or "auto".
        skip: leave out images that have a problem, in place of refusing all.
        palette: colours of the classes in place of the source's; empty: VOC's.
        watch: wraps the work, e.g. in a progress bar.
    Raises:
        ValueError: all problems of the data set, a line for each; nothing is written then.
    """
    _check_places(source, root)
    source = Path(os.path.normpath(source))
    report, found = _read(source, form, asked)
    if palette is not None:
        report.names = replace(report.names, palette=list(palette) or None)
    try:
        plan = _plan(found.samples, choice)
    except ValueError as error:  # perhaps since images with a problem lack
        if found.problems:
            tidy.refuse([*found.problems, str(error)], source)
        raise
    report.groups = _groups(plan, choice)
    root.parent.mkdir(parents=True, exist_ok=True)
    there = [sample.image for sample in found.samples if sample.image.exists()]
    check_space(root, sum(image.stat().st_size for image in there), "the images")
    beside = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}."))
    try:
        problems = found.problems + _fill(beside, watch(plan), report)
        if not skip or not {"train", "val"} <= report.splits.keys():
            tidy.refuse(problems, source)
        report.skipped += problems
        write_json(beside / DESCRIPTION, report.names.described())
        beside.chmod(0o755)
        beside.rename(root)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return report


def _check_places(source: Path, root: Path) -> None:
    if root.exists() or root.is_symlink():
        raise ValueError(f"{root}: is there already, expected a new folder: move it away first")
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder; expected a labelled data set")


def _read(source: Path, form: str, asked: Asked) -> tuple[Report, Found]:
    """What a source holds, and a report in which no sample is counted yet.

    Raises:
        ValueError: it is in no known form, or has no sample.
    """
    sign = ""
    if form == "auto":
        form, sign = formats.recognise(source, asked)
    found = formats.FORMATS[form].read(source, asked)
    if not found.samples:
        tidy.refuse(found.problems, source)
        raise ValueError(f"{source}: no image with labels, expected some in the form {form}")
    report = Report(form, sign, found.names, skipped=found.skipped, remarks=found.remarks)
    return report, found


def _plan(samples: list[Sample], choice: splits.Choice) -> list[Planned]:
    """Ids and splits, in an order that depends on no file system."""
    ordered = sorted(samples, key=lambda sample: _normal(sample.name.as_posix()))
    image_ids = ids([sample.name for sample in ordered])
    names = [_normal(sample.name.as_posix()) for sample in ordered]
    own = [sample.split for sample in ordered]
    of = splits.assign(image_ids, names, own, choice)
    return [Planned(*each) for each in zip(ordered, image_ids, of, strict=True)]


def _groups(plan: list[Planned], choice: splits.Choice) -> Counter[str]:
    """How many groups each split has."""
    if choice.group is None:
        return Counter()
    groups = set[tuple[str, str]]()
    for sample, _, split in plan:
        groups.add((split, splits.group_of(_normal(sample.name.as_posix()), choice.group)))
    return Counter(split for split, _ in groups)


def _fill(tree: Path, plan: Iterable[Planned], report: Report) -> list[str]:
    """Write the tree of what can be read; a line for each image that has a problem."""
    problems = list[str]()
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for sample, image_id, split in plan:
        try:
            labels = _write(tree, sample, image_id, report)
        except NotInstalled:
            raise
        except ValueError as error:
            problems.append(" ".join(str(error).split()))
        else:
            report.count(split, labels)
            lists.setdefault(split, []).append(image_id)
    for split, members in lists.items():
        layout.write_ids(layout.split_path(tree, split), members)
    return problems


def _write(tree: Path, sample: Sample, image_id: str, report: Report) -> np.ndarray:
    """Write an image and its labels, both of which are read in full; the labels.

    Raises:
        ValueError: one cannot be read, or they differ in size.
    """
    try:
        channels.check(sample.image)
        with images.open_image(sample.image, *images.FORMATS) as image:
            kind = str(image.format)
            turned = images.orientation(image) in TURNED
            width, height = image.size
        pixels = images.read_image(sample.image)
    except FileNotFoundError:
        raise ValueError(f"{sample.image}: missing, expected an image: put it there") from None
    sizes = Sizes(Size(*pixels.shape[:2]), Size(height, width))
    if turned and kind not in KEPT:
        sizes = Sizes(sizes.shown, sizes.shown)  # it is stored as it is shown
    labels = sample.labels(sizes)
    sizes.checked(Size(*labels.shape), str(sample.image))
    path = tree / "JPEGImages" / f"{image_id}{KEPT.get(kind, '.png')}"
    path.parent.mkdir(exist_ok=True)
    if kind in KEPT:
        shutil.copyfile(sample.image, path)
    else:
        report.remarks[f"{kind} images stored as PNG"] += 1
        content = BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        write_bytes(path, content.getvalue())
    images.write_target(
        layout.target_path(tree, image_id), labels, images.palette(report.names.palette)
    )
    return labels


def ids(names: Sequence[PurePath]) -> list[str]:
    """Ids of samples: the shortest end of their paths that tells them all apart, "_" for "/".

    Raises:
        ValueError: two have the same, or a name is no plain text.
    """
    depth = max(len(name.parts) for name in names)
    for parts in range(1, depth + 1):
        found = [_normal("_".join(name.parts[-parts:])).strip() for name in names]
        folded = [image_id.casefold() for image_id in found]
        if len(set(folded)) == len(found):
            break
    else:
        count = Counter(folded)
        twice = [name for name, key in zip(names, folded, strict=True) if count[key] > 1]
        raise ValueError(f"{twice[0]} and {twice[1]}: one id for both, expected two: rename one")
    for name, image_id in zip(names, found, strict=True):
        if not layout.is_name(image_id) or image_id.startswith("."):
            raise ValueError(
                f"{str(name)!r}: no name for an image, expected printable letters, the first no "
                "dot: rename it"
            )
    return found


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)
