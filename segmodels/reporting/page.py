"""The page of pictures: masks beside their photograph, and an index.html that shows them.

A grid has a row for each picture and the columns picture, truth and one mask for each model. Masks
are enlarged by repeating pixels and keep the palette's exact colours; void is drawn in VOC's void
colour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from segmodels.data import voc
from segmodels.reporting.canvas import GREY, drawable, styled
from segmodels.reporting.tables import HEAD, printed_row

PICTURES = 8  # rows of a grid
SHOWN = 0.01  # share of a picture's pixels from which a class is seen at a glance
NARROWEST = 160  # pixels of a column, for its title
CELL = (320, 240)  # pixels: the largest width and height of a picture in the grid
GAP, MARGIN, HEADER, LEGEND_ROW = 8, 28, 34, 26  # pixels
DPI = 100
LONGEST_ID = 28  # letters that fit beside a picture


def choose(pixels: pd.DataFrame, count: int = PICTURES) -> list[str]:
    """Pictures that show as many classes as possible, and rare ones first.

    Greedy: the next picture is the one whose classes were shown least so far, a class that was
    shown k times counting 1 / 2^k for it; the first in order among equals.

    Args:
        pixels: pixels of each class (columns) in each picture (index: image id).
    """
    share = pixels.div(pixels.sum(axis=1), axis=0)
    present = share.to_numpy() > SHOWN
    shown = np.zeros(present.shape[1])
    chosen: list[int] = []
    for _ in range(min(count, len(pixels))):
        worth = present @ 0.5**shown
        worth[chosen] = -1
        best = int(worth.argmax())
        chosen.append(best)
        shown += present[best]
    return [str(pixels.index[i]) for i in chosen]


@dataclass(frozen=True)
class Row:
    """One picture of a grid: image (H, W, 3) uint8; truth, then predictions, (H, W) uint8."""

    image_id: str
    image: np.ndarray
    labels: Sequence[np.ndarray]


@styled
def grid(
    rows: Sequence[Row], models: Sequence[str], *, classes: Sequence[str], colours: np.ndarray
) -> Figure:
    """Draw picture | truth | each model's mask, and a legend of the classes that are seen.

    Args:
        colours: (256, 3) uint8 from `mask_colours`; a label that is no class is void.
    """
    average, pick = Image.Resampling.BOX, Image.Resampling.NEAREST
    strips = [
        [_fit(row.image, average), *(_fit(colours[labels], pick) for labels in row.labels)]
        for row in rows
    ]
    step = GAP + max(NARROWEST, *(strip[0].shape[1] for strip in strips))
    lefts = [MARGIN + step * column for column in range(len(strips[0]))]
    tops = HEADER + np.cumsum([0, *(strip[0].shape[0] + GAP for strip in strips)])
    swatches = _swatches(rows, classes, colours)
    columns = max(1, step * len(lefts) // max(map(_swatch_width, swatches)))
    height = int(tops[-1]) + GAP + LEGEND_ROW * -(-len(swatches) // columns)
    width = MARGIN + step * len(lefts)

    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    for strip, top in zip(strips, tops, strict=False):  # the last top is the legend's
        for cell, left in zip(strip, lefts, strict=True):
            canvas[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(canvas)
    for title, left in zip(["picture", "truth", *models], lefts, strict=True):
        figure.text(left / width, 1 - (HEADER - 10) / height, title, size=12, fontweight="bold")
    for row, top, below in zip(rows, tops, tops[1:], strict=False):
        middle, label = 1 - (top + below) / 2 / height, row.image_id[-LONGEST_ID:]
        figure.text(8 / width, middle, label, rotation=90, va="center", size=8, color=GREY)
    figure.legend(handles=swatches, loc="lower left", ncols=columns, fontsize=11)
    return figure


def mask_colours(palette: list[tuple[int, int, int]] | None, void: int) -> np.ndarray:
    """(256, 3) uint8: the data set's palette, with VOC's void colour for its void label."""
    colours = voc.palette(palette)
    colours[void] = voc.palette()[255]
    return colours


def html(*, title: str, summary: pd.DataFrame, caption: str, studies: Mapping[str, str]) -> str:
    """index.html: the summary, overview.png and a grid of each study, all files beside it.

    Args:
        studies: study -> file name of its grid.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in HEAD)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in printed_row(row)) + "</tr>"
        for _, row in summary.iterrows()
    )
    grids = "\n".join(
        f"<h2>{escape(study)}</h2>\n"
        f'<img src="{quote(file)}" alt="picture, truth and masks of the study {escape(study)}">'
        for study, file in studies.items()
    )
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=escape(title), head=head, body=body, caption=escape(caption), grids=grids
    )


def _swatches(rows: Sequence[Row], classes: Sequence[str], colours: np.ndarray) -> list[Patch]:
    """Colour and name of each class that is seen in the masks, void last."""
    names = drawable(classes, "class")
    seen = np.unique(np.concatenate([labels.ravel() for row in rows for labels in row.labels]))
    return [
        Patch(
            facecolor=colours[label] / 255,
            edgecolor=GREY,
            linewidth=0.6,
            label=names[label] if label < len(classes) else "void",
        )
        for label in seen
    ]


def _swatch_width(swatch: Patch) -> int:
    """Pixels that an entry of the legend takes at most."""
    name = str(swatch.get_label())
    return 60 + len(name) * (11 if name.isascii() else 16)


def _fit(pixels: np.ndarray, shrink: Image.Resampling) -> np.ndarray:
    """(h, w, 3) of at most CELL: enlarged a whole number of times, or shrunk by `shrink`."""
    height, width = pixels.shape[:2]
    scale = min(CELL[0] / width, CELL[1] / height)
    if scale >= 1:
        return pixels.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, shrink))
