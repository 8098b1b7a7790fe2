"""What semantic, instance and panoptic segmentation ask of the same image."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segmodels.data.sources.miniature.generate import VOID, Scene
from segmodels.reporting.style import COLOURS, framed, styled

Colour = str | tuple[int, ...]  # "#RRGGBB", or three numbers in 0..255

WHITE = (255, 255, 255)
PALE = (222, 222, 222)
DARK = (150, 150, 150)
CLASS_COLOURS = (COLOURS[1], COLOURS[2], COLOURS[0], COLOURS[3])  # an image has at most four
OBJECT_COLOURS = (COLOURS[4], COLOURS[5], COLOURS[7], "#999933")  # none of a class


@styled
def figure(scene: Scene, classes: list[str]) -> Figure:
    """The image and its truth for each of the three tasks."""
    title = "Semantic: which class? Instance: which object? Panoptic: both. (miniature)"
    figure = framed(title, "", size=(13, 3.4))
    image, semantic, instance, panoptic = figure.subplots(1, 4)
    image.imshow(scene.image, interpolation="nearest")
    image.set_title("image\n")
    by_object = dict(enumerate(OBJECT_COLOURS, start=1))
    by_both = _shades(scene.names, class_colours(scene))
    semantic.imshow(semantic_map(scene, classes), interpolation="nearest")
    semantic.set_title("semantic:\na class for every pixel")
    _map(instance, scene.objects, by_object, WHITE, "instance:\nevery object by itself")
    _map(panoptic, scene.objects, by_both, DARK, "panoptic:\nboth, for every pixel")
    for number, name in enumerate(scene.names, start=1):
        middle = _middle(scene.objects == number)
        _name(semantic, middle, name)
        _name(instance, middle, f"object {number}")
        _name(panoptic, middle, f"{name} {scene.names[:number].count(name)}")
    for axes in (semantic, panoptic):
        _name(axes, _middle(scene.target == 0), "background")
    for axes in (image, semantic, instance, panoptic):
        axes.set_axis_off()
    return figure


def class_colours(scene: Scene) -> dict[str, str]:
    """Class -> its colour, in the order in which an image shows them."""
    return dict(zip(dict.fromkeys(scene.names), CLASS_COLOURS, strict=False))


def semantic_map(scene: Scene, classes: list[str]) -> np.ndarray:
    """(H, W, 3) uint8: the truth in the classes' colours; the background dark, void pale."""
    colours: dict[int, Colour] = {}
    for name, colour in class_colours(scene).items():
        colours[classes.index(name)] = colour
    return _painted(scene.target, colours, DARK)


def _map(
    axes: Axes,
    labels: np.ndarray,
    colours: Mapping[int, Colour],
    background: Colour,
    title: str,
) -> None:
    axes.imshow(_painted(labels, colours, background), interpolation="nearest")
    axes.set_title(title)


def _painted(labels: np.ndarray, colours: Mapping[int, Colour], background: Colour) -> np.ndarray:
    table = np.zeros((256, 3), dtype=np.uint8)
    for label, colour in colours.items():
        table[label] = _rgb(colour)
    table[0] = _rgb(background)
    table[VOID] = _rgb(PALE)
    return table[labels]


def _rgb(colour: Colour) -> tuple[int, ...]:
    """A colour, "#RRGGBB" or three numbers, as three numbers in 0..255."""
    if isinstance(colour, tuple):
        return colour
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _shades(names: list[str], colours: Mapping[str, str]) -> dict[int, tuple[int, ...]]:
    """Object -> its class's colour, the second of a class half way to white."""
    shades: dict[int, tuple[int, ...]] = {}
    for i, name in enumerate(names):
        share = 0.5 * names[:i].count(name)
        shades[i + 1] = tuple(round(c + share * (255 - c)) for c in _rgb(colours[name]))
    return shades


def _middle(mask: np.ndarray) -> tuple[int, int]:
    """Row and column of the pixel of a mask that is farthest from its edge, in steps of erosion."""
    inside = np.pad(mask, 1)
    last = inside
    while inside.any():
        last = inside
        inside = inside.copy()
        inside[1:-1, 1:-1] &= last[:-2, 1:-1] & last[2:, 1:-1] & last[1:-1, :-2] & last[1:-1, 2:]
    rows, columns = np.nonzero(last)
    return int(rows[0]) - 1, int(columns[0]) - 1


def _name(axes: Axes, place: tuple[int, int], name: str) -> None:
    """Write a name at a row and column."""
    row, column = place
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    axes.text(column, row, name, ha="center", va="center", fontsize=12, bbox=box)
