"""Tables of a comparison, read from reports/models/<model>/ and from nothing else.

All are long: a row for each model and epoch, or model and class, since a wide table with blanks
misleads DVC's plots. Scores are fractions 0..1; printed.py writes percent. The floor, "all
background", is one more model of every table. It follows from the true pixels of each class, so no
picture is needed. Models whose numbers do not belong beside each other are refused.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmodels.evaluation import scores, statistics
from segmodels.evaluation.confusion import class_accuracy, iou
from segmodels.reporting import checks
from segmodels.reporting.checks import BANDS, LOSSES

FLOOR = "all background"
WATCHED = "val"  # the split that histories are of, whichever is scored
SCORES = ["miou", "miou_present", "fw_iou", "mean_dice", "pixel_acc", "mean_acc"]
INTERVAL, COUNTS = ["miou_low", "miou_high"], ["classes_counted", "classes_present"]
TRAINING = {"epochs", "batch_size", "crop_size", "init"}  # of the protocol, see `otherwise`
HASHES = {"code_sha256", "params_sha256"}  # of older results; what they stand for is compared
OWN = {"seed", "weights_sha256", "predictions_sha256"} | HASHES | TRAINING  # each model's own
LOSS = {"loss", "class_weights"}  # of the recipe, what `Result.loss` puts into words
SAME = ["arch", "arguments", "normalize", "recipe"]  # of the provenance, but for the seed a model
CROSS_ENTROPY = "cross-entropy"


@dataclass(frozen=True)
class Result:
    """The files of reports/models/<model>/."""

    model: str
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    history: pd.DataFrame
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    groups: pd.DataFrame
    images: pd.DataFrame
    image_classes: pd.DataFrame

    @property
    def overlap(self) -> np.ndarray:
        """(n, 3, C) int64: pixels right, true and predicted of each picture and class."""
        classes = self.per_class["class"].tolist()
        return scores.overlap_of(self.image_classes, self.images["image_id"].tolist(), classes)

    @property
    def floor(self) -> dict[str, float | int]:
        """Scores of "all background" on the same pictures."""
        return scores.summarize(self.floor_confusion)

    @property
    def floor_confusion(self) -> np.ndarray:
        """(C, C) int64 of "all background"."""
        return scores.floor_confusion(self.per_class["true_pixels"].to_numpy())

    @property
    def identity(self) -> str:
        """What a model is and how it is trained, the seed aside."""
        return json.dumps({key: self.provenance[key] for key in SAME}, sort_keys=True)

    @property
    def loss(self) -> str:
        """What it was trained with, e.g. "cross-entropy + 0.5 Dice"."""
        recipe = self.provenance["recipe"]
        weighted = "class-weighted " if recipe["class_weights"] != "none" else ""
        names = {"cross_entropy": weighted + CROSS_ENTROPY, "dice": "Dice"}
        parts = ((recipe["loss"][part], name) for part, name in names.items())
        terms = [name if weight == 1 else f"{weight:g} {name}" for weight, name in parts if weight]
        return " + ".join(terms)


def read_result(model: str, folder: str | Path = "reports/models") -> Result:
    """Read what `evaluate` wrote for one model.

    Raises:
        ValueError: a file is missing, damaged, or contradicts another one.
    """
    return Result(model=model, **checks.read(Path(folder) / model))


def check_comparable(results: Sequence[Result]) -> None:
    """Refuse models that were measured on other pictures or in another way.

    Raises:
        ValueError: names the two models and what differs.
    """
    first = results[0]
    for other in results[1:]:
        ours, theirs = _conditions(first), _conditions(other)
        for key in ours | theirs:
            if ours.get(key) != theirs.get(key):
                raise ValueError(
                    f"{first.model} and {other.model} do not belong in one table: {key} is "
                    f"{ours.get(key)!r} and {theirs.get(key)!r}; `dvc repro` makes them equal"
                )


def usual(results: Sequence[Result]) -> dict[str, Any]:
    """The recipe of most models, each value by itself; of equally frequent ones the first."""
    recipes = [result.provenance["recipe"] for result in results]
    columns = {key: [json.dumps(recipe.get(key)) for recipe in recipes] for key in recipes[0]}
    return {key: json.loads(max(own, key=own.count)) for key, own in columns.items()}


def otherwise(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """What single models trained otherwise than most, the loss aside: {model: {key: value}}."""
    common = usual(results)
    own = {
        result.model: {
            key: value
            for key, value in result.provenance["recipe"].items()
            if key not in LOSS and value != common[key]
        }
        for result in results
    }
    return {model: values for model, values in own.items() if values}


def curves(results: Sequence[Result]) -> pd.DataFrame:
    """model, epoch, lr, losses and val scores; the floor, if it is val's, has scores only."""
    own = {result.model: result.history for result in results}
    if results[0].metrics["split"] != WATCHED:
        return _long(own)
    floor = {f"val_{name}": results[0].floor[name] for name in ("miou", "pixel_acc", "mean_acc")}
    return _long({**own, FLOOR: results[0].history[["epoch"]].assign(**floor)})


def common_loss(results: Sequence[Result]) -> tuple[str, str]:
    """The loss by which these models can be compared.

    Returns:
        "loss" if all were trained with the same one, else "cross_entropy", which the history of
        every model has: train_ and val_ of it are columns of `curves`; and its name with unit.
    """
    own = {result.loss for result in results}
    if own == {CROSS_ENTROPY} or len(own) > 1:
        return "cross_entropy", f"{CROSS_ENTROPY} (nats per pixel)"
    return "loss", own.pop()


