"""Masks in the forms that people have them, read as label maps.

Stored values are labels, or what `labels` of the data set says they mean. Colours, of an RGB image
or with `masks: colour` of a palette, are looked up in the data set's `palette`. What a file says
of itself is compared with that: a palette that gives a class the colour of another one, an unknown
colour, a transparent pixel, or a value that stands for nothing is one line that names the file.
Source of the modes: Pillow, "Concepts".
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from segmodels.config.schema import VOID, Dataset
from segmodels.data import images
from segmodels.data.palettes import Palettes, used_colours

FORMATS = ("PNG", "TIFF", "BMP", "GIF")  # without loss
SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
MARK = "segmodels"  # text chunk of a mask whose values are labels already
MOST_SHOWN = 10  # values, colours or classes that an error shows
FEW_BITS = {"L;2": 85, "L;4": 17}  # by how much Pillow stretches grey of 2 and 4 bits


def note() -> PngImagePlugin.PngInfo:
    """What a PNG says of itself whose values are labels."""
    text = PngImagePlugin.PngInfo()
    text.add_text(MARK, "labels")
    return text


def read(path: Path, data: Dataset, palettes: Palettes | None = None) -> np.ndarray:
    """Read a mask as a label map.

    Args:
        data: says what values and colours mean.
        palettes: of the files before, with which this one's is compared and which it joins.
    Returns:
        (H, W) uint8, labels of `classes`, and `void`.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such image, is damaged, or holds what stands for no class.
    """
    with _open_mask(path) as stored:
        marked = _is_marked(stored)
        raw_mode = _raw_mode(stored)
        image = stored if images.is_upright(stored) else ImageOps.exif_transpose(stored)
        if image.mode in ("RGB", "RGBA"):
            return _labels_of_rgb(_opaque(image, raw_mode), data)
        if image.mode == "P" and data.masks == "colour" and not marked:
            return _labels_of_colours(np.asarray(image.convert("RGB")), data)
        values = _values(image, raw_mode)
        labels_at_once = marked or not data.labels  # with a map, values are no labels yet
        if image.mode == "P" and data.masks == "auto" and labels_at_once and palettes is not None:
            palettes.add(path, used_colours(image, values))
        return _labels_of_values(values, None if marked else data.labels, data)


def stored(path: Path, *, colours: bool) -> np.ndarray:
    """What a mask stores, before it means anything.

    Args:
        colours: whether those of a palette are wanted, not its indices.
    Returns:
        (H, W) integers, or (H, W, 3) uint8 of an image in colour.
    Raises:
        FileNotFoundError, ValueError: see `read`.
    """
    with _open_mask(path) as file:
        raw = _raw_mode(file)
        image = file if images.is_upright(file) else ImageOps.exif_transpose(file)
        if image.mode in ("RGB", "RGBA"):
            return _opaque(image, raw)
        if image.mode == "P" and colours:
            return np.asarray(image.convert("RGB"))
        return _values(image, raw)


def is_plain(path: Path, data: Dataset) -> bool:
    """Whether a mask's stored values are labels that `images.read_target` reads.

    Raises:
        FileNotFoundError, ValueError: see `read`.
    """
    with _open_mask(path) as image:
        raw_mode = _raw_mode(image)  # before EXIF is asked for, since that decodes a PNG
        if not images.is_upright(image):
            return False
        if _is_marked(image):
            return True
        eight_bits = image.mode == "P" or (image.mode == "L" and raw_mode == "L")
        by_value = data.labels is None and data.masks != "colour"
        return image.format == "PNG" and eight_bits and by_value


def is_marked(path: Path) -> bool:
    """Whether a mask says that its values are labels."""
    with _open_mask(path) as image:
        return _is_marked(image)


def _is_marked(image: Image.Image) -> bool:
    return image.info.get(MARK) == "labels"


def write(path: Path, labels: np.ndarray, data: Dataset) -> None:
    """Write a label map as a palette PNG that says that its values are labels."""
    images.write_target(path, labels, images.palette(data.palette), note())


@contextmanager
def _open_mask(path: Path) -> Iterator[Image.Image]:
    """A mask, its checksums compared; a format that loses pixels is refused."""
    with images.open_image(path, *images.FORMATS) as image:
        if image.format not in FORMATS:
            raise ValueError(f"{image.format} alters labels; save masks as PNG")
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise ValueError(f"{frames} frames, expected one")
    # Again: a TIFF whose frames were counted is not turned.
    with images.open_image(path, *FORMATS) as image:
        yield image
    if image.format == "PNG":
        with images.open_image(path, "PNG") as image:
            image.verify()


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file; "" where Pillow does not say."""
    tile = getattr(image, "tile", None)
    arguments = tile[0][3] if tile else ""
    first = arguments[0] if isinstance(arguments, tuple) else arguments
    return first if isinstance(first, str) else ""


def _values(image: Image.Image, raw_mode: str) -> np.ndarray:
    """The values that a mask of one channel stores, (H, W) integers."""
    if image.mode == "LA":
        if "16" in raw_mode:
            raise ValueError("16 bits with transparency; save labels as 8-bit grey")
        values, alpha = np.moveaxis(np.asarray(image), -1, 0)
        _refuse_transparent(alpha)
        return values
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("P", "L") or image.mode.startswith("I"):
        return np.asarray(image) // FEW_BITS.get(raw_mode, 1)
    raise ValueError(f"mode {image.mode}, expected labels or colours")


