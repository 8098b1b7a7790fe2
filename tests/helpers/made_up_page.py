"""A finished pipeline in a folder, for the tests of the page: pictures, masks and true reports."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from conftest import write_picture, write_split

from helpers.made_up_reports import MACHINE, write_report
from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset
from segmodels.core.files import write_csv, write_json
from segmodels.data import images, index
from segmodels.evaluation import score_masks
from segmodels.reporting import tables
from segmodels.reporting.result import read_result

ROOT = Path(__file__).parents[2]
CLASSES = ["background", "<b>cat</b> & dog", "鳥", "NA"]  # names that careless pages break on
MODELS = ["unet", "fcn8s", "fcn32s"]  # from good to bad
VAL = ["007", "2007_000033", "2007_000042", "NA"]
SIZE = 48, 60  # height and width in pixels
GROUPS = {"animals": [CLASSES[1], CLASSES[2]], "NA": ["NA"]}
COSTS = {  # GMACs, latency in ms, training in s, peak memory in GB
    "unet": (8.0, 40.0, 90.0, 1.75),
    "fcn8s": (2.0, 50.0, 30.0, 0.5),
    "fcn32s": (1.5, 10.0, 20.0, 0.45),
}


def target(k):
    """A picture's labels and objects: two of class 1 + k % 3, a line of void around the first."""
    labels = np.zeros(SIZE, np.uint8)
    objects = np.zeros(SIZE, np.uint8)
    for number, left in ((1, 6), (2, 34)):
        objects[9 : 21 + 4 * k, left - 1 : left + 17] = 255 if number == 1 else 0
        objects[10 : 20 + 4 * k, left : left + 16] = number
    labels[(objects > 0) & (objects < 255)] = 1 + k % 3
    labels[objects == 255] = 255
    return labels, objects


def prediction(k, worse):
    """The truth of picture k without void, moved to the right by `worse` columns each picture."""
    labels = np.roll(target(k)[0], worse * (k + 1), axis=1)
    return np.where(labels == 255, 0, labels).astype(np.uint8)


def write_project(home):
    """params.yaml, data set, masks and the reports of `evaluate` and `compare` under `home`."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings["model"] = "unet"
    settings["models"] = {name: {"arch": "unet"} for name in MODELS}
    settings["comparisons"] = {"skips": MODELS[1:]}
    settings["datasets"]["miniature"] |= {"classes": CLASSES, "groups": GROUPS}
    (home / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
    root = home / Paths(dataset="miniature").tree
    noise = np.random.default_rng(0)
    for k, image_id in enumerate(VAL):
        labels, objects = target(k)
        picture = noise.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        write_picture(root, image_id, picture, labels)
        write_picture(root, f"train_{k}", picture, labels)
        images.write_target(
            root / "SegmentationObject" / f"{image_id}.png", objects, images.palette()
        )
    write_split(root, "val", VAL)
    write_split(root, "train", [f"train_{k}" for k in range(len(VAL))])
    _, facts = index.build(root, Dataset(classes=CLASSES))
    write_json(home / "data/miniature/statistics.json", facts)
    for worse, model in enumerate(MODELS):
        _write_model(home, root, model, worse)
    results = [read_result(model, home / "reports/models") for model in MODELS]
    write_csv(home / "reports/comparison/differences.csv", tables.differences(results))


def _write_model(home, root, model, worse):
    masks = home / "data/predictions/miniature" / model
    for k, image_id in enumerate(VAL):
        images.write_target(masks / f"{image_id}.png", prediction(k, worse), images.palette())
    counts = score_masks.per_image(masks, root, VAL, num_classes=len(CLASSES), ignore_index=255)
    reports = home / "reports/models"
    rising = np.linspace(0.1, 0.9 - 0.2 * worse, 9)
    gflops, latency, seconds, memory = COSTS[model]
    write_report(
        reports,
        model,
        counts=counts.confusion,
        classes=CLASSES,
        miou=rising,
        arch=model.rstrip("0123456789s"),  # fcn8s and fcn32s are one network with two seeds
        protocol={"seed": worse},
        gflops=gflops,
        images=len(VAL),
    )
    for name, table in score_masks.tables(counts, CLASSES, GROUPS).items():
        write_csv(reports / model / f"{name}.csv", table)
    training = {"train_seconds": seconds, "peak_memory_bytes": memory * 1e9}
    measured = {
        "latency_ms": latency,
        "passes": 50,
        "picture": "80 x 64",
        "training": training,
        **MACHINE,
    }
    write_json(home / f"data/costs/miniature/{model}.json", measured)


def make_page(home):
    """Run the stage; the page it writes."""
    subprocess.run(
        [sys.executable, "-m", "stages.page"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return home / "data/page/index.html"
