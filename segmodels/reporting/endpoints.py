"""The figure of a comparison's scores: each run's mIoU with its interval, the best on top."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from segmodels.reporting.markdown import bars
from segmodels.reporting.style import GREY, Look, framed, styled
from segmodels.reporting.tables import floor_of

ROW = 0.5  # inches from run to run
MOST_NAMED = 12  # more classes are counted in the caption, not named
OVERLAP = (
    "Whether two models differ, the table of differences says: bars that overlap do not decide it."
)


@styled
def figure(
    table: pd.DataFrame,
    look: Look,
    classes: Sequence[str],
    title: str,
    note: str,
    *,
    video: bool = False,
) -> Figure:
    """Scores from the best to the worst, in percent; the floor is a dashed line.

    Args:
        table: `tables.class_scores`.
        look: colour and marker of each run.
        classes: over which the mean is taken.
        title: what was found.
        note: how the scores were made.
        video: whether the images are frames of videos.
    """
    baseline = str(floor_of(table["model"]))
    runs = table[table["model"] != baseline].set_index("model")
    ranked = 100 * runs.sort_values("miou", ascending=False, kind="stable")
    floor = 100 * float(table.loc[table["model"] == baseline, "miou"].iloc[0])
    over = f"{len(classes)} classes" if len(classes) > MOST_NAMED else ", ".join(classes)
    caption = f"mIoU over {over}. {bars(video=video)} {OVERLAP} {note}"
    drawn = framed(title, caption, size=(11, 2.6 + ROW * len(ranked)))
    axes = drawn.subplots()
    for y, (name, row) in enumerate(ranked.iterrows()):
        run = str(name)
        axes.hlines(y, row["low"], row["high"], color=look[run]["color"], linewidth=2.2)
        axes.plot(row["miou"], y, **look[run], linestyle="none", markersize=11, label=run)
        score = f"{row['miou']:.1f}%"
        axes.text(1.01, y, score, va="center", transform=axes.get_yaxis_transform())
    axes.axvline(floor, color=GREY, linestyle="--", linewidth=1.6, label=baseline)
    place = (4, 2), ("data", "axes fraction"), "offset points"
    axes.annotate(baseline, (floor, 1), *place, color=GREY)
    axes.set_yticks(range(len(ranked)), ranked.index.tolist())
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"mIoU over {len(classes)} classes (%)")
    return drawn
