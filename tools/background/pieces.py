"""Figures of classical segmentation: a picture under every method, what the pieces are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segmodels.data.sources.miniature.generate import Scene
from segmodels.reporting.style import COLOURS, GREY, MARKERS, framed, styled
from tools.background import classical, regions
from tools.background.regions import REACH
from tools.background.results import Row

CANNY = 1.5  # pixels; sigma of the edges in the figure
Values = Mapping[tuple[str, str, float, str], float]  # (topic, item, setting, measure) -> value


@styled
def examples(scene: Scene, palette: np.ndarray) -> Figure:
    """One picture under every method."""
    figure = framed("One picture, cut by classical methods", "", size=(13, 5.3))
    height, width = scene.target.shape
    steep = classical.slope(scene.image)
    panels = {
        f"the picture\n{width} x {height} pixels": scene.image,
        f"the truth\n{len(scene.names)} objects, void pale": palette[scene.target],
        "Sobel gradient\nthe darker the steeper": _plain(1 - steep / steep.max()),
        f"Canny edges\nsigma {CANNY:g} pixels": _plain(~classical.canny(scene.image, CANNY)),
        "one Otsu threshold\n2 grey levels": _plain(classical.levels(scene.image, 2)),
    }
    for name, method in classical.METHODS.items():
        if name == "split and merge":
            blocks = regions.split(classical.smooth(scene.image), method.typical)
            panels[_count("splitting alone", blocks)] = _coloured(scene.image, blocks)
        cut = method.cut(scene.image, method.typical)
        panels[_count(name, cut)] = _coloured(scene.image, cut)
    grid = figure.subplots(2, 6)
    for axes, (title, panel) in zip(grid.flat, panels.items(), strict=False):
        axes.imshow(panel, interpolation="nearest")
        axes.set_title(title, fontsize=12)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure


def _count(name: str, cut: np.ndarray) -> str:
    return f"{name}\n{len(np.unique(cut))} regions"


def _plain(values: np.ndarray) -> np.ndarray:
    """(H, W) of 0..1 as grey RGB."""
    return np.repeat(values[..., None], 3, axis=2).astype(float)


def _coloured(image: np.ndarray, cut: np.ndarray, zoom: int = 5) -> np.ndarray:
    """Every region in its mean colour, with a black line between regions."""
    numbers = np.unique(cut, return_inverse=True)[1].reshape(cut.shape)
    pixels = np.bincount(numbers.ravel())
    sums = [np.bincount(numbers.ravel(), image[..., c].ravel()) for c in range(3)]
    means = np.stack(sums, axis=1) / pixels[:, None]  # (regions, 3)
    large = np.kron(numbers, np.ones((zoom, zoom), dtype=np.int64))
    picture = means[large] / 255
    picture[regions.edges_of(large)] = 0
    return picture


@styled
def oracle_figure(rows: Sequence[Row]) -> Figure:
    """Achievable mIoU against the number of regions, and boundary precision against recall."""
    values = {row[:4]: row.value for row in rows}
    figure = framed("What the pieces are worth", "", size=(13, 6))
    left, right = figure.subplots(1, 2)
    _draw_regions(left, values)
    _draw_boundaries(right, values)
    by_label: dict[str, Artist] = {}  # each label once
    for axes in (left, right):
        handles, labels = axes.get_legend_handles_labels()
        by_label |= dict(zip(labels, handles, strict=True))
    entries = list(by_label.values())
    figure.legend(handles=entries, loc="outside lower center", ncols=5, fontsize=12)
    return figure


def _look(name: str) -> dict[str, Any]:
    """Colour, marker, label and line of a method or of an edge detector."""
    if name == "plain squares":
        return {"color": GREY, "marker": "", "label": name, "linestyle": "--"}
    if name in classical.EDGES:
        i = 5 + list(classical.EDGES).index(name)
        return {"color": COLOURS[i + 1], "marker": MARKERS[i], "label": name, "linestyle": ":"}
    i = list(classical.METHODS).index(name)
    return {"color": COLOURS[i], "marker": MARKERS[i], "label": name, "linestyle": "-"}


def _draw_regions(axes: Axes, values: Values) -> None:
    for name, method in classical.METHODS.items():
        counts = [values["regions", name, s, "regions"] for s in method.settings]
        miou = [100 * values["regions", name, s, "miou"] for s in method.settings]
        axes.plot(counts, miou, **_look(name))
    floor = 100 * values["regions", "all background", 1, "miou"]
    axes.axhline(floor, color=GREY, linewidth=1.2, linestyle=":", label="all background")
    axes.set_xscale("log", base=2)
    axes.set_xticks([4, 16, 64, 256], ["4", "16", "64", "256"])
    axes.set_xlabel("regions a picture, logarithmic")
    axes.set_ylabel("mIoU of the oracle (%)")
    axes.set_ylim(0, 102)
    axes.set_title("Regions: mIoU if each gets its true class")


def _draw_boundaries(axes: Axes, values: Values) -> None:
    curves = {name: method.settings for name, method in classical.METHODS.items()}
    del curves["plain squares"]  # their boundaries have nothing to do with the picture
    for name, (_, settings) in classical.EDGES.items():
        curves[name] = settings
    for name, settings in curves.items():
        recall = [100 * values["boundaries", name, s, "recall"] for s in settings]
        precision = [100 * values["boundaries", name, s, "precision"] for s in settings]
        axes.plot(recall, precision, **_look(name))
    axes.set_xlabel("recall: true boundary that is found (%)")
    axes.set_ylabel("precision: found boundary that is true (%)")
    axes.set_title(f"Boundaries, within {REACH} pixel")
    axes.set_xlim(40, 102)
    axes.set_ylim(20, 72)
    _equal_f(axes)


def _equal_f(axes: Axes) -> None:
    """Thin lines along which F is the same."""
    recall = np.linspace(30, 102, 200)
    for f in (40, 50, 60, 70):
        line = recall > 0.51 * f
        precision = f * recall[line] / (2 * recall[line] - f)
        axes.plot(recall[line], precision, color="#C8C8C8", linewidth=1, zorder=0)
        left = max(41, 0.5 * f * 71 / (71 - 0.5 * f) + 1)  # where the line enters the axes
        height = f * left / (2 * left - f)
        axes.text(left, height + 0.6, f"F {f}%", color=GREY, fontsize=10)
