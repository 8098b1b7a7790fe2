"""The figure of the puzzle: loss, scores and changes of the runs that continue one model."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.voc_sample import endpoints
from segmodels.reporting.canvas import COLOURS, GREY, MARKERS, framed, styled
from segmodels.reporting.checks import read_json

START = "fcn"  # the model that they continue
RUNS = {  # what differs between them; the first is what the original study did
    "fcn_4_train": "batch 4",
    "fcn_4_recalibrate": "batch 4, statistics\nmeasured over train",
    "fcn_4_frozen": "batch 4,\nstatistics frozen",
    "fcn_16_train": "batch 16",
}
NAMES = {START: "start", **RUNS}
LOOK = {START: {"color": GREY, "marker": "P"}} | {
    run: {"color": colour, "marker": marker}
    for run, colour, marker in zip(RUNS, COLOURS, MARKERS, strict=False)
}
SIZE = (15, 5.6)  # inches


@styled
def figure(folder: Path, table: pd.DataFrame, pairs: pd.DataFrame, title: str) -> Figure:
    """Left the loss by epoch; then the scores of the table; right their change against the start.

    Args:
        folder: the models' results.
        table: frequent.csv of the section.
        pairs: frequent_differences.csv of the section.
    """
    made = read_json(folder / next(iter(RUNS)) / "provenance.json")
    drawn = framed(title, _caption(made), size=SIZE)
    left, middle, right = drawn.subplots(1, 3, width_ratios=[1.15, 1, 1])
    _losses(left, folder)
    rows = endpoints.ranked(table[table["model"].isin(NAMES)])
    endpoints.dots(middle, rows, LOOK, NAMES)
    middle.set_xlabel(endpoints.SCORE)
    middle.set_title("Score at the end")
    changes = pairs[(pairs["first"] == START) & pairs["second"].isin(RUNS)].set_index("second")
    changes = changes.reindex(rows.index)  # the start itself has none
    endpoints.dots(right, changes, LOOK, NAMES, middle="difference")
    right.axvline(0, color=GREY, linewidth=1.2)
    right.set_yticklabels([])
    right.set_xlabel("points of mIoU")
    right.set_title("Change against the start")
    return drawn


def _losses(axes: Axes, folder: Path) -> None:
    """Two runs, of which only the statistics differ, share their loss."""
    for run, name in RUNS.items():
        loss = pd.read_csv(folder / run / "history.csv").set_index("epoch")["train_loss"]
        dashes = "--" if run == "fcn_4_recalibrate" else "-"
        axes.plot(loss, dashes, **LOOK[run], label=name.replace("\n", " "))
        axes.set_xticks(loss.index)
    axes.set_ylim(bottom=0)
    axes.set_title("Training loss (nats per pixel)")
    axes.set_xlabel("epoch (0: before the first step)")


def _caption(made: dict[str, Any]) -> str:
    recipe = made["recipe"]
    return (
        "VOC sample (animals subset of VOC 2012). Scores: 200 validation images, resized to 448 px "
        f"(long side) for inference; mIoU over {', '.join(endpoints.CLASSES)}. {endpoints.BARS} "
        "Changes are paired: both models on the same images. Start: FCN on EfficientNet-Lite0, "
        f"trained with batch 16; it is trained on by {recipe['optimizer'].upper()}, rate "
        f"{recipe['lr']:g} down to 0, {recipe['epochs']} epochs, {made['precision']}. Blue and "
        "yellow are one training, so their losses coincide: only the statistics that validation "
        "uses differ. The training loss uses the statistics of each batch, in the frozen run the "
        "stored ones."
    )
