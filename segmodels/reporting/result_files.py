"""Reading reports/models/<model>/: the files of `evaluate`, checked against each other.

The files are in Git, so anybody may have edited them. Every score that follows from the pixel
counts is computed again and compared. Other values only have to be possible.
"""

import json
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmodels.evaluation import boundary, scores

# Keys of the JSON files, and the types of their values; scores are checked by themselves.
METRICS = {"dataset": str, "split": str, "images": int, "best_epoch": int, "gflops": float}
PROVENANCE = {"parameters": int, "recipe": dict}
PROTOCOL = [  # of metrics.json; whole numbers or text
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
BANDS = [f"{name}_miou" for name in boundary.NAMES]  # keys of metrics.json

# Columns of the CSV files.
LOSSES = ["train_loss", "val_loss", "train_cross_entropy", "val_cross_entropy"]  # of every model
VAL_SCORES = ["val_miou", "val_pixel_acc", "val_mean_acc"]
COLUMNS = {
    "history": ["epoch", "lr", *LOSSES, *VAL_SCORES],
    "per_class": ["class", "iou", "boundary_iou", "dice", "acc", *scores.PARTS[1:]],
    "confusion": ["true", "predicted", "pixels", "fraction"],
    "groups": ["group", "miou", "miou_present", "merged_iou", "true_pixels"],
    "images": ["image_id", "miou", "boundary_miou", "pixel_acc", "rank"],
    "image_classes": ["image_id", "class", *scores.PARTS],
}
TEXT = ["class", "true", "predicted", "group", "image_id"]
WHOLE_NUMBERS = ["epoch", "pixels", "rank", *scores.PARTS]
SHARES = [  # numbers in 0..1
    *VAL_SCORES,
    *["iou", "boundary_iou", "merged_iou", "dice", "acc", "pixel_acc", "fraction"],
    *["miou", "miou_present", "boundary_miou"],
]

# What reading and checking may raise when somebody has edited a file.
DAMAGE = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


def read(home: Path) -> dict[str, Any]:
    """The files of one model by their name without suffix.

    Raises:
        ValueError: a file is missing, damaged, or contradicts another one.
    """
    stage = f"evaluate@{home.name}"
    if home.parts[0] == "studies":
        stage = f"{home.parents[2].as_posix()}/dvc.yaml:{stage}"
    advice = f"`dvc repro {stage}`"
    try:
        contents = _read_files(home)
        tables = {name: contents[name] for name in COLUMNS}
        check(contents["metrics"], contents["provenance"], tables)
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename} is missing: run {advice}") from None
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{home}/{reason}; {advice} makes it anew") from None
    return contents


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table of this project; a class or picture may be called 007, NA or None."""
    text = dict.fromkeys(TEXT, str)
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])


def read_json(path: str | Path) -> Any:
    """Read JSON; NaN and infinity, which Python would accept, are refused."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse)


def check(metrics: Any, provenance: Any, tables: Mapping[str, pd.DataFrame]) -> None:
    """Compare the files of one model.

    Args:
        metrics, provenance: the values of the two JSON files.
        tables: the CSV files by name, see COLUMNS.
    Raises:
        ValueError: names the file, what is in it and what the others say.
    """
    _check_keys("metrics.json", metrics, METRICS)
    _check_keys("provenance.json", provenance, PROVENANCE)
    for name, columns in COLUMNS.items():
        _check_columns(f"{name}.csv", tables[name], columns)
    history = tables["history"]
    learned = _loss_columns(provenance["recipe"])
    _check_columns("history.csv", history, [*learned, *history.columns])  # all go into curves.csv
    _check_history(metrics, history, learned)
    _check_scores(metrics, tables)
    _check_images(metrics, tables)
    _check_metrics(metrics)


def _read_files(home: Path) -> dict[str, Any]:
    contents: dict[str, Any] = {}
    for name in ("metrics", "provenance"):
        contents[name] = _read_file(home / f"{name}.json")
    for name in COLUMNS:
        contents[name] = _read_file(home / f"{name}.csv")
    return contents


def _read_file(path: Path) -> Any:
    """A JSON or CSV file; what is wrong with it names the file."""
    try:
        return read_json(path) if path.suffix == ".json" else read_csv(path)
    except DAMAGE as error:
        raise ValueError(f"{path.name}: {error}") from None


def _check_keys(file: str, values: Any, types: Mapping[str, type]) -> None:
    for key, kind in types.items():
        if not isinstance(values, dict) or type(values.get(key)) is not kind:
            raise ValueError(f"{file}: {key} is no {kind.__name__}, or is missing")


def _check_columns(file: str, table: pd.DataFrame, columns: list[str]) -> None:
    for name in columns:
        if name not in table:
            raise ValueError(f"{file}: lacks the column {name}")
        if name not in TEXT and len(table):
            _check_numbers(file, name, table[name].to_numpy())


def _check_numbers(file: str, name: str, values: np.ndarray) -> None:
    if name in WHOLE_NUMBERS and values.dtype.kind != "i":
        raise ValueError(f"{file}: {name} is not all whole numbers")
    if values.dtype.kind not in "if":
        raise ValueError(f"{file}: {name} is not all numbers")
    most = 1 if name in SHARES else np.inf
    if (values < 0).any() or (values > most).any() or np.isinf(values).any():
        raise ValueError(f"{file}: {name} has impossible values")


