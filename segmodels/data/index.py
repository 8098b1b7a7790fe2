"""Check a VOC tree and count its labels.

Everything that is wrong is found before anything is reported, so that a data set is fixed once.
Images and masks are decoded in full: what passes here is what training and evaluation can read.
"""

import glob
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from segmodels.data import images, layout, masks, tidy
from segmodels.data.layout import INDEX_COLUMNS as COLUMNS
from segmodels.sections import Dataset

MOST_NAMES = 10  # labels or classes that a line shows

Pair = tuple[str, str]  # split, image_id
T = TypeVar("T")


def build(
    root: str | Path, data: Dataset, watch: Callable[[list[Pair]], Iterable[Pair]] = iter
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Index the images of a data set.

    Args:
        root: VOC tree.
        data: names of the split lists, classes, void and groups. `holdout` of train's images, at
            even distances in its list, become the split "holdout": nothing learns from them, so
            that choices can be made on them.
        watch: wraps the work, e.g. in a progress bar.
    Returns:
        The index, one row per image in the order of the lists: image_id, split, width and height
        (pixels), void_share (0..1), and for each class the number of its pixels.
        The statistics, see `statistics`.
    Raises:
        ValueError: all problems of the data set, a line for each.
    """
    root = Path(root)
    problems = list[str]()
    pairs = _pairs(root, {"train": data.train, "val": data.val}, problems)
    count = len(data.classes)
    palettes = masks.Palettes(data.palette, classes=count) if data.masks == "auto" else None
    rows = []
    for split, image_id in watch(pairs):
        rows.append([image_id, split, *_measure(root, image_id, data, palettes, problems)])
    tidy.refuse(problems, root)
    index = pd.DataFrame(rows, columns=[*COLUMNS, *data.classes])
    _hold_out(index, data.holdout)
    return index, statistics(index, data.groups)


def meaning_problems(index: pd.DataFrame, data: Dataset, name: str) -> list[str]:
    """What speaks against the labels being what `data` says, a line for each.

    Args:
        index: from `build`.
        name: of the data set, for the advice.
    """
    train, val = index[index["split"] != "val"], index[index["split"] == "val"]
    pixels = train[data.classes].sum()
    absent = [c for c in data.classes if not pixels[c] and c not in data.allow_absent]
    problems = list[str]()
    if absent:
        share = _void_share(train)
        void = f", {share:.1%} of whose pixels are {data.void} (void)" if share else ""
        problems.append(
            f"no pixel of {some(absent)} in {data.train}{void}: where masks store other values, "
            f"`datasets.{name}.labels` says what they mean, as {_label_map(data, absent)}; "
            f"where it is meant so, `allow_absent: [{', '.join(absent)}]`"
        )
    for split, rows in ((data.train, train), (data.val, val)):
        if (share := _void_share(rows)) >= data.allow_void:
            problems.append(
                f"{share:.1%} of the pixels of {split} are {data.void} (void), expected less than "
                f"{data.allow_void:.0%}: `datasets.{name}.labels` says what values mean, "
                "`allow_void: 1` lets them through"
            )
    return problems


def notes(root: Path, index: pd.DataFrame, data: Dataset) -> list[str]:
    """What a person should know of a data set that is none the less right, a line for each."""
    ids = index["image_id"].tolist()
    found = list[str]()
    turned = [i for i in ids if _orientation(layout.image_path(root, i)) != images.UPRIGHT]
    if turned:
        found.append(
            f"{len(turned)} images are turned by their EXIF, {layout.printable(turned[0])} first: read as "
            "a viewer shows them; their masks have to be drawn on that"
        )
    pixels = index.loc[index["split"] == "val", data.classes].sum()
    lacking = [c for c in data.classes if not pixels[c] and c not in data.allow_absent]
    if lacking:
        found.append(f"no pixel of {some(lacking)} in {data.val}, which says nothing of them")
    for folder in ("JPEGImages", "SegmentationClass"):
        unused = {path.stem for path in (root / folder).iterdir()} - set(ids)
        if unused:
            lists = f"neither {data.train} nor {data.val}"
            found.append(f"{folder}: {len(unused)} of its files in {lists}: unused")
    return found


def some(names: list[str]) -> str:
    """Names, the first few."""
    return ", ".join(names[:MOST_NAMES]) + ", ..." * (len(names) > MOST_NAMES)


def _label_map(data: Dataset, absent: list[str]) -> str:
    """A map that would explain what was found: the object is what is taken for void."""
    values = {label: name for label, name in enumerate(data.classes) if name not in absent}
    values[data.void] = absent[0]
    return "{" + ", ".join(f"{value}: {name}" for value, name in values.items()) + "}"


def _void_share(rows: pd.DataFrame) -> float:
    """Share of the pixels of some images that are void."""
    size = rows["width"] * rows["height"]
    return float((rows["void_share"] * size).sum() / max(1, size.sum()))


def _orientation(path: Path) -> int:
    with images.open_image(path, *images.FORMATS) as image:
        return images.orientation(image)


def _hold_out(index: pd.DataFrame, count: int) -> None:
    """Make `count` rows of train a split of their own, in place."""
    train = index.index[index["split"] == "train"]
    if count >= len(train) > 0:
        raise ValueError(f"holdout = {count}: train has {len(train)} pictures, expected fewer")
    chosen = [train[(2 * k + 1) * len(train) // (2 * count)] for k in range(count)]
    index.loc[chosen, "split"] = "holdout"


def statistics(index: pd.DataFrame, groups: dict[str, list[str]]) -> dict[str, Any]:
    """Facts about each split of an index.

    Returns:
        For each split: images; void_share of all pixels; class_pixels, class_images (pictures in
        which the class occurs) and class_shares (of the pixels that are not void) by class; and by
        group group_pixels, group_images and group_shares.
    """
    return {str(split): _facts(rows, groups) for split, rows in index.groupby("split", sort=False)}


def _facts(rows: pd.DataFrame, groups: dict[str, list[str]]) -> dict[str, Any]:
    """Statistics of one split."""
    classes = rows.drop(columns=COLUMNS)
    grouped = pd.DataFrame({name: classes[members].sum(axis=1) for name, members in groups.items()})
    size, labelled = int((rows["width"] * rows["height"]).sum()), int(classes.to_numpy().sum())
    facts: dict[str, Any] = {"images": len(rows), "void_share": (size - labelled) / size}
    for kind, table in (("class", classes), ("group", grouped)):
        pixels = {name: int(table[name].sum()) for name in table}
        facts[f"{kind}_pixels"] = pixels
        facts[f"{kind}_images"] = {name: int((table[name] > 0).sum()) for name in table}
        facts[f"{kind}_shares"] = {name: pixels[name] / max(1, labelled) for name in table}
    return facts


def _pairs(root: Path, splits: dict[str, str], problems: list[str]) -> list[Pair]:
    """Every picture that the lists name, once; what is wrong with them joins `problems`."""
    split_of: dict[str, str] = {}
    for split, name in splits.items():
        path = layout.split_path(root, name)
        image_ids = _attempt(layout.read_ids, root, path, problems)
        found = (
            ["names no image"] if image_ids == [] else layout.list_problems(root, image_ids or [])
        )
        if found:  # one line for the list, and none for each of its images
            problems.append(f"{path.relative_to(root)}: {found[0]}")
            continue
        found = layout.id_problems(image_ids or [])
        for image_id in filter(layout.is_name, dict.fromkeys(image_ids or [])):
            if split_of.setdefault(image_id, split) != split:
                found.append(f"{image_id} is also in {split_of[image_id]}")
        problems += [f"{path.relative_to(root)}: {problem}" for problem in found]
    return [(split, image_id) for image_id, split in split_of.items()]


def _measure(
    root: Path,
    image_id: str,
    data: Dataset,
    palettes: masks.Palettes | None,
    problems: list[str],
) -> list[Any]:
    """Width, height, void share and pixels per class; what is wrong joins `problems`."""
    path = layout.target_path(root, image_id)
    size = _attempt(_decode, root, layout.image_path(root, image_id), problems)
    target = _attempt(partial(_read_mask, palettes), root, path, problems)
    if size is None or target is None:
        return []
    height, width = target.shape
    found = []
    if size != (width, height):
        turned = ": is one of them turned, by EXIF or a program?" * (size == (height, width))
        found.append(f"{width} x {height} pixels, but the image has {size[0]} x {size[1]}{turned}")
    most = len(data.classes) - 1
    pixels = np.bincount(target.ravel(), minlength=256)
    strange = [str(i) for i in np.flatnonzero(pixels) if i > most and i != data.void]
    if strange:
        found.append(
            f"labels {some(strange)}; expected 0..{most} and {data.void} (void); "
            + masks.advice(np.flatnonzero(pixels).tolist(), data)
        )
    problems += [f"{path.relative_to(root)}: {problem}" for problem in found]
    return [width, height, pixels[data.void] / target.size, *pixels[: most + 1]]


def _read_mask(palettes: masks.Palettes | None, path: Path) -> np.ndarray:
    """A mask; one whose palette contradicts those before it is refused."""
    labels = images.read_target(path)
    if palettes is not None:
        with images.open_image(path, "PNG") as image:
            if image.mode == "P":
                palettes.add(path, masks.used_colours(image, labels))
    return labels


def _decode(path: Path) -> tuple[int, int]:
    """Decode an image in full; its width and height, as a viewer shows it."""
    height, width, _ = images.read_image(path).shape
    return width, height


def _attempt(read: Callable[[Path], T], root: Path, path: Path, problems: list[str]) -> T | None:
    """What a file holds; None where it cannot be read, and the reason joins `problems`."""
    try:
        return read(path)
    except FileNotFoundError:
        reason = "missing" + _beside(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
    problems.append(f"{path.relative_to(root)}: {reason}")
    return None


def _beside(path: Path) -> str:
    """The file of the same stem that is there, in a format that is not read."""
    others = sorted(file.name for file in path.parent.glob(f"{glob.escape(path.stem)}.*"))
    return f"; {others[0]} is there, expected one of {' '.join(layout.SUFFIXES)}" if others else ""
