"""The worked example of the metrics, and how boundary IoU and IoU see the same mistake."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from docs.figures.results import Row
from segmodels.evaluation import boundary, scores
from segmodels.evaluation.confusion import confusion_matrix, iou, mean
from segmodels.reporting.canvas import COLOURS, GREY, MARKERS, framed, styled

VOID = 255
CLASSES = ["background", "cat", "dog"]
TRUTHS = ["000011 000011 00vv11 000011", "00000v 02200v 022000 000000"]  # rows of two pictures
PREDICTIONS = ["000001 000011 000111 000011", "000000 001000 022200 000000"]
SIDES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192)  # pixels; squares in a picture of PICTURE
PICTURE, SHIFT = 256, 2  # pixels
BANDS = 32  # side of the square whose bands are drawn, in a picture of 48 x 48
TRIMAP = 3  # pixels


def labels(rows: str) -> np.ndarray:
    """A small label map from its rows; v is void."""
    values = [[VOID if letter == "v" else int(letter) for letter in row] for row in rows.split()]
    return np.array(values, dtype=np.uint8)


def confusions() -> list[np.ndarray]:
    """(3, 3) int64 of each picture of the example."""
    return [
        confusion_matrix(
            target=labels(truth), prediction=labels(found), num_classes=3, ignore_index=VOID
        )
        for truth, found in zip(TRUTHS, PREDICTIONS, strict=True)
    ]


def example_rows() -> list[Row]:
    """All scores of the worked example."""
    each = confusions()
    whole = sum(each, np.zeros((3, 3), dtype=np.int64))
    summary = scores.summarize(whole)
    found = {name: float(summary[name]) for name in ("pixel_acc", "mean_acc", "miou", "mean_dice")}
    for k, confusion in enumerate(each, start=1):
        found[f"miou of picture {k}"] = mean(iou(confusion))
    found["mean of the pictures' mIoU"] = float(np.mean([mean(iou(one)) for one in each]))
    for name, one, two in zip(CLASSES, iou(whole), scores.dice(whole), strict=True):
        found |= {f"iou of {name}": float(one), f"dice of {name}": float(two)}
    return [Row("example", "two pictures", 0, measure, value) for measure, value in found.items()]


def square(side: int, shift: int, picture: int) -> np.ndarray:
    """(picture, picture) uint8: a square in the middle, moved to the right by `shift` pixels."""
    drawn = np.zeros((picture, picture), dtype=np.uint8)
    start = (picture - side) // 2
    drawn[start : start + side, start + shift : start + side + shift] = 1
    return drawn


def shift_rows() -> list[Row]:
    """IoU and boundary IoU of squares that are predicted SHIFT pixels beside the truth."""
    found = []
    for side in SIDES:
        pair: dict[str, Any] = {
            "target": square(side, 0, PICTURE),
            "prediction": square(side, SHIFT, PICTURE),
            "num_classes": 2,
            "ignore_index": VOID,
        }
        plain = iou(confusion_matrix(**pair))[1]
        bands = boundary.overlaps(**pair)
        for measure, value in (
            ("iou", plain),
            ("boundary_iou", scores.overlap_iou(bands["boundary"])[1]),
            ("trimap_iou", scores.overlap_iou(bands[f"trimap_{TRIMAP}px"])[1]),
        ):
            found.append(Row("shifted square", "side", side, measure, float(value)))
    return found


@styled
def example_figure() -> Figure:
    """Truth and prediction of both pictures, and the confusion matrix of both together."""
    figure = framed("The worked example", "", size=(13, 3.4))
    axes = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 1.05])
    for k in range(2):
        _cells(axes[2 * k], labels(TRUTHS[k]), f"picture {k + 1}: truth")
        _cells(axes[2 * k + 1], labels(PREDICTIONS[k]), f"picture {k + 1}: prediction")
    whole = sum(confusions(), np.zeros((3, 3), dtype=np.int64))
    axes[4].imshow(whole, cmap="Blues", vmin=0, vmax=2 * whole[1:, 1:].max())
    for (row, column), count in np.ndenumerate(whole):
        ink = "white" if count > 1.2 * whole[1:, 1:].max() else "black"
        axes[4].text(column, row, str(count), ha="center", va="center", color=ink)
    axes[4].set_title("both: pixels")
    axes[4].set_xticks(range(3), CLASSES, fontsize=10)
    axes[4].set_yticks(range(3), CLASSES, fontsize=10)
    axes[4].set_xlabel("predicted", fontsize=11)
    axes[4].set_ylabel("true", fontsize=11)
    axes[4].grid(False)
    return figure


def _cells(axes: Axes, map_: np.ndarray, title: str) -> None:
    colours = ListedColormap(["#FFFFFF", COLOURS[1], COLOURS[5], "#C8C8C8"])
    shown = np.where(map_ == VOID, 3, map_)
    axes.pcolormesh(shown, cmap=colours, vmin=0, vmax=3, edgecolors=GREY, linewidth=0.6)
    for (row, column), label in np.ndenumerate(map_):
        letter = "void" if label == VOID else "bcd"[label]
        size = 8 if label == VOID else 12
        axes.text(column + 0.5, row + 0.5, letter, ha="center", va="center", fontsize=size)
    axes.set_title(title, fontsize=13)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_axis_off()


@styled
def boundary_figure(found: Sequence[Row]) -> Figure:
    """The bands of boundary IoU and trimap; the scores of a shift by the square's size."""
    figure = framed("The same mistake, seen by three scores", "", size=(13, 4.8))
    one, two, three = figure.subplots(1, 3, width_ratios=[1, 1, 1.5])
    truth, predicted = square(BANDS, 0, 48), square(BANDS, SHIFT, 48)
    width = boundary.distance((PICTURE, PICTURE))
    _draw_bands(one, _inner(truth, width), _inner(predicted, width))
    one.set_title(f"boundary IoU: the objects'\nown rims, {width} pixels wide", fontsize=12)
    rim = _inner(truth, TRIMAP) | (_inner(1 - truth, TRIMAP, edge=False))
    _draw_bands(two, truth.astype(bool) & rim, predicted.astype(bool) & rim)
    two.contour(rim, [0.5], colors=GREY, linewidths=1.2)
    two.set_title(
        f"trimap: all within {TRIMAP} pixels\nof the true boundary (grey line)", fontsize=12
    )
    values = {(r.setting, r.measure): 100 * r.value for r in found}
    for i, (measure, label) in enumerate(
        {
            "iou": "IoU",
            "trimap_iou": f"trimap IoU, {TRIMAP} px",
            "boundary_iou": "boundary IoU",
        }.items()
    ):
        style = {"color": COLOURS[(0, 2, 3)[i]], "marker": MARKERS[i], "label": label}
        three.plot(SIDES, [values[side, measure] for side in SIDES], **style)
    three.set_xscale("log", base=2)
    three.set_xticks([8, 16, 32, 64, 128], ["8", "16", "32", "64", "128"])
    three.set_xlabel("side of the square (pixels), logarithmic")
    three.set_ylabel("score (%)")
    three.set_ylim(40, 102)
    three.set_title(f"a square moved by {SHIFT} pixels")
    three.legend(loc="lower right")
    return figure


def _inner(mask: np.ndarray, width: int, edge: bool = True) -> np.ndarray:
    """Pixels of a mask within `width` (Chebyshev) of its end."""
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
    for name, colour in zip(("truth only", "prediction only", "both"), table[1:], strict=True):
        axes.plot([], [], "s", color=colour, label=name, markersize=10)
    axes.legend(
        loc="lower center",
        ncols=3,
        fontsize=9,
        bbox_to_anchor=(0.5, -0.14),
        handletextpad=0.1,
        columnspacing=0.6,
    )
