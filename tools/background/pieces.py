"""Figures of classical segmentation: an image under every method, what the pieces are worth."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segmodels.data.sources.miniature.generate import Scene
from segmodels.reporting.style import COLOURS, GREY, MARKERS, framed, styled
from tools.background import classical, regions, tasks
from tools.background.regions import REACH
from tools.background.results import Row

CANNY = 1.5  # pixels; sigma of the edges in the figure
SHOWN = ["Otsu thresholds", "watershed", "split and merge", "graph (felzenszwalb)", "plain squares"]
Values = Mapping[tuple[str, str, float, str], float]  # (topic, item, setting, measure) -> value


@styled
def examples(scene: Scene, classes: list[str]) -> Figure:
    """One image under every method: the first row has edges, the others regions."""
    title = "Every classical method finds pieces of a cat, none finds the cat (miniature)"
    figure = framed(title, "", size=(13, 10))
    height, width = scene.target.shape
    steep = classical.slope(scene.image)
    panels = {
        f"image\n{width} x {height} pixels": scene.image,
        f"ground truth\n{len(scene.names)} objects; void is pale": tasks.semantic_map(
            scene, classes
        ),
        "edges: Sobel gradient\nthe darker the steeper": _plain(1 - steep / steep.max()),
        f"edges: Canny\nsigma {CANNY:g} pixels": _plain(~classical.canny(scene.image, CANNY)),
        "one Otsu threshold\n2 grey levels": _plain(classical.levels(scene.image, 2)),
    }
    for name, method in classical.METHODS.items():
        if name == "split and merge":
            blocks = regions.split(classical.smooth(scene.image), method.typical)
            panels[_count("splitting alone", blocks)] = _coloured(scene.image, blocks)
        cut = method.cut(scene.image, method.typical)
        panels[_count(name, cut)] = _coloured(scene.image, cut)
    grid = figure.subplots(3, 4)
    for axes, (title, panel) in zip(grid.flat, panels.items(), strict=True):
        axes.imshow(panel, interpolation="nearest")
        axes.set_title(title)
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
    title = "Thresholds on grey cut worse than plain squares do (miniature)"
    figure = framed(title, "", size=(13, 6))
    left, right = figure.subplots(1, 2)
    _draw_regions(left, values)
    _draw_boundaries(right, values)
    return figure


def _draw_regions(axes: Axes, values: Values) -> None:
    for name in SHOWN:
        settings = classical.METHODS[name].settings
        counts = [values["regions", name, s, "regions"] for s in settings]
        miou = [100 * values["regions", name, s, "miou"] for s in settings]
        axes.plot(counts, miou, **_look(name))
    floor = 100 * values["regions", "all background", 1, "miou"]
    axes.axhline(floor, color=GREY, linewidth=1.2, linestyle=":")
    axes.text(4, floor + 1.5, "all background", color=GREY)
    axes.set_xscale("log", base=2)
    axes.set_xticks([4, 16, 64, 256], ["4", "16", "64", "256"])
    axes.set_xlabel("regions in an image, logarithmic")
    axes.set_ylabel("mIoU of the oracle (%)")
    axes.set_ylim(0, 109)
    axes.set_title("Regions: mIoU if each gets its true class")
    _label(axes, "Otsu thresholds", (62, 65), "left")
    _label(axes, "watershed", (8.6, 64), "right")
    _label(axes, "split and merge", (290, 103), "right")
    _label(axes, "graph", (14, 82.5), "right")
    _label(axes, "plain squares", (180, 80), "center")


def _draw_boundaries(axes: Axes, values: Values) -> None:
    curves = {name: classical.METHODS[name].settings for name in SHOWN}
    curves["Sobel"] = classical.EDGES["Sobel"][1]
    for name, settings in curves.items():
        recall = [100 * values["boundaries", name, s, "recall"] for s in settings]
        precision = [100 * values["boundaries", name, s, "precision"] for s in settings]
        axes.plot(recall, precision, **_look(name))
    axes.set_xlabel("recall: true boundary that is found (%)")
    axes.set_ylabel("precision: found boundary that is true (%)")
    axes.set_title(f"Boundaries, within {REACH} pixel")
    axes.set_xlim(0, 102)
    axes.set_ylim(10, 76)
    _equal_f(axes)
    _label(axes, "Otsu thresholds", (50, 45.5), "right")
    _label(axes, "watershed", (57, 61), "center")
    _label(axes, "split and merge", (56, 40.5), "right")
    _label(axes, "graph", (81, 57.5), "left")
    _label(axes, "plain squares", (45, 16), "center")
    _label(axes, "Sobel", (50, 54.5), "right")


def _look(name: str) -> dict[str, Any]:
    """Colour, marker and line of a method or of the edge detector."""
    if name == "plain squares":
        return {"color": GREY, "marker": "", "linestyle": "--"}
    i = [*SHOWN, "Sobel"].index(name)
    colour = COLOURS[(0, 2, 7, 3, 6, 6)[i]]
    return {"color": colour, "marker": MARKERS[i], "linestyle": ":" if name == "Sobel" else "-"}


def _label(
    axes: Axes, label: str, place: tuple[float, float], side: Literal["left", "center", "right"]
) -> None:
    """The name of a line, in its colour."""
    (name,) = [name for name in (*SHOWN, "Sobel") if name.startswith(label)]
    axes.text(*place, label, color=_look(name)["color"], ha=side)


def _equal_f(axes: Axes) -> None:
    """Thin lines along which F is the same."""
    top = 76
    recall = np.linspace(1, 102, 400)
    for f in (40, 50, 60, 70):
        line = recall > 0.51 * f
        precision = f * recall[line] / (2 * recall[line] - f)
        axes.plot(recall[line], precision, color="#C8C8C8", linewidth=1, zorder=0)
        enters = f * top / (2 * top - f)
        axes.text(enters + 1, top - 1.5, f"F {f}%", color=GREY, fontsize=11, va="top")
