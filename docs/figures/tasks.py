"""What semantic, instance and panoptic segmentation ask of the same picture."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segmodels.data.miniature import VOID, Scene
from segmodels.reporting.canvas import COLOURS, framed, styled

WHITE, PALE, DARK = (255, 255, 255), (222, 222, 222), (150, 150, 150)
CLASS_COLOURS = (COLOURS[2], COLOURS[1], COLOURS[0], COLOURS[3])  # of the classes in the picture
OBJECT_COLOURS = (COLOURS[4], COLOURS[5], COLOURS[1], COLOURS[2])


@styled
def figure(scene: Scene, classes: list[str]) -> Figure:
    """The picture and its truth for each of the three tasks."""
    drawn = framed("One picture, three tasks", "", size=(13, 3.8))
    axes = drawn.subplots(1, 4)
    axes[0].imshow(scene.image, interpolation="nearest")
    axes[0].set_title("the picture")
    kinds = sorted(set(scene.names), key=scene.names.index)
    by_class = {classes.index(kind): CLASS_COLOURS[i] for i, kind in enumerate(kinds)}
    _map(axes[1], scene.target, {0: DARK, **by_class}, "semantic:\na class for every pixel")
    by_object = {i: OBJECT_COLOURS[i - 1] for i in range(1, len(scene.names) + 1)}
    _map(axes[2], scene.objects, {0: WHITE, **by_object}, "instance:\nevery object by itself")
    shades = _shades(scene.names, dict(zip(kinds, CLASS_COLOURS, strict=False)))
    _map(axes[3], scene.objects, {0: DARK, **shades}, "panoptic:\nboth, for every pixel")
    count: dict[str, int] = {}
    for number, name in enumerate(scene.names, start=1):
        count[name] = count.get(name, 0) + 1
        at = _middle(scene.objects == number)
        _name(axes[1], at, name)
        _name(axes[2], at, f"object {number}")
        _name(axes[3], at, f"{name} {count[name]}" if scene.names.count(name) > 1 else name)
    for place in (axes[1], axes[3]):
        _name(place, (4, 20), "background")
    for place in axes:
        place.set_axis_off()
    return drawn


def _map(axes: Axes, labels: np.ndarray, colours: dict, title: str) -> None:
    table = np.zeros((256, 3), dtype=np.uint8)
    for label, colour in {**colours, VOID: PALE}.items():
        table[label] = _rgb(colour)
    axes.imshow(table[labels], interpolation="nearest")
    axes.set_title(title)


def _rgb(colour: str | tuple[int, int, int]) -> tuple[int, ...]:
    if isinstance(colour, tuple):
        return colour
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _shades(names: list[str], colours: dict[str, str]) -> dict[int, tuple[int, ...]]:
    """Object -> its class's colour, the second of a class half way to white."""
    found: dict[int, tuple[int, ...]] = {}
    for i, name in enumerate(names):
        share = 0.5 * names[:i].count(name)
        found[i + 1] = tuple(round(c + share * (255 - c)) for c in _rgb(colours[name]))
    return found


def _middle(mask: np.ndarray) -> tuple[int, int]:
    """Row and column of the pixel of a mask that is farthest from its edge, in steps of erosion."""
    inside, last = np.pad(mask, 1), np.pad(mask, 1)
    while inside.any():
        last = inside
        inside = inside.copy()
        inside[1:-1, 1:-1] &= last[:-2, 1:-1] & last[2:, 1:-1] & last[1:-1, :-2] & last[1:-1, 2:]
    rows, columns = np.nonzero(last)
    return int(rows[0]) - 1, int(columns[0]) - 1


def _name(axes: Axes, at: tuple[int, int], name: str) -> None:
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    axes.text(at[1], at[0], name, ha="center", va="center", fontsize=10, bbox=box)
