"""Check a VOC tree and count its labels.

Everything that is wrong is found before anything is reported, so that a data set is mended once.
Pictures and masks are decoded in full: what passes here is what training and evaluation can read.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from segmodels.data import voc
from segmodels.data.voc import INDEX_COLUMNS as COLUMNS

MOST_PROBLEMS = 100  # shown of a data set
MOST_LABELS = 10  # shown of a mask

Pair = tuple[str, str]  # split, image_id
T = TypeVar("T")


def build(
    root: str | Path,
    *,
    splits: dict[str, str],
    classes: list[str],
    void: int,
    groups: dict[str, list[str]],
    holdout: int = 0,
    watch: Callable[[list[Pair]], Iterable[Pair]] = iter,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Index the pictures of a data set.

    Args:
        root: VOC tree.
        splits: name of the split list that each split is read from, {"train": ..., "val": ...}.
        classes: names in the order of their labels, background first.
        void: label that stands for no class.
        groups: names of the classes of each group; may be empty.
        holdout: number of train's pictures, at even distances in its list, that become the split
            "holdout": nothing learns from them, so that choices can be made on them.
        watch: wraps the work, e.g. in a progress bar.
    Returns:
        The index, one row per picture in the order of the lists: image_id, split, width and height
        (pixels), void_share (0..1), and for each class the number of its pixels.
        The statistics, see `statistics`.
    Raises:
        ValueError: all problems of the data set, a line for each.
    """
    root = Path(root)
    problems = [
        f"class {name!r} is also a column of the index" for name in classes if name in COLUMNS
    ]
    pairs = _pairs(root, splits, problems)
    rows = [
        [image_id, split, *_measure(root, image_id, len(classes), void, problems)]
        for split, image_id in watch(pairs)
    ]
    if problems:
        shown = problems[:MOST_PROBLEMS]
        more = [f"and {len(problems) - len(shown)} more"] * (len(problems) > len(shown))
        raise ValueError("\n  ".join([f"{len(problems)} problems in {root}:", *shown, *more]))
    index = pd.DataFrame(rows, columns=[*COLUMNS, *classes])
    _hold_out(index, holdout)
    return index, statistics(index, groups)


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
        path = voc.split_path(root, name)
        image_ids = _attempt(voc.read_ids, root, path, problems)
        found = ["names no picture"] if image_ids == [] else voc.id_problems(image_ids or [])
        for image_id in filter(voc.is_name, dict.fromkeys(image_ids or [])):
            if split_of.setdefault(image_id, split) != split:
                found.append(f"{image_id} is also in {split_of[image_id]}")
        problems += [f"{path.relative_to(root)}: {problem}" for problem in found]
    return [(split, image_id) for image_id, split in split_of.items()]


def _measure(
    root: Path, image_id: str, num_classes: int, void: int, problems: list[str]
) -> list[Any]:
    """Width, height, void share and pixels per class; what is wrong joins `problems`."""
    path = voc.target_path(root, image_id)
    size = _attempt(_decode, root, voc.image_path(root, image_id), problems)
    target = _attempt(voc.read_target, root, path, problems)
    if size is None or target is None:
        return []
    height, width = target.shape
    found = []
    if size != (width, height):
        found.append(f"{width} x {height} pixels, but the picture has {size[0]} x {size[1]}")
    pixels = np.bincount(target.ravel(), minlength=256)
    strange = [str(i) for i in np.flatnonzero(pixels) if i >= num_classes and i != void]
    if strange:
        some = ", ".join(strange[:MOST_LABELS]) + ", ..." * (len(strange) > MOST_LABELS)
        found.append(f"labels {some}; expected 0..{num_classes - 1} and {void} (void)")
    problems += [f"{path.relative_to(root)}: {problem}" for problem in found]
    return [width, height, pixels[void] / target.size, *pixels[:num_classes]]


def _decode(path: Path) -> tuple[int, int]:
    """Decode a picture in full; its width and height."""
    with voc.opened(path) as image:
        if image.format != "JPEG":
            raise ValueError(f"{path}: {image.format} inside, expected JPEG")
        image.load()
        return image.size


def _attempt(read: Callable[[Path], T], root: Path, path: Path, problems: list[str]) -> T | None:
    """What a file holds; None where it cannot be read, and the reason joins `problems`."""
    try:
        return read(path)
    except FileNotFoundError:
        reason = "missing"
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
    problems.append(f"{path.relative_to(root)}: {reason}")
    return None
