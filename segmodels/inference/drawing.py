"""Label maps as pictures for people: laid over the photograph, and side by side with a legend.

Conventions: images are (H, W, 3) uint8 RGB, label maps (H, W) uint8, palettes (256, 3) uint8 RGB.
Drawings need Pillow only, and of matplotlib the font that comes with it.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segmodels.core.files import write_bytes
from segmodels.data.transforms import resized_size

NO_CLASS = 255  # a label that no class has
OPACITY = 0.6  # of the colours over the photograph
PANEL = 420  # pixels of a panel's long side
GAP = 14  # pixels between panels and around everything
FONT = 17  # pixels
LINE = 26  # pixels from one line of text to the next
SWATCH = 16  # pixels


def save(path: str | Path, drawing: Image.Image) -> None:
    """Write a PNG atomically."""
    content = BytesIO()
    drawing.save(content, "PNG")
    write_bytes(path, content.getvalue())


def overlay(
    image: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    *,
    opacity: float = OPACITY,
    background: bool = True,
) -> Image.Image:
    """The photograph, tinted by class; it stays as it is in the background and where no class is.

    Args:
        opacity: of the colours, 0..1.
        background: whether the label 0 is background; if not, it is tinted too.
    """
    photo = Image.fromarray(image)
    tinted = Image.blend(photo, Image.fromarray(palette[labels]), opacity)
    return Image.composite(
        tinted, photo, Image.fromarray((labels >= int(background)) & (labels < NO_CLASS))
    )


def comparison(
    image: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    *,
    classes: Sequence[str],
    palette: np.ndarray,
) -> Image.Image:
    """Photograph and label maps side by side, below them the classes that occur.

    Args:
        predictions: label map of each model, in the order of the panels.
    """
    height, width = resized_size(image.shape[0], image.shape[1], PANEL)
    # BOX averages what it shrinks, and like NEAREST shows the pixels of what it enlarges.
    photo = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    panels = {"picture": photo}
    for name, labels in predictions.items():
        small = Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST)
        panels[name] = Image.fromarray(palette[np.asarray(small)])
    present = np.unique(np.concatenate([np.unique(labels) for labels in predictions.values()]))
    names = {int(label): classes[label] for label in present if label < len(classes)}
    return sheet(panels, names, palette)


def sheet(
    panels: Mapping[str, Image.Image], names: Mapping[int, str], palette: np.ndarray
) -> Image.Image:
    """Panels under their names, and a legend of labels and names."""
    font = _font()
    columns = [max(panel.width, round(font.getlength(name))) for name, panel in panels.items()]
    entries = [2 * SWATCH + GAP + round(font.getlength(name)) for name in names.values()]
    width = max(sum(columns) + GAP * (len(columns) + 1), max(entries, default=0) + GAP)
    places = _rows(entries, width - GAP)
    below = GAP + LINE + next(iter(panels.values())).height + GAP
    lines = places[-1][1] + 1 if places else 0  # a model without a background may see nothing
    height = below + LINE * lines + GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    left = GAP
    for column, (name, panel) in zip(columns, panels.items(), strict=True):
        draw.text((left, GAP), name, "black", font)
        sheet.paste(panel, (left, GAP + LINE))
        left += column + GAP
    for (label, name), (x, row) in zip(names.items(), places, strict=True):
        x, y = GAP + x, below + LINE * row
        colour = tuple(int(channel) for channel in palette[label])
        draw.rectangle((x, y + 2, x + SWATCH, y + 2 + SWATCH), colour, "#666666")
        draw.text((x + SWATCH + SWATCH // 2, y), name, "black", font)
    return sheet


def _rows(widths: Sequence[int], available: int) -> list[tuple[int, int]]:
    """Where entries stand that fill rows like words: (left, row) of each."""
    places, left, row = [], 0, 0
    for width in widths:
        if left and left + width > available:
            left, row = 0, row + 1
        places.append((left, row))
        left += width
    return places


def _font() -> ImageFont.FreeTypeFont:
    """matplotlib's, whose import would take longer than the drawing."""
    package = importlib.util.find_spec("matplotlib")
    if package is None or package.origin is None:
        raise ValueError("matplotlib, whose font the drawings have, is not installed")
    file = Path(package.origin).with_name("mpl-data") / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(file, FONT)
