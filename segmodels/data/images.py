"""Decoding of images and of targets, and the palette in which targets are stored.

Targets are palette PNGs whose indices are the labels: they are read by index, never through RGB or
luminance; masks.py reads other forms. Images are read as a viewer shows them: turned as their EXIF
says, the first frame of an animation, transparent parts over white, 16 bits shortened to 8. Colour
profiles are not applied. Files may come from anyone: few formats are decoded, a mask's checksums
are compared, and whatever is wrong with a file is one line that names it.
Source: VOC2012 development kit, section 4 and VOClabelcolormap.m.
"""

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, PngImagePlugin, UnidentifiedImageError

from segmodels.core.files import write_bytes
from segmodels.data.layout import check_regular

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
LIMIT = "SEGMODELS_MAX_PIXELS"  # of an image; an environment variable, since it changes no result
VOID_COLOUR = 255  # whose colour in VOC's map stands for void
UPRIGHT = 1  # EXIF orientation of an image that is shown as it is stored
ORIENTATIONS = range(1, 9)  # of EXIF


@contextmanager
def open_image(path: str | Path, *formats: str) -> Iterator[ImageFile.ImageFile]:
    """An image, to be decoded in the body of a `with`.

    Args:
        formats: of Pillow, of which it must be one; without any, all are read.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such image, is damaged, or has more pixels than Pillow's limit.
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
        reason = "not a picture"
        if formats:
            reason += f"; expected {', '.join(formats)}"
    except BOMB:
        reason = f"more than {most_pixels():,} pixels; the variable {LIMIT} sets another limit"
    except DAMAGED as error:
        message = " ".join(str(error).split()).removeprefix(f"{path}: ")
        reason = message or type(error).__name__
    else:
        return
    raise ValueError(f"{path}: {reason}")


def most_pixels() -> int:
    """How many pixels an image may have; more are taken for a decompression bomb.

    Raises:
        ValueError: the variable LIMIT is no number.
    """
    limit = os.environ.get(LIMIT, "")
    if not limit:
        return DEFAULT_LIMIT
    if not limit.isdecimal() or int(limit) < 1:
        raise ValueError(f"{LIMIT} = {limit!r}: expected a number of pixels, as 200000000")
    return int(limit)


def read_image(path: str | Path) -> np.ndarray:
    """Decode an image as a viewer shows it.

    Returns:
        (H, W, 3) uint8, RGB.
    Raises:
        FileNotFoundError, ValueError: see `open_image`.
    """
    with open_image(path, *FORMATS) as image:
        return as_shown(image)


def as_shown(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an image of any mode, turned as its EXIF says."""
    upright = image if is_upright(image) else ImageOps.exif_transpose(image)
    return np.asarray(_rgb(upright))


def orientation(image: Image.Image) -> int:
    """How EXIF turns it: 1, not at all; 2 to 8, see the EXIF standard."""
    value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    return value if value in ORIENTATIONS else UPRIGHT


def is_upright(image: Image.Image) -> bool:
    """Whether EXIF does not turn it."""
    return orientation(image) == UPRIGHT


def _rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB."""
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode}, expected 8 or 16 bits in a channel")
    if image.mode.startswith("I;16"):  # Pillow would make all above 255 white
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
        FileNotFoundError, ValueError: see `open_image`; or the file stores colours, not labels.
    """
    with open_image(path, "PNG") as image:
        if image.mode not in ("P", "L"):
            raise ValueError(f"{path}: mode {image.mode}, expected a palette PNG (P) or labels (L)")
        if image.mode == "L" and image.tile and image.tile[0][3] != "L":
            raise ValueError(f"{path}: grey of fewer than 8 bits, expected 8 (they get stretched)")
        labels = np.array(image)
    with open_image(path, "PNG") as image:
        image.verify()  # the checksums, which decoding does not compare
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
    table = np.zeros((256, 3), dtype=np.uint8)
    for j in range(8):
        bit = (labels >> (3 * j + channels)) & 1
        table |= (bit << (7 - j)).astype(np.uint8)
    if colours is not None:
        table[: len(colours)] = colours
    return table
