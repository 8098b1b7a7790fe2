"""The study in reports/voc_sample: what it would train, and its tables against its results."""

import functools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import jaccard_score

from reports.voc_sample import frequent, study
from segmodels import models, params
from segmodels.reporting import tables
from segmodels.reporting.checks import read_json

ROOT = Path(__file__).parents[1]
HERE = ROOT / "reports/voc_sample"
STUDY = yaml.safe_load((HERE / "study.yaml").read_text(encoding="utf-8"))
RESULTS = sorted(path.name for path in (HERE / "models").glob("*"))
COMPARED = sorted(path.parent.name for path in HERE.glob("*/frequent.csv"))
SECTIONS = STUDY["sections"]


@functools.cache
def check_once(arch, arguments):
    """The same network is in many sections, with other recipes."""
    models.check_arguments("model", arch, yaml.safe_load(arguments))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_a_valid_params_yaml(section, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(study, "CLONE", tmp_path)
    for variant in [None, *SECTIONS[section].get("variants", [])]:
        study.write_params(STUDY, section, variant)
        settings = params.load(tmp_path / "params.yaml")
        assert settings.dataset == "voc_sample"
        assert list(settings.models) == list(SECTIONS[section]["models"])
        for model in settings.models.values():
            check_once(model.arch, yaml.safe_dump(model.arguments))


def test_a_model_of_two_sections_is_the_same_in_both():
    seen = {}
    for content in SECTIONS.values():
        for name, model in content["models"].items():
            own = (model, content.get("train"), content.get("datasets"), content.get("predict"))
            assert seen.setdefault(name, own) == own, name


def test_only_what_a_section_is_about_differs_within_it():
    """Same encoder, start, epochs, crop; the recipe of the others as `every` says."""
    allowed = {
        "architectures": set(),
        "seeds": set(),
        "losses": {"loss"},
        "upsampling": set(),
        "network": {"init", "epochs"},
        "choice": {"init", "epochs"},
        "crop": {"init", "epochs", "crop_size"},
        "best": {"init", "epochs", "crop_size"},
    }
    for section, keys in allowed.items():
        for name, model in SECTIONS[section]["models"].items():
            encoder = "lite2" if "init" in keys else "lite0"
            assert model["backbone"] == f"timm/tf_efficientnet_{encoder}", name
            assert set(model.get("train", {})) <= keys, name


def test_an_unknown_model_is_one_line():
    command = [sys.executable, "-m", "reports.voc_sample.study", "fnc"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fnc: expected models of reports/voc_sample/study.yaml: ['fcn',")
    assert done.stderr.count("\n") == 1


def test_results_are_of_models_of_the_study():
    known = {name for content in SECTIONS.values() for name in content["models"]}
    assert set(RESULTS) <= known


@pytest.mark.parametrize("name", RESULTS)
def test_results_belong_to_the_study_and_to_its_pictures(name):
    result = tables.read_result(name, HERE / "models")
    (content, *_) = [c for c in SECTIONS.values() if name in c["models"]]
    model = content["models"][name]
    recipe = {**STUDY["every"]["train"], **content.get("train", {}), **model.get("train", {})}
    found = result.provenance["recipe"]
    assert {key: found[key] for key in recipe} == recipe
    assert result.metrics["protocol"]["seed"] == model.get("seed", 0)
    held = content.get("predict", {}).get("split") == "holdout"
    split, count = ("holdout of train", 80) if held else ("val", 200)
    assert (result.metrics["split"], result.metrics["images"]) == (split, count)


def test_the_hours_of_the_whole_are_those_of_its_models():
    """A model of two sections is trained once."""
    names = {name for content in SECTIONS.values() for name in content["models"]}
    costs = [read_json(HERE / "models" / name / "cost.json") for name in names]
    hours = sum(cost["train_seconds"] for cost in costs) / 3600
    page = (HERE / "README.md").read_text(encoding="utf-8")
    assert f"everything, {hours:.1f} hours of training steps" in page


@pytest.mark.parametrize("section", COMPARED)
def test_scores_of_the_frequent_classes_equal_sklearn(section):
    """From the pictures' counts: a confusion of right pixels and of the rest."""
    shown = pd.read_csv(HERE / section / "frequent.csv").set_index("model")
    assert list(shown.index) == [*SECTIONS[section]["models"], tables.FLOOR]
    for name, row in shown.drop(tables.FLOOR).iterrows():
        result = tables.read_result(name, HERE / "models")
        right, true, predicted = frequent.overlap(result).sum(0)
        scores = []
        for k in range(len(frequent.CLASSES)):
            truth, guess = [1, 1, 0], [1, 0, 1]
            weights = [right[k], true[k] - right[k], predicted[k] - right[k]]
            scores.append(jaccard_score(truth, guess, sample_weight=weights))
        assert row["miou"] == pytest.approx(np.mean(scores), abs=1e-12)
        assert row["low"] < row["miou"] < row["high"]


SUBSET = params.load(ROOT / "params.yaml").datasets["voc_sample"]
ANIMALS = ["cat", "cow", "dog", "horse", "sheep"]
METRICS = {name: read_json(HERE / f"models/{name}/metrics.json") for name in RESULTS}
VALIDATED = [name for name in RESULTS if METRICS[name]["split"] == "val"]


def test_every_validation_image_shows_one_of_the_animals_and_three_a_motorbike():
    pixels = tables.read_result("fcn", HERE / "models").image_classes
    shown = pixels[pixels["true_pixels"] > 0]
    assert shown[shown["class"].isin(ANIMALS)]["image_id"].nunique() == 200
    assert (shown["class"] == "motorbike").sum() == 3


@pytest.mark.parametrize("name", VALIDATED)
def test_what_no_training_image_shows_counts_as_0(name):
    per_class = pd.read_csv(HERE / f"models/{name}/per_class.csv").set_index("class")
    untrained = per_class.loc[SUBSET.allow_absent]
    scored = untrained[untrained["true_pixels"] > 0]
    assert scored.index.tolist() == ["motorbike"]
    assert scored["iou"].tolist() == [0]


def test_the_subset_is_what_its_pages_say():
    """Counted in index.csv, where the archive is at hand."""
    places = [ROOT / "data/voc_sample/index.csv", ROOT / study.CLONE / "data/voc_sample/index.csv"]
    file = next(filter(Path.is_file, places), None)
    if file is None:
        pytest.skip("needs the index of the photographs, which the study makes")
    index = pd.read_csv(file)
    train, val = (index[index["split"] == split] for split in ("train", "val"))
    counts = [int((part[ANIMALS] > 0).any(axis=1).sum()) for part in (train, val)]
    assert [len(train), len(val), *counts] == [440, 200, 437, 200]
    assert [name for name in SUBSET.classes if not train[name].any()] == SUBSET.allow_absent
    for page in ("README.md", "README.zh-CN.md", "reports/voc_sample/README.md"):
        first = (ROOT / page).read_text(encoding="utf-8").partition("\n## ")[0]
        assert {"437", "440", "200"} <= set(re.findall(r"\d+", first)), page


@pytest.mark.parametrize("section", COMPARED)
def test_captions_name_the_subset_and_what_nobody_trained(section):
    text = (HERE / section / "frequent.md").read_text(encoding="utf-8")
    absent = ", ".join(SUBSET.allow_absent)
    assert "an animals subset of VOC 2012: do not compare with VOC 2012 val" in text
    assert f"No training image shows {absent}; in mIoU, present, " in text
    assert ("motorbike counts as 0" in text) != ("holdout of train" in text)
