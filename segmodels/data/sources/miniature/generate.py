"""The miniature: a data set of generated images in VOC's layout that a CPU learns within minutes.

Every picture is a little scene of one to four objects of VOC's classes. It is drawn four times too
large and reduced. A pixel in which an object meets another one or the background is void, which
gives every object VOC's void border.

The same seed gives the same bits everywhere. All randomness comes from PCG64, seeded by (seed,
split, picture), so a picture does not depend on how many others are made. Pixels are computed by
+, -, *, / and square root alone, never by a function whose last bit depends on the CPU.
"""

from collections.abc import Iterator
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from segmodels.core.files import write_bytes, write_text
from segmodels.data import images, layout
from segmodels.data.sources.miniature.objects import LOOKS
from segmodels.data.sources.miniature.pen import Pen, Point
from segmodels.data.sources.miniature.scenes import draw_backdrop

VOID = 255
FACTOR = 4  # subpixels per pixel and side
SMALLEST = 64  # every object shows at least the 64th part of the picture
SIZES = {1: 92, 2: 76, 3: 63, 4: 55}  # percent of the short side, by number of objects
FIRST_ID = {"train": 1, "val": 500_001}


class Scene(NamedTuple):
    """A picture with its truth."""

    image: np.ndarray  # (H, W, 3) uint8, RGB
    target: np.ndarray  # (H, W) uint8, classes and void
    objects: np.ndarray  # (H, W) uint8, 1.. where target is no background, and void
    names: list[str]  # class of object 1, 2, ..


def check(classes: list[str], short_side: int, long_side: int) -> None:
    """Refuse what cannot be drawn.

    Raises:
        ValueError: a class has no drawing, or the sides are swapped.
    """
    unknown = ", ".join(name for name in classes[1:] if name not in LOOKS)
    if unknown:
        raise ValueError(f"classes: no drawing of {unknown}; expected some of {', '.join(LOOKS)}")
    if short_side > long_side:
        raise ValueError(f"short_side = {short_side}: expected at most long_side = {long_side}")


def generate(
    root: Path,
    *,
    train: int,
    val: int,
    short_side: int,
    long_side: int,
    classes: list[str],
    seed: int,
) -> None:
    """Draw the data set and write it as a VOC tree.

    Args:
        root: folder that gets ImageSets, JPEGImages, SegmentationClass, SegmentationObject and
            Annotations.
        train, val: number of pictures of each split; classes occur in them equally often.
        short_side, long_side: pixels; two pictures in three are landscape, the others portrait.
        classes: background, then names of VOC's classes; a label is a position in this list.
        seed: another seed, another data set.
    Raises:
        ValueError: a class has no drawing, or the sides are swapped.
    """
    check(classes, short_side, long_side)
    ids: dict[str, list[str]] = {}
    for number, (split, pictures) in enumerate({"train": train, "val": val}.items()):
        ids[split] = [f"2012_{FIRST_ID[split] + k:06d}" for k in range(pictures)]
        scenes = draw(classes, short_side, long_side, seed=(seed, number))
        for image_id, scene in zip(ids[split], scenes, strict=False):
            _write(root, image_id, scene)
    ids["trainval"] = ids["train"] + ids["val"]
    for split, members in ids.items():
        layout.write_ids(layout.split_path(root, split), members)


def draw(
    classes: list[str], short_side: int, long_side: int, *, seed: tuple[int, int]
) -> Iterator[Scene]:
    """The endless pictures of one split; seed is (seed of the data set, number of the split)."""
    casts = _casts(classes[1:], np.random.default_rng([*seed, 0]))
    for picture in count(1):
        rng = np.random.default_rng([*seed, picture])
        size = (long_side, short_side) if rng.integers(3) else (short_side, long_side)
        names = next(casts)
        if len(names) < 4 and rng.integers(5) == 0:
            names = [*names, names[0]]
        names = [names[k] for k in rng.permutation(len(names))]
        canvas, objects = _scene(names, size, rng)
        labels = np.full(256, VOID, dtype=np.uint8)  # label of each object number
        labels[0] = 0
        for number, name in enumerate(names, start=1):
            labels[number] = classes.index(name)
        yield Scene(_light(canvas, rng), labels[objects], objects, names)


