"""Epochs as rows of history.csv and per_class_history.csv."""

from datetime import timedelta
from pathlib import Path

import pandas as pd

from segmodels.core.files import write_csv
from segmodels.evaluation.confusion import class_accuracy, iou, mean, pixel_accuracy
from segmodels.training.state import Epoch


def table(epochs: list[Epoch]) -> pd.DataFrame:
    """One row an epoch: losses by name, cross-entropy in nats per pixel; scores as fractions."""
    return pd.DataFrame([_row(epoch) for epoch in epochs])


def _row(epoch: Epoch) -> dict[str, float]:
    row = {"epoch": epoch.number, "lr": epoch.lr}
    row["train_loss"] = epoch.train["loss"]
    row["train_objective"] = epoch.train_objective
    row |= {f"train_{name}": value for name, value in epoch.train.items()}
    row |= {f"val_{name}": value for name, value in epoch.val.items()}
    row["val_miou"] = mean(iou(epoch.confusion))
    row["val_pixel_acc"] = pixel_accuracy(epoch.confusion)
    row["val_mean_acc"] = mean(class_accuracy(epoch.confusion))
    if epoch.holdout is not None:
        row["holdout_miou"] = epoch.choice
    return row


def per_class_table(epochs: list[Epoch], classes: list[str]) -> pd.DataFrame:
    """One row an epoch and class; a score is empty where the class has none."""
    tables = []
    for epoch in epochs:
        columns = {
            "epoch": epoch.number,
            "class": classes,
            "iou": iou(epoch.confusion),
            "acc": class_accuracy(epoch.confusion),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def line(epochs: list[Epoch], last: int) -> str:
    """What a person reads at an epoch's end."""
    epoch = epochs[-1]
    left = timedelta(seconds=round(_seconds_of_an_epoch(epochs) * (last - epoch.number)))
    return (
        f"epoch {epoch.number:3d}/{last}  train loss {epoch.train['loss']:.3f}  "
        f"val loss {epoch.val['loss']:.3f}  val mIoU {mean(iou(epoch.confusion)):6.1%}  "
        f"{epoch.seconds:.1f} s, {left} left"
    )


def _seconds_of_an_epoch(epochs: list[Epoch]) -> float:
    """The mean; before the first, a guess from epoch 0, which has no gradients."""
    if len(epochs) == 1:
        return 2.5 * epochs[0].total_seconds
    return sum(epoch.total_seconds for epoch in epochs[1:]) / (len(epochs) - 1)


def save(folder: Path, epochs: list[Epoch], classes: list[str]) -> None:
    """Write both tables."""
    write_csv(folder / "history.csv", table(epochs))
    write_csv(folder / "per_class_history.csv", per_class_table(epochs, classes))


def cost(epochs: list[Epoch], images_per_epoch: int) -> dict[str, float]:
    """Seconds of training steps, validation aside, and images a second."""
    seconds = sum(epoch.seconds for epoch in epochs)
    images = images_per_epoch * (len(epochs) - 1)
    return {"train_seconds": seconds, "images_per_second": images / seconds}
