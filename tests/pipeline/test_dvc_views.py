"""What DVC's own views show of the pipeline: metrics, plots, artifacts, the table of experiments.

The project is a copy of this one whose stages compute nothing (made_up_stage.py).
"""

import csv
import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from dvc import api
from dvc.repo import Repo
from helpers.projects import change_params, commit, copy_project, run
from helpers.warm import dvc

from segmodels.config import params
from segmodels.core.files import write_json
from segmodels.reporting import summary
from segmodels.reporting.result import read_result
from stages import compare, headline

ROOT = Path(__file__).parents[2]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
EVERY_MODEL = list(params.load(ROOT / "params.yaml").models)
MODELS = ["fcn8s", "unet"]  # of the made-up project
LIVE = "data/live/history.csv"
HISTORY = "model,epoch,train_cross_entropy,val_cross_entropy,val_miou\n"
MADE = {  # files within the outputs, beside those that other stages depend on
    "reports/headline": ["metrics.json", "history.csv", "confusion.csv"],
    "reports/comparison": ["curves.csv", *[f"metrics/{model}.json" for model in MODELS]],
    "data/examples": [f"{model}.jpg" for model in MODELS],
    **{f"data/runs/miniature/{model}/train": ["weights.pt"] for model in MODELS},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """All stages have run once; everything is committed and in a storage."""
    folder = tmp_path_factory.mktemp("views") / "project"
    copy_project(folder)
    text = (folder / "dvc.yaml").read_text(encoding="utf-8")
    text, count = re.subn(r"-m stages\.", "-m tests.helpers.made_up_stage ", text)
    assert count == len(PIPELINE["stages"]) - text.count(", do: *")  # those of variants share one
    (folder / "dvc.yaml").write_text(text, encoding="utf-8")
    entries = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))["models"]
    change_params(folder, model=MODELS[0], models={name: entries[name] for name in MODELS})
    write_json(folder / "files.json", files_of_stages(folder))
    dvc(folder, "remote", "add", "-d", "storage", str(folder.parent / "storage"))
    commit(folder)
    dvc(folder, "repro")
    dvc(folder, "push")
    commit(folder)
    return folder


def files_of_stages(folder):
    """Stage -> what it has to write: its outputs, and what others depend on within them."""
    with Repo(str(folder)) as repo:
        stages = repo.index.stages
        deps = {Path(dep.fs_path) for stage in stages for dep in stage.deps}
        outs = {stage.name: [Path(out.fs_path) for out in stage.outs] for stage in stages}
    files = {}
    for stage, paths in outs.items():
        written = []
        for out in paths:
            inside = {dep for dep in deps if dep.is_relative_to(out)} - {out}
            inside |= {out / name for name in MADE.get(str(out.relative_to(folder)), [])}
            for path in sorted(inside or {out}):
                file = path if path.suffix else path / "file"
                written.append(str(file.relative_to(folder)))
        files[stage] = written
    return files


def test_metrics_of_all_models_fit_on_a_screen(tmp_path, monkeypatch):
    """With the numbers of the committed results."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "reports/models", tmp_path / "reports/models")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["headline", EVERY_MODEL[0]])
    headline.main()
    results = [read_result(model) for model in EVERY_MODEL]
    compare.write_tables(params.load(), results, summary.table(results))
    Repo.init(no_scm=True).close()
    lines = dvc(tmp_path, "metrics", "show").splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 160, "\n".join(lines)
    for result in results:
        (row,) = [line for line in lines if f"/{result.model}.json" in line]
        for score in ("miou", "pixel_acc"):
            assert f"{result.metrics[score]:.5g}" in row.split()


def guide_command(start):
    """A command of docs/guides/experiments.md that begins so, as words, without its comment."""
    lines = (ROOT / "docs/guides/experiments.md").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith(start)]
    return shlex.split(line, comments=True)


def titles(project):
    """Titles of the plots that `dvc plots show` draws."""
    dvc(project, "plots", "show", "-o", "dvc_plots")
    page = (project / "dvc_plots/index.html").read_text(encoding="utf-8")
    return set(re.findall(r'"text": "([^"]+)"', page)), page


def test_plots_show_examples_and_the_training_that_runs_if_there_is_one(project):
    listed = {name for entry in PIPELINE["plots"] if isinstance(entry, dict) for name in entry}
    live = {name for name in listed if name.startswith("running training")}
    assert len(live) == 2
    shown, page = titles(project)
    assert shown == listed - live
    for model in MODELS:
        assert f"data_examples_{model}.jpg" in page
    file = project / LIVE
    file.parent.mkdir()
    file.write_text(HISTORY + "in_the_making,0,3,3,0.015625\n", encoding="utf-8")
    shown, page = titles(project)
    assert shown == listed and "in_the_making" in page and "0.015625" in page
    assert "up to date" in dvc(project, "status")
    assert not run(project, "git", "status", "--porcelain")


def test_the_table_of_experiments_is_readable_and_has_what_was_changed(project):
    changes = ["model=unet", "train.miniature.lr=0.002", "++train.miniature.accumulate=2"]
    options = [word for change in changes for word in ("-S", change)]
    dvc(project, "exp", "run", *options)
    printed = dvc(project, *guide_command("dvc exp show")[1:], "--csv", "--no-pager")
    (header, *_) = rows = list(csv.reader(io.StringIO(printed[printed.index("Experiment,") :])))
    assert len(rows) == 4 and len(header) <= 25, header
    assert {"train.miniature.lr", "train.miniature.accumulate"} <= set(header)
    assert any(name.endswith("headline/metrics.json:miou") for name in header)
    changed = json.loads(dvc(project, "metrics", "diff", "--json"))
    assert {f"reports/comparison/metrics/{model}.json" for model in MODELS} <= set(changed)
    numbers = json.loads(dvc(project, "params", "diff", "--json"))["params.yaml"]
    assert set(numbers) == {"model", "train.miniature.lr", "train.miniature.accumulate"}
    run(project, "git", "checkout", "-q", ".")


def test_the_model_of_a_commit_is_fetched_by_its_version(project, tmp_path):
    name = "segmentation-model"
    versions = {"v1.0.0": MODELS[1], "v2.0.0": MODELS[0]}
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for version, model in versions.items():
        change_params(project, model=model)
        commit(project, version)
        run(project, "git", *who, "tag", "-am", version, f"{name}@{version}")
    for version, model in versions.items():
        dvc(tmp_path, "artifacts", "get", str(project), name, "--rev", version, "-o", version)
        assert (tmp_path / version).read_text() == f"train@{model} 0.003"
        found = api.artifacts_show(name, version=version, repo=str(project))
        assert found["path"] == f"data/runs/miniature/{model}/train/weights.pt"
    with Repo(str(project)) as repo:
        entry = repo.artifacts.read()["dvc.yaml"][name]
    assert entry.type == "model" and MODELS[0] in entry.desc and MODELS[0] in entry.labels
