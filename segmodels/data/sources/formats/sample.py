"""What every format gives: samples, each an image and a way to read its labels.

Files of a source may come from anyone. What is wrong with one is a ValueError of one line that says
where (file and key), what was found, what was expected, and what to do.
"""

import json
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from segmodels.config.params import shown
from segmodels.data import layout
from segmodels.data.sources.formats.naming import Names

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
UNREAD = (".heic", ".heif", ".avif")  # of photographs that no step here opens


class Size(NamedTuple):
    """Pixels of an image."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


class Sizes(NamedTuple):
    """Of an image as a viewer shows it, and as it is stored; they differ where EXIF turns it."""

    shown: Size
    stored: Size

    def checked(self, found: Size, where: str) -> Size:
        """The size that annotations state.

        Raises:
            ValueError: it is not the image's.
        """
        if found not in self:
            raise ValueError(
                f"{where}: size {found}, but its image has {self.shown}: annotate this image, or "
                "put the one that was annotated in its place"
            )
        return found


@dataclass(frozen=True)
class Sample:
    """An image and its labels.

    Args:
        image: its file.
        name: path without suffix, of whose end its id is made.
        labels: reads the labels, (H, W) uint8, for an image of given sizes.
        split: train, val or test, where the source says so.
    """

    image: Path
    name: PurePath
    labels: Callable[[Sizes], np.ndarray]
    split: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a person says of a source; see the options of `segmodels import`."""

    classes: list[str] | None = None
    meaning: Mapping[str, str] = field(default_factory=dict)
    table: Path | None = None
    images: str | None = None
    masks: str | None = None
    mask_suffix: str | None = None
    crowd: str = "void"


@dataclass
class Found:
    """A source that was read: names of its classes, samples, and what a person should know.

    `skipped` has a line for each file that is left out, `problems` one for each image that cannot
    be a sample; `remarks` counts what happens to labels while samples are read.
    """

    names: Names
    samples: list[Sample]
    skipped: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)


class Images:
    """The images of a source, found by what annotations call them.

    Names are compared in NFC: an archive packed on a Mac spells them otherwise.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self.paths = files(source)
        self.folders = sorted({path.parent for path in self.paths})
        self._known = {self._key(path): path for path in self.paths}

    def find(self, base: Path, name: str, where: str) -> Path | None:
        """The image that annotations name; None where there is none.

        Args:
            base: what the name is relative to.
            where: the name stands.
        Raises:
            ValueError: it is an absolute path or leaves the source.
        """
        plain = name.replace("\\", "/")
        key = self._key(base / plain)
        if PurePath(plain).is_absolute() or key.split("/")[0] == "..":
            raise ValueError(
                f"{where} = {shown(name)}: expected a file in {self.source}: put the image there "
                "and its relative path here"
            )
        return self._known.get(key)

    def _key(self, path: Path) -> str:
        """Path in the source."""
        inside = os.path.relpath(os.path.normpath(path), self.source)
        return unicodedata.normalize("NFC", inside)


def files(folder: Path, suffixes: tuple[str, ...] = layout.SUFFIXES) -> list[Path]:
    """Files of a folder and its sub-folders with certain endings, hidden ones left out, sorted."""
    found, entered = list[Path](), set[str]()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        real = os.path.realpath(place)
        if real in entered:  # by a link to a folder above
            folders.clear()
            continue
        entered.add(real)
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                found.append(Path(place, name))
    return sorted(found)


def refuse_unread(folder: Path) -> None:
    """Refuse images of formats that are not read, where nothing else was found.

    Raises:
        ValueError: there are some, and not many others: each may have a mask that is read.
    """
    there = files(folder, UNREAD)
    if there and 2 * len(there) > len(files(folder)):
        raise ValueError(
            f"{there[0]}: HEIC and AVIF are not read ({len(there)} in {folder}), expected JPEG or "
            "PNG: convert them"
        )


def check_folder(root: Path, option: str, name: str | None) -> None:
    """Refuse a folder of --images or --masks that is not in a source.

    Raises:
        ValueError: it is named and not there.
    """
    if name and not (root / name).is_dir():
        raise ValueError(f"{option} {name}: no such folder in {root}, expected one: correct it")


def subfolders(folder: Path) -> dict[str, Path]:
    """The folders in a folder by their name in lower case, hidden ones left out."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return {
        path.name.lower(): path
        for path in inside
        if path.is_dir() and not path.name.startswith(".")
    }


def split_folders(source: Path) -> list[Path]:
    """A source and those of its folders that are named after a split."""
    found = [source]
    for name, folder in subfolders(source).items():
        if name in SPLITS:
            found.append(folder)
    return found


def split_of(path: PurePath) -> str | None:
    """The split that a folder in a path is named after."""
    for part in path.parts[:-1]:
        if part.lower() in SPLITS:
            return SPLITS[part.lower()]
    return None


def read_text(path: Path) -> str:
    """A file of UTF-8 text, with or without BOM.

    Raises:
        ValueError: it is in another encoding.
    """
    layout.check_regular(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8 text; save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """A JSON file without NaN, and without a key twice in one object.

    Raises:
        ValueError: it is none, or cut off.
    """
    try:
        return json.loads(read_text(path), parse_constant=_refuse_constant, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(
            f"{path}: no JSON at {where} ({error.msg}); is it cut off? Export it again"
        ) from None
    except RecursionError:
        raise ValueError(f"{path}: values nested without end; export it again") from None
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: {reason}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, expected a finite number; export it again")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(
            f"key {shown(counts.most_common(1)[0][0])} twice in one object, expected once; "
            "remove one"
        )
    return entry


def get(entry: Any, key: str, kind: type, where: str) -> Any:
    """A value of an object of JSON, of the type that the format prescribes.

    Raises:
        ValueError: there is none, or one of another type.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"{where} = {shown(entry)}: expected an object; export it again")
    if key not in entry:
        raise ValueError(f"{where}.{key}: missing, expected {_called(kind)}; export it again")
    value = entry[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"{where}.{key} = {shown(value)}: expected {_called(kind)}; export it again"
        )
    return value


def _called(kind: type) -> str:
    return {str: "text", int: "a whole number", list: "a list", dict: "an object"}[kind]


def number(text: Any, where: str) -> float:
    """A finite number, of JSON or as text.

    Raises:
        ValueError: it is none.
    """
    try:
        value = math.nan if isinstance(text, bool) else float(text)
    except (OverflowError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} = {shown(text)}: expected a finite number; correct it")
    return value


def whole(text: str | None, where: str) -> int:
    """A whole number from 0, as text.

    Raises:
        ValueError: it is none.
    """
    if text is None or not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{where} = {shown(text)}: expected a whole number; correct it")
    return int(text)


def numbered(entries: list[Any], where: str) -> Iterator[tuple[str, Any]]:
    """The objects of a JSON list, each with where it stands."""
    for place, entry in enumerate(entries):
        yield f"{where}[{place}]", entry
