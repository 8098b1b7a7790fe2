"""Figures of a comparison: a table of reporting/tables.py in, a matplotlib Figure out.

Shares are drawn in percent, since figures are for people. `look` maps each model to be drawn to
its colour and marker (style.looks). The all-background baseline is a dashed grey line.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from segmodels.reporting.class_rows import Groups, arrange, class_heights, name_rows
from segmodels.reporting.style import (
    COLOURS,
    GREY,
    Look,
    drawable,
    framed,
    label_log_ticks,
    plain_numbers,
    styled,
)
from segmodels.reporting.tables import floor_of

INDEX_FACTS = 5  # index.csv has so many columns before those of the classes
SPLIT_LOOKS = [  # split, vertical shift of its points in rows, colour, marker
    ("train", -0.15, COLOURS[0], "o"),
    ("val", 0.15, COLOURS[3], "D"),
    ("test", 0.0, COLOURS[1], "s"),
]
ROW_HEIGHT = 0.27  # inches from class to class
LABEL_LETTERS = 44  # of a line of a vertical axis' name
LABEL_GAP = 0.062  # height of a label beside a line, as a share of the axes
MOST_MARKED = 24  # points with a marker; a longer curve has one at every second, third, ... point
MOST_NUMBERED = 40  # with more classes the cells and names of a confusion matrix are too small


@styled
def curves(
    table: pd.DataFrame,
    look: Look,
    shown: tuple[str, str],
    title: str,
    caption: str,
    quantity: str = "val mIoU (%)",
) -> Figure:
    """After each epoch: validation and training loss on the left, validation mIoU on the right.

    Args:
        table: `tables.curves`.
        shown: column and name of a loss that all of these models have, from `tables.common_loss`.
        quantity: name of the right axis, which says over which classes the mean is.
    """
    column, _ = shown
    figure = framed(title, caption, size=(12.5, 5.8))
    left, right = figure.subplots(1, 2)
    dashed = {"linestyle": "--", "linewidth": 1.6, "marker": "", "label": "_"}  # "_": no label
    _draw(left, table, look, f"train_{column}", dashed)
    _draw_val_loss(left, table, look, shown)
    kinds = [
        Line2D([], [], color=GREY, marker="o", label="val"),
        Line2D([], [], color=GREY, linestyle="--", linewidth=1.6, label="train"),
    ]
    left.legend(handles=kinds, loc="best")
    left.set_title("Loss", fontsize=17, fontweight="bold")
    _draw_miou(right, table, look, quantity)
    right.set_title("Validation mIoU", fontsize=17, fontweight="bold")
    return figure


@styled
def per_class(table: pd.DataFrame, look: Look, groups: Groups, title: str, caption: str) -> Figure:
    """IoU of each class, by group and within it from the best to the worst on average.

    Classes that are in neither truth nor prediction have no IoU and no row.
    """
    wide = table.pivot(index="class", columns="model", values="iou")
    classes = table["class"].drop_duplicates().tolist()
    means = wide.loc[classes, list(look)].mean(axis=1)
    best_first = means.dropna().sort_values(ascending=False, kind="stable").index.tolist()
    rows = arrange(best_first, groups)
    figure = framed(title, caption, size=(11, 2.4 + ROW_HEIGHT * len(rows)))
    axes = figure.subplots()
    heights, names = class_heights(rows)
    percent = wide.loc[names] * 100
    models = percent[list(look)]
    axes.hlines(heights, models.min(axis=1), models.max(axis=1), "#C8C8C8")
    name = floor_of(percent)
    floor = percent[name].where(percent[name] > 0)  # 0 for every class but the first
    axes.plot(floor, heights, "|", color=GREY, mec=GREY, markersize=11, label=name)
    for model in look:
        axes.plot(models[model], heights, linestyle="none", label=model, **look[model])
    name_rows(axes, rows, classes)
    axes.set_xlabel("IoU (%)")
    axes.set_xlim(-2, 102)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
    return figure


@styled
def confusions(matrices: Mapping[str, pd.DataFrame], title: str, caption: str) -> Figure:
    """Row-normalised confusion matrices side by side: where the pixels of each true class went.

    Classes that the truth lacks are left out. The caption goes on to say which cells have numbers.
    """
    classes = next(iter(matrices.values())).index.tolist()
    known = dict(zip(classes, drawable(classes, "class"), strict=True))
    shares = next(iter(matrices.values())).sum(axis=1)
    present = shares.index[shares > 0].tolist()
    names = [known[name] for name in present]
    columns = min(2, len(matrices))
    rows = math.ceil(len(matrices) / columns)
    step = math.ceil(len(present) / MOST_NUMBERED)
    if step == 1:
        caption = f"{caption} Cells of less than 10% have no number."
    figure = framed(title, caption, size=(1.6 + 4.6 * columns, 1.4 + 4.7 * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    ticks = range(0, len(present), step)
    tick_names = [names[i] for i in ticks]
    for axes, (model, matrix) in zip(grid.flat, matrices.items(), strict=False):
        percent = matrix.loc[present, present].to_numpy() * 100
        image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        if step == 1:
            _number_cells(axes, percent)
        axes.set_title(model)
        axes.set_xlabel("predicted class")
        axes.set_xticks(ticks, tick_names, rotation=90, fontsize=9)
        axes.set_yticks(ticks, tick_names, fontsize=9)
        axes.grid(visible=False)
    for axes in grid.flat[len(matrices) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("true class")
    figure.colorbar(image, ax=grid, label="share of the true class's pixels (%)", shrink=0.7 / rows)
    return figure


@styled
def dataset(index: pd.DataFrame, groups: Groups, title: str, lists: Mapping[str, str]) -> Figure:
    """Share of pixels and of images that hold each class, train, val and test, by group.

    Args:
        lists: split -> name of its list of images, which the legend names where it is another.
    """
    classes = index.columns[INDEX_FACTS:].tolist()
    rows = arrange(classes, groups)
    by_split = index.groupby("split")
    pixels = by_split[classes].sum()
    images = (index[classes] > 0).groupby(index["split"]).sum()
    pixel_share = pixels.div(pixels.sum(axis=1), axis=0) * 100
    image_share = images.div(by_split.size(), axis=0) * 100
    figure = framed(title, _index_caption(index), size=(13, 2.2 + ROW_HEIGHT * len(rows)))
    left, right = figure.subplots(1, 2, sharey=True)
    heights, names = class_heights(rows)
    looks = [look for look in SPLIT_LOOKS if look[0] in images.index]
    splits = [split for split, *_ in looks]
    for split, shift, colour, marker in looks:
        listed = lists[split]
        label = split if listed == split else f"{split} ({listed})"
        style: dict[str, Any] = {"color": colour, "marker": marker, "label": label}
        left.plot(pixel_share.loc[split, names], heights + shift, linestyle="none", **style)
        right.plot(image_share.loc[split, names], heights + shift, linestyle="none", **style)
    _logarithmic(left, pixel_share.to_numpy())
    left.set_xlabel("share of the labelled pixels (%), logarithmic but for 0")
    right.set_xlim(-2, 103)
    right.set_xlabel("images with the class (% of the split)")
    right.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(looks), borderaxespad=0.2)
    name_rows(left, rows, classes)
    for height, name in zip(heights, names, strict=True):
        counts = " + ".join(str(count) for count in images.loc[splits, name])
        beside = right.get_yaxis_transform()  # x is a share of the axes
        right.text(1.02, height, counts, va="center", size=10, transform=beside)
    return figure


def _index_caption(index: pd.DataFrame) -> str:
    images = index["split"].value_counts()
    void = index["void_share"].mean()
    counts = f"{images['train']} train and {images['val']} val"
    if "test" in images:
        counts = f"{images['train']} train, {images['val']} val and {images['test']} test"
    return (
        f"{counts} images; at the right, how many of each "
        f"hold the class. Void ({void:.1%} of an image on average) is not counted."
    )


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


def _draw(
    axes: Axes,
    curves: pd.DataFrame,
    look: Look,
    column: str,
    style: Mapping[str, Any] | None = None,
) -> None:
    """One line for each model, labelled with its name; `style` overrides label and look."""
    for model in look:
        curve = curves[curves["model"] == model]
        step = 1 + len(curve) // MOST_MARKED
        first = (len(curve) - 1) % step  # so that the last point has a marker
        keywords: dict[str, Any] = {"label": model, "markevery": (first, step)}
        keywords |= look[model]
        keywords |= style or {}
        axes.plot(curve["epoch"], curve[column], **keywords)


def _draw_val_loss(axes: Axes, curves: pd.DataFrame, look: Look, shown: tuple[str, str]) -> None:
    """On a logarithmic axis, since the loss of the first epochs can be many times larger.

    BatchNorm's running statistics are still far from those of the data then.
    """
    column, quantity = shown
    _draw(axes, curves, look, f"val_{column}")
    axes.set_yscale("log")
    label_log_ticks(axes.yaxis)
    axes.yaxis.set_minor_locator(NullLocator())
    _finish(axes, textwrap.fill(f"{quantity}, logarithmic", LABEL_LETTERS))


def _draw_miou(axes: Axes, curves: pd.DataFrame, look: Look, quantity: str) -> None:
    last = curves.loc[curves["model"].isin(look), "epoch"].max()
    percent = curves[curves["epoch"] <= last].assign(val_miou=curves["val_miou"] * 100)
    name = floor_of(curves["model"])
    if name:
        _draw(axes, percent, {name: {"color": GREY, "linestyle": "--"}}, "val_miou")
    _draw(axes, percent, look, "val_miou")
    axes.set_ylim(bottom=0)
    _finish(axes, quantity)


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
        leader = {
            "arrowstyle": "-",
            "color": line.get_color(),
            "relpos": (0, 0.5),  # it begins at the middle of the label's left side
            "shrinkA": 0,
            "shrinkB": 4,
        }
        axes.annotate(
            str(line.get_label()),
            xy=tuple(end),
            xytext=(1.07, height),
            textcoords="axes fraction",
            va="center",
            arrowprops=leader,
        )


def _logarithmic(axes: Axes, shares: np.ndarray) -> None:
    """A logarithmic x axis for percent on which 0 has a place."""
    linear = 10 ** np.floor(np.log10(shares[shares > 0].min()))
    axes.set_xscale("symlog", linthresh=linear, linscale=0.6)
    axes.set_xlim(-0.15 * linear, 130)
    decades = 10.0 ** np.arange(round(np.log10(linear)), 3)
    axes.set_xticks([0, *decades])
    axes.xaxis.set_major_formatter(plain_numbers())


def _number_cells(axes: Axes, percent: np.ndarray) -> None:
    """Print the cells of 10 % and more."""
    size = min(12, 150 / len(percent))  # points
    style: dict[str, Any] = {"ha": "center", "va": "center", "size": size}
    for true, predicted in np.argwhere(percent >= 10):
        value = percent[true, predicted]
        ink = "white" if value > 55 else "black"
        axes.text(predicted, true, f"{value:.0f}", color=ink, **style)
