"""Check a VOC tree and count its labels.

All problems are collected before any is reported, so that a data set is fixed once. Images and
masks are decoded in full: what passes here is what training and evaluation can read.
"""

import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from segmodels.config.schema import Dataset
from segmodels.data import images, layout, masks, splits
from segmodels.data.layout import INDEX_COLUMNS
from segmodels.data.palettes import Palettes, used_colours
from segmodels.data.sources import tidy

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
    checker = _Checker(Path(root), data)
    rows = []
    for split, image_id in watch(checker.pairs()):
        rows.append([image_id, split, *checker.measure(image_id)])
    tidy.refuse(checker.problems, checker.root)
    index = pd.DataFrame(rows, columns=[*INDEX_COLUMNS, *data.classes])
    _hold_out(index, data.holdout)
    return index, statistics(index, data.groups)


class _Checker:
    """Reads a data set and collects its problems."""

    def __init__(self, root: Path, data: Dataset) -> None:
        self.root = root
        self.data = data
        self.palettes: Palettes | None = None
        if data.masks == "auto":
            self.palettes = Palettes(data.palette, classes=len(data.classes))
        self.problems: list[str] = []

    def pairs(self) -> list[Pair]:
        """Every image that the lists name, once."""
        split_of: dict[str, str] = {}
        for split, name in self.data.lists.items():
            path = layout.split_path(self.root, name)
            image_ids = self._attempt(layout.read_ids, path)
            if image_ids is None or not self._is_list(path, image_ids):
                continue
            for problem in layout.id_problems(image_ids):
                self._note(path, problem)
            for image_id in dict.fromkeys(image_ids):
                if not layout.is_name(image_id):
                    continue
                if split_of.setdefault(image_id, split) != split:
                    self._note(path, f"{image_id} is also in {split_of[image_id]}")
        return [(split, image_id) for image_id, split in split_of.items()]

    def _is_list(self, path: Path, image_ids: list[str]) -> bool:
        """Whether it is one of ids; if not, that is one line, and none for each of its images."""
        problems = layout.list_problems(self.root, image_ids)
        if not image_ids:
            problems = ["names no image"]
        if problems:
            self._note(path, problems[0])
        return not problems

    def measure(self, image_id: str) -> list[Any]:
        """Width, height, void share and pixels per class; empty where a file cannot be read."""
        path = layout.target_path(self.root, image_id)
        size = self._attempt(_decoded_size, layout.image_path(self.root, image_id))
        target = self._attempt(self._read_mask, path)
        if size is None or target is None:
            return []
        height, width = target.shape
        if size != (width, height):
            problem = f"{width} x {height} pixels, but the image has {size[0]} x {size[1]}"
            if size == (height, width):
                problem += ": is one of them turned, by EXIF or a program?"
            self._note(path, problem)
        pixels = np.bincount(target.ravel(), minlength=256)
        self._check_labels(path, np.flatnonzero(pixels).tolist())
        void_share = pixels[self.data.void] / target.size
        return [width, height, void_share, *pixels[: len(self.data.classes)]]

    def _check_labels(self, path: Path, used: list[int]) -> None:
        void = self.data.void
        last = len(self.data.classes) - 1
        unknown = [label for label in used if label > last and label != void]
        if unknown:
            self._note(
                path,
                f"labels {masks.first_few(unknown)}; expected 0..{last} and {void} (void); "
                f"{masks.advice(used, self.data)}",
            )

    def _read_mask(self, path: Path) -> np.ndarray:
        """A mask; one whose palette contradicts those before it is refused."""
        labels = images.read_target(path)
        if self.palettes is not None:
            with images.open_image(path, "PNG") as image:
                if image.mode == "P":
                    self.palettes.add(path, used_colours(image, labels))
        return labels

    def _attempt(self, read: Callable[[Path], T], path: Path) -> T | None:
        """What a file holds; None where it cannot be read, and the reason is noted."""
        try:
            return read(path)
        except FileNotFoundError:
            reason = "missing" + _beside(path)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
        self._note(path, reason)
        return None

    def _note(self, path: Path, problem: str) -> None:
        self.problems.append(f"{path.relative_to(self.root)}: {problem}")


def meaning_problems(index: pd.DataFrame, data: Dataset, name: str) -> list[str]:
    """What speaks against the labels being what `data` says, a line for each.

    Args:
        index: from `build`.
        name: of the data set, for the advice.
    """
    train = index[index["split"].isin(splits.OF_TRAIN)]
    problems = list[str]()
    absent = _absent(train, data)
    if absent:
        share = _void_share(train)
        void = f", {share:.1%} of whose pixels are {data.void} (void)" if share else ""
        problems.append(
            f"no pixel of {masks.first_few(absent)} in {data.train}{void}: where masks store other "
            f"values, `datasets.{name}.labels` says what they mean, as {_label_map(data, absent)}; "
            f"where it is meant so, `allow_absent: [{', '.join(absent)}]`"
        )
    for split, listed in data.lists.items():
        share = _void_share(train if split == "train" else index[index["split"] == split])
        if share >= data.allow_void:
            problems.append(
                f"{share:.1%} of the pixels of {listed} are {data.void} (void), expected less than "
                f"{data.allow_void:.0%}: `datasets.{name}.labels` says what values mean, "
                "`allow_void: 1` lets them through"
            )
    return problems