def _opaque(image: Image.Image, raw_mode: str) -> np.ndarray:
    """(H, W, 3) uint8 of an image in colour."""
    if "16" in raw_mode:
        raise ValueError("16 bits a colour; save labels as 8-bit grey, or colours in 8 bits")
    pixels = np.asarray(image)
    if image.mode == "RGBA":
        _refuse_transparent(pixels[..., 3])
    return pixels[..., :3]


def _refuse_transparent(alpha: np.ndarray) -> None:
    transparent = int((alpha < 255).sum())
    if transparent:
        raise ValueError(
            f"{transparent:,} pixels are transparent, expected opaque ones: fill them with a class "
            "or void, and save without alpha"
        )


def _labels_of_rgb(pixels: np.ndarray, data: Dataset) -> np.ndarray:
    """The labels of an image in colour; grey ones are values, unless `palette` has these greys."""
    grey = (pixels == pixels[..., :1]).all()
    known = _codes(np.array(data.palette or [], dtype=np.uint8).reshape(-1, 3))
    in_palette = data.palette is not None and np.isin(_codes(pixels), known).all()
    if data.masks == "index" and not grey:
        raise ValueError("colours, but `masks: index` of its data set wants values")
    if grey and (data.masks == "index" or (data.masks == "auto" and not in_palette)):
        return _labels_of_values(pixels[..., 0], data.labels, data)
    return _labels_of_colours(pixels, data)


def _labels_of_colours(pixels: np.ndarray, data: Dataset) -> np.ndarray:
    """Labels of (H, W, 3) uint8 colours by the data set's `palette`; void has VOC's colour."""
    codes = _codes(pixels)
    used, counts = np.unique(codes, return_counts=True)
    if data.palette is None:
        raise ValueError(
            f"colours ({_colour_names(used)}), and its data set has no `palette` that says whose: "
            "add `palette`, one [red, green, blue] for each of `classes`"
        )
    table = np.array([*data.palette, images.palette()[images.VOID_COLOUR]], dtype=np.uint8)
    label_of = dict[int, int]()
    for label, code in enumerate(_codes(table[:-1]).tolist()):
        label_of.setdefault(code, label)  # of a colour that stands there twice, the first
    label_of.setdefault(int(_codes(table[-1])), data.void)
    unknown = np.array([code not in label_of for code in used.tolist()])
    if unknown.any():
        raise ValueError(
            f"{counts[unknown].sum():,} pixels have colours that `palette` of its data set lacks: "
            f"{_colour_names(used[unknown])}"
        )
    if len(set(data.palette)) < len(data.palette):
        raise ValueError("`palette` of its data set has a colour twice, so colours name no class")
    labels = [label_of[code] for code in used.tolist()]
    return np.array(labels, dtype=np.uint8)[np.searchsorted(used, codes)]


def _labels_of_values(
    values: np.ndarray, meaning: Mapping[int, str] | None, data: Dataset
) -> np.ndarray:
    """Labels of stored values: the values themselves, or what `labels` says."""
    used = np.unique(values).tolist()
    if meaning is None:
        unknown = [v for v in used if not 0 <= v < len(data.classes) and v != data.void]
        if unknown:
            raise ValueError(
                f"labels {first_few(unknown)}; expected 0..{len(data.classes) - 1} and {data.void} "
                f"(void); {advice(used, data)}"
            )
        return values.astype(np.uint8)
    unknown = [value for value in used if value not in meaning]
    if unknown:
        raise ValueError(
            f"values {first_few(unknown)}: `labels` of its data set does not name them"
        )
    labels = list[int]()
    for value in used:
        name = meaning[value]
        labels.append(data.void if name == VOID else data.classes.index(name))
    return np.array(labels, dtype=np.uint8)[np.searchsorted(used, values)]


def advice(used: list[int], data: Dataset) -> str:
    """What a person can do about values that are no labels.

    Args:
        used: the values of a mask, in order.
    """
    if len(used) > 2 * len(data.classes) + 2:
        return "more values than classes: was the mask resized with interpolation, or once a JPEG?"
    without_void = [value for value in used if value != data.void]
    for values in (without_void, used):
        if len(values) == len(data.classes):
            return f"`labels` of the data set says what values mean, as {_label_map(values, data)}"
    return "`labels` of the data set says what values mean, as {VALUE: CLASS, ...}"


def _label_map(values: Sequence[int], data: Dataset) -> str:
    """`labels` for values that stand for the classes in their order, as in params.yaml."""
    pairs = zip(values, data.classes, strict=True)
    return "{" + ", ".join(f"{value}: {name}" for value, name in pairs) + "}"


def first_few(values: Sequence[object]) -> str:
    """Values, the first MOST_SHOWN of them."""
    shown = ", ".join(map(str, values[:MOST_SHOWN]))
    return f"{shown}, ..." if len(values) > MOST_SHOWN else shown


def _codes(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (...) one number for each colour."""
    return colours.astype(np.int64) @ np.array([65536, 256, 1])


def _colour_names(codes: np.ndarray) -> str:
    """Colours as people write them, the first few."""
    colours = [(code >> 16, code >> 8 & 255, code & 255) for code in codes.tolist()]
    return first_few(colours)
