"""Figures of a comparison: a table of reporting/tables.py in, a matplotlib Figure out.

Shares are drawn in percent, since figures are for people. `look` maps each model to be drawn to
its colour and marker (canvas.looks); the floor is a dashed grey line.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from segmodels.reporting.canvas import COLOURS, GREY, Look, drawable, framed, styled
from segmodels.reporting.tables import FLOOR

Groups = Mapping[str, Sequence[str]]
INDEX_FACTS = 5  # columns of index.csv before those of the classes
SPLIT_LOOKS = [("train", -0.15, COLOURS[0], "o"), ("val", 0.15, COLOURS[3], "D")]
ROW = 0.27  # inches from class to class
LABEL_GAP = 0.062  # height of a label beside a line, as a share of the axes
MOST_MARKED = 24  # points of a curve; of a longer one every second, third, ...
MOST_NUMBERED = 40  # classes of a confusion matrix whose cells and names can still be read


@styled
def loss(
    curves: pd.DataFrame, look: Look, shown: tuple[str, str], title: str, caption: str
) -> Figure:
    """Validation (solid) and training (dashed) loss against the epoch.

    Args:
        shown: column and name of a loss that all of these models have, from `tables.common_loss`.
    """
    column, _ = shown
    figure = framed(title, caption, size=(11, 6.2))
    axes = figure.subplots()
    dashed = {"linestyle": "--", "linewidth": 1.6, "marker": "", "label": "_"}
    _draw(axes, curves, look, f"train_{column}", **dashed)
    _draw_val_loss(axes, curves, look, shown)
    kinds = [
        Line2D([], [], color=GREY, marker="o", label="val"),
        Line2D([], [], color=GREY, linestyle="--", linewidth=1.6, label="train"),
    ]
    axes.legend(handles=kinds, loc="upper right")
    return figure


@styled
def miou(curves: pd.DataFrame, look: Look, title: str, caption: str) -> Figure:
    """Validation mIoU and the floor against the epoch."""
    figure = framed(title, caption, size=(11, 6.2))
    _draw_miou(figure.subplots(), curves, look)
    return figure


@styled
def overview(
    curves: pd.DataFrame, look: Look, shown: tuple[str, str], title: str, caption: str
) -> Figure:
    """All models at a glance: validation loss on the left, validation mIoU on the right.

    Args:
        shown: as for `loss`.
    """
    figure = framed(title, caption, size=(15, 6.4))
    left, right = figure.subplots(1, 2)
    _draw_val_loss(left, curves, look, shown)
    left.set_title("Validation loss", fontsize=17, fontweight="bold")
    _draw_miou(right, curves, look)
    right.set_title("Validation mIoU", fontsize=17, fontweight="bold")
    return figure


@styled
def per_class(table: pd.DataFrame, look: Look, groups: Groups, title: str, caption: str) -> Figure:
    """IoU of each class, by group and within it from the best to the worst on average."""
    wide = table.pivot(index="class", columns="model", values="iou")
    classes = table["class"].drop_duplicates().tolist()
    means = wide.loc[classes, list(look)].mean(axis=1)
    best_first = means.sort_values(ascending=False, kind="stable").index.tolist()
    rows = _rows(best_first, groups)
    figure = framed(title, caption, size=(11, 2.4 + ROW * len(rows)))
    axes = figure.subplots()
    at, shown = _places(rows)
    scores = wide.loc[shown]
    drawn = scores[list(look)] * 100
    axes.hlines(at, drawn.min(axis=1), drawn.max(axis=1), "#C8C8C8")
    axes.plot(scores[FLOOR] * 100, at, "|", color=GREY, mec=GREY, markersize=11, label=FLOOR)
    for model in look:
        axes.plot(drawn[model], at, linestyle="none", label=model, **look[model])
    _name_rows(axes, rows, classes)
    axes.set_xlabel("IoU (%)")
    axes.set_xlim(-2, 102)
    figure.legend(loc="outside right upper")
    return figure


@styled
def confusions(matrices: Mapping[str, pd.DataFrame], title: str, caption: str) -> Figure:
    """Row-normalised confusion matrices side by side: where the pixels of each true class went."""
    classes = next(iter(matrices.values())).index.tolist()
    names = drawable(classes, "class")
    columns = min(3, len(matrices))
    rows = -(-len(matrices) // columns)
    figure = framed(title, caption, size=(1.6 + 5.3 * columns, 1.4 + 5.4 * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    every = -(-len(classes) // MOST_NUMBERED)
    ticks = range(0, len(classes), every)
    for axes, (model, matrix) in zip(grid.flat, matrices.items(), strict=False):
        percent = matrix.to_numpy() * 100
        image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        if every == 1:
            _number_cells(axes, percent)
        axes.set_title(model)
        axes.set_xlabel("predicted class")
        axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90, fontsize=9)
        axes.set_yticks(ticks, [names[i] for i in ticks], fontsize=9)
        axes.grid(visible=False)
    for axes in grid.flat[len(matrices) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("true class")
    figure.colorbar(image, ax=grid, label="share of the true class's pixels (%)", shrink=0.7)
    return figure


@styled
def dataset(index: pd.DataFrame, groups: Groups, title: str) -> Figure:
    """Share of pixels and of images that hold each class, train and val, by group."""
    classes = index.columns[INDEX_FACTS:].tolist()
    rows = _rows(classes, groups)
    by_split = index.groupby("split")
    pixels = by_split[classes].sum()
    images = (index[classes] > 0).groupby(index["split"]).sum()
    pixel_share = pixels.div(pixels.sum(axis=1), axis=0) * 100
    image_share = images.div(by_split.size(), axis=0) * 100
    caption = (
        f"{(index['split'] == 'train').sum()} train and {(index['split'] == 'val').sum()} val "
        f"images; at the right, how many of each hold the class. Void "
        f"({index['void_share'].mean():.1%} of an image on average) is not counted."
    )
    figure = framed(title, caption, size=(13, 2.2 + ROW * len(rows)))
    left, right = figure.subplots(1, 2, sharey=True)
    at, shown = _places(rows)
    for split, shift, colour, marker in SPLIT_LOOKS:
        style = {"linestyle": "none", "color": colour, "marker": marker, "label": split}
        left.plot(pixel_share.loc[split, shown], at + shift, **style)
        right.plot(image_share.loc[split, shown], at + shift, **style)
    _logarithmic(left, pixel_share.to_numpy())
    left.set_xlabel("share of the labelled pixels (%), logarithmic")
    right.set_xlim(-2, 103)
    right.set_xlabel("images with the class (% of the split)")
    figure.legend(handles=right.get_lines(), loc="outside upper right", ncols=2)
    _name_rows(left, rows, classes)
    for y, name in zip(at, shown, strict=True):
        counts = " + ".join(str(images.loc[split, name]) for split in ("train", "val"))
        right.text(1.02, y, counts, va="center", size=10, transform=right.get_yaxis_transform())
    return figure


def spread(positions: Sequence[float], gap: float) -> np.ndarray:
    """Nearest positions in 0..1 (least squares, same order) that are `gap` or more apart.

    With y_k = z_k + k * gap this is isotonic regression. Where too many would not fit, the gap
    shrinks.
    """
    from scipy.optimize import isotonic_regression  # takes as long as matplotlib

    order = np.argsort(positions, kind="stable")
    n = len(order)
    steps = min(gap, 1 / n) * np.arange(n)
    wanted = np.asarray(positions, dtype=float)[order] - steps
    placed = np.empty(n)
    placed[order] = np.clip(isotonic_regression(wanted).x, 0, 1 - steps[-1]) + steps
    return placed


def _draw(axes: Axes, curves: pd.DataFrame, look: Look, column: str, **style: Any) -> None:
    """One line for each model, labelled with its name unless `style` says otherwise."""
    for model in look:
        curve = curves[curves["model"] == model]
        step = 1 + len(curve) // MOST_MARKED
        marked = {"markevery": ((len(curve) - 1) % step, step)}  # the last one too
        axes.plot(
            curve["epoch"], curve[column], **{"label": model, **marked, **look[model], **style}
        )


def _draw_val_loss(axes: Axes, curves: pd.DataFrame, look: Look, shown: tuple[str, str]) -> None:
    """On a logarithmic axis: BatchNorm's young statistics can throw an early epoch far up."""
    column, quantity = shown
    _draw(axes, curves, look, f"val_{column}")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    _finish(axes, f"{quantity}, logarithmic")


