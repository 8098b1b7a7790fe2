"""The stage evaluate on a data set of its own: what it writes, and what it refuses."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import VOID, write_tree
from helpers import warm
from sklearn import metrics as sklearn_metrics

from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset
from segmodels.data import images, layout
from segmodels.data.index import build

ROOT = Path(__file__).parents[2]
CLASSES = ["background", "007", "NA", "car, blue"]
GROUPS = {"things": ["007", "car, blue"]}


@pytest.fixture
def home(tmp_path):
    """A workspace after predict: tree, index, weights, history and masks of the model `small`."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings |= {"dataset": "mine", "model": "small", "comparisons": {}}
    settings["models"] = {"small": {"arch": "unet"}}
    settings["datasets"]["mine"] = {"classes": CLASSES, "groups": GROUPS}
    for section in ("train", "predict"):
        settings[section]["mine"] = settings[section]["miniature"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    root = tmp_path / Paths(dataset="mine").tree
    write_tree(root, train=1, val=4, num_classes=len(CLASSES))
    index, _ = build(root, Dataset(classes=CLASSES))
    index.to_csv(tmp_path / "data/mine/index.csv", index=False)
    masks = tmp_path / "data/predictions/mine/small"
    for image_id in index.query("split == 'val'")["image_id"]:
        target = images.read_target(layout.target_path(root, image_id))
        labels = np.where(target == VOID, 0, np.roll(target, 2, axis=1))
        images.write_target(masks / f"{image_id}.png", labels % VOID, images.palette())
    run = tmp_path / "data/runs/mine/small/train"
    run.mkdir(parents=True)
    (run / "weights.pt").write_bytes(b"weights")
    recipe = {"epochs": 2, "batch_size": 4, "crop_size": 32, "init": "none"}
    provenance = {"recipe": recipe, "seed": 0, "precision": "fp32", "device": "cpu"}
    (run / "provenance.json").write_text(json.dumps(provenance))
    counted = {"gflops": 1.5, "picture": "64 x 48"}
    (run.parent / "gflops.json").write_text(json.dumps(counted))
    (run / "history.csv").write_text("epoch,val_miou\n0,0.1\n1,0.4\n2,0.3\n")
    (run / "per_class_history.csv").write_text("epoch,class,iou,acc\n")
    return tmp_path


def evaluate(home):
    return warm.run(home, "stages.evaluate", "small", PYTHONPATH=str(ROOT))


def test_stage_writes_scores_and_the_protocol_they_belong_to(home):
    done = evaluate(home)
    assert done.returncode == 0, done.stderr
    report = home / "reports/models/small"
    written = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    pixels = []
    for path in sorted((home / "data/predictions/mine/small").glob("*.png")):
        target = images.read_target(
            layout.target_path(home / Paths(dataset="mine").tree, path.stem)
        )
        pixels.append(np.stack([target, images.read_target(path)])[:, target != VOID])
    true, predicted = np.concatenate(pixels, axis=1)
    jaccard = sklearn_metrics.jaccard_score(true, predicted, average="macro")
    assert written["miou"] == pytest.approx(jaccard)
    assert (written["images"], written["best_epoch"]) == (4, 1)
    protocol = written["protocol"]
    assert protocol["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    names = "".join(f"val_{k:03d}\n" for k in range(4)).encode()
    assert protocol["ids_sha256"] == hashlib.sha256(names).hexdigest()
    assert (written["gflops"], protocol["gflops_picture"]) == (1.5, "64 x 48")
    assert protocol["ground_truth"] == "original size" and protocol["init"] == "none"
    per_class = pd.read_csv(report / "per_class.csv", keep_default_na=False, dtype={"class": str})
    assert per_class["class"].tolist() == CLASSES
    groups = pd.read_csv(report / "groups.csv")
    assert groups["true_pixels"].tolist() == [np.isin(true, [1, 3]).sum()]


def test_protocol_follows_the_weights_and_not_how_many_images_are_predicted_at_a_time(home):
    def protocol():
        evaluate(home)
        text = (home / "reports/models/small/metrics.json").read_text(encoding="utf-8")
        return json.loads(text)["protocol"]

    before = protocol()
    (home / "data/runs/mine/small/train/weights.pt").write_bytes(b"others")
    path = home / "params.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["predict"]["mine"]["batch_size"] += 1
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    after = protocol()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"weights_sha256"}


def test_stage_scores_the_pictures_held_out_of_train(home):
    path = home / "params.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["datasets"]["mine"]["holdout"] = 1
    settings["predict"]["mine"]["split"] = "holdout"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    index = pd.read_csv(home / "data/mine/index.csv", dtype={"image_id": str})
    index.loc[index["image_id"].isin(["val_001", "val_003"]), "split"] = "holdout"
    index.to_csv(home / "data/mine/index.csv", index=False)
    for unwanted in ("val_000", "val_002"):
        (home / f"data/predictions/mine/small/{unwanted}.png").unlink()
    done = evaluate(home)
    assert done.returncode == 0, done.stderr
    report = home / "reports/models/small"
    written = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    assert (written["split"], written["images"]) == ("holdout of train", 2)
    assert pd.read_csv(report / "images.csv")["image_id"].tolist() == ["val_001", "val_003"]


def test_stage_scores_test_and_counts_the_look_at_it(home):
    path = home / "params.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["datasets"]["mine"]["test"] = "final"
    settings["predict"]["mine"]["split"] = "test"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    index = pd.read_csv(home / "data/mine/index.csv", dtype={"image_id": str})
    index[index["image_id"].isin(["val_001", "val_003"])].to_csv(
        home / "data/mine/test.csv", index=False
    )
    done = evaluate(home)
    assert done.returncode == 0, done.stderr
    report = home / "reports/models/small"
    written = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    assert (written["split"], written["images"], written["best_epoch"]) == ("final", 2, 1)
    assert written["protocol"]["test_looks"] == 1
    assert pd.read_csv(report / "images.csv")["image_id"].tolist() == ["val_001", "val_003"]


def test_stage_names_every_mask_that_is_missing_or_broken(home):
    masks = home / "data/predictions/mine/small"
    (masks / "val_000.png").unlink()
    (masks / "val_002.png").write_text("text")
    done = evaluate(home)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "2 pictures cannot be scored" in done.stderr
    assert "val_000.png: missing" in done.stderr
    assert "val_002.png: not a picture" in done.stderr
    assert not (home / "reports").exists()
