"""Reading reports/models/<model>/: all that `evaluate` wrote, its files agreeing with each other.

They stand in Git, so anyone may have changed them. Every score that follows from the counts of
pixels is computed again; what does not follow from them has at least to be a possible value.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmodels.evaluation import boundary, scores

KEYS = {  # that are no scores, by file, with their type; those of `protocol` may be any text
    "metrics.json": {"dataset": str, "split": str, "images": int, "best_epoch": int}
    | {"gflops": float},
    "provenance.json": {"parameters": int, "recipe": dict},
}
PROTOCOL = [
    "ground_truth",
    "input_long_side",
    "test_time",
    "weights",
    "epochs",
    "init",
    "seed",
    "precision",
    "gflops_picture",
]
COMMON = ["train_loss", "val_loss", "train_cross_entropy", "val_cross_entropy"]  # losses of all
FRACTIONS = ["val_miou", "val_pixel_acc", "val_mean_acc"]
UNKNOWN = ["boundary_iou", "boundary_miou", "miou_low", "miou_high", "miou", "merged_iou"]
WHOLE = ["epoch", "pixels", "rank", *scores.PARTS]
TEXT = ["class", "true", "predicted", "group", "image_id"]
COLUMNS = {
    "history": ["epoch", "lr", *COMMON, *FRACTIONS],
    "per_class": ["class", "iou", "boundary_iou", "dice", "acc", *scores.PARTS[1:]],
    "confusion": ["true", "predicted", "pixels", "fraction"],
    "groups": ["group", "miou", "miou_present", "merged_iou", "true_pixels"],
    "images": ["image_id", "miou", "boundary_miou", "pixel_acc", "rank"],
    "image_classes": ["image_id", "class", *scores.PARTS],
}
BANDS = [f"{name}_miou" for name in boundary.NAMES]


def read(home: Path) -> dict[str, Any]:
    """The files of one model by their name without suffix.

    Raises:
        ValueError: a file is missing, damaged, or contradicts another one.
    """
    advice, file = f"`dvc repro evaluate@{home.name}`", ""
    found: dict[str, Any] = {}
    try:
        for file in ("metrics.json", "provenance.json"):
            found[file.removesuffix(".json")] = read_json(home / file)
        for file in (f"{name}.csv" for name in COLUMNS):
            found[file.removesuffix(".csv")] = read_csv(home / file)
        file = ""
        check(found["metrics"], found["provenance"], {name: found[name] for name in COLUMNS})
    except FileNotFoundError:
        raise ValueError(f"{home / file} is missing: run {advice}") from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = " ".join(f"{file}: {error}".removeprefix(": ").split())
        raise ValueError(f"{home}/{reason}; {advice} makes it anew") from None
    return found


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table of this project; a class or picture may be called 007, NA or None."""
    text = dict.fromkeys(TEXT, str)
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])