def _draw_miou(axes: Axes, curves: pd.DataFrame, look: Look) -> None:
    percent = curves.assign(val_miou=curves["val_miou"] * 100)
    floor = {FLOOR: {"color": GREY, "linestyle": "--"}} if FLOOR in set(curves["model"]) else {}
    _draw(axes, percent, {**floor, **look}, "val_miou")
    axes.set_ylim(bottom=0)
    _finish(axes, "val mIoU (%)")


def _finish(axes: Axes, quantity: str) -> None:
    """Name the axes, and each labelled line at its end."""
    axes.set_xlabel("epoch (0: before the first step)")
    axes.set_ylabel(quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    ends = [np.asarray(line.get_xydata())[-1] for line in lines]
    axes.autoscale_view()
    on_axes = (axes.transData - axes.transAxes).transform(ends)
    heights = spread(on_axes[:, 1].tolist(), gap=LABEL_GAP)
    for line, end, height in zip(lines, ends, heights, strict=True):
        axes.annotate(
            str(line.get_label()),
            xy=tuple(end),
            xytext=(1.07, height),
            textcoords="axes fraction",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": line.get_color(),
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 4,
            },
        )


def _rows(classes: Sequence[str], groups: Groups) -> list[tuple[str, bool]]:
    """Names from top to bottom, and whether each is a class or the heading of a group."""
    grouped = {name for members in groups.values() for name in members}
    rows = [(name, True) for name in classes if name not in grouped]
    for group, members in groups.items():
        if list(members) != [group]:
            rows.append((group, False))
        rows += [(name, True) for name in classes if name in members]
    return rows


