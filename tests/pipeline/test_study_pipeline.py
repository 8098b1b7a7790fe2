"""Two studies in folders beside the project's own one, through `dvc repro`."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.projects import ROOT, change_params, commit, copy_project, run, started
from helpers.warm import dvc

from segmodels.config.paths import Paths
from segmodels.data import images, layout

MODEL = {"arch": "unet", "width": 4}
SCORED = ["background", "person", "car"]
VARIANTS = {
    "on": {"weights_of": "small", "train": {"lr": 0.001}},
    "flipped": {"weights_of": "small", "predict": {"flip": True, "scales": [0.5, 1]}},
}
ONE = Paths("studies/one/", "tiny")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project's own study, which nothing has run, and two in folders, of which one has run."""
    folder = tmp_path_factory.mktemp("studies") / "a project"
    copy_project(folder)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    classes = values["datasets"]["miniature"]["classes"]
    values |= {"dataset": "tiny", "model": "small", "models": {"small": MODEL}}
    values["comparisons"] = {"all": {"runs": ["small", *VARIANTS], "score_classes": SCORED}}
    values["datasets"] = {
        "tiny": {
            "classes": classes,
            "allow_absent": classes[1:],
            "generate": {"train": 6, "val": 3, "short_side": 64, "long_side": 64},
        }
    }
    small = {"epochs": 1, "batch_size": 2, "crop_size": 64, "warmup_epochs": 0, "threads": 1}
    values["train"] = {"tiny": {**values["train"]["miniature"], **small}}
    values["predict"] = {"tiny": {**values["predict"]["miniature"], "threads": 1}}
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    head = "".join(f"{line}\n" for line in text.splitlines() if line[:5] in ("root:", "here:"))
    values = {key: value for key, value in values.items() if key not in ("root", "here")}
    body = yaml.safe_dump(values, sort_keys=False)
    (folder / "params.yaml").write_text(head + body, encoding="utf-8")
    for name in ("one", "two"):
        run(folder, "make", "study", f"NAME={name}")
    change_params(folder / "studies/one", variants=VARIANTS)
    commit(folder)
    output = dvc(folder, "repro", "studies/one/dvc.yaml")
    assert "studies/one/dvc.yaml:train_variant@flipped" in started(output)
    commit(folder)
    return folder


def files(folder):
    """SHA-256 of all files that a study may make."""
    made = [path for part in ("data", "reports") for path in sorted((folder / part).rglob("*"))]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in made if path.is_file()}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def status(project):
    """Pipeline -> its stages that are not current."""
    changed = json.loads(dvc(project, "status", "--json"))
    found = {}
    for name in changed:
        pipeline, _, stage = name.rpartition(":")
        found.setdefault(pipeline, set()).add(stage)
    return found


def test_a_study_touches_the_files_of_no_other(project):
    assert not (project / "reports/models").exists()
    assert not (project / "data/tiny").exists() and not (project / "data/facts").exists()
    assert {path.name for path in (project / "studies/two").iterdir()} == {
        "README.md",
        "data",
        "dvc.yaml",
        "params.yaml",
    }
    assert {path.name for path in (project / "studies/two/data").iterdir()} == {"links"}
    before = files(project / "studies/one")
    dvc(project, "repro", "studies/two/dvc.yaml:index")
    assert files(project / "studies/one") == before
    assert not (project / "data/tiny").exists()
    assert (project / "studies/two/data/tiny/index.csv").is_file()


def test_status_says_of_each_study_whether_it_is_current(project):
    changed = status(project)
    assert "studies/one/dvc.yaml" not in changed
    assert "train@small" in changed["studies/two/dvc.yaml"]
    assert "check" in changed[""]
    assert "up to date" in dvc(project, "status", "studies/one/dvc.yaml")
    assert "up to date" in dvc(project / "studies/one", "repro")