def notes(root: Path, index: pd.DataFrame, data: Dataset) -> list[str]:
    """What a person should know of a data set that is none the less right, a line for each."""
    lines = list[str]()
    image_ids = index["image_id"].tolist()
    turned = [i for i in image_ids if not _is_upright(layout.image_path(root, i))]
    if turned:
        lines.append(
            f"{len(turned)} images are turned by their EXIF, {layout.printable(turned[0])} first: "
            "read as a viewer shows them; their masks have to be drawn on that"
        )
    for split, listed in data.scored.items():
        absent = _absent(index[index["split"] == split], data)
        if absent:
            names = masks.first_few(absent)
            lines.append(f"no pixel of {names} in {listed}, which says nothing of them")
    of_test = set[str]()
    if data.test is None and layout.split_path(root, "test").is_file():
        of_test = set(layout.read_ids(layout.split_path(root, "test"))) - set(image_ids)
        lines.append(
            f"test.txt lists {len(of_test)} of its images, which are not scored; when all is "
            "chosen, `test: test` in `datasets` and `split: test` in `predict` score them"
        )
    for folder in ("JPEGImages", "SegmentationClass"):
        unused = {path.stem for path in (root / folder).iterdir()} - set(image_ids) - of_test
        if unused:
            lists = f"neither {' nor '.join(data.lists.values())}"
            lines.append(f"{folder}: {len(unused)} of its files in {lists}: unused")
    return lines


def _absent(rows: pd.DataFrame, data: Dataset) -> list[str]:
    """Classes without a pixel in some images that should have one."""
    pixels = rows[data.classes].sum()
    return [name for name in data.classes if not pixels[name] and name not in data.allow_absent]


def _label_map(data: Dataset, absent: list[str]) -> str:
    """`labels` that would explain absent classes: the first is what is taken for void."""
    entries = list[str]()
    for label, name in enumerate(data.classes):
        if name not in absent:
            entries.append(f"{label}: {name}")
    entries.append(f"{data.void}: {absent[0]}")
    return "{" + ", ".join(entries) + "}"


def _void_share(rows: pd.DataFrame) -> float:
    """Share of the pixels of some images that are void."""
    size = rows["width"] * rows["height"]
    return float((rows["void_share"] * size).sum() / max(1, size.sum()))


def _hold_out(index: pd.DataFrame, count: int) -> None:
    """Make `count` rows of train a split of their own, in place."""
    train = index.index[index["split"] == "train"]
    if count >= len(train) > 0:
        raise ValueError(f"holdout = {count}: train has {len(train)} pictures, expected fewer")
    holdout = [train[(2 * k + 1) * len(train) // (2 * count)] for k in range(count)]
    index.loc[holdout, "split"] = "holdout"


def statistics(index: pd.DataFrame, groups: dict[str, list[str]]) -> dict[str, Any]:
    """Facts about each split of an index.

    Returns:
        For each split: images; void_share of all pixels; class_pixels, class_images (images in
        which the class occurs) and class_shares (of the pixels that are not void) by class; and by
        group group_pixels, group_images and group_shares.
    """
    return {str(split): _facts(rows, groups) for split, rows in index.groupby("split", sort=False)}


def _facts(rows: pd.DataFrame, groups: dict[str, list[str]]) -> dict[str, Any]:
    """Statistics of one split."""
    classes = rows.drop(columns=INDEX_COLUMNS)
    grouped = pd.DataFrame({name: classes[members].sum(axis=1) for name, members in groups.items()})
    size = int((rows["width"] * rows["height"]).sum())
    labelled = int(classes.to_numpy().sum())
    facts: dict[str, Any] = {"images": len(rows), "void_share": (size - labelled) / size}
    for kind, table in (("class", classes), ("group", grouped)):
        pixels = {}
        occurrences = {}
        shares = {}
        for name in table:
            pixels[name] = int(table[name].sum())
            occurrences[name] = int((table[name] > 0).sum())
            shares[name] = pixels[name] / max(1, labelled)
        facts[f"{kind}_pixels"] = pixels
        facts[f"{kind}_images"] = occurrences
        facts[f"{kind}_shares"] = shares
    return facts


def _is_upright(path: Path) -> bool:
    with images.open_image(path, *images.FORMATS) as image:
        return images.is_upright(image)


def _decoded_size(path: Path) -> tuple[int, int]:
    """Decode an image in full; its width and height, as a viewer shows it."""
    height, width, _ = images.read_image(path).shape
    return width, height


def _beside(path: Path) -> str:
    """The file of the same stem that is there, in a format that is not read."""
    others = sorted(file.name for file in path.parent.glob(f"{glob.escape(path.stem)}.*"))
    if not others:
        return ""
    return f"; {others[0]} is there, expected one of {' '.join(layout.SUFFIXES)}"