def _casts(names: list[str], rng: np.random.Generator) -> Iterator[list[str]]:
    """Who is in which picture: every class once a round, indoor and outdoor classes apart."""
    while True:
        shuffled = [names[k] for k in rng.permutation(len(names))]
        guest = "person" if rng.integers(2) else None  # a person is at home in both
        indoors = [name for name in shuffled if LOOKS[name].home == "room" or name == guest]
        outdoors = [name for name in shuffled if name not in indoors]
        casts = []
        for waiting in (indoors, outdoors):
            while waiting:
                size = int(rng.integers(1, 5))
                casts.append(waiting[:size])
                waiting = waiting[size:]
        for k in rng.permutation(len(casts)):
            yield casts[k]


def _scene(
    names: list[str], size: tuple[int, int], rng: np.random.Generator
) -> tuple[Image.Image, np.ndarray]:
    """Draw until every object shows: the picture, not lit yet, and its (H, W) object numbers."""
    homes = [LOOKS[name].home for name in names]
    while True:
        # Alpha is not opacity but the object's number, so that one stroke paints both.
        canvas = Image.new("RGBA", (FACTOR * size[0], FACTOR * size[1]))
        pen = Pen((0, 0, 0))
        horizon = draw_backdrop(pen, "room" if "room" in homes else homes[0], rng)
        _paint(canvas, pen, 0, (canvas.width / 100, 0, 0, canvas.height / 100, 0, 0))
        feet = sorted(rng.integers(horizon + 6, 113, len(names)).tolist())
        slots = rng.permutation(len(names))
        for number, (name, foot) in enumerate(zip(names, feet, strict=True), start=1):
            x = 12 + 76 * (int(slots[number - 1]) + rng.random()) / len(names)
            _put(canvas, number, name, (x, foot), SIZES[len(names)], rng)
        objects = _reduce(np.asarray(canvas.getchannel("A")))
        pixels = np.bincount(objects.ravel(), minlength=256)[1 : len(names) + 1]
        if pixels.min() * SMALLEST >= objects.size:
            return canvas.convert("RGB").reduce(FACTOR), objects


def _put(
    canvas: Image.Image, number: int, name: str, at: Point, size: int, rng: np.random.Generator
) -> None:
    """Paint an object over what is there; it stands at (x, y) in percent of the sides."""
    look = LOOKS[name]
    left, foot = at
    red, green, blue = (max(0, c + int(rng.integers(-16, 17))) for c in look.colour)
    pen = Pen((red, green, blue))
    look.draw(pen, rng)
    # What stands lower in the picture is nearer, hence larger.
    percent = size * int(rng.integers(75, 126)) * (foot + 150) / 25_000
    scale = min(canvas.size) * percent / 10_000
    flying = look.home == "sky"
    if flying:
        foot = int(rng.integers(35, 96))
    t = int(rng.integers(-6, 7)) / (32 if flying else 80)  # tan(angle / 2)
    cosine = scale * (1 - t * t) / (1 + t * t)
    sine = scale * 2 * t / (1 + t * t)
    mirror = 1 if rng.integers(2) else -1
    a = mirror * cosine
    b = -sine
    d = mirror * sine
    e = cosine
    x = canvas.width * left / 100  # the drawing's point (50, 100) comes to (x, y)
    y = canvas.height * foot / 100
    _paint(canvas, pen, number, (a, b, d, e, x - 50 * a - 100 * b, y - 50 * d - 100 * e))


