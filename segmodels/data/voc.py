"""The VOC layout: where files lie, how they are read and written, and the palette.

A data set root holds ImageSets/Segmentation/<split>.txt, JPEGImages/<image_id>.jpg (or another of
SUFFIXES) and SegmentationClass/<image_id>.png, and optionally SegmentationObject/ and Annotations/.
Targets are palette PNGs whose indices are the labels: they are read by index, never through RGB or
luminance; masks.py reads other forms. Images are read as a viewer shows them: turned as their EXIF
says, the first frame of an animation, transparent parts over white, 16 bits shortened to 8. Colour
profiles are not applied. Files may come from anyone: few formats are decoded, a mask's checksums
are compared, and whatever is wrong with a file is one line that names it.
Source: VOC2012 development kit, section 4 and VOClabelcolormap.m.
"""

import os
import struct
import unicodedata
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ExifTags, Image, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

from segmodels.files import write_bytes

DEFAULT_LIMIT = Image.MAX_IMAGE_PIXELS or 89_478_485  # pixels, Pillow's
BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
DAMAGED = (  # what Pillow raises on a file that is cut off, altered, or something else
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # JPEG includes the MPO of many cameras
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
LIMIT = "SEGMODELS_MAX_PIXELS"  # of an image; an environment variable, since it changes no result
VOID_COLOUR = 255  # whose colour in VOC's map stands for void
UNTURNED = 1  # EXIF orientation
INDEX_COLUMNS = ["image_id", "split", "width", "height", "void_share"]  # then one for each label
SPLITS = ("train", "holdout", "val")  # of an index


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


def read_ids(path: str | Path) -> list[str]:
    """Image ids of a split list, one a line, in the order of the file and in NFC.

    Raises:
        ValueError: no text, or text in UTF-16.
    """
    check_regular(path)
    content = Path(path).read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise ValueError(f"{path}: UTF-16 or another encoding; save the list as UTF-8 text")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8 text") from None
    return [unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()]


def meant_id(line: str, known: Set[str]) -> str | None:
    """The image that a line of a list means which is no id: a path, a name, columns, other case.

    Args:
        known: ids of the images there are.
    """
    spelt = {image_id.casefold(): image_id for image_id in known}
    for word in (line, *line.split()):
        name = word.replace("\\", "/").rpartition("/")[2].casefold()
        for meant in (name, name.rpartition(".")[0]):
            if meant in spelt:
                return spelt[meant]
    return None


def list_problems(root: str | Path, image_ids: Sequence[str]) -> list[str]:
    """What is wrong with a split list as a whole: one line where its lines are no plain ids."""
    folder = Path(root) / "JPEGImages"
    if not folder.is_dir():
        return []
    known = {unicodedata.normalize("NFC", path.stem) for path in folder.iterdir()}
    others = [line for line in image_ids if line not in known]
    wrong = [line for line in others if line.startswith("#") or meant_id(line, known)]
    if not wrong:
        return []
    lines = f"{len(wrong)} of {len(image_ids)} lines, as {wrong[0]!r},"
    meant = meant_id(wrong[0], known)
    example = f"as {meant}" if meant else "and no comments"
    return [f"{lines} are no ids; expected an id a line without folder, suffix, columns, {example}"]


def is_name(image_id: str) -> bool:
    """Whether it names a file in a folder, and not a path, on every system."""
    plain = image_id.isprintable() and "\\" not in image_id and image_id != ".."
    return plain and Path(image_id).name == image_id


def id_problems(image_ids: Sequence[str]) -> list[str]:
    """What is wrong with a list of image ids: one that comes again, or is no plain name."""
    times = Counter(image_ids)
    found = [f"{shown(i)} occurs {count} times" for i, count in times.items() if count > 1]
    paths = [shown(i) for i in times if not is_name(i)]
    return found + [f"{path} is a path, expected a name without folder" for path in paths]


def shown(image_id: str) -> str:
    """An image id in one line."""
    return image_id if image_id.isprintable() else repr(image_id)


def read_split(root: str | Path, split: str) -> list[str]:
    """Image ids of a split of a tree.

    Raises:
        ValueError: the list is no text, names a picture twice, or one outside the tree.
    """
    path = split_path(root, split)
    image_ids = read_ids(path)
    if problems := list_problems(root, image_ids) or id_problems(image_ids):
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise ValueError(f"{path}: {problems[0]}{more}")
    return image_ids


def read_index(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """index.csv of a data set: one row per image, see `segmodels.data.index`.

    The file has columns label_0, label_1, ..., so that another name of a class changes nothing of
    it; the table has the names.

    Args:
        classes: names in the order of their labels.
    Raises:
        ValueError: it is no table of these classes, or its numbers contradict each other.
    """
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
    """How index.csv calls the pixels of each class."""
    return [f"label_{label}" for label in range(len(classes))]


def _check_index(index: pd.DataFrame, classes: Sequence[str]) -> None:
    """Each picture once, of a known split, its pixels those of its classes and of void."""
    columns = [*INDEX_COLUMNS, *classes]
    if index.columns.tolist() != columns:
        differ = sorted(set(columns) ^ set(index.columns)) or ["their order"]
        raise ValueError(f"other columns than expected: {', '.join(map(str, differ))}")
    numbers = index[["width", "height", *classes]]
    if not all(dtype.kind == "i" for dtype in numbers.dtypes) or (numbers < 0).any(axis=None):
        raise ValueError("width, height and pixels are not all whole numbers from 0")
    if problems := id_problems(index["image_id"].tolist()):
        raise ValueError(problems[0])
    if strange := set(index["split"]) - set(SPLITS):
        raise ValueError(f"split {min(map(str, strange))}, expected one of {', '.join(SPLITS)}")
    size = index["width"] * index["height"]
    void = (index["void_share"].astype(float) * size).round()
    if wrong := index["image_id"][(numbers[list(classes)].sum(axis=1) + void != size)].tolist():
        raise ValueError(f"{wrong[0]}: pixels of classes and void are not width x height")


def check_regular(path: str | Path) -> None:
    """Refuse a folder, a device, or a pipe, from which no byte might ever come.

    Raises:
        ValueError: there is something else than a file.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError(f"{path}: no regular file")


@contextmanager
def opened(path: str | Path, *formats: str) -> Iterator[ImageFile.ImageFile]:
    """A picture, to be decoded in the body of a `with`.

    Args:
        formats: of Pillow, of which it must be one; none given: any.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such picture, is damaged, or has more pixels than Pillow's limit.
    """
    check_regular(path)
    Image.MAX_IMAGE_PIXELS = most_pixels()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. of odd EXIF entries
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # As a file: of a path Pillow maps some TIFFs into memory, and those it turns wrongly.
            with open(path, "rb") as file, Image.open(file, formats=formats or None) as image:
                yield image
    except FileNotFoundError:
        raise
    except UnidentifiedImageError:
        reason = "not a picture" + f"; expected {', '.join(formats)}" * bool(formats)
    except BOMB:
        reason = f"more than {most_pixels():,} pixels; the variable {LIMIT} sets another limit"
    except DAMAGED as error:
        message = " ".join(str(error).split()).removeprefix(f"{path}: ")
        reason = message or type(error).__name__
    else:
        return
    raise ValueError(f"{path}: {reason}")


def most_pixels() -> int:
    """How many pixels an image may have; more take it for a decompression bomb.

    Raises:
        ValueError: the variable LIMIT is no number.
    """
    said = os.environ.get(LIMIT, "")
    if not said:
        return DEFAULT_LIMIT
    if not said.isdecimal() or int(said) < 1:
        raise ValueError(f"{LIMIT} = {said!r}: expected a number of pixels, as 200000000")
    return int(said)


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image as a viewer shows it.

    Returns:
        (H, W, 3) uint8, RGB.
    Raises:
        FileNotFoundError, ValueError: see `opened`.
    """
    with opened(path, *FORMATS) as image:
        if not is_upright(image):
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
        return np.asarray(_rgb(image))


def orientation(image: Image.Image) -> int:
    """What EXIF says of how to turn it: 1, not at all; 2 to 8, see the EXIF standard."""
    said = image.getexif().get(ExifTags.Base.Orientation, UNTURNED)
    return said if said in range(1, 9) else UNTURNED


def is_upright(image: Image.Image) -> bool:
    """Whether EXIF says nothing of turning it."""
    return orientation(image) == UNTURNED


def _rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB."""
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}, expected 8 or 16 bits in a channel")
    if image.mode.startswith("I;16"):  # Pillow would call all above 255 white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def read_target(path: str | Path) -> np.ndarray:
    """Read the label map of a palette or greyscale PNG by its stored values.

    Returns:
        (H, W) uint8.
    Raises:
        FileNotFoundError, ValueError: see `opened`; or the file stores colours, not labels.
    """
    with opened(path, "PNG") as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"{path}: mode {image.mode}, expected a palette PNG (P) or labels (L)")
        if image.mode == "L" and image.tile and image.tile[0][3] != "L":
            raise ValueError(f"{path}: grey of fewer than 8 bits, expected 8 (they get stretched)")
        labels = np.array(image)
    with opened(path, "PNG") as image:
        image.verify()  # the checksums, at which decoding does not look
    return labels


def write_target(
    path: str | Path,
    labels: np.ndarray,
    palette: np.ndarray,
    note: PngImagePlugin.PngInfo | None = None,
) -> None:
    """Write a label map as a palette PNG.

    Args:
        labels: (H, W) uint8.
        palette: (256, 3) uint8 from `palette`.
        note: text to be stored with it.
    """
    image = Image.fromarray(labels)
    image.putpalette(palette.tobytes())
    content = BytesIO()
    image.save(content, "PNG", pnginfo=note)
    write_bytes(path, content.getvalue())


def palette(colours: list[tuple[int, int, int]] | None = None) -> np.ndarray:
    """VOC's colour map, its first entries replaced by a data set's own colours if it has some.

    Bit j of a colour channel, from the top, is bit 3j + c of the label (c = 0, 1, 2 for red, green
    and blue), so neighbouring labels get distant colours and 255 gets (224, 224, 192).

    Returns:
        (256, 3) uint8.
    Reference:
        VOC2012 devkit, VOClabelcolormap.m.
    """
    labels = np.arange(256)[:, None]
    channels = np.arange(3)
    table = sum(((labels >> (3 * j + channels)) & 1) << (7 - j) for j in range(8))
    table = np.asarray(table, dtype=np.uint8)
    if colours is not None:
        table[: len(colours)] = colours
    return table
