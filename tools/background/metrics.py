"""The worked example of the metrics, and how boundary IoU and IoU see the same mistake."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from segmodels.evaluation import boundary, scores
from segmodels.evaluation.confusion import confusion_matrix, iou, mean
from segmodels.reporting.style import COLOURS, GREY, MARKERS, framed, styled
from tools.background.results import Row

VOID = 255
CLASSES = ["background", "cat", "dog"]
TRUTHS = ["000011 000011 00vv11 000011", "00000v 02200v 022000 000000"]  # rows of two pictures
PREDICTIONS = ["000001 000011 000111 000011", "000000 001000 022200 000000"]

# Lengths in pixels.
PICTURE = 256  # side of the picture that holds one square
SIDES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192)  # of the squares
SHIFT = 2  # how far a predicted square is moved
BANDS = 32  # side of the square whose bands are drawn, in a picture of 48 x 48
TRIMAP = 3  # width of the trimap


def labels(rows: str) -> np.ndarray:
    """A small label map from its rows; v is void."""
    letters = np.array([list(row) for row in rows.split()])
    return np.where(letters == "v", str(VOID), letters).astype(np.uint8)


def confusions() -> list[np.ndarray]:
    """(3, 3) int64 of each picture of the example."""
    matrices = []
    for truth, prediction in zip(TRUTHS, PREDICTIONS, strict=True):
        matrix = confusion_matrix(
            target=labels(truth), prediction=labels(prediction), num_classes=3, ignore_index=VOID
        )
        matrices.append(matrix)
    return matrices


def example_rows() -> list[Row]:
    """All scores of the worked example."""
    first, second = confusions()
    whole = first + second
    summary = scores.summarize(whole)
    values: dict[str, Any] = {}
    for measure in ("pixel_acc", "mean_acc", "miou", "mean_dice"):
        values[measure] = summary[measure]
    values["miou of image 1"] = mean(iou(first))
    values["miou of image 2"] = mean(iou(second))
    values["mean of the images' mIoU"] = np.mean([mean(iou(first)), mean(iou(second))])
    for name, class_iou, class_dice in zip(CLASSES, iou(whole), scores.dice(whole), strict=True):
        values[f"iou of {name}"] = class_iou
        values[f"dice of {name}"] = class_dice
    return [Row("example", "two images", 0, key, float(value)) for key, value in values.items()]


def square(side: int, shift: int, picture: int) -> np.ndarray:
    """(picture, picture) uint8: a square in the middle, moved to the right by `shift` pixels."""
    drawn = np.zeros((picture, picture), dtype=np.uint8)
    start = (picture - side) // 2
    drawn[start : start + side, start + shift : start + side + shift] = 1
    return drawn


def shift_rows() -> list[Row]:
    """IoU and boundary IoU of squares that are predicted SHIFT pixels beside the truth."""
    rows = []
    for side in SIDES:
        pair: dict[str, Any] = {
            "target": square(side, 0, PICTURE),
            "prediction": square(side, SHIFT, PICTURE),
            "num_classes": 2,
            "ignore_index": VOID,
        }
        bands = boundary.overlaps(**pair)
        values = {
            "iou": iou(confusion_matrix(**pair))[1],
            "boundary_iou": scores.overlap_iou(bands["boundary"])[1],
            "trimap_iou": scores.overlap_iou(bands[f"trimap_{TRIMAP}px"])[1],
        }
        for measure, value in values.items():
            rows.append(Row("shifted square", "side", side, measure, float(value)))
    return rows


@styled
def example_figure() -> Figure:
    """Truth and prediction of both pictures, and the confusion matrix of both together."""
    figure = framed("Four of 44 pixels are wrong; the matrix says which", "", size=(13, 5.6))
    grid = figure.add_gridspec(2, 3, width_ratios=[1, 1, 1.05])
    for k in range(2):
        truth, prediction = labels(TRUTHS[k]), labels(PREDICTIONS[k])
        _cells(figure.add_subplot(grid[k, 0]), truth, f"image {k + 1}: ground truth")
        axes = figure.add_subplot(grid[k, 1])
        _cells(axes, prediction, f"image {k + 1}: prediction")
        for row, column in np.argwhere((prediction != truth) & (truth != VOID)):
            wrong = Rectangle((column, row), 1, 1, fill=False, edgecolor="#C00000", linewidth=4)
            axes.add_patch(wrong)
    first, second = confusions()
    _matrix(figure.add_subplot(grid[:, 2]), first + second)
    return figure


def _matrix(axes: Axes, confusion: np.ndarray) -> None:
    most = confusion[1:, 1:].max()  # the background has many more pixels
    axes.imshow(confusion, cmap="Blues", vmin=0, vmax=2 * most)
    for (row, column), count in np.ndenumerate(confusion):
        ink = "white" if count > 1.2 * most else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=ink, fontsize=16)
    axes.set_title("pixels of both images")
    axes.set_xticks(range(3), CLASSES)
    axes.set_yticks(range(3), CLASSES, rotation=90, va="center")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.grid(False)


def _cells(axes: Axes, map_: np.ndarray, title: str) -> None:
    colours = ListedColormap(["#FFFFFF", COLOURS[1], COLOURS[5], "#C8C8C8"])
    shown = np.where(map_ == VOID, 3, map_)
    axes.pcolormesh(shown, cmap=colours, vmin=0, vmax=3, edgecolors=GREY, linewidth=0.6)
    for (row, column), label in np.ndenumerate(map_):
        letter = "void" if label == VOID else "bcd"[label]
        size = 11 if label == VOID else 14
        axes.text(column + 0.5, row + 0.5, letter, ha="center", va="center", fontsize=size)
    axes.set_title(title)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_axis_off()


@styled
def boundary_figure(rows: Sequence[Row]) -> Figure:
    """The bands of boundary IoU and trimap; the scores of a shift by the square's size."""
    title = "IoU forgives a shift of 2 pixels on large squares, boundary scores do not"
    figure = framed(title, "", size=(13, 5))
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.5])
    truth = square(BANDS, 0, 48)
    prediction = square(BANDS, SHIFT, 48)
    width = boundary.distance((PICTURE, PICTURE))
    _draw_bands(left, _inner(truth, width), _inner(prediction, width))
    left.set_title(f"boundary IoU: the objects'\nown rims, {width} pixels wide")
    rim = _inner(truth, TRIMAP) | (_inner(1 - truth, TRIMAP, edge=False))
    _draw_bands(middle, truth.astype(bool) & rim, prediction.astype(bool) & rim)
    middle.contour(rim, [0.5], colors="black", linewidths=1.6, linestyles=":")
    middle.set_title(f"trimap: within {TRIMAP} pixels of\nthe true boundary (dotted)")
    for axes in (left, middle):
        for shift, style in ((0, "-"), (SHIFT, "--")):
            side = (48 - BANDS) // 2 - 0.5
            outline = Rectangle((side + shift, side), BANDS, BANDS, fill=False, linestyle=style)
            axes.add_patch(outline)
    _draw_shift_scores(right, rows)
    return figure