def _loss_columns(recipe: dict[str, Any]) -> list[str]:
    """Columns of the history for the losses that a model was trained with."""
    loss = recipe.get("loss")
    if not isinstance(loss, dict) or not loss:
        raise ValueError("provenance.json: recipe lacks the parts of loss")
    columns = []
    for name, weight in loss.items():
        if not _is_number(weight):
            raise ValueError("provenance.json: recipe lacks the parts of loss")
        if weight:
            columns += [f"train_{name}", f"val_{name}"]
    if not isinstance(recipe.get("class_weights"), str):
        raise ValueError("provenance.json: recipe lacks class_weights")
    return columns


def _check_history(metrics: dict[str, Any], history: pd.DataFrame, learned: list[str]) -> None:
    epochs = history["epoch"].tolist()
    best = metrics["best_epoch"]
    if not epochs or epochs != list(range(len(epochs))):
        raise ValueError("history.csv: epoch does not count from 0")
    if history[[*COLUMNS["history"], *learned]].isna().any(axis=None):
        raise ValueError("history.csv: has a blank")
    if best not in epochs:
        raise ValueError(f"metrics.json: best_epoch = {best}: history.csv has no such epoch")
    _check_score(metrics, "best_epoch_miou", history["val_miou"][best], "history.csv")


def _check_scores(metrics: dict[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
    """Compare the confusion with every score that follows from it, and add those that lack."""
    classes = tables["per_class"]["class"].tolist()
    confusion = tables["confusion"]
    pairs = list(zip(confusion["true"], confusion["predicted"], strict=True))
    if len(set(classes)) < len(classes) or pairs != list(product(classes, repeat=2)):
        raise ValueError("confusion.csv: not the classes of per_class.csv in their order")
    pixels = _confusion_pixels(tables)
    _check_same("confusion", tables, scores.confusion_table(pixels, classes), ["fraction"])
    no_boundary = np.zeros((3, len(classes)), dtype=np.int64)  # no file has its pixels
    per_class = scores.per_class_table(pixels, no_boundary, classes)
    _check_same("per_class", tables, per_class, ["iou", "dice", "acc", *scores.PARTS[1:]])
    for name, score in scores.summarize(pixels).items():
        metrics.setdefault(name, score)  # a score that was added after the result was written
        _check_score(metrics, name, score, "confusion.csv")


def _check_images(metrics: dict[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
    """Compare the counts of each image with their scores, and their sum with the confusion."""
    classes = tables["per_class"]["class"].tolist()
    image_ids = tables["images"]["image_id"].tolist()
    if len(set(image_ids)) < len(image_ids) or metrics["images"] != len(image_ids):
        raise ValueError(f"images.csv: not {metrics['images']} pictures, each once")
    counts = tables["image_classes"]
    known = set(counts["image_id"]) <= set(image_ids) and set(counts["class"]) <= set(classes)
    if not known or counts.duplicated(["image_id", "class"]).any():
        raise ValueError("image_classes.csv: not the pictures and classes of the other files")
    overlap = scores.overlap_of(counts, image_ids, classes)
    if not np.array_equal(overlap.sum(axis=0), scores.overlap(_confusion_pixels(tables))):
        raise ValueError("image_classes.csv: its sum is not that of confusion.csv")
    images = scores.images_table(image_ids, overlap, np.zeros_like(overlap))
    _check_same("images", tables, images, ["miou", "pixel_acc", "rank"])


def _check_metrics(metrics: dict[str, Any]) -> None:
    """Check what no other file says: the interval, the scores of the bands, the protocol."""
    for name in ["miou_low", "miou_high", *BANDS]:
        value = metrics.get(name, "missing")
        if value is None and name in BANDS:
            continue  # a band may be without pixels
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f"metrics.json: {name} = {value!r}: expected a fraction")
    if not metrics["miou_low"] <= metrics["miou_high"]:
        raise ValueError("metrics.json: miou_low is above miou_high")
    protocol = metrics.get("protocol")
    for name in PROTOCOL:
        if not isinstance(protocol, dict) or type(protocol.get(name)) not in (int, str):
            raise ValueError(f"metrics.json: protocol lacks {name}")


def _check_same(
    name: str, tables: Mapping[str, pd.DataFrame], expected: pd.DataFrame, columns: list[str]
) -> None:
    for column in columns:
        if not _close(tables[name][column].to_numpy(), expected[column].to_numpy()):
            raise ValueError(f"{name}.csv: {column} is not what the counts of pixels give")


def _check_score(metrics: dict[str, Any], key: str, expected: float, file: str) -> None:
    value = metrics.get(key)
    if not _is_number(value) or not _close(value, expected):
        raise ValueError(f"metrics.json: {key} = {value!r}, but {file} gives {expected:.6g}")


def _confusion_pixels(tables: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """(C, C) int64, rows = true class, columns = predicted."""
    classes = len(tables["per_class"])
    return tables["confusion"]["pixels"].to_numpy().reshape(classes, classes)


def _close(values: Any, expected: Any) -> bool:
    """Equal but for the rounding of decimal numbers; shapes have to fit."""
    return np.allclose(values, expected, rtol=1e-9, atol=1e-12, equal_nan=True)


def _is_number(value: Any) -> bool:
    """Whether it is an int or a float; True and False are neither."""
    return type(value) in (int, float)
