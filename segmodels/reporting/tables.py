"""Tables of a comparison, read from reports/models/<model>/ and from nothing else.

Tables are long: one row per model and epoch, or per model and class. A wide table would have blank
cells, which mislead DVC's plots. Scores are fractions 0..1; markdown.py writes them as percent. The
all-background baseline is one more model in every table. The table of scores is in summary.py.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from segmodels.evaluation import bootstrap, scores
from segmodels.evaluation.confusion import class_accuracy, iou
from segmodels.reporting.result import CROSS_ENTROPY, Result

LOSS_KEYS = {"loss", "class_weights"}  # of a recipe; `Result.loss` puts them into words


def floor_name(results: Sequence[Result]) -> str:
    """How tables name the baseline that predicts the first class everywhere: "all background"."""
    return f"all {results[0].per_class['class'].iloc[0]}"


def floor_of(models: Iterable[Any]) -> str | None:
    """Which of a table's names is the baseline's: the one with a space, which no run's has."""
    return next((model for model in models if " " in model), None)


def usual(results: Sequence[Result]) -> dict[str, Any]:
    """The recipe of most models: the most frequent value of each key, the first one in a tie."""
    recipes = [result.recipe for result in results]
    common = {}
    for key in recipes[0]:
        values = [recipe.get(key) for recipe in recipes]
        common[key] = max(values, key=values.count)
    return common


