"""Bring a data set into the one form that the pipeline reads.

Names become NFC with a suffix in lower case, masks palette PNGs whose values are labels, and an
image whose mask fits it only as it is stored, not as its EXIF turns it, is stored without EXIF.
Files of that form keep their bytes. Nothing is guessed: a mask that `masks.read` cannot read is a
line that names it.
"""

import unicodedata
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from segmodels.config.schema import Dataset
from segmodels.core.files import write_bytes
from segmodels.data import images, layout, masks

SPELLINGS = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
MOST_PROBLEMS = 100  # shown of a data set
# Of the EXIF orientations that swap width and height: from what a viewer shows to what is stored.
STORED_FROM_SHOWN: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image, -1),
}


def tidy(
    root: Path, data: Dataset, watch: Callable[[list[str]], Iterable[str]] = iter
) -> dict[str, int]:
    """Rewrite, in place, what is in another form.

    Args:
        root: VOC tree that is this program's own copy.
        watch: wraps the work, e.g. in a progress bar.
    Returns:
        how many masks were converted, and how many images are stored without their EXIF.
    Raises:
        ValueError: all problems of the masks, a line for each.
    """
    problems = _rename(root / "JPEGImages", layout.SUFFIXES)
    problems += _rename(root / "SegmentationClass", masks.SUFFIXES)
    counts = {"masks": 0, "images": 0}
    for image_id in watch(_image_ids(root, data)):
        try:
            counts["masks"] += _convert(root, image_id, data)
            counts["images"] += _store_upright(root, image_id)
        except FileNotFoundError:
            continue  # the index names it
        except ValueError as error:
            problems.append(str(error).replace(f"{root}/", ""))
    refuse(problems, root)
    return counts


def refuse(problems: list[str], root: Path) -> None:
    """Raise the problems of a data set, if it has any.

    Raises:
        ValueError: how many there are, and the first of them.
    """
    if not problems:
        return
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"{count} in {root}:", *problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"and {len(problems) - MOST_PROBLEMS} more")
    raise ValueError("\n  ".join(lines))


def _image_ids(root: Path, data: Dataset) -> list[str]:
    """Ids of the lists in use that are plain names; the index names what else is in them."""
    image_ids: dict[str, None] = {}
    for split in data.lists.values():
        try:
            image_ids |= dict.fromkeys(layout.read_ids(layout.split_path(root, split)))
        except (OSError, ValueError):
            continue
    return [image_id for image_id in image_ids if layout.is_name(image_id)]


def _rename(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Give files their usual names; a line for each two that would have the same."""
    problems = list[str]()
    name_of: dict[str, str] = {}  # by id
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix not in suffixes:
            continue
        stem = unicodedata.normalize("NFC", path.stem)
        other = name_of.setdefault(stem, path.name)
        if other != path.name:
            problems.append(f"{folder.name}: {other} and {path.name} have one id, expected one")
            continue
        name = stem + SPELLINGS.get(suffix, suffix)
        if path.name != name:
            path.rename(folder / name)
    return problems


def _convert(root: Path, image_id: str, data: Dataset) -> bool:
    """Store a mask as labels; whether it was something else."""
    path = mask_path(root, image_id)
    if masks.is_plain(path, data):
        return False
    target = layout.target_path(root, image_id)
    masks.write(target, masks.read(path, data), data)
    if path != target:
        path.unlink()
    return True


def mask_path(root: Path, image_id: str) -> Path:
    """Where a mask lies, in whatever format; or, if there is none, where its PNG would."""
    target = layout.target_path(root, image_id)
    for suffix in masks.SUFFIXES:
        path = target.with_name(f"{image_id}{suffix}")
        if path.exists():
            return path
    return target


def by_id(folder: Path, suffixes: tuple[str, ...]) -> dict[str, list[Path]]:
    """The files of a folder by their id, in NFC; empty where there is no folder."""
    files: dict[str, list[Path]] = {}
    if not folder.is_dir():
        return files
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes:
            image_id = unicodedata.normalize("NFC", path.stem)
            files.setdefault(image_id, []).append(path)
    return files


def _store_upright(root: Path, image_id: str) -> bool:
    """Store an image without EXIF if its mask fits it only as it is stored; whether it did so."""
    path = layout.image_path(root, image_id)
    with images.open_image(path, *images.FORMATS) as image:
        orientation = images.orientation(image)
    if orientation not in STORED_FROM_SHOWN:
        return False
    shown = images.read_image(path)
    height, width, _ = shown.shape
    with images.open_image(layout.target_path(root, image_id)) as mask:
        if width == height or mask.size != (height, width):
            return False
    stored = STORED_FROM_SHOWN[orientation](shown)
    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(content, "PNG")
    path.unlink()
    write_bytes(path.with_suffix(".png"), content.getvalue())
    return True
