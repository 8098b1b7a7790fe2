"""Images that Pillow shows otherwise than they were meant: channels and frames that it passes over.

A TIFF may have any number of channels; of RGB and infrared Pillow shows RGB, of two channels the
first, of a stack of single channels the first. 16 bits are shortened to their upper 8: what fills
12 bits of them is nearly black. All that is refused here, and what is left is what a viewer shows.
"""

from pathlib import Path

from PIL import Image, TiffImagePlugin

from segmodels.data import images

SAMPLES = 277  # TIFF 6.0, SamplesPerPixel
DARKEST = 16  # of 8 bits: 4096 of 16, all that 12 bits hold
REMEDY = "expected grey, RGB or RGB with alpha: save the three channels that are meant as a PNG"


def check(path: str | Path) -> None:
    """Refuse an image of which a part would be passed over.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has channels or frames that are not shown, or is 16 bits and nearly black.
    """
    try:
        with images.open_image(path, *images.FORMATS) as image:
            kind, bands = image.format, len(image.getbands())
            frames = getattr(image, "n_frames", 1)
            wide = "16" in _raw_mode(image)
    except ValueError:
        if (samples := _samples(path)) > 4:
            raise ValueError(f"{path}: a TIFF of {samples} channels, {REMEDY}") from None
        raise
    if kind != "TIFF" and not wide:
        return
    if kind == "TIFF" and frames > 1:
        raise ValueError(
            f"{path}: a TIFF of {frames} images, its pages, expected one: save the page that is "
            f"meant as a PNG; where each page is a channel, {REMEDY}"
        )
    if kind == "TIFF" and (samples := _samples(path)) > bands:
        raise ValueError(f"{path}: a TIFF of {samples} channels, of which {bands} show: {REMEDY}")
    if wide and 0 < images.read_image(path).max() < DARKEST:
        raise ValueError(
            f"{path}: 16 bits, of which no value fills more than 12: nearly black in 8 bits; "
            "stretch it and save it in 8 bits"
        )


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file; "" where Pillow does not say."""
    tile = getattr(image, "tile", None)
    arguments = tile[0][3] if tile else ""
    first = arguments[0] if isinstance(arguments, tuple) else arguments
    return first if isinstance(first, str) else ""


def _samples(path: str | Path) -> int:
    """Channels that a TIFF says to have; 0: it is none."""
    try:
        with open(path, "rb") as file:
            header = file.read(8)
            if header[:4] not in TiffImagePlugin.PREFIXES:
                return 0
            directory = TiffImagePlugin.ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            return int(directory.get(SAMPLES, 1))
    except images.DAMAGED:
        return 0