def otherwise(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """{model: {key: value}} of recipes that differ from the usual one, apart from the loss."""
    common = usual(results)
    differences = {}
    for result in results:
        unusual = {}
        for key, value in result.recipe.items():
            if key not in LOSS_KEYS and value != common.get(key):
                unusual[key] = value
        if unusual:
            differences[result.model] = unusual
    return differences


def curves(results: Sequence[Result], val: str = "val") -> pd.DataFrame:
    """The histories: model, epoch, lr, losses and val scores.

    The baseline has val scores only. It is left out where another split than val is scored.

    Args:
        val: name of the list of val's images, on which histories are measured.
    """
    histories = {result.model: result.history for result in results}
    if results[0].metrics["split"] == val:
        floor = results[0].history[["epoch"]].copy()
        for name in ("miou", "pixel_acc", "mean_acc"):
            floor[f"val_{name}"] = results[0].floor[name]
        histories[floor_name(results)] = floor
    return _long(histories)


def same_curves(results: Sequence[Result]) -> dict[str, list[str]]:
    """The first run of each history -> the other runs that have it too, as of one training."""
    firsts = list[Result]()
    same = dict[str, list[str]]()
    for result in results:
        first = next((other for other in firsts if other.history.equals(result.history)), None)
        if first:
            same[first.model].append(result.model)
        else:
            firsts.append(result)
            same[result.model] = []
    return same


def networks(results: Sequence[Result]) -> list[str]:
    """The first run of each network: of one architecture with one set of arguments."""
    first: dict[str, str] = {}
    for result in results:
        key = json.dumps([result.provenance[name] for name in ("arch", "arguments")])
        first.setdefault(key, result.model)
    return list(first.values())


def class_curves(
    table: pd.DataFrame, histories: Mapping[str, pd.DataFrame], scored: pd.DataFrame
) -> pd.DataFrame:
    """`curves` with the mIoU over some classes in place of that over all.

    Args:
        table: from `curves`; rows of models that have no history here are left out.
        histories: per_class_history.csv of each model, of these classes alone.
        scored: from `class_scores` over the same classes; its floor is the baseline's level.
    """
    parts = []
    for model, history in histories.items():
        mean = history.groupby("epoch")["iou"].mean()
        own = table[table["model"] == model]
        parts.append(own.assign(val_miou=own["epoch"].map(mean)))
    name = floor_of(scored["model"])
    floor = scored.loc[scored["model"] == name, "miou"].item()
    parts.append(table[table["model"] == name].assign(val_miou=floor))
    return pd.concat(parts, ignore_index=True)


def common_loss(results: Sequence[Result]) -> tuple[str, str]:
    """The loss by which these models can be compared.

    Returns:
        "loss" if all were trained with the same one, else "cross_entropy", which every history
        contains: `curves` has columns train_ and val_ of it; and its name with unit.
    """
    losses = {result.loss for result in results}
    if len(losses) > 1 or losses == {CROSS_ENTROPY}:
        return "cross_entropy", f"{CROSS_ENTROPY} (nats per pixel)"
    return "loss", losses.pop()


def per_class(results: Sequence[Result]) -> pd.DataFrame:
    """model, class, iou, acc; blank where the class is in neither truth nor prediction."""
    tables = {result.model: result.per_class for result in results}
    confusion = results[0].floor_confusion
    floor = results[0].per_class[["class"]]
    tables[floor_name(results)] = floor.assign(iou=iou(confusion), acc=class_accuracy(confusion))
    return _long(tables)[["model", "class", "iou", "acc"]]


def groups(results: Sequence[Result]) -> pd.DataFrame:
    """model, group and its scores; blank where no class of the group has a score."""
    return _long({result.model: result.groups for result in results})


def differences(results: Sequence[Result], classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Paired differences of mIoU of every two models, see bootstrap.differences.

    Args:
        classes: over which the mean is taken; None: over all.
    """
    return bootstrap.differences({result.model: result.of(classes) for result in results})


def class_scores(results: Sequence[Result], classes: Sequence[str]) -> pd.DataFrame:
    """Scores over some of the classes, as of those that are frequent enough to be measured.

    Returns:
        model, miou over these classes with low and high, the ends of its 95% interval, and
        miou_present and pixel_acc, which are of all classes; at the end the floor, which has no
        interval.
    """
    rows = list[dict[str, Any]]()
    for result in results:
        overlap = result.of(classes)
        low, high = bootstrap.intervals(overlap[None], np.array([[1]]))[0]
        row = {"model": result.model, "miou": scores.overlap_miou(overlap.sum(axis=0))}
        row |= {"low": low, "high": high}
        rows.append(row | {key: result.metrics[key] for key in ("miou_present", "pixel_acc")})
    first = results[0]
    floor = scores.overlap(first.floor_confusion)[:, first.labels(classes)]
    row = {"model": floor_name(results), "miou": scores.overlap_miou(floor)}
    rows.append(row | {key: first.floor[key] for key in ("miou_present", "pixel_acc")})
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(table.columns[1:], "float64"))


def over_seeds(results: Sequence[Result]) -> pd.DataFrame:
    """Spread of mIoU over models that differ only in their seed.

    Of several models with the same seed the first counts.

    Returns:
        model (the first of two or more that are the same), runs (the names of all of them), and
        seeds, mean, sd, see bootstrap.across_seeds. No rows if nothing was trained twice.
    """
    rows = []
    for result in results:
        seed = result.metrics["protocol"]["seed"]
        rows.append((result.model, seed, result.metrics["miou"], result.identity))
    runs = pd.DataFrame(rows, columns=["model", "seed", "miou", "identity"])
    runs = runs.drop_duplicates(["identity", "seed"])
    runs = runs[runs.duplicated("identity", keep=False)]
    models = runs.groupby("identity", sort=False)["model"]
    spread = bootstrap.across_seeds(runs.assign(model=models.transform("first")))
    return spread.assign(runs=models.agg(", ".join).tolist())


def confusion_matrix(result: Result, values: str = "fraction") -> pd.DataFrame:
    """(C, C) confusion, rows = true class, columns = predicted, classes in the data set's order.

    Args:
        values: "fraction" of the true class's pixels, or the number of "pixels".
    """
    classes = result.per_class["class"].tolist()
    matrix = result.confusion.pivot(index="true", columns="predicted", values=values)
    return matrix.loc[classes, classes]


def rise(history: pd.DataFrame) -> float:
    """How much val mIoU gained over the last quarter of the epochs, at least one epoch."""
    epochs = history["epoch"].iloc[-1]
    miou = history.set_index("epoch")["val_miou"]
    return float(miou[epochs] - miou[epochs - max(1, epochs // 4)])


def _long(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of all models below each other, the model in the first column."""
    named = [table.assign(model=model) for model, table in tables.items()]
    table = pd.concat(named, ignore_index=True)
    return table[["model", *table.columns.drop("model")]]
