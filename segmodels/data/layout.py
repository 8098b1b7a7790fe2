"""The VOC layout: where the files of a data set lie, its split lists, its image ids, its index.

A data set root holds ImageSets/Segmentation/<split>.txt, JPEGImages/<image_id>.jpg (or another of
SUFFIXES) and SegmentationClass/<image_id>.png, and optionally SegmentationObject/ and Annotations/.
Files may come from anyone: whatever is wrong with a list is one line that names it.
Source: VOC2012 development kit, section 4.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from segmodels.core.files import write_text

if TYPE_CHECKING:
    import pandas as pd  # slow to import, and `segmodels predict` needs none

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
INDEX_COLUMNS = ["image_id", "split", "width", "height", "void_share"]  # then one for each label
SPLITS = ("train", "holdout", "val")  # of an index
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def image_path(root: str | Path, image_id: str) -> Path:
    """Where an image lies, or, if there is none, where its JPEG would."""
    folder = Path(root) / "JPEGImages"
    for suffix in SUFFIXES:
        path = folder / f"{image_id}{suffix}"
        if path.exists():
            return path
    return folder / f"{image_id}.jpg"


def target_path(root: str | Path, image_id: str) -> Path:
    return Path(root) / "SegmentationClass" / f"{image_id}.png"


def split_path(root: str | Path, split: str) -> Path:
    return Path(root) / "ImageSets" / "Segmentation" / f"{split}.txt"


def check_regular(path: str | Path) -> None:
    """Refuse a folder, a device, or a pipe, from which no byte might ever come.

    Raises:
        ValueError: there is something else than a file.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError(f"{path}: no regular file")


def read_ids(path: str | Path) -> list[str]:
    """Image ids of a split list, one a line, in the order of the file and in NFC.

    Raises:
        ValueError: no text, or text in UTF-16.
    """
    check_regular(path)
    content = Path(path).read_bytes()
    if content.startswith(UTF16_MARKS) or b"\0" in content:
        raise ValueError(f"{path}: UTF-16 or another encoding; save the list as UTF-8 text")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8 text") from None
    lines = map(str.strip, text.splitlines())
    return [unicodedata.normalize("NFC", line) for line in lines if line]


def write_ids(path: Path, image_ids: Sequence[str]) -> None:
    """Write a split list, an id a line."""
    write_text(path, "".join(f"{image_id}\n" for image_id in image_ids))


def read_split(root: str | Path, split: str) -> list[str]:
    """Image ids of a split of a tree.

    Raises:
        ValueError: the list is no text, names an image twice, or one outside the tree.
    """
    path = split_path(root, split)
    image_ids = read_ids(path)
    problems = list_problems(root, image_ids) or id_problems(image_ids)
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise ValueError(f"{path}: {problems[0]}{more}")
    return image_ids


def list_problems(root: str | Path, image_ids: Sequence[str]) -> list[str]:
    """What is wrong with a split list as a whole: one line where its lines are no plain ids."""
    folder = Path(root) / "JPEGImages"
    if not folder.is_dir():
        return []
    known = {unicodedata.normalize("NFC", path.stem) for path in folder.iterdir()}
    wrong = []
    for line in image_ids:
        if line not in known and (line.startswith("#") or likely_id(line, known)):
            wrong.append(line)
    if not wrong:
        return []
    lines = f"{len(wrong)} of {len(image_ids)} lines, as {wrong[0]!r},"
    likely = likely_id(wrong[0], known)
    example = f"as {likely}" if likely else "and no comments"
    return [f"{lines} are no ids; expected an id a line without folder, suffix, columns, {example}"]


def likely_id(line: str, known: Set[str]) -> str | None:
    """The image that a line of a list names which is no id: a path, columns, another case.

    Args:
        known: ids of the images there are.
    """
    spelling = {image_id.casefold(): image_id for image_id in known}
    for word in (line, *line.split()):
        name = word.replace("\\", "/").rpartition("/")[2].casefold()
        stem = name.rpartition(".")[0]
        for candidate in (name, stem):
            if candidate in spelling:
                return spelling[candidate]
    return None


def id_problems(image_ids: Sequence[str]) -> list[str]:
    """What is wrong with a list of image ids: one that comes again, or is no plain name."""
    problems = []
    times = Counter(image_ids)
    for image_id, count in times.items():
        if count > 1:
            problems.append(f"{printable(image_id)} occurs {count} times")
    for image_id in times:
        if not is_name(image_id):
            problems.append(f"{printable(image_id)} is a path, expected a name without folder")
    return problems


def is_name(image_id: str) -> bool:
    """Whether it names a file in a folder, and not a path, on every system."""
    plain = image_id.isprintable() and "\\" not in image_id and image_id != ".."
    return plain and Path(image_id).name == image_id


def printable(image_id: str) -> str:
    """An image id in one line."""
    return image_id if image_id.isprintable() else repr(image_id)


def read_index(path: Path, classes: Sequence[str]) -> "pd.DataFrame":
    """index.csv of a data set: one row per image, see `segmodels.data.index`.

    The file has columns label_0, label_1, ..., so that a class may be renamed without changing it;
    the table has the names.

    Args:
        classes: names in the order of their labels.
    Raises:
        ValueError: it is no table of these classes, or its numbers contradict each other.
    """
    import pandas as pd

    try:
        index = pd.read_csv(path, dtype={"image_id": str}, keep_default_na=False)
        index = index.rename(columns=dict(zip(label_columns(classes), classes, strict=True)))
        _check_index(index, classes)
    except FileNotFoundError:
        raise ValueError(f"{path}: missing; `dvc repro index` makes it") from None
    except (ArithmeticError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: {reason}; `dvc repro index` makes it anew") from None
    return index


def label_columns(classes: Sequence[str]) -> list[str]:
    """The columns of index.csv that count the pixels of each class."""
    return [f"label_{label}" for label in range(len(classes))]


def _check_index(index: "pd.DataFrame", classes: Sequence[str]) -> None:
    """Each image once, of a known split, its pixels those of its classes and of void."""
    columns = [*INDEX_COLUMNS, *classes]
    if index.columns.tolist() != columns:
        differ = sorted(set(columns) ^ set(index.columns)) or ["their order"]
        raise ValueError(f"other columns than expected: {', '.join(map(str, differ))}")
    numbers = index[["width", "height", *classes]]
    if not all(dtype.kind == "i" for dtype in numbers.dtypes) or (numbers < 0).any(axis=None):
        raise ValueError("width, height and pixels are not all whole numbers from 0")
    problems = id_problems(index["image_id"].tolist())
    if problems:
        raise ValueError(problems[0])
    unknown = set(index["split"]) - set(SPLITS)
    if unknown:
        raise ValueError(f"split {min(map(str, unknown))}, expected one of {', '.join(SPLITS)}")
    size = index["width"] * index["height"]
    void = (index["void_share"].astype(float) * size).round()
    pixels = numbers[list(classes)].sum(axis=1) + void
    wrong = index["image_id"][pixels != size].tolist()
    if wrong:
        raise ValueError(f"{wrong[0]}: pixels of classes and void are not width x height")
