"""Accuracy against cost: which models no other beats in both, and the figure that shows them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import BboxBase

from segmodels.reporting.markdown import bars
from segmodels.reporting.style import GREY, Look, framed, label_log_ticks, styled

COSTS = {  # column -> name of the axis
    "gflops": "GMACs of one image",
    "millions": "parameters (millions)",
}
STEPS = "Steps: the Pareto front, models that no other beats in both."
FRONT = "Pareto front"  # label of its line
ALMOST_EQUAL = 1.01  # costs with a smaller ratio than this count as one cost

# Where the label of a point may stand, (right, up) from the point, in the order of preference.
DIRECTIONS = [
    *[(1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (-1, 0), (0, 1), (0, -1)],
    *[(1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1)],
]
# Lengths in points, of which 72 are an inch.
FONT_SIZE = 11  # of a label
MARKER = 7  # half the side of the square that a marker fills
NEAR = 9  # smallest distance from a marker to its label
FAR = 300  # largest distance
STEP = 9  # from one distance to the next


def front(costs: Sequence[float], scores: Sequence[float]) -> np.ndarray:
    """Which points no other dominates: costs at most as much, scores at least as much, not equal.

    Returns:
        (n,) bool; a point with a NaN is never on the front.
    """
    cost = np.asarray(costs, dtype=float)
    score = np.asarray(scores, dtype=float)
    on_front = np.zeros(len(cost), dtype=bool)
    best_cost = np.nan
    best_score = -np.inf
    for i in np.lexsort((-score, cost)):  # from the cheapest; of one cost from the best
        if score[i] > best_score and not np.isnan(cost[i]):
            best_cost = cost[i]
            best_score = score[i]
        on_front[i] = score[i] == best_score and cost[i] == best_cost
    return on_front


@styled
def against_cost(
    summary: pd.DataFrame,
    look: Look,
    title: str,
    note: str,
    quantity: str = "mIoU (%)",
    *,
    video: bool = False,
) -> Figure:
    """mIoU with its interval against what was counted, side by side, on logarithmic axes.

    Args:
        summary: from `summary.table`; the models of `look` are drawn.
        quantity: name of the vertical axis, which says over which classes the mean is.
        video: whether the images are frames of videos.
    """
    caption = f"{STEPS} {bars(video=video)} {note}"
    figure = framed(title, caption, size=(12.5, 5.8))
    rows = summary.set_index("model").loc[list(look)]
    rows = rows.assign(millions=rows["parameters"].astype(float) / 1e6)
    panels = figure.subplots(1, len(COSTS), sharey=True)
    for axes, (column, name) in zip(panels, COSTS.items(), strict=True):
        _draw(axes, rows, look, column)
        axes.set_xlabel(f"{name}, logarithmic")
    panels[0].set_ylabel(quantity)
    figure.draw_without_rendering()  # from here on the axes stay where they are
    figure.set_layout_engine("none")
    for axes, column in zip(panels, COSTS, strict=True):
        _label(axes, rows, look, column)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, look: Look, column: str) -> None:
    axes.set_xscale("log")
    label_log_ticks(axes.xaxis)
    axes.xaxis.set_minor_formatter(NullFormatter())
    for model, row in rows.iterrows():
        name = str(model)
        low = row["miou_low"] * 100
        high = row["miou_high"] * 100
        axes.vlines(row[column], low, high, color=look[name]["color"], linewidth=1.4)
        axes.plot(
            row[column], row["miou"] * 100, **look[name], linestyle="none", label=name, zorder=3
        )
    least = rows[column].min()
    most = rows[column].max()
    if most < ALMOST_EQUAL * least:  # otherwise a rounding error could leave the axis no width
        axes.set_xlim(least / 2, most * 2)
    axes.margins(0.12)
    axes.autoscale_view()
    _draw_front(axes, rows, column)


def _draw_front(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    """The Pareto front as steps from its cheapest model to the right end of the axes."""
    on_front = front(rows[column].tolist(), rows["miou"].tolist())
    best = rows[on_front].sort_values([column, "miou"])
    right = axes.get_xlim()[1]
    x = np.repeat([*best[column], right], 2)[1:]
    y = np.repeat([*best["miou"], best["miou"].max()], 2)[:-1] * 100
    axes.set_xlim(right=right)
    axes.plot(x, y, color=GREY, linewidth=1.2, zorder=1, label=FRONT)


def _label(axes: Axes, rows: pd.DataFrame, look: Look, column: str) -> None:
    """Each model's name beside its point, where it covers no other name, marker, bar or step.

    Without a leader, a name is nearer to its own point than to another one or its bar.
    """
    pixel = axes.figure.dpi / 72  # pixels of a point
    points = _in_pixels(axes, rows[column], rows["miou"])
    bars_drawn = _bars(axes, rows, column, pixel)
    steps = _steps(axes, pixel)
    taken = np.concatenate([_boxes(points, MARKER * pixel), bars_drawn, steps])
    from_top = np.argsort(-points[:, 1], kind="stable")
    for k in from_top:
        name = str(rows.index[k])
        of_others = np.delete(bars_drawn, k, axis=0)
        away, filled = _free(points[k], _size(axes, name), pixel, axes.bbox, taken, of_others)
        taken = np.concatenate([taken, filled])
        leader = {"arrowstyle": "-", "color": look[name]["color"], "shrinkA": 1, "shrinkB": 4}
        has_leader = len(filled) > 1
        axes.annotate(
            name,
            xy=(rows[column].iloc[k], rows["miou"].iloc[k] * 100),
            xytext=tuple(away / pixel),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=FONT_SIZE,
            arrowprops=leader if has_leader else None,
        )


def _in_pixels(axes: Axes, costs: pd.Series, scores: pd.Series) -> np.ndarray:
    """(n, 2) places in the figure of costs and scores, which are fractions."""
    return axes.transData.transform(np.stack([costs, scores * 100], axis=1))


def _bars(axes: Axes, rows: pd.DataFrame, column: str, pixel: float) -> np.ndarray:
    """(n, 2, 2) boxes that the bars fill, in pixels; each holds its model's point."""
    low = _in_pixels(axes, rows[column], rows["miou_low"])
    high = _in_pixels(axes, rows[column], rows["miou_high"])
    return np.stack([low - pixel, high + pixel], axis=1)


