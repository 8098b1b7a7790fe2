"""What a figure shows, in the words of its title: read from the table that the figure draws."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd


def scores(table: pd.DataFrame, models: Collection[str]) -> str:
    """The lowest and the highest mIoU: "mIoU between 24.3% (fcn32s) and 70.7% (fcn_resnet50)".

    Args:
        table: has the columns model and miou; other rows than those of `models` do not count.
    """
    return f"mIoU {_ends(table.set_index('model')['miou'], models)}"


def curves(table: pd.DataFrame, models: Collection[str], quantity: str = "val mIoU") -> str:
    """Between which values of `quantity`, its column val_miou, the curves end.

    Args:
        table: `tables.curves`.
    """
    last = table.groupby("model")["val_miou"].last()
    return f"{quantity} ends {_ends(last, models)}"


def per_class(table: pd.DataFrame, models: Collection[str], classes: Sequence[str]) -> str:
    """The class with the lowest mean IoU over the models.

    Args:
        table: `tables.per_class`.
        classes: of which one is named; without IoU it is in neither truth nor prediction.
    """
    chosen = table[table["model"].isin(models) & table["class"].isin(classes)]
    means = chosen.groupby("class", sort=False)["iou"].mean().dropna()
    if means.empty:
        return "no class has an IoU"
    hardest = str(means.idxmin())
    return f"{hardest} is the hardest of {len(means)} classes, mean IoU {means[hardest]:.0%}"


def confusions(matrices: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> str:
    """The true class that is taken for one other most often, on average over the models.

    Args:
        matrices: `tables.confusion_matrix` of each model, shares of the true class's pixels.
        classes: the true classes of which one is named.
    """
    shares = [matrix.fillna(0) for matrix in matrices.values()]
    every = shares[0].index.tolist()
    mean = np.mean([matrix.to_numpy() for matrix in shares], axis=0)
    np.fill_diagonal(mean, 0)
    wrong = mean[[every.index(name) for name in classes]]
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    share = wrong[row, column]
    if share == 0:
        return "no class is taken for another"
    among = "" if len(classes) == len(every) else f"of {len(classes)} classes "
    averaged = " on average" if len(matrices) > 1 else ""
    return (
        f"{among}{classes[row]} is most often taken for {every[column]}, "
        f"{share:.0%} of its pixels{averaged}"
    )


def cost(summary: pd.DataFrame, models: Collection[str]) -> str:
    """Which network scores highest, and what it costs beside the most expensive one."""
    rows = summary[summary["model"].isin(models)].set_index("model")
    best = str(rows["miou"].idxmax())
    costliest = str(rows["gflops"].idxmax())
    spent = f"{rows['gflops'][best]:.3g} GMACs"
    if best == costliest:
        return f"{best} scores highest and costs the most, {spent}"
    most = f"{rows['gflops'][costliest]:.3g}"
    return f"{best} scores highest, at {spent}; {costliest} costs the most, {most}"


def dataset(pixels: pd.Series) -> str:
    """The most frequent and the rarest class, by their pixels in one split.

    Args:
        pixels: number of labelled pixels by class; the name of the series is the split.
    """
    shares = pixels / pixels.sum()
    most = str(shares.idxmax())
    found = f"{most} has {shares[most]:.0%} of {pixels.name}'s pixels"
    missing = int((shares == 0).sum())
    if missing:
        return f"{found}, {missing} of {len(shares)} classes have none"
    least = str(shares.idxmin())
    return f"{found}, {least} {100 * shares[least]:.2g}%"


def _ends(values: pd.Series, models: Collection[str]) -> str:
    """The lowest and the highest share, each with its model."""
    of_models = values[values.index.isin(models)]
    low, high = str(of_models.idxmin()), str(of_models.idxmax())
    if low == high:
        return f"at {of_models[low]:.1%} ({low})"
    return f"between {of_models[low]:.1%} ({low}) and {of_models[high]:.1%} ({high})"
