"""Bring a data set into the one form that the pipeline reads.

Names become NFC with a suffix in lower case, masks palette PNGs whose values are labels, and an
image whose mask fits it only as it is stored, not as its EXIF turns it, is stored without EXIF.
What is in that form already keeps its bytes. Nothing is guessed: a mask that cannot be read as
`masks.read` reads it is a line that names it.
"""

import unicodedata
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from segmodels.data import images, layout, masks
from segmodels.files import write_bytes
from segmodels.sections import Dataset

SPELLINGS = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tiff": ".tif"}
MOST_PROBLEMS = 100  # shown of a data set
SIDEWAYS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # from what a viewer shows, for each
    5: lambda shown: shown.swapaxes(0, 1),  # EXIF orientation that swaps width and height, back to
    6: lambda shown: np.rot90(shown, 1),  # what is stored
    7: lambda shown: shown[::-1, ::-1].swapaxes(0, 1),
    8: lambda shown: np.rot90(shown, -1),
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
    problems = list[str]()
    for folder, suffixes in (
        ("JPEGImages", layout.SUFFIXES),
        ("SegmentationClass", masks.SUFFIXES),
    ):
        problems += _rename(root / folder, suffixes)
    done = {"masks": 0, "images": 0}
    for image_id in watch(_listed(root, data)):
        try:
            done["masks"] += _convert(root, image_id, data)
            done["images"] += _store_upright(root, image_id)
        except FileNotFoundError:
            continue  # the index names it
        except ValueError as error:
            problems.append(str(error).replace(f"{root}/", ""))
    refuse(problems, root)
    return done


def refuse(problems: list[str], root: Path) -> None:
    """Raise the problems of a data set, if it has any.

    Raises:
        ValueError: how many there are, and the first of them.
    """
    if problems:
        shown = problems[:MOST_PROBLEMS]
        more = [f"and {len(problems) - len(shown)} more"] * (len(problems) > len(shown))
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ValueError("\n  ".join([f"{count} in {root}:", *shown, *more]))


def _listed(root: Path, data: Dataset) -> list[str]:
    """Ids of the lists in use that are plain names; what else is in them, the index names."""
    image_ids: dict[str, None] = {}
    for split in (data.train, data.val):
        try:
            image_ids |= dict.fromkeys(layout.read_ids(layout.split_path(root, split)))
        except (OSError, ValueError):
            continue
    return [image_id for image_id in image_ids if layout.is_name(image_id)]


def _rename(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Give files their usual names; a line for each two that would have the same."""
    problems = list[str]()
    taken: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if suffix not in suffixes:
            continue
        stem = unicodedata.normalize("NFC", path.stem)
        other = taken.setdefault(stem, path.name)
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
    labels = masks.read(path, data)
    masks.write(layout.target_path(root, image_id), labels, data)
    if path != layout.target_path(root, image_id):
        path.unlink()
    return True


def mask_path(root: Path, image_id: str) -> Path:
    """Where a mask lies, in whatever format; or, if there is none, where its PNG would."""
    usual = layout.target_path(root, image_id)
    places = (usual.with_name(f"{image_id}{suffix}") for suffix in masks.SUFFIXES)
    return next((path for path in places if path.exists()), usual)


def by_id(folder: Path, suffixes: tuple[str, ...]) -> dict[str, list[Path]]:
    """The files of a folder by their id, in NFC; empty where there is no folder."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() in suffixes:
            found.setdefault(unicodedata.normalize("NFC", path.stem), []).append(path)
    return found


def _store_upright(root: Path, image_id: str) -> bool:
    """Store an image without EXIF where its mask fits it as it is stored alone; whether it did."""
    path = layout.image_path(root, image_id)
    with images.open_image(path, *images.FORMATS) as image:
        orientation = images.orientation(image)
    if orientation not in SIDEWAYS:
        return False
    shown = images.read_image(path)
    height, width, _ = shown.shape
    with images.open_image(layout.target_path(root, image_id)) as mask:
        if width == height or mask.size != (height, width):
            return False
    content = BytesIO()
    Image.fromarray(np.ascontiguousarray(SIDEWAYS[orientation](shown))).save(content, "PNG")
    path.unlink()
    write_bytes(path.with_suffix(".png"), content.getvalue())
    return True
