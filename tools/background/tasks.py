"""What semantic, instance and panoptic segmentation ask of the same picture."""

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
CLASS_COLOURS = (COLOURS[2], COLOURS[1], COLOURS[0], COLOURS[3])  # a picture has at most four
OBJECT_COLOURS = (COLOURS[4], COLOURS[5], COLOURS[1], COLOURS[2])


@styled
def figure(scene: Scene, classes: list[str]) -> Figure:
    """The picture and its truth for each of the three tasks."""
    figure = framed("One picture, three tasks", "", size=(13, 3.8))
    picture, semantic, instance, panoptic = figure.subplots(1, 4)
    picture.imshow(scene.image, interpolation="nearest")
    picture.set_title("the picture")
    kinds = list(dict.fromkeys(scene.names))  # each once
    colour_of = dict(zip(kinds, CLASS_COLOURS, strict=False))
    by_class = {classes.index(kind): colour for kind, colour in colour_of.items()}
    by_object = dict(enumerate(OBJECT_COLOURS, start=1))
    by_both = _shades(scene.names, colour_of)
    _map(semantic, scene.target, by_class, DARK, "semantic:\na class for every pixel")
    _map(instance, scene.objects, by_object, WHITE, "instance:\nevery object by itself")
    _map(panoptic, scene.objects, by_both, DARK, "panoptic:\nboth, for every pixel")
    for number, name in enumerate(scene.names, start=1):
        middle = _middle(scene.objects == number)
        _name(semantic, middle, name)
        _name(instance, middle, f"object {number}")
        _name(panoptic, middle, _numbered(scene.names, number))
    _name(semantic, (4, 20), "background")
    _name(panoptic, (4, 20), "background")
    for axes in (picture, semantic, instance, panoptic):
        axes.set_axis_off()
    return figure


def _map(
    axes: Axes,
    labels: np.ndarray,
    colours: Mapping[int, Colour],
    background: Colour,
    title: str,
) -> None:
    table = np.zeros((256, 3), dtype=np.uint8)
    for label, colour in colours.items():
        table[label] = _rgb(colour)
    table[0] = _rgb(background)
    table[VOID] = _rgb(PALE)
    axes.imshow(table[labels], interpolation="nearest")
    axes.set_title(title)


def _rgb(colour: Colour) -> tuple[int, ...]:
    """A colour, "#RRGGBB" or three numbers, as three numbers in 0..255."""
    if isinstance(colour, tuple):
        return colour
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _numbered(names: list[str], number: int) -> str:
    """The class of an object, with a number if the picture shows several objects of it."""
    name = names[number - 1]
    if names.count(name) == 1:
        return name
    return f"{name} {names[:number].count(name)}"


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
    axes.text(column, row, name, ha="center", va="center", fontsize=10, bbox=box)