def per_class(results: Sequence[Result]) -> pd.DataFrame:
    """model, class, iou, acc; blank where the class is in neither truth nor prediction."""
    confusion = results[0].floor_confusion
    classes = results[0].per_class["class"]
    floor = {"class": classes, "iou": iou(confusion), "acc": class_accuracy(confusion)}
    own = {result.model: result.per_class for result in results}
    return _long({**own, FLOOR: pd.DataFrame(floor)})[["model", *floor]]


def groups(results: Sequence[Result]) -> pd.DataFrame:
    """model, group and its scores; blank where no class of the group has any."""
    return _long({result.model: result.groups for result in results})


def differences(results: Sequence[Result]) -> pd.DataFrame:
    """Paired differences of mIoU of every two models, see statistics.differences."""
    return statistics.differences({result.model: result.overlap for result in results})


def over_seeds(results: Sequence[Result]) -> pd.DataFrame:
    """Spread of mIoU over models that are the same but for the seed, two of them or more.

    Of models that have the seed in common too, the first counts.

    Returns:
        model (the first of those that are the same), runs (the names of all), and seeds, mean and
        sd, see statistics.across_seeds; without rows if every model is trained with one seed.
    """
    runs = pd.DataFrame(
        {
            "model": [result.model for result in results],
            "seed": [result.metrics["protocol"]["seed"] for result in results],
            "miou": [result.metrics["miou"] for result in results],
            "group": [result.identity for result in results],
        }
    ).drop_duplicates(["group", "seed"])
    runs = runs[runs.duplicated("group", keep=False)]
    names = runs.groupby("group", sort=False)["model"]
    spread = statistics.across_seeds(runs.assign(model=names.transform("first")))
    return spread.assign(runs=[", ".join(members) for _, members in names])


def confusion_matrix(result: Result) -> pd.DataFrame:
    """(C, C) fractions of each true class's pixels, rows = true class, columns = predicted."""
    classes = result.per_class["class"].tolist()
    wide = result.confusion.pivot(index="true", columns="predicted", values="fraction")
    return wide.loc[classes, classes]


def summary(results: Sequence[Result]) -> pd.DataFrame:
    """One row for each model, and the floor: scores, last losses, size, start, and `rise`.

    `rise` is what val mIoU gained over the last quarter of the epochs; `otherwise`, whether the
    model was trained otherwise than most.
    """
    own = otherwise(results)
    rows = [_summary_row(result) | {"otherwise": result.model in own} for result in results]
    floor = results[0].floor
    whole = dict.fromkeys(["best_epoch", "epochs", "parameters", "seed"], "Int64")
    unknown = dict.fromkeys([*INTERVAL, *BANDS], "float64")  # None where they mean nothing
    rows.append({"model": FLOOR, "otherwise": False, **floor})
    return pd.DataFrame(rows).astype(whole | unknown)


def metrics(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Of a summary what `dvc metrics show` has a row for: mIoU and pixel accuracy of each model."""
    models = table[table["model"] != FLOOR]
    return {
        row["model"]: {"miou": float(row["miou"]), "pixel_acc": float(row["pixel_acc"])}
        for _, row in models.iterrows()
    }


def rise(history: pd.DataFrame) -> float:
    """What val mIoU gained over the last quarter of the epochs (at least one)."""
    epochs = history["epoch"].iloc[-1]
    miou = history.set_index("epoch")["val_miou"]
    return float(miou[epochs] - miou[epochs - max(1, epochs // 4)])


def _conditions(result: Result) -> dict[str, Any]:
    """Everything that must be equal before two models stand in one table."""
    conditions = {key: result.metrics[key] for key in ("dataset", "split", "images")}
    truth = zip(result.per_class["class"], result.per_class["true_pixels"], strict=True)
    conditions |= {f"number of pixels of {name}": int(count) for name, count in truth}
    protocol = {"evaluation": 1, **result.metrics["protocol"]}  # 1: results from before the key
    for key in sorted(set(protocol) - OWN):
        value = protocol[key]
        if isinstance(value, dict):
            conditions |= {f"{key} of {name}": member for name, member in value.items()}
        else:
            conditions[key] = value
    return conditions


def _long(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of all models under each other, the model in the first column."""
    named = [table.assign(model=model) for model, table in tables.items()]
    table = pd.concat(named, ignore_index=True)
    return table[["model", *table.columns.drop("model")]]


def _summary_row(result: Result) -> dict[str, Any]:
    last = result.history.iloc[-1]
    names = [*SCORES, *INTERVAL, *BANDS, *COUNTS, "best_epoch", "best_epoch_miou"]
    return {
        "model": result.model,
        **{name: result.metrics[name] for name in names},
        "rise": rise(result.history),
        "loss": result.loss,
        **{name: last[name] for name in LOSSES},
        "parameters": result.provenance["parameters"],
        "gflops": result.metrics["gflops"],
        "seed": result.metrics["protocol"]["seed"],
        "start": result.provenance["recipe"]["init"],
        "epochs": result.provenance["recipe"]["epochs"],
        "precision": result.metrics["protocol"]["precision"],
    }
