"""Masks in the forms that people have them, read as label maps.

Stored values are labels, or what `labels` of the data set says they mean. Colours, of an RGB image
or with `masks: colour` of a palette, are looked up in the data set's `palette`. What a file says
of itself is compared with that: a palette that gives a class the colour of another one, an unknown
colour, a transparent pixel, or a value that stands for nothing is one line that names the file.
Source of the modes: Pillow, "Concepts".
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from segmodels.data import voc
from segmodels.sections import VOID, Dataset

FORMATS = ("PNG", "TIFF", "BMP", "GIF")  # without loss
SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
MARK = "segmodels"  # text chunk of a mask whose values are labels already
LABELS = 256
MOST_SHOWN = 10  # values or colours that an error shows
FEW_BITS = {"L;2": 85, "L;4": 17}  # by how much Pillow stretches grey of 2 and 4 bits

Colour = tuple[int, int, int]


class Palettes:
    """The colours that palette files give to their values; files that contradict are refused.

    Args:
        declared: the data set's `palette`; None: the first file that uses a value says its colour,
            which must not be what VOC's colour map gives to another class.
        classes: how many there are.
        strict: whether a value may have but one colour; otherwise only no other value's.
        advice: what a person can do about a contradiction.
    """

    def __init__(
        self,
        declared: list[Colour] | None = None,
        *,
        classes: int = 0,
        strict: bool = True,
        advice: str = "`masks: index` of the data set reads values, `masks: colour` colours",
    ) -> None:
        self.advice = advice
        known = {} if declared is None else dict(enumerate(declared))
        self.colours: dict[int, Colour] = known
        self.origin: dict[int, str] = dict.fromkeys(known, "`palette` of the data set")
        self.strict = strict and declared is None
        usual = [] if declared else list(map(_colour, voc.palette()[:classes]))
        self.usual = {colour: value for value, colour in enumerate(usual)}

    def add(self, path: Path, used: Mapping[int, Colour]) -> None:
        """Compare a file's colours with those before it.

        Raises:
            ValueError: it gives a value another colour, or the colour of another value.
        """
        owner = {colour: value for value, colour in self.colours.items()}
        for value, colour in used.items():
            before = self.colours.get(value, colour)
            of_voc = self.usual.get(colour, value)
            if before == colour and owner.get(colour, value) == of_voc == value:
                continue
            if of_voc != value and value not in self.colours:
                found = f"which is that of {of_voc} in VOC's colour map"
            elif colour in owner and owner[colour] != value:
                origin = self.origin[owner[colour]]
                found = f"which is the colour of {owner[colour]} in {origin}"
            elif self.strict:
                found = f"in {self.origin[value]} it has {before}"
            else:
                continue
            raise ValueError(
                f"{path}: its palette gives {value} the colour {colour}, {found}; {self.advice}"
            )
        for value, colour in used.items():
            self.colours.setdefault(value, colour)
            self.origin.setdefault(value, str(path))


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
    with _opened(path) as stored:
        marked, raw = _is_marked(stored), _raw_mode(stored)
        image = stored if voc.is_upright(stored) else ImageOps.exif_transpose(stored)
        if image.mode in ("RGB", "RGBA"):
            return _of_colours(_opaque(image, raw), data)
        if image.mode == "P" and data.masks == "colour" and not marked:
            return _by_colour(np.asarray(image.convert("RGB")), data)
        values = _values(image, raw)
        by_value = marked or not data.labels  # with a map, values are no labels yet
        if image.mode == "P" and data.masks == "auto" and by_value and palettes is not None:
            palettes.add(path, used_colours(image, values))
        return _meant(values, None if marked else data.labels, data)


def stored(path: Path, *, colours: bool) -> np.ndarray:
    """What a mask stores, before it means anything.

    Args:
        colours: whether those of a palette are wanted, not its indices.
    Returns:
        (H, W) integers, or (H, W, 3) uint8 of an image in colour.
    Raises:
        FileNotFoundError, ValueError: see `read`.
    """
    with _opened(path) as file:
        raw = _raw_mode(file)
        image = file if voc.is_upright(file) else ImageOps.exif_transpose(file)
        if image.mode in ("RGB", "RGBA"):
            return _opaque(image, raw)
        if image.mode == "P" and colours:
            return np.asarray(image.convert("RGB"))
        return _values(image, raw)


def is_plain(path: Path, data: Dataset) -> bool:
    """Whether a mask's stored values are labels that `voc.read_target` reads.

    Raises:
        FileNotFoundError, ValueError: see `read`.
    """
    with _opened(path) as image:
        raw = _raw_mode(image)  # before EXIF is asked for, since that decodes a PNG
        if not voc.is_upright(image):
            return False
        if _is_marked(image):
            return True
        eight_bits = image.mode == "P" or (image.mode == "L" and raw == "L")
        by_value = data.labels is None and data.masks != "colour"
        return image.format == "PNG" and eight_bits and by_value


def is_marked(path: Path) -> bool:
    """Whether a mask says that its values are labels."""
    with _opened(path) as image:
        return _is_marked(image)


def _is_marked(image: Image.Image) -> bool:
    return image.info.get(MARK) == "labels"


def write(path: Path, labels: np.ndarray, data: Dataset) -> None:
    """Write a label map as a palette PNG that says that its values are labels."""
    voc.write_target(path, labels, voc.palette(data.palette), note())


def used_colours(image: Image.Image, values: np.ndarray) -> dict[int, Colour]:
    """The colour of each value that occurs in a palette image.

    None where the palette tells nothing: it is a ramp of grey, or has a colour twice.

    Args:
        image: of mode P.
        values: (H, W), its pixels.
    """
    table = np.array(image.getpalette("RGB"), dtype=int).reshape(-1, 3)
    used = [int(value) for value in np.unique(values) if value < len(table)]
    colours = {value: _colour(table[value]) for value in used}
    grey_ramp = all(colour == (value,) * 3 for value, colour in colours.items())
    tells_nothing = grey_ramp or len(set(colours.values())) < len(colours)
    return {} if tells_nothing else colours


def _colour(row: np.ndarray) -> Colour:
    red, green, blue = row.tolist()
    return red, green, blue


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A mask, its checksums compared; a format that loses pixels is refused."""
    with voc.opened(path, *voc.FORMATS) as image:
        if image.format not in FORMATS:
            raise ValueError(f"{image.format} alters labels; save masks as PNG")
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise ValueError(f"{frames} frames, expected one")
    with voc.opened(
        path, *FORMATS
    ) as image:  # again: a TIFF whose frames were counted is not turned
        yield image
    if image.format == "PNG":
        with voc.opened(path, "PNG") as image:
            image.verify()


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file; "" where Pillow does not say."""
    tile = getattr(image, "tile", None)
    arguments = tile[0][3] if tile else ""
    first = arguments[0] if isinstance(arguments, tuple) else arguments
    return first if isinstance(first, str) else ""


def _values(image: Image.Image, raw: str) -> np.ndarray:
    """The values that a mask of one channel stores, (H, W) integers."""
    if image.mode == "LA":
        if "16" in raw:
            raise ValueError("16 bits with transparency; save labels as 8-bit grey")
        values, alpha = np.moveaxis(np.asarray(image), -1, 0)
        _refuse_transparent(alpha)
        return values
    if image.mode == "1" or image.mode in ("P", "L") or image.mode.startswith("I"):
        values = np.asarray(image)
        return values.astype(np.uint8) if image.mode == "1" else values // FEW_BITS.get(raw, 1)
    raise ValueError(f"mode {image.mode}, expected labels or colours")


def _opaque(image: Image.Image, raw: str) -> np.ndarray:
    """(H, W, 3) uint8 of an image in colour."""
    if "16" in raw:
        raise ValueError("16 bits a colour; save labels as 8-bit grey, or colours in 8 bits")
    pixels = np.asarray(image)
    if image.mode == "RGBA":
        _refuse_transparent(pixels[..., 3])
    return pixels[..., :3]


def _refuse_transparent(alpha: np.ndarray) -> None:
    clear = int((alpha < 255).sum())
    if clear:
        raise ValueError(f"{clear:,} pixels are transparent, expected opaque ones")


def _of_colours(pixels: np.ndarray, data: Dataset) -> np.ndarray:
    """The labels of an image in colour; grey ones are values, unless `palette` has these greys."""
    grey = (pixels == pixels[..., :1]).all()
    known = _codes(np.array(data.palette or [], dtype=np.uint8).reshape(-1, 3))
    ours = data.palette is not None and np.isin(_codes(pixels), known).all()
    if data.masks == "index" and not grey:
        raise ValueError("colours, but `masks: index` of its data set wants values")
    if grey and (data.masks == "index" or (data.masks == "auto" and not ours)):
        return _meant(pixels[..., 0], data.labels, data)
    return _by_colour(pixels, data)


def _by_colour(pixels: np.ndarray, data: Dataset) -> np.ndarray:
    """Labels of (H, W, 3) uint8 colours by the data set's `palette`; void has VOC's colour."""
    codes = _codes(pixels)
    used, counts = np.unique(codes, return_counts=True)
    if data.palette is None:
        raise ValueError(
            f"colours ({_named(used)}), and its data set has no `palette` that says whose: add "
            "`palette`, one [red, green, blue] for each of `classes`"
        )
    table = np.array([*data.palette, voc.palette()[voc.VOID_COLOUR]], dtype=np.uint8)
    known = {int(code): label for label, code in reversed(list(enumerate(_codes(table))))}
    strange = np.array([code not in known for code in used.tolist()])
    if strange.any():
        raise ValueError(
            f"{counts[strange].sum():,} pixels have colours that `palette` of its data set lacks: "
            f"{_named(used[strange])}"
        )
    if len({*map(tuple, data.palette)}) < len(data.palette):
        raise ValueError("`palette` of its data set has a colour twice, so colours name no class")
    labels = [known[code] for code in used.tolist()]
    labels = [data.void if label == len(data.palette) else label for label in labels]
    return np.array(labels, dtype=np.uint8)[np.searchsorted(used, codes)]


def _meant(values: np.ndarray, meaning: Mapping[int, str] | None, data: Dataset) -> np.ndarray:
    """Labels of stored values: the values themselves, or what `labels` says."""
    used = np.unique(values)
    if meaning is None:
        strange = [int(v) for v in used if not 0 <= v < len(data.classes) and v != data.void]
        if strange:
            raise ValueError(
                f"labels {_some(strange)}; expected 0..{len(data.classes) - 1} and {data.void} "
                f"(void); {advice(used.tolist(), data)}"
            )
        return values.astype(np.uint8)
    strange = [int(value) for value in used if int(value) not in meaning]
    if strange:
        raise ValueError(f"values {_some(strange)}: `labels` of its data set does not name them")
    names = [meaning[int(value)] for value in used]
    labels = [data.void if name == VOID else data.classes.index(name) for name in names]
    return np.array(labels, dtype=np.uint8)[np.searchsorted(used, values)]


def advice(used: list[int], data: Dataset) -> str:
    """What a person can do about values that are no labels.

    Args:
        used: the values of a mask, in order.
    """
    several = [value for value in used if value != data.void]
    if len(used) > 2 * len(data.classes) + 2:
        return "more values than classes: was the mask resized with interpolation, or once a JPEG?"
    for values in (several, used):
        if len(values) == len(data.classes):
            pairs = zip(values, data.classes, strict=True)
            map_ = "{" + ", ".join(f"{value}: {name}" for value, name in pairs) + "}"
            return f"`labels` of the data set says what values mean, as {map_}"
    return "`labels` of the data set says what values mean, as {VALUE: CLASS, ...}"


def _codes(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (...) one number for each colour."""
    return colours.astype(np.int64) @ np.array([65536, 256, 1])


def _named(codes: np.ndarray) -> str:
    """Colours as people write them, the first few."""
    shown = [str((int(code) >> 16, int(code) >> 8 & 255, int(code) & 255)) for code in codes]
    return _some(shown)


def _some(values: list[int] | list[str]) -> str:
    """Values, the first few."""
    return ", ".join(map(str, values[:MOST_SHOWN])) + ", ..." * (len(values) > MOST_SHOWN)
