"""One run's label maps against the targets -> reports/models/<run>/; needs no torch."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from segmodels.config import params
from segmodels.config.schema import Predict
from segmodels.core import supervise
from segmodels.core.files import sha256, write_csv, write_json
from segmodels.data import splits
from segmodels.evaluation import score_masks


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    paths = settings.paths
    name = supervise.argument(settings.runs)
    data = settings.data
    choices = settings.prediction(name)
    run_dir = paths.train(name)
    report_dir = paths.report(name)
    masks = paths.predictions(name)
    root = paths.tree
    rows = splits.rows(paths, data, choices.split)
    image_ids = rows["image_id"].tolist()
    counts = score_masks.per_image(
        masks,
        root,
        supervise.progress(image_ids, len(image_ids), f"evaluate {name}"),
        num_classes=len(data.classes),
        ignore_index=data.void,
    )
    counts.check_complete()
    metrics: dict[str, Any] = {"model": name, "dataset": settings.dataset}
    metrics |= scored(settings, choices, counts, run_dir)
    metrics["protocol"] = protocol(choices, run_dir) | score_masks.protocol(masks, root, counts)
    weights = run_dir / choices.weights_file
    metrics["protocol"]["weights_sha256"] = sha256(weights)
    write_json(report_dir / "metrics.json", metrics)
    for file, table in score_masks.tables(counts, data.classes, data.groups).items():
        write_csv(report_dir / f"{file}.csv", table)
    copy_training(run_dir, report_dir, data.classes)


def scored(
    settings: params.Params, choices: Predict, counts: score_masks.Counts, run_dir: Path
) -> dict[str, Any]:
    """The scores, and which epoch was the best."""
    data = settings.data
    history = pd.read_csv(run_dir / "history.csv")
    chosen_on = "holdout" if "holdout_miou" in history else "val"
    best = history.iloc[int(history[f"{chosen_on}_miou"].argmax())]
    cost = read_json(run_dir.parent / "gflops.json")
    names = data.lists | {"holdout": f"holdout of {data.train}"}
    scores: dict[str, Any] = {"split": names[choices.split]}
    scores |= score_masks.metrics(counts)
    scores["gflops"] = cost["gflops"]
    scores["best_epoch"] = int(best["epoch"])
    scores["best_epoch_miou"] = float(best["val_miou"])
    return scores


def protocol(choices: Predict, run_dir: Path) -> dict[str, Any]:
    """How the model was trained and how its masks were predicted, in words."""
    trained = read_json(run_dir / "provenance.json")
    said: dict[str, Any] = {
        "ground_truth": "original size",
        "input_long_side": choices.long_side or "original",
        "test_time": choices.test_time,
        "weights": f"{choices.weights} epoch",
    }
    if choices.split == "test":
        said["test_looks"] = 1  # of this run: once, after its training
    said |= {key: trained["recipe"][key] for key in ("epochs", "batch_size", "crop_size", "init")}
    said |= {key: trained[key] for key in ("seed", "precision", "device")}
    said["gflops_picture"] = read_json(run_dir.parent / "gflops.json")["picture"]
    return said


def copy_training(run_dir: Path, report_dir: Path, classes: list[str]) -> None:
    """Copy what a training noted; its classes are called as they are now."""
    for file in ("history.csv", "provenance.json"):
        shutil.copyfile(run_dir / file, report_dir / file)
    per_class = pd.read_csv(run_dir / "per_class_history.csv")
    epochs = len(per_class) // len(classes)
    per_class["class"] = classes * epochs
    write_csv(report_dir / "per_class_history.csv", per_class)


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    supervise.run(main)