def read_json(path: str | Path) -> Any:
    """JSON without NaN and infinity, which Python would take."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse)


def check(metrics: Any, provenance: Any, tables: Mapping[str, pd.DataFrame]) -> None:
    """Compare the files of one model.

    Args:
        metrics, provenance: the values of the two JSON files.
        tables: by name, see COLUMNS.
    Raises:
        ValueError: names the file, what is in it and what the others say.
    """
    for name, values in (("metrics.json", metrics), ("provenance.json", provenance)):
        for key, kind in KEYS[name].items():
            if not isinstance(values, dict) or type(values.get(key)) is not kind:
                raise ValueError(f"{name}: {key} is no {kind.__name__}, or is missing")
    learned = _learned(provenance["recipe"])
    for name, columns in COLUMNS.items():
        if name == "history":
            more = tables[name].columns.difference(columns)
            columns = [*columns, *learned, *more]  # all are in curves.csv
        _check_columns(f"{name}.csv", tables[name], columns)
    _check_history(metrics, tables["history"], learned)
    _check_counts(metrics, tables)
    _check_unknown(metrics)


def _check_columns(file: str, table: pd.DataFrame, columns: list[str]) -> None:
    for name in columns:
        if name not in table:
            raise ValueError(f"{file}: lacks the column {name}")
        if name in TEXT:
            continue
        kind, values = table[name].dtype.kind, table[name].to_numpy()
        if kind not in ("i" if name in WHOLE else "if") and len(values):
            expected = "whole numbers" if name in WHOLE else "numbers"
            raise ValueError(f"{file}: {name} is not all {expected}")
        most = 1 if name in [*UNKNOWN, *FRACTIONS, "acc", "pixel_acc", "dice"] else np.inf
        if (values < 0).any() or (values > most).any() or np.isinf(values.astype(float)).any():
            raise ValueError(f"{file}: {name} has values that cannot be")


def _learned(recipe: dict[str, Any]) -> list[str]:
    """Columns of the history for the losses that a model was trained with."""
    loss = recipe.get("loss")
    if not isinstance(loss, dict) or not loss:
        raise ValueError("provenance.json: recipe lacks the parts of loss")
    columns = []
    for name, weight in loss.items():
        if type(weight) not in (int, float):
            raise ValueError("provenance.json: recipe lacks the parts of loss")
        if weight:
            columns += [f"train_{name}", f"val_{name}"]
    if not isinstance(recipe.get("class_weights"), str):
        raise ValueError("provenance.json: recipe lacks class_weights")
    return columns


def _check_history(metrics: dict[str, Any], history: pd.DataFrame, learned: list[str]) -> None:
    epochs, best = history["epoch"].tolist(), metrics["best_epoch"]
    if not epochs or epochs != list(range(len(epochs))):
        raise ValueError("history.csv: epoch does not count from 0")
    if history[[*COLUMNS["history"], *learned]].isna().any(axis=None):
        raise ValueError("history.csv: has a blank")
    if best not in epochs:
        raise ValueError(f"metrics.json: best_epoch = {best}: history.csv has no such epoch")
    _equal("best_epoch_miou", metrics.get("best_epoch_miou"), history["val_miou"][best], "history")


def _check_counts(metrics: dict[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
    """The confusion against all that follows from it, and from the counts of each picture."""
    per_class, images = tables["per_class"], tables["images"]
    classes, ids = per_class["class"].tolist(), images["image_id"].tolist()
    pairs = tables["confusion"][["true", "predicted"]].to_numpy().tolist()
    if len(set(classes)) < len(classes) or pairs != [[t, p] for t in classes for p in classes]:
        raise ValueError("confusion.csv: not the classes of per_class.csv in their order")
    pixels = tables["confusion"]["pixels"].to_numpy().reshape(len(classes), len(classes))
    nowhere = np.zeros((3, len(classes)), dtype=np.int64)
    _same("confusion", tables, scores.confusion_table(pixels, classes), ["fraction"])
    columns = ["iou", "dice", "acc", *scores.PARTS[1:]]
    _same("per_class", tables, scores.per_class_table(pixels, nowhere, classes), columns)
    for name, score in scores.summarize(pixels).items():
        _equal(name, metrics.get(name), score, "confusion")
    counted = tables["image_classes"]
    if len(set(ids)) < len(ids) or metrics["images"] != len(ids):
        raise ValueError(f"images.csv: not {metrics['images']} pictures, each once")
    strange = set(counted["image_id"]) - set(ids) or set(counted["class"]) - set(classes)
    if strange or counted.duplicated(["image_id", "class"]).any():
        raise ValueError("image_classes.csv: not the pictures and classes of the other files")
    overlap = scores.overlap_of(counted, ids, classes)
    if not np.array_equal(overlap.sum(axis=0), scores.overlap(pixels)):
        raise ValueError("image_classes.csv: its sum is not that of confusion.csv")
    expected = scores.images_table(ids, overlap, np.zeros_like(overlap))
    _same("images", tables, expected, ["miou", "pixel_acc", "rank"])


def _check_unknown(metrics: dict[str, Any]) -> None:
    """What no other file says: the interval, the bands, the protocol."""
    for name in ["miou_low", "miou_high", *BANDS]:
        value = metrics.get(name, "")
        number = type(value) in (int, float) and 0 <= value <= 1
        if not number and (value is not None or name not in BANDS):
            raise ValueError(f"metrics.json: {name} = {value!r}: expected a fraction")
    if not metrics["miou_low"] <= metrics["miou_high"]:
        raise ValueError("metrics.json: miou_low is above miou_high")
    protocol = metrics.get("protocol")
    for name in PROTOCOL:
        if not isinstance(protocol, dict) or type(protocol.get(name)) not in (int, str):
            raise ValueError(f"metrics.json: protocol lacks {name}")


def _same(
    name: str, tables: Mapping[str, pd.DataFrame], expected: pd.DataFrame, columns: list[str]
) -> None:
    for column in columns:
        found, right = tables[name][column].to_numpy(), expected[column].to_numpy()
        if not np.allclose(found, right, rtol=1e-9, atol=1e-12, equal_nan=True):
            raise ValueError(f"{name}.csv: {column} is not what the counts of pixels give")


def _equal(key: str, found: Any, right: float, file: str) -> None:
    if type(found) not in (int, float) or not np.isclose(found, right, rtol=1e-9, atol=1e-12):
        raise ValueError(f"metrics.json: {key} = {found!r}, but {file}.csv gives {right:.6g}")
