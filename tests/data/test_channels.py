"""Images that are no RGB of 8 bits, at the import and at predict: right, or refused in one line."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.import_forms import CLASSES, bring, pairs, pictures, save
from PIL import Image

from segmodels.data import images, layout
from segmodels.inference import photos

RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (40, 56, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (40, 56, 4)).astype(np.uint16)
WIDE[..., 3] = 65535  # opaque
ALPHA = RNG.choice([0, 128, 255], (40, 56)).astype(np.uint8)


def png(path, pixels, colour):
    """A PNG of 16 bits, which Pillow does not write in colour; by the standard, section 11.2."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def tiff(pixels, **how):
    return lambda path: tifffile.imwrite(path, pixels, **how)


def over_white(pixels, alpha):
    """What a viewer shows of transparent pixels."""
    share = alpha[..., None] / 255
    return np.round(pixels * share + 255 * (1 - share))


def grey(values):
    return np.repeat(values[..., None], 3, axis=2)


LAYERS = {"photometric": "minisblack", "planarconfig": "contig"}
NEAR_INFRARED = {"photometric": "rgb", "extrasamples": ["unspecified"]}
ACCEPTED = {  # ending, how it is written, what a viewer shows
    "grey": (".png", lambda p: Image.fromarray(RGB[..., 0]).save(p), grey(RGB[..., 0])),
    "two values": (
        ".png",
        lambda p: Image.fromarray(RGB[..., 0] > 99).save(p),
        grey((RGB[..., 0] > 99) * 255),
    ),
    "grey of 16 bits": (
        ".png",
        lambda p: Image.fromarray(WIDE[..., 0]).save(p),
        grey(WIDE[..., 0] >> 8),
    ),
    "grey of 16 bits as TIFF": (".tif", tiff(WIDE[..., 0]), grey(WIDE[..., 0] >> 8)),
    "RGB of 16 bits": (".png", lambda p: png(p, WIDE[..., :3], 2), WIDE[..., :3] >> 8),
    "RGBA of 16 bits": (".png", lambda p: png(p, WIDE, 6), WIDE[..., :3] >> 8),
    "RGB of 16 bits as TIFF": (".tif", tiff(WIDE[..., :3], photometric="rgb"), WIDE[..., :3] >> 8),
    "alpha": (
        ".png",
        lambda p: Image.fromarray(np.dstack([RGB, ALPHA])).save(p),
        over_white(RGB, ALPHA),
    ),
    "grey with alpha": (
        ".png",
        lambda p: Image.fromarray(np.dstack([RGB[..., 0], ALPHA])).save(p),
        over_white(grey(RGB[..., 0]), ALPHA),
    ),
    "RGB as TIFF": (".tif", tiff(RGB, photometric="rgb"), RGB),
}
REFUSED = {
    "RGB and infrared": (tiff(np.dstack([RGB, ALPHA]), **NEAR_INFRARED), "4 channels, of which 3"),
    "two channels": (tiff(RGB[..., :2], **LAYERS), "2 channels, of which 1 show"),
    "four channels": (
        tiff(np.dstack([RGB, ALPHA]), **LAYERS),
        "4 channels, of which|not a picture",
    ),
    "five channels": (
        tiff(np.dstack([RGB, RGB[..., :2]]), **LAYERS),
        "a TIFF of 5 channels, expec",
    ),
    "ten bands": (tiff(np.dstack([RGB] * 3 + [ALPHA]), **LAYERS), "a TIFF of 10 channels"),
    "a stack": (
        tiff(RGB.transpose(2, 0, 1).copy(), photometric="minisblack"),
        "a TIFF of 3 images",
    ),
    "12 bits in 16": (tiff(WIDE[..., 0] >> 4), "no value fills more than 12"),
    "floats": (tiff(RGB[..., 0].astype(np.float32)), "mode F, expected 8 or 16 bits"),
    "32 bits": (tiff(RGB[..., 0].astype(np.int32)), "mode I, expected 8 or 16 bits"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_accepted_is_what_a_viewer_shows(tmp_path, case):
    ending, write, shown = ACCEPTED[case]
    found = {}
    path = tmp_path / f"photo{ending}"
    write(path)
    found["predict"] = photos.read(path)
    words = imported(tmp_path, path)
    bring(tmp_path / "source", tmp_path / "own/roads", *words)
    found["import"] = images.read_image(layout.image_path(tmp_path / "own/roads", "photo"))
    for where, pixels in found.items():
        assert pixels.dtype == np.uint8, where
        assert np.abs(pixels.astype(float) - shown).max() <= 1, where  # of rounding


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_shown_in_part_is_refused_in_one_line(tmp_path, case):
    write, said = REFUSED[case]
    path = tmp_path / "photo.tif"
    write(path)
    with pytest.raises(ValueError, match=said) as caught:
        photos.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    words = imported(tmp_path, path)
    with pytest.raises(ValueError, match=said) as caught:
        bring(tmp_path / "source", tmp_path / "own/roads", *words)
    assert "1 problem in" in str(caught.value) and "photo.tif" in str(caught.value)
    assert not Path(tmp_path / "own/roads").exists()


def imported(home, path):
    """A source in which an image is that file; the words of the command."""
    words = pairs(home / "source", suffix="")
    (home / "source/images" / path.name).write_bytes(path.read_bytes())
    save(home / "source/masks/photo.png", pictures()[1].labels)
    assert words == ["--classes", ",".join(CLASSES)]
    return words
