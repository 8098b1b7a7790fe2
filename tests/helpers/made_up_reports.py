"""Reports of models that never were, in the formats of `evaluate`, for the tests of the reports."""

import numpy as np
import pandas as pd

from segmodels.core.files import write_csv, write_json
from segmodels.evaluation import boundary, score_masks, scores

CLASSES = ["background", "NA", "007", "a$b$", "absent"]  # names that careless readers change
TRUE_PIXELS = [60, 20, 15, 5, 0]
PROTOCOL = {
    "ground_truth": "original size",
    "input_long_side": "original",
    "test_time": "single scale",
    "weights": "last epoch",
    "epochs": 8,
    "init": "none",
    "seed": 0,
    "precision": "fp32",
    "gflops_picture": "80 x 64",
    "bootstrap": {"resamples": 2000, "seed": 0, "level": 0.95},
    "code_sha256": {"scores.py": "5c0e", "folder.py": "f01d"},
}
GROUPS = {"things": ["a$b$", "NA"], "007": ["007"], "none": ["absent"]}
IMAGES = ["007", "NA", "2007_000033"]
TRAINING = {"epochs": 8, "batch_size": 4, "crop_size": 64, "init": "none", "bn": "train"}
RECIPE = {"loss": {"cross_entropy": 1, "dice": 0}, "class_weights": "none", **TRAINING}
MACHINE = {"device": "cpu", "precision": "fp32", "threads": 2, "cpu": "Abacus 3000", "gpu": None}


def confusion(seed, true_pixels=TRUE_PIXELS):
    """(C, C) whose rows sum up to `true_pixels`; no class that is absent is predicted."""
    rng = np.random.default_rng(seed)
    likely = np.eye(len(true_pixels)) + 0.2 * (np.array(true_pixels) > 0)
    rows = []
    for pixels, weights in zip(true_pixels, likely, strict=True):
        rows.append(rng.multinomial(pixels, weights / weights.sum()))
    return np.array(rows)


def history(miou):
    """A history whose val mIoU is `miou`; epoch 0 first."""
    epochs = np.arange(len(miou))
    return pd.DataFrame(
        {
            "epoch": epochs,
            "lr": 0.1 / (1 + epochs),
            "train_loss": 2.0 / (1 + epochs),
            "train_objective": 3.0 / (1 + epochs),
            "train_cross_entropy": 1.8 / (1 + epochs),
            "train_dice": 0.9 / (1 + epochs),
            "val_loss": 2.5 / (1 + epochs) + miou[0],
            "val_cross_entropy": 2.1 / (1 + epochs) + miou[0],
            "val_dice": 0.8 / (1 + epochs) + miou[0],
            "val_miou": miou,
            "val_pixel_acc": np.linspace(0.5, 0.75, len(miou)),
            "val_mean_acc": np.linspace(0.1, 0.3, len(miou)),
        }
    )


def counts_of(confusion, seed=0, images=IMAGES):
    """The pixels of a confusion matrix, dealt out to pictures; a tenth lies along boundaries."""
    rng = np.random.default_rng(seed)
    equal = np.full(len(images), 1 / len(images))
    per_image = rng.multinomial(confusion, equal).transpose(2, 0, 1)  # (n, C, C)
    overlap = np.array([scores.overlap(one) for one in per_image])
    at_boundaries = np.array([scores.overlap(one // 10) for one in per_image])
    return score_masks.Counts(
        image_ids=images,
        confusion=confusion,
        overlap=overlap,
        bands=dict.fromkeys(boundary.NAMES, at_boundaries),
        distances=np.full(len(images), 2),
        problems=[],
    )


def write_report(
    home,
    model,
    *,
    counts,
    miou=None,
    classes=CLASSES,
    protocol=(),
    recipe=(),
    arch=None,
    pictures=IMAGES,
    **replaced,
):
    """Write reports/models/<model>/ for a confusion matrix; other keywords replace metrics."""
    miou = np.linspace(0.1, 0.4, 9) if miou is None else np.asarray(miou)
    dealt = counts_of(counts, images=pictures)
    metrics = {
        "model": model,
        "dataset": "miniature",
        "split": "val",
        **score_masks.metrics(dealt),
        "best_epoch": int(miou.argmax()),
        "best_epoch_miou": float(miou.max()),
        "gflops": 2.5,
        "protocol": {**PROTOCOL, "weights_sha256": model, **dict(protocol)},
        **replaced,
    }
    write_json(home / model / "metrics.json", metrics)
    provenance = {
        "model": model,
        "arch": arch or model,
        "arguments": {},
        "parameters": 1_250_000,
        "normalize": {},
        "recipe": {**RECIPE, **dict(recipe)},
        **MACHINE,
    }
    write_json(home / model / "provenance.json", provenance)
    write_csv(home / model / "history.csv", history(miou))
    for name, table in score_masks.tables(dealt, classes, GROUPS).items():
        write_csv(home / model / f"{name}.csv", table)
