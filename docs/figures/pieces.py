"""Figures of classical segmentation: a picture under every method, what the pieces are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.figures import classical, regions
from docs.figures.regions import REACH
from docs.figures.results import Row
from segmodels.data.miniature import Scene
from segmodels.reporting.canvas import COLOURS, GREY, MARKERS, framed, styled

CANNY = 1.5  # pixels; sigma of the edges in the figure


@styled
def examples(scene: Scene, palette: np.ndarray) -> Figure:
    """One picture under every method."""
    figure = framed("One picture, cut by classical methods", "", size=(13, 5.3))
    cuts = {
        name: method.cut(scene.image, method.typical) for name, method in classical.METHODS.items()
    }
    blocks = regions.split(
        classical.smooth(scene.image), classical.METHODS["split and merge"].typical
    )
    cuts = {"splitting alone": blocks, **cuts}
    height, width = scene.target.shape
    steep = classical.slope(scene.image)
    panels = {
        f"the picture\n{width} x {height} pixels": scene.image,
        f"the truth\n{len(scene.names)} objects, void pale": palette[scene.target],
        "Sobel gradient\nthe darker the steeper": _plain(1 - steep / steep.max()),
        f"Canny edges\nsigma {CANNY:g} pixels": _plain(~classical.canny(scene.image, CANNY)),
        "one Otsu threshold\n2 grey levels": _plain(classical.levels(scene.image, 2)),
    }
    order = list(classical.METHODS)[:3] + ["splitting alone"] + list(classical.METHODS)[3:]
    for name in order:
        title = f"{name}\n{len(np.unique(cuts[name]))} regions"
        panels[title] = _coloured(scene.image, cuts[name])
    axes = figure.subplots(2, 6)
    for place, (name, panel) in zip(axes.flat, panels.items(), strict=False):
        place.imshow(panel, interpolation="nearest")
        place.set_title(name, fontsize=12)
    for place in axes.flat:
        place.set_axis_off()
    return figure


def _plain(values: np.ndarray) -> np.ndarray:
    """(H, W) of 0..1 as grey RGB."""
    return np.repeat(values[..., None], 3, axis=2).astype(float)


def _coloured(image: np.ndarray, cut: np.ndarray, zoom: int = 5) -> np.ndarray:
    """Every region in its mean colour, with a black line between regions."""
    numbers = np.unique(cut, return_inverse=True)[1].reshape(cut.shape)
    pixels = np.bincount(numbers.ravel())
    means = [np.bincount(numbers.ravel(), image[..., c].ravel()) / pixels for c in range(3)]
    large = np.kron(numbers, np.ones((zoom, zoom), dtype=np.int64))
    picture = np.stack(means, axis=1)[large] / 255
    picture[regions.edges_of(large)] = 0
    return picture


@styled
def oracle_figure(found: Sequence[Row]) -> Figure:
    """Achievable mIoU against the number of regions, and boundary precision against recall."""
    values = {(r.topic, r.item, r.setting, r.measure): r.value for r in found}
    figure = framed("What the pieces are worth", "", size=(13, 6))
    left, right = figure.subplots(1, 2)
    for i, (name, method) in enumerate(classical.METHODS.items()):
        last = name == "plain squares"
        look = {"color": GREY if last else COLOURS[i], "marker": "" if last else MARKERS[i]}
        style = {**look, "label": name, "linestyle": "--" if last else "-"}
        across, up = (
            [values["regions", name, s, m] for s in method.settings] for m in ("regions", "miou")
        )
        left.plot(across, np.multiply(up, 100), **style)
        if not last:
            _curve(right, values, name, method.settings, style)
    for i, (name, (_, settings)) in enumerate(classical.EDGES.items(), start=5):
        style = {"color": COLOURS[i + 1], "marker": MARKERS[i], "label": name, "linestyle": ":"}
        _curve(right, values, name, settings, style)
    floor = 100 * values["regions", "all background", 1, "miou"]
    left.axhline(floor, color=GREY, linewidth=1.2, linestyle=":", label="all background")
    left.set_xscale("log", base=2)
    left.set_xticks([4, 16, 64, 256], ["4", "16", "64", "256"])
    left.set_xlabel("regions a picture, logarithmic")
    left.set_ylabel("mIoU of the oracle (%)")
    left.set_ylim(0, 102)
    left.set_title("Regions: mIoU if each gets its true class")
    right.set_xlabel("recall: true boundary that is found (%)")
    right.set_ylabel("precision: found boundary that is true (%)")
    right.set_title(f"Boundaries, within {REACH} pixel")
    right.set_xlim(40, 102)
    right.set_ylim(20, 72)
    _equal_f(right)
    handles = {h.get_label(): h for a in (left, right) for h in a.get_legend_handles_labels()[0]}
    figure.legend(handles=list(handles.values()), loc="outside lower center", ncols=5, fontsize=12)
    return figure


def _curve(
    axes: Axes, values: dict, name: str, settings: Sequence[float], style: Mapping[str, Any]
) -> None:
    across, up = (
        [100 * values["boundaries", name, s, m] for s in settings] for m in ("recall", "precision")
    )
    axes.plot(across, up, **style)


def _equal_f(axes: Axes) -> None:
    """Thin lines along which F is the same."""
    recall = np.linspace(30, 102, 200)
    for f in (40, 50, 60, 70):
        line = recall > 0.51 * f
        precision = f * recall[line] / (2 * recall[line] - f)
        axes.plot(recall[line], precision, color="#C8C8C8", linewidth=1, zorder=0)
        start = max(41, 0.5 * f * 71 / (71 - 0.5 * f) + 1)  # where the line enters the axes
        at = f * start / (2 * start - f)
        axes.text(start, at + 0.6, f"F {f}%", color=GREY, fontsize=10)