def _paint(canvas: Image.Image, pen: Pen, number: int, affine: tuple[float, ...]) -> None:
    """Fill a pen's polygons, moved by x' = a x + b y + u, y' = d x + e y + v."""
    a, b, d, e, u, v = affine
    brush = ImageDraw.Draw(canvas)
    for colour, points in pen.parts:
        moved = [(round(a * x + b * y + u), round(d * x + e * y + v)) for x, y in points]
        brush.polygon(moved, fill=(*colour, number))


def _reduce(numbers: np.ndarray) -> np.ndarray:
    """Reduce object numbers (FACTOR H, FACTOR W) to (H, W), void where they are not all equal.

    A pixel looks one subpixel beyond its right and lower edge. So the views of two neighbours,
    diagonal ones too, overlap, and different numbers never touch without void between them.
    """
    padded = np.pad(numbers, ((0, 1), (0, 1)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (FACTOR + 1, FACTOR + 1))
    views = views[::FACTOR, ::FACTOR]  # (H, W, FACTOR + 1, FACTOR + 1)
    lowest = views.min((2, 3))
    highest = views.max((2, 3))
    return np.where(lowest == highest, lowest, VOID).astype(np.uint8)


def _light(picture: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Texture, shadow, colour cast, contrast, brightness and noise, in whole numbers."""
    width, height = picture.size
    grain = sum(_cloud(picture.size, cell, rng) for cell in (3, 8, 24))
    right, down = rng.integers(-180, 181, 2).tolist()
    shadow = right * np.arange(width) // width + down * np.arange(height)[:, None] // height
    gain = 1000 + grain * int(rng.integers(1, 3)) // 2 + shadow - (right + down) // 2  # (H, W)
    gain = gain[:, :, None] * rng.integers(950, 1051, 3) // 1000  # (H, W, 3)
    contrast = int(rng.integers(880, 1081))
    brightness = int(rng.integers(-14, 15))
    pixels = np.asarray(picture).astype(np.int64) * gain // 1000
    pixels = (pixels - 128) * contrast // 1000 + 128 + brightness
    pixels += rng.integers(-5, 6, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)


def _cloud(size: tuple[int, int], cell: int, rng: np.random.Generator) -> np.ndarray:
    """(H, W) smooth noise of -64..63, its blobs about `cell` pixels wide."""
    width, height = size
    coarse = rng.integers(0, 256, (height // cell + 2, width // cell + 2), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(smooth).astype(np.int64) // 2 - 64


def _write(root: Path, image_id: str, scene: Scene) -> None:
    jpeg = BytesIO()
    Image.fromarray(scene.image).save(jpeg, "JPEG", quality=95, subsampling=0)
    write_bytes(layout.image_path(root, image_id), jpeg.getvalue())
    palette = images.palette()
    images.write_target(layout.target_path(root, image_id), scene.target, palette)
    images.write_target(root / "SegmentationObject" / f"{image_id}.png", scene.objects, palette)
    write_text(root / "Annotations" / f"{image_id}.xml", _annotation(image_id, scene))


def _annotation(image_id: str, scene: Scene) -> str:
    """The objects' boxes as VOC's XML: pixels are counted from 1, both ends belong to the box."""
    height, width = scene.objects.shape
    objects = ""
    for number, name in enumerate(scene.names, start=1):
        rows, columns = np.nonzero(scene.objects == number)
        ends = {
            "xmin": columns.min(),
            "ymin": rows.min(),
            "xmax": columns.max(),
            "ymax": rows.max(),
        }
        box = ""
        for end, position in ends.items():
            box += f"<{end}>{position + 1}</{end}>"
        objects += f"\t<object><name>{name}</name><bndbox>{box}</bndbox></object>\n"
    return (
        f"<annotation>\n\t<folder>VOC2012</folder>\n\t<filename>{image_id}.jpg</filename>\n"
        f"\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"\t<segmented>1</segmented>\n{objects}</annotation>\n"
    )
