"""A scored run becomes one file, its card compared with the run's own records."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from segmodels import models
from segmodels.config import params
from segmodels.config.schema import Dataset
from segmodels.core import packed
from segmodels.core.files import sha256
from segmodels.data.index import build
from segmodels.data.sources.miniature.generate import generate
from segmodels.training.checkpoint import save_weights
from tools import pack_weights

ROOT = Path(__file__).parents[2]
FPN = {"pyramid_channels": 8, "branch_channels": 8}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study with one run on EfficientNet-Lite0 that was trained and scored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "weights")
    monkeypatch.setitem(pack_weights.PHOTOGRAPHS, "miniature", "drawn by a program")
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    entry = {"arch": "fpn", "backbone": "timm/tf_efficientnet_lite0", **FPN}
    content |= {"models": {"lite": entry, "other": {"arch": "unet"}}, "model": "lite"}
    scored = {"runs": ["lite", "other"], "score_classes": ["background", "cat"]}
    content |= {"comparisons": {"best": scored}}
    content["predict"]["miniature"] |= {"flip": True, "long_side": 64, "threads": 1}
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    settings = params.load()
    classes = settings.data.classes
    generate(
        settings.paths.tree, train=3, val=2, short_side=64, long_side=80, classes=classes, seed=3
    )
    index, _ = build(settings.paths.tree, Dataset(classes=classes))
    index.to_csv(settings.paths.index, index=False)
    write_run(settings, content)
    return settings


def write_run(settings, content):
    """What the stages train, evaluate and compare write."""
    torch.manual_seed(0)
    arguments = {"backbone": "timm/tf_efficientnet_lite0", **FPN}
    model = models.build("fpn", num_classes=21, **arguments)
    weights = settings.paths.train("lite") / "weights.pt"
    save_weights(model.state_dict(), weights)
    record = {"arch": "fpn", "arguments": arguments, "seed": 3, "parameters": 123}
    record |= {
        "recipe": {"class_weights": "none"} | content["train"]["miniature"],
        "precision": "fp32",
    }
    record |= {"normalize": content["normalize"], "start": {"init": "none", "file": None}}
    weights.with_name("provenance.json").write_text(json.dumps(record))
    report = settings.paths.report("lite")
    report.mkdir(parents=True)
    metrics = {"miou": 0.25, "pixel_acc": 0.5, "classes_counted": 9, "images": 2, "split": "val"}
    metrics |= {"protocol": {"weights_sha256": sha256(weights)}}
    (report / "metrics.json").write_text(json.dumps(metrics))
    rows = [f"{name},{0.5 if k else 0.75}" for k, name in enumerate(settings.data.classes)]
    (report / "per_class.csv").write_text("\n".join(["class,iou", *rows]) + "\n")
    settings.paths.comparison.mkdir(parents=True)
    table = "model,miou,low,high\nother,0,0,0\nlite,0.625,0.5,0.75\n"
    (settings.paths.comparison / "best_scores.csv").write_text(table)


def pack(monkeypatch, name="animals"):
    monkeypatch.setattr(sys, "argv", ["pack_weights", ".", "lite", name])
    pack_weights.main()
    return packed.FOLDER / f"{name}.safetensors"


def test_card_says_what_the_study_says_and_bytes_are_the_same_again(study, monkeypatch, capsys):
    path = pack(monkeypatch)
    assert "float16 keeps " in capsys.readouterr().out
    card = packed.read_card(path)
    assert card.arguments["backbone"] == "efficientnet_lite0"  # without timm
    assert card.classes == study.data.classes and card.scored == ["background", "cat"]
    assert card.scores["iou"] == {"background": 0.75, "cat": 0.5}
    assert (card.scores["miou"], card.scores["low"], card.scores["high"]) == (0.625, 0.5, 0.75)
    assert (card.scores["miou_all"], card.scores["test_time"]) == (0.25, "flip")
    assert card.predict["flip"] is True and card.predict["long_side"] == 64
    assert card.training["images"] == 3 and card.training["recipe"]["epochs"] == 4
    assert card.licences["encoder"].endswith("Apache-2.0")
    weights = study.paths.train("lite") / "weights.pt"
    assert card.source == {"study": ".", "run": "lite", "weights_sha256": sha256(weights)}
    line = path.with_suffix(".sha256").read_text()
    assert line == f"{sha256(path)}  animals.safetensors\n"
    before = path.read_bytes()
    assert pack(monkeypatch).read_bytes() == before
    stored = torch.load(weights, weights_only=True)
    for name, tensor in packed.read_tensors(path).items():
        assert np.array_equal(tensor, stored[name].half().float()), name
    monkeypatch.setattr(pack_weights, "LARGEST", 1)
    with pytest.raises(ValueError, match="expected at most 1"):
        pack(monkeypatch)
    assert path.read_bytes() == before and packed.names() == ["animals"]


def test_scores_of_other_weights_and_unknown_licences_are_refused(study, monkeypatch):
    monkeypatch.delitem(pack_weights.PHOTOGRAPHS, "miniature")
    with pytest.raises(ValueError, match="add their licences to tools/pack_weights.py"):
        pack(monkeypatch)
    monkeypatch.setitem(pack_weights.PHOTOGRAPHS, "miniature", "drawn")
    monkeypatch.setattr(pack_weights, "AGREEING", 1.1)
    with pytest.raises(ValueError, match="float16 keeps .* of labels, not 110"):
        pack(monkeypatch)
    assert packed.names() == []
    report = study.paths.report("lite") / "metrics.json"
    report.write_text(report.read_text().replace("weights_sha256", "weights_sha256_of"))
    with pytest.raises(ValueError, match="scores of other weights than"):
        pack(monkeypatch)