def _draw_shift_scores(axes: Axes, rows: Sequence[Row]) -> None:
    """IoU, trimap IoU and boundary IoU against the side of the square."""
    percent = {(row.setting, row.measure): 100 * row.value for row in rows}
    looks = [
        ("iou", "IoU", COLOURS[0], MARKERS[0]),
        ("trimap_iou", f"trimap IoU, {TRIMAP} px", COLOURS[2], MARKERS[1]),
        ("boundary_iou", "boundary IoU", COLOURS[3], MARKERS[2]),
    ]
    for measure, label, colour, marker in looks:
        values = [percent[side, measure] for side in SIDES]
        axes.plot(SIDES, values, color=colour, marker=marker, label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks([8, 16, 32, 64, 128], ["8", "16", "32", "64", "128"])
    axes.set_xlabel("side of the square (pixels), logarithmic")
    axes.set_ylabel("score (%)")
    axes.set_ylim(40, 102)
    axes.set_title(f"a square predicted {SHIFT} pixels beside the truth")
    axes.legend(loc="lower right")


def _inner(mask: np.ndarray, width: int, edge: bool = True) -> np.ndarray:
    """Pixels of a mask within `width` (Chebyshev) of its boundary.

    Args:
        edge: whether the edge of the picture is a boundary.
    """
    padded = np.pad(mask, width, constant_values=0) if edge else np.pad(mask, width, mode="edge")
    side = 2 * width + 1
    eroded = np.lib.stride_tricks.sliding_window_view(padded, (side, side)).min((2, 3))
    return mask.astype(bool) & (eroded == 0)


def _draw_bands(axes: Axes, truth: np.ndarray, predicted: np.ndarray) -> None:
    """Truth alone, prediction alone, and both."""
    kinds = truth + 2 * predicted
    table = ["#FFFFFF", COLOURS[1], COLOURS[5], COLOURS[0]]
    axes.imshow(kinds, cmap=ListedColormap(table), vmin=0, vmax=3, interpolation="nearest")
    axes.set_axis_off()
    for name, colour in zip(("truth", "prediction", "both"), table[1:], strict=True):
        axes.plot([], [], "s", color=colour, label=name, markersize=10)
    axes.legend(
        loc="upper center",
        ncols=3,
        fontsize=12,
        bbox_to_anchor=(0.5, 0.03),
        handletextpad=0.1,
        columnspacing=0.6,
    )
