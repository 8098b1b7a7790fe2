"""What `evaluate` wrote for one model, and which models may stand in one table.

Scores are fractions 0..1. Those of the all-background baseline follow from the number of true
pixels of each class, so no image is read.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from segmodels.config.schema import Loss, Train
from segmodels.evaluation import scores
from segmodels.reporting.result_files import read

# Keys of metrics.json.
MEASURED_ON = ["dataset", "split", "images"]  # images: how many of them the split has

# Keys of metrics.json's protocol that may differ between the models of a table; no other key may.
RECIPE_KEYS = {"epochs", "batch_size", "crop_size", "init"}  # see `tables.otherwise`
HASH_KEYS = {"code_sha256", "params_sha256"}  # only in older results, see `evaluation` instead
PER_MODEL_KEYS = {"seed", "weights_sha256", "predictions_sha256"} | RECIPE_KEYS | HASH_KEYS
# These may differ too, of a run that params.yaml wants predicted in a way of its own.
PREDICTED = ["input_long_side", "test_time", "weights"]
PREDICTION_KEYS = {*PREDICTED, "gflops_picture"}

LOSS_NAMES = {name: str(field.title) for name, field in Loss.model_fields.items()}
CROSS_ENTROPY = LOSS_NAMES["cross_entropy"]  # the history of every model contains it
IDENTITY_KEYS = ["arch", "arguments", "normalize", "recipe"]  # of provenance.json, without the seed


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
        """(n, 3, C) int64: correct, true and predicted pixels of each image and class."""
        classes = self.per_class["class"].tolist()
        return scores.overlap_of(self.image_classes, self.images["image_id"].tolist(), classes)

    def of(self, classes: Sequence[str] | None) -> np.ndarray:
        """(n, 3, c) int64: `overlap` of some classes in their order; None: of all."""
        return self.overlap if classes is None else self.overlap[..., self.labels(classes)]

    def labels(self, classes: Sequence[str]) -> list[int]:
        """The labels of some classes."""
        known = self.per_class["class"].tolist()
        return [known.index(name) for name in classes]

    @property
    def floor(self) -> dict[str, float | int]:
        """Scores of the all-background baseline on the same images."""
        return scores.summarize(self.floor_confusion)

    @property
    def floor_confusion(self) -> np.ndarray:
        """(C, C) int64 confusion of the all-background baseline."""
        return scores.floor_confusion(self.per_class["true_pixels"].to_numpy())

    @property
    def identity(self) -> str:
        """Network, recipe and prediction as one text: equal where only the seeds differ."""
        values = {key: self.provenance[key] for key in IDENTITY_KEYS}
        values["recipe"] = self.recipe
        values["predicted"] = [self.metrics["protocol"][key] for key in PREDICTED]
        return json.dumps(values, sort_keys=True)

    @property
    def recipe(self) -> dict[str, Any]:
        """What it was trained with; keys and losses that came later have their defaults."""
        recipe = _defaults(Train) | self.provenance["recipe"]
        return recipe | {"loss": _defaults(Loss) | recipe["loss"]}

    @property
    def loss(self) -> str:
        """The training loss in words, e.g. "cross-entropy + 0.5 Dice"."""
        recipe = self.provenance["recipe"]
        names = dict(LOSS_NAMES)
        parts = list(recipe["loss"].items())
        weights = recipe["class_weights"]
        if weights != "none":
            root = "square-root " if weights.startswith("sqrt") else ""
            names["cross_entropy"] = f"{CROSS_ENTROPY} with {root}class weights"
            # The last one: "+ Dice" behind "with class weights" would seem to belong to these.
            parts.sort(key=lambda part: part[0] == "cross_entropy")
        terms = []
        for key, weight in parts:
            if weight:
                name = names.get(key, key)
                terms.append(name if weight == 1 else f"{weight:g} {name}")
        return " + ".join(terms)


def read_result(model: str, folder: str | Path = "reports/models") -> Result:
    """Read what `evaluate` wrote for one model.

    Raises:
        ValueError: a file is missing, damaged, or contradicts another one.
    """
    return Result(model=model, **read(Path(folder) / model))


def check_comparable(results: Sequence[Result], otherwise: Collection[str] = ()) -> None:
    """Refuse models that were measured on different images or in different ways.

    Args:
        otherwise: runs that params.yaml wants predicted in a way of their own.
    Raises:
        ValueError: names the two models and what differs.
    """
    first = results[0]
    for other in results[1:]:
        free = PREDICTION_KEYS if {first.model, other.model} & set(otherwise) else set()
        ours = _conditions(first)
        theirs = _conditions(other)
        for key in ours | theirs:
            if key not in free and ours.get(key) != theirs.get(key):
                raise ValueError(
                    f"{first.model} and {other.model} do not belong in one table: {key} is "
                    f"{ours.get(key)!r} and {theirs.get(key)!r}; `dvc repro` makes them equal"
                )


def _conditions(result: Result) -> dict[str, Any]:
    """Everything that must be equal before two models stand in one table."""
    conditions = {key: result.metrics[key] for key in MEASURED_ON}
    classes = result.per_class["class"]
    for name, pixels in zip(classes, result.per_class["true_pixels"], strict=True):
        conditions[f"number of pixels of {name}"] = int(pixels)
    protocol = {"evaluation": 1} | result.metrics["protocol"]  # the oldest results lack this key
    for key in sorted(set(protocol) - PER_MODEL_KEYS):
        value = protocol[key]
        if isinstance(value, dict):
            for name, member in value.items():
                conditions[f"{key} of {name}"] = member
        else:
            conditions[key] = value
    return conditions


def _defaults(section: type[Train] | type[Loss]) -> dict[str, Any]:
    """The keys of a section that have a default, as provenance.json has them."""
    found: dict[str, Any] = {}
    for key, field in section.model_fields.items():
        if not field.is_required():
            kind = TypeAdapter[Any](field.annotation or Any)
            found[key] = kind.dump_python(kind.validate_python(field.default), mode="json")
    return found