def _places(rows: Sequence[tuple[str, bool]]) -> tuple[np.ndarray, list[str]]:
    """Heights of the classes among the rows, and their names."""
    at = np.array([y for y, (_, is_class) in enumerate(rows) if is_class])
    return at, [name for name, is_class in rows if is_class]


def _name_rows(axes: Axes, rows: Sequence[tuple[str, bool]], classes: Sequence[str]) -> None:
    """Name the rows; `classes` has every class in the data set's order."""
    headings = [name for name, is_class in rows if not is_class]
    names = {
        True: dict(zip(classes, drawable(classes, "class"), strict=True)),
        False: dict(zip(headings, drawable(headings, "group"), strict=True)),
    }
    labels = [names[is_class][name] for name, is_class in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=11)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for label, (_, is_class) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if is_class else "bold")


def _logarithmic(axes: Axes, shares: np.ndarray) -> None:
    """A logarithmic x axis for percent on which 0 has a place."""
    linear = 10 ** np.floor(np.log10(shares[shares > 0].min()))
    axes.set_xscale("symlog", linthresh=linear, linscale=0.3)
    axes.set_xlim(-0.15 * linear, 130)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _number_cells(axes: Axes, percent: np.ndarray) -> None:
    """Print the cells of 10 % and more."""
    size = min(12, 150 / len(percent))  # points
    for true, predicted in np.argwhere(percent >= 10):
        value = percent[true, predicted]
        ink = "white" if value > 55 else "black"
        axes.text(predicted, true, f"{value:.0f}", ha="center", va="center", size=size, color=ink)
