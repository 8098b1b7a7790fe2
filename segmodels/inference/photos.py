"""Any photograph as RGB, and its label map at its own size in bounded memory.

Images are read as training reads them, see images.read_image; a file that cannot be shown raises a
ValueError of one line. Label maps are those of the predict stage, pixel for pixel, but for
photographs of more than LARGEST pixels: a model sees them at that size where no long side is
chosen, and a CRF works at that size.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segmodels.config.schema import Predict
from segmodels.data import channels, images, layout
from segmodels.inference import testtime
from segmodels.inference.testtime import Forward

LARGEST = 1024  # pixels of the long side that a model sees unless params.yaml says otherwise
STEM_BYTES = 100  # of the 255 that a file's name may have, the rest for the model and the kind


@dataclass
class Found:
    """What paths hold.

    Attributes:
        files: images, each once, in the order given; those of a folder by name.
        problems: a line for each folder without any.
        others: suffix -> how many files of the folders are no images that can be read.
    """

    files: list[Path]
    problems: list[str]
    others: Counter[str]


def find(paths: Iterable[Path], without: Path | None = None) -> Found:
    """The images that are meant: files as they are named, of folders and what is in them all.

    A file of a folder is one if its suffix or else its content says so. Hidden files and folders
    are left out, as in a shell; hidden images are counted. Of a file and its links the file counts.

    Args:
        without: a folder that is not looked at, for the results.
    """
    files: dict[Path, Path] = {}
    problems, others = list[str](), Counter[str]()
    for path in paths:
        if not path.is_dir():
            files.setdefault(_target(path), path)
            continue
        before = len(problems)
        inside = _images(path, without, others, problems)
        for file in inside:
            if files.setdefault(_target(file), file).is_symlink() and not file.is_symlink():
                files[_target(file)] = file
        if not inside and len(problems) == before:
            problems.append(f"{path}: a folder without images ({' '.join(layout.SUFFIXES)})")
    return Found(list(files.values()), problems, others)


def _target(path: Path) -> Path:
    """Where links lead; those that lead to each other lead nowhere."""
    return Path(os.path.realpath(path))


def _images(
    folder: Path, without: Path | None, others: Counter[str], problems: list[str]
) -> list[Path]:
    """The images of a folder and its sub-folders by name; other files are counted.

    Args:
        problems: gets a line for each folder that cannot be read.
    """

    def note(error: OSError) -> None:
        problems.append(f"{error.filename}: {error.strerror}")

    found = []
    for place, folders, names in os.walk(folder, onerror=note):
        shown = sorted(name for name in folders if not name.startswith("."))
        linked = [name for name in shown if (Path(place) / name).is_symlink()]
        others.update({"linked folders": len(linked)} if linked else {})
        folders[:] = [name for name in shown if without != _target(Path(place) / name)]
        for name in sorted(names):
            file = Path(place) / name
            if name.startswith("."):
                others.update(["hidden image"] if file.suffix.lower() in layout.SUFFIXES else [])
                continue
            if file.suffix.lower() in layout.SUFFIXES or _is_image(file):
                found.append(file)
            else:
                others[file.suffix or "without a suffix"] += 1
    return found


def _is_image(file: Path) -> bool:
    """Whether a file's content is an image, whatever its name."""
    try:
        with images.open_image(file, *images.FORMATS):
            return True
    except (OSError, ValueError):
        return False


def read(path: Path) -> np.ndarray:
    """Decode a photograph.

    Returns:
        (H, W, 3) uint8, RGB.
    Raises:
        ValueError: missing, no picture, damaged, too large to be meant, or with channels that
            would not be looked at.
    """
    if not path.is_file() or path.stat().st_size == 0:
        kind = "a folder" if path.is_dir() else "0 bytes" if path.is_file() else "there is no file"
        kind = "no regular file" if path.exists() and kind.startswith("there") else kind
        raise ValueError(f"{path}: {kind}, expected an image")
    channels.check(path)
    return images.read_image(path)


def frames(path: Path) -> int:
    """How many images a file holds, of which the first is read."""
    with images.open_image(path, *images.FORMATS) as image:
        return getattr(image, "n_frames", 1)


def stems(paths: Sequence[Path], models: Sequence[str]) -> list[str]:
    """How the files made from each picture begin: its own name, safe on any disk, and no other's.

    Letters, digits, dots, spaces and hyphens stay. Names that differ in upper and lower case only
    are taken for equal, as some disks do; those that come second are numbered.
    """
    taken: set[str] = set()
    result = []
    for path in paths:
        name = unicodedata.normalize("NFC", os.fsencode(path.stem).decode(errors="replace"))
        safe = re.sub(r"[^\w. -]", "_", name).strip(" .") or "picture"
        safe = safe.encode()[:STEM_BYTES].decode(errors="ignore")
        number, stem = 1, safe
        while taken & _claims(stem, models):
            number += 1
            stem = f"{safe}_{number}"
        taken |= _claims(stem, models)
        result.append(stem)
    return result


def _claims(stem: str, models: Sequence[str]) -> set[str]:
    """The beginnings of names that a picture takes."""
    return {f"{stem}_{end}".casefold() for end in ("comparison", *models)}


def label_photo(forward: Forward, image: np.ndarray, choices: Predict) -> np.ndarray:
    """Predict one photograph.

    Args:
        forward: a `Network`.
        image: (H, W, 3) uint8, RGB.
        choices: long side, scales and the rest, see `testtime.label_maps`.
    Returns:
        (H, W) uint8 labels.
    """
    batch = torch.tensor(image).permute(2, 0, 1)[None]
    [(_, labels)] = testtime.label_maps(forward, [([""], batch)], choices, most=LARGEST)
    return labels.cpu().numpy()
