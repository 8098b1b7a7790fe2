"""Accuracy against cost: which models no other beats in both, and the figure that shows them."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import BboxBase

from segmodels.reporting.canvas import GREY, Look, framed, styled

COSTS = {"gflops": "GMACs of one picture", "millions": "parameters (millions)"}
MEANING = (
    "Steps: the Pareto front, models that no other beats in both. Bars: 95% intervals of mIoU "
    "over the pictures."
)
AROUND: list[tuple[float, float]] = [  # where a label may be, the first that is free
    *[(1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (-1, 0), (0, 1), (0, -1)],
    *[(1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1)],
]
NEAR, FAR, STEP = 9, 300, 9  # points from a marker to its label: first try, last one, between
FONT = 11  # points
FRONT = "Pareto front"
ONE = 1.01  # costs whose ratio is less count as one
MARKER = 7  # points, half the side of the square that a marker fills


def front(costs: Sequence[float], scores: Sequence[float]) -> np.ndarray:
    """Which points no other dominates: costs at most as much, scores at least as much, not equal.

    Returns:
        (n,) bool; a point with a NaN is never on the front.
    """
    cost, score = (np.asarray(values, dtype=float) for values in (costs, scores))
    kept = np.zeros(len(cost), dtype=bool)
    cheapest, best = np.nan, -np.inf
    for i in np.lexsort((-score, cost)):
        if score[i] > best and not np.isnan(cost[i]):
            cheapest, best = cost[i], score[i]
        kept[i] = score[i] == best and cost[i] == cheapest
    return kept


@styled
def against_cost(summary: pd.DataFrame, look: Look, note: str) -> Figure:
    """mIoU with its interval against what was counted, side by side, on logarithmic axes.

    Args:
        summary: from `tables.summary`; the models of `look` are drawn.
    """
    caption = f"{MEANING} {note}"
    figure = framed("Accuracy against cost", caption, size=(15, 6.4))
    rows = (
        summary.set_index("model")
        .loc[list(look)]
        .assign(millions=lambda table: table["parameters"].astype(float) / 1e6)
    )
    panels = figure.subplots(1, len(COSTS), sharey=True)
    for axes, (column, name) in zip(panels, COSTS.items(), strict=True):
        _draw(axes, rows, look, column)
        axes.set_xlabel(f"{name}, logarithmic")
    panels[0].set_ylabel("mIoU (%)")
    figure.draw_without_rendering()  # from here on the axes stay where they are
    figure.set_layout_engine("none")
    for axes, column in zip(panels, COSTS, strict=True):
        _label(axes, rows, look, column)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, look: Look, column: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for model, row in rows.iterrows():
        name, bar = str(model), [row["miou_low"] * 100, row["miou_high"] * 100]
        axes.vlines(row[column], *bar, color=look[name]["color"], linewidth=1.4)
        axes.plot(
            row[column], row["miou"] * 100, **look[name], linestyle="none", label=name, zorder=3
        )
    least, most = rows[column].min(), rows[column].max()
    if most < ONE * least:  # by itself the axis may begin and end there, by a rounding
        axes.set_xlim(least / 2, most * 2)
    axes.margins(0.12)
    axes.autoscale_view()
    best = rows[front(rows[column].tolist(), rows["miou"].tolist())].sort_values([column, "miou"])
    right = axes.get_xlim()[1]
    at = np.repeat([*best[column], right], 2)[1:]
    height = np.repeat([*best["miou"], best["miou"].max()], 2)[:-1] * 100
    axes.set_xlim(right=right)
    axes.plot(at, height, color=GREY, linewidth=1.2, zorder=1, label=FRONT)


def _label(axes: Axes, rows: pd.DataFrame, look: Look, column: str) -> None:
    """Each model's name beside its point, where it covers no other name, marker, bar or step."""
    costs, percent = rows[column], rows[["miou", "miou_low", "miou_high"]] * 100
    middle, low, high = (
        axes.transData.transform(np.stack([costs, percent[end]], axis=1)) for end in percent
    )
    pixel = axes.figure.dpi / 72
    (steps,) = (line for line in axes.lines if line.get_label() == FRONT)
    corners = axes.transData.transform(steps.get_xydata())
    half = MARKER * pixel
    bars = np.stack([low - pixel, high + pixel], axis=1)
    traces = [_trace(a, b, pixel) for a, b in pairwise(corners)]
    taken = np.concatenate([_boxes(middle, half), bars, *traces])
    for k in np.argsort(-middle[:, 1], kind="stable"):
        name = str(rows.index[k])
        away, filled = _free(middle[k], _size(axes, name), pixel, axes.bbox, taken)
        taken = np.concatenate([taken, filled])
        line = {"arrowstyle": "-", "color": look[name]["color"], "shrinkA": 1, "shrinkB": 4}
        axes.annotate(
            name,
            xy=(costs.iloc[k], percent["miou"].iloc[k]),
            xytext=tuple(away / pixel),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=FONT,
            arrowprops=line if len(filled) > 1 else None,
        )


def _size(axes: Axes, name: str) -> np.ndarray:
    """Width and height in pixels of a label."""
    text = axes.text(0, 0, name, fontsize=FONT)
    box = text.get_window_extent()
    text.remove()
    return np.array([box.width, box.height])


def _free(
    point: np.ndarray, size: np.ndarray, pixel: float, inside: BboxBase, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest place for a label that nothing fills, nor, if there is a way, the line to it.

    Returns:
        from the point to the label's middle, pixels; the boxes (n, 2, 2) that label and line fill.
    """
    own = _boxes(point[None], MARKER * pixel)
    others = taken[~_overlap(taken, own).any(1)]
    for may_cross, distance in product((False, True), range(NEAR, FAR, STEP)):
        for direction in AROUND:
            away = np.array(direction) * (distance * pixel + size / 2)
            box = _boxes((point + away)[None], size / 2)
            within = (inside.min <= box[0, 0]).all() and (box[0, 1] <= inside.max).all()
            if not within or _overlap(box, taken).any():
                continue
            line = _trace(point + away, point, pixel)[: None if distance > NEAR else 0]
            line = line[~_overlap(line, np.concatenate([box, own])).any(1)]
            if may_cross or not _overlap(line, others).any():
                return away, np.concatenate([box, line])
    nowhere = np.array([NEAR * pixel + size[0] / 2, 0])  # too many: one covers another
    return nowhere, np.empty((0, 2, 2))


def _trace(start: np.ndarray, end: np.ndarray, pixel: float) -> np.ndarray:
    """A straight line as small boxes (n, 2, 2)."""
    steps = max(2, int(np.abs(end - start).max() / (2 * pixel)))
    return _boxes(np.linspace(start, end, steps), pixel)


def _boxes(middles: np.ndarray, half: float | np.ndarray) -> np.ndarray:
    """(n, 2) middles and half of the size -> (n, 2, 2): least and largest corner."""
    return np.stack([middles - half, middles + half], axis=1)


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, 2, 2), (m, 2, 2) -> (n, m): whether two have an area in common."""
    begin, end = boxes[:, None, 0], boxes[:, None, 1]
    return np.all((begin < others[None, :, 1]) & (others[None, :, 0] < end), axis=-1)
