"""The figure beside a table of frequent.py: each model's score with its interval, best on top."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.voc_sample.frequent import CLASSES, MINUTES
from segmodels.reporting.canvas import GREY, Look, framed, looks, styled
from segmodels.reporting.tables import FLOOR

ROW = 0.5  # inches from model to model
SCORE = f"mIoU of {len(CLASSES)} classes (%)"
BARS = "Bars: 95% intervals over the images, not over training seeds."


@styled
def figure(table: pd.DataFrame, title: str, metrics: Mapping[str, Any]) -> Figure:
    """Scores from the best to the worst; the floor is a dashed line, minutes stand at the right.

    Args:
        table: frequent.csv, or several of one protocol under each other.
        title: what was found.
        metrics: metrics.json of one of the models, for its protocol.
    """
    rows = ranked(table)
    drawn = framed(title, caption(metrics), size=(11, 2.6 + ROW * len(rows)))
    axes = drawn.subplots()
    dots(axes, rows, looks(table.loc[table["model"] != FLOOR, "model"].tolist()))
    axes.axvline(floor(table), color=GREY, linestyle="--", linewidth=1.6, label=FLOOR)
    axes.annotate(
        FLOOR, (floor(table), 1), (4, 2), ("data", "axes fraction"), "offset points", color=GREY
    )
    for y, (_, row) in enumerate(rows.iterrows()):
        text = f"{row['miou']:.1%}   {row[MINUTES]:.0f} min"
        axes.text(1.01, y, text, va="center", transform=axes.get_yaxis_transform())
    axes.set_xlim(left=0)
    axes.set_xlabel(SCORE)
    return drawn


def caption(metrics: Mapping[str, Any]) -> str:
    """How the scores were made."""
    protocol = metrics["protocol"]
    return (
        f"{metrics['dataset']}, {metrics['split']}: {metrics['images']} images, resized to "
        f"{protocol['input_long_side']} px (long side) for inference, {protocol['test_time']}, "
        f"scored at {protocol['ground_truth']}, {protocol['precision']}. Classes: "
        f"{', '.join(CLASSES)}. {BARS} Minutes: training steps on two CPU cores."
    )


def ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The models of a table by their score, the best first; the floor is none."""
    models = table[table["model"] != FLOOR]
    return models.sort_values("miou", ascending=False, kind="stable").set_index("model")


def floor(table: pd.DataFrame) -> float:
    """Percent that calling every pixel background reaches."""
    return float(table.set_index("model").loc[FLOOR, "miou"]) * 100


def dots(
    axes: Axes,
    rows: pd.DataFrame,
    look: Look,
    names: Mapping[str, str] | None = None,
    middle: str = "miou",
) -> None:
    """One dot with its bar for each row, from top to bottom; fractions are drawn in percent."""
    for y, (key, row) in enumerate(rows.iterrows()):
        model = str(key)
        low, value, high = (100 * row[name] for name in ("low", middle, "high"))
        axes.hlines(y, low, high, color=look[model]["color"], linewidth=2.2)
        axes.plot(value, y, **look[model], linestyle="none", markersize=11, label=model, zorder=3)
    labels = [(names or {}).get(str(model), str(model)) for model in rows.index]
    axes.set_yticks(np.arange(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