def _steps(axes: Axes, pixel: float) -> np.ndarray:
    """(n, 2, 2) boxes that the steps of the front fill, in pixels."""
    (front_line,) = [line for line in axes.lines if line.get_label() == FRONT]
    corners = axes.transData.transform(front_line.get_xydata())
    return np.concatenate([_trace(start, end, pixel) for start, end in pairwise(corners)])


def _size(axes: Axes, name: str) -> np.ndarray:
    """Width and height in pixels of a label."""
    text = axes.text(0, 0, name, fontsize=FONT_SIZE)
    box = text.get_window_extent()
    text.remove()
    return np.array([box.width, box.height])


def _free(
    point: np.ndarray,
    size: np.ndarray,
    pixel: float,
    inside: BboxBase,
    taken: np.ndarray,
    of_others: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest free place for a label, to which a free line leads if there is one.

    Args:
        of_others: (m, 2, 2) boxes of the other models' bars.
    Returns:
        from the point to the label's middle, pixels; the boxes (n, 2, 2) that label and line fill.
        If there is no free place, the label covers something, and its boxes are not returned.
    """
    own = _boxes(point[None], 0)
    marker = _boxes(point[None], MARKER * pixel)
    others = taken[~_overlap(taken, marker).any(1)]
    for may_cross in (False, True):
        for distance, away in _places(size, pixel):
            box = _boxes((point + away)[None], size / 2)
            if not _within(box, inside) or _overlap(box, taken).any():
                continue
            line = np.empty((0, 2, 2))
            if distance > NEAR:
                line = _trace(point + away, point, pixel)
                line = line[~_overlap(line, np.concatenate([box, marker])).any(1)]
            elif _distance(box, of_others) < _distance(box, own):
                continue
            if may_cross or not _overlap(line, others).any():
                return away, np.concatenate([box, line])
    return np.array([NEAR * pixel + size[0] / 2, 0]), np.empty((0, 2, 2))


def _places(size: np.ndarray, pixel: float) -> Iterator[tuple[int, np.ndarray]]:
    """Where a label may stand, the nearest first: distance in points, and (2,) in pixels."""
    for distance in range(NEAR, FAR, STEP):
        for direction in DIRECTIONS:
            yield distance, np.array(direction) * (distance * pixel + size / 2)


def _within(box: np.ndarray, inside: BboxBase) -> bool:
    """Whether a (1, 2, 2) box lies in the axes."""
    least, most = box[0]
    return bool((inside.min <= least).all() and (most <= inside.max).all())


def _trace(start: np.ndarray, end: np.ndarray, pixel: float) -> np.ndarray:
    """A straight line as small boxes (n, 2, 2)."""
    steps = max(2, int(np.abs(end - start).max() / (2 * pixel)))
    return _boxes(np.linspace(start, end, steps), pixel)


def _boxes(middles: np.ndarray, half: float | np.ndarray) -> np.ndarray:
    """(n, 2) middles and half of the size -> (n, 2, 2): least and largest corner."""
    return np.stack([middles - half, middles + half], axis=1)


def _distance(box: np.ndarray, others: np.ndarray) -> float:
    """Pixels from a (1, 2, 2) box to the nearest of (m, 2, 2); infinite if there is none."""
    apart = np.maximum(others[:, 0] - box[:, 1], box[:, 0] - others[:, 1])
    return float(np.linalg.norm(apart.clip(min=0), axis=1).min(initial=np.inf))


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, 2, 2), (m, 2, 2) -> (n, m): whether two have an area in common."""
    least = boxes[:, None, 0]
    most = boxes[:, None, 1]
    other_least = others[None, :, 0]
    other_most = others[None, :, 1]
    return np.all((least < other_most) & (other_least < most), axis=-1)
