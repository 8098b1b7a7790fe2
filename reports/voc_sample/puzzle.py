"""The figure of the puzzle: training loss and val mIoU of the runs that continue one model."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from reports.voc_sample.frequent import CLASSES
from segmodels.reporting.canvas import COLOURS, MARKERS, framed, styled
from segmodels.reporting.checks import read_json

RUNS = {  # what differs between them; the first is what the original study did
    "fcn_4_train": "batch 4",
    "fcn_4_recalibrate": "batch 4, statistics\nmeasured over train",
    "fcn_4_frozen": "batch 4, statistics frozen",
    "fcn_16_train": "batch 16",
}
SIZE = (13, 5.8)  # inches
PANELS = {
    "train_loss": "Training loss (nats per pixel)",
    "miou": f"Validation mIoU of {len(CLASSES)} classes (%)",
}


@styled
def figure(folder: Path) -> Figure:
    """Both against the epoch; two runs, of which only the statistics differ, share their loss."""
    title = "Training loss and validation mIoU of one model, trained on in four ways"
    made = read_json(folder / next(iter(RUNS)) / "provenance.json")
    drawn = framed(title, _caption(made), size=SIZE)
    panels = drawn.subplots(1, 2)
    for axes, (column, name) in zip(panels, PANELS.items(), strict=True):
        for run, colour, marker in zip(RUNS, COLOURS, MARKERS, strict=False):
            curve = _history(folder / run)[column]
            dashes = "--" if run == "fcn_4_recalibrate" else "-"
            axes.plot(curve, dashes, color=colour, marker=marker, label=RUNS[run])
        axes.set_title(name)
        axes.set_xlabel("epoch (0: before the first step)")
        axes.set_xticks(curve.index)
    panels[0].legend(loc="center right", bbox_to_anchor=(1, 0.6), fontsize=12)
    return drawn


def _caption(made: dict[str, Any]) -> str:
    recipe = made["recipe"]
    return (
        "VOC sample: 440 training and 200 validation pictures, seen at long side "
        f"{recipe['val_size']}; mIoU over {', '.join(CLASSES)}; no intervals. One FCN on "
        f"EfficientNet-Lite0, trained with batch 16 before, is trained on by "
        f"{recipe['optimizer'].upper()}, rate {recipe['lr']:g} down to 0, {recipe['epochs']} "
        f"epochs, {made['precision']}. Blue and yellow are one training, so their losses coincide: "
        "only the statistics that validation uses differ. The training loss uses the statistics "
        "of each batch, in the frozen run the stored ones."
    )


def _history(folder: Path) -> pd.DataFrame:
    """Training loss and, in percent, mIoU over the frequent classes, of each epoch."""
    classes = pd.read_csv(folder / "per_class_history.csv")
    iou = classes[classes["class"].isin(CLASSES)].groupby("epoch")["iou"].mean()
    loss = pd.read_csv(folder / "history.csv").set_index("epoch")["train_loss"]
    return pd.DataFrame({"train_loss": loss, "miou": 100 * iou})