def test_a_variant_without_a_recipe_has_the_weights_of_its_model_and_other_masks(project):
    small, flipped = (project / ONE.train(name) for name in ("small", "flipped"))
    assert sha256(small / "weights.pt") == sha256(flipped / "weights.pt")
    metrics = read_json(project / ONE.report("flipped") / "metrics.json")
    assert metrics["protocol"]["test_time"] == "scales 0.5, 1; flip"
    shown = (project / ONE.comparison / "summary.md").read_text(encoding="utf-8")
    assert "- Predicted otherwise than small:\n  - scales 0.5, 1; flip: flipped\n" in shown


def test_a_variant_trains_on_from_weights_and_again_when_their_content_changes(project):
    weights = project / ONE.train("small") / "weights.pt"
    noted = project / ONE.train("on") / "provenance.json"
    first = read_json(noted)
    assert first["start"]["sha256"] == sha256(weights)
    assert first["recipe"]["lr"] == 0.001
    before = weights.read_bytes()
    change_params(project / "studies/one", models__small__train={"lr": 0.01})
    try:
        output = dvc(project, "repro", "studies/one/dvc.yaml:train_variant@on")
        names = [name.rpartition(":")[2] for name in started(output)]
        assert names == ["check", "train@small", "train_variant@on"]
        assert weights.read_bytes() != before
        assert read_json(noted)["start"]["sha256"] == sha256(weights)
    finally:
        run(project, "git", "checkout", "-q", ".")
        dvc(project, "checkout", "studies/one/dvc.yaml")
    assert "up to date" in dvc(project, "status", "studies/one/dvc.yaml")


def test_scores_over_some_classes_are_those_of_the_masks(project):
    """Mean IoU over the classes that occur in truth or prediction, pixel by pixel."""
    classes = yaml.safe_load((project / "params.yaml").read_text("utf-8"))["datasets"]["tiny"]
    labels = [classes["classes"].index(name) for name in SCORED]
    tree = project / ONE.tree
    masks = sorted((project / ONE.predictions("small")).glob("*.png"))
    truth = np.concatenate(
        [images.read_target(layout.target_path(tree, m.stem)).ravel() for m in masks]
    )
    found = np.concatenate([images.read_target(mask).ravel() for mask in masks])
    valid = truth != 255
    scores = []
    for label in labels:
        true, predicted = valid & (truth == label), valid & (found == label)
        if (true | predicted).any():
            scores.append((true & predicted).sum() / (true | predicted).sum())
    table = pd.read_csv(project / ONE.comparison / "all_scores.csv").set_index("model")
    assert table.loc["small", "miou"] == pytest.approx(np.mean(scores), abs=1e-12)
    assert (project / ONE.comparison / "all_scores.png").is_file()


def test_an_experiment_and_its_metrics_within_a_study(project):
    study = project / "studies/one"
    output = dvc(study, "exp", "run", "-S", "model=on")
    assert {name.rpartition(":")[2] for name in started(output)} == {"check", "headline"}
    assert read_json(study / "reports/headline/metrics.json")["model"] == "on"
    shown, *_ = dvc(project, "metrics", "show", "--json").splitlines()
    headline = json.loads(shown)[""]["data"]["studies/one/reports/headline/metrics.json"]
    assert headline["data"]["model"] == "on"
    plots, *_ = dvc(project, "plots", "diff", "--json").splitlines()
    (figure,) = json.loads(plots)["data"]["studies/one/dvc.yaml::loss"]
    assert figure["revisions"] == ["workspace", "HEAD"]
    points = [row for row in figure["content"]["data"]["values"] if row["rev"] == "workspace"]
    history = pd.read_csv(study / "reports/headline/history.csv")
    assert {float(row["train_loss"]) for row in points} == set(history["train_loss"])
    run(project, "git", "checkout", "-q", ".")
    dvc(project, "checkout", "studies/one/dvc.yaml")


def test_a_wrong_study_is_one_line(project):
    command = ["python", "-m", "stages.index", "studies/three/"]
    told = run(project, *command, status=1)
    assert told == "error: studies/three/: expected a study's folder, with a params.yaml\n"
