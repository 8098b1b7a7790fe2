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

import dvc.api
import pytest
import yaml
from dvc.repo import Repo
from test_pipeline import commit, copy_project, dvc, run

from segmodels import params
from segmodels.files import write_json
from segmodels.reporting import tables
from stages import headline, plot

ROOT = Path(__file__).parents[1]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
MODELS = list(params.load(ROOT / "params.yaml").models)
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
    made_up = f"{sys.executable} tests/made_up_stage.py"
    text = (folder / "dvc.yaml").read_text(encoding="utf-8")
    text, count = re.subn(r"exec sh tools/python -m stages\.", f"{made_up} ", text)
    assert count == len(PIPELINE["stages"])
    (folder / "dvc.yaml").write_text(text, encoding="utf-8")
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
        outs = {stage.addressing: [Path(out.fs_path) for out in stage.outs] for stage in stages}
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


def clean(folder):
    """Whether DVC and Git find nothing to do."""
    return "up to date" in dvc(folder, "status") and not run(folder, "git", "status", "--porcelain")


def test_metrics_of_all_models_fit_on_a_screen(tmp_path, monkeypatch):
    """With the numbers of the committed results."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "reports/models", tmp_path / "reports/models")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["headline", MODELS[0]])
    headline.main()
    results = [tables.read_result(model) for model in MODELS]
    plot.write_metrics(tables.summary(results))
    Repo.init(no_scm=True).close()
    lines = dvc(tmp_path, "metrics", "show").splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 160, "\n".join(lines)
    for result in results:
        (row,) = [line for line in lines if f"/{result.model}.json" in line]
        for score in ("miou", "pixel_acc"):
            assert f"{result.metrics[score]:.5g}" in row.split()


def readme_commands(start):
    """Commands of README that begin so, as words, without their comments."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(start)]


def test_the_table_of_experiments_is_readable_and_has_what_was_changed(project):
    (show,) = readme_commands("dvc exp show")
    dvc(project, "exp", "run", "-S", "model=unet")
    dvc(project, "exp", "run", "-S", "train.miniature.lr=0.002", "-S", "seed=7")
    dvc(project, "exp", "run", "-S", "++train.miniature.accumulate=2")
    printed = dvc(project, *show[1:], "--csv", "--no-pager")
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert len(rows) == 5 and len(rows[0]) <= 25
    for column in ("model", "seed", "train.miniature.lr", "train.miniature.accumulate"):
        assert len({row[column] for row in rows}) == 2, column
    (miou,) = [column for column in rows[0] if column.endswith("miou")]
    assert {row[miou] for row in rows} == {"0.004", "0.002"}
    changed = dvc(project, "metrics", "diff", "--json")
    assert f"reports/comparison/metrics/{MODELS[0]}.json" in json.loads(changed)
    diff = json.loads(dvc(project, "params", "diff", "--json"))["params.yaml"]
    assert diff["train.miniature.lr"] == {"old": 0.004, "new": 0.002, "diff": -0.002}
    restore(project)


def restore(project):
    run(project, "git", "checkout", "-q", ".")
    dvc(project, "checkout")
    assert clean(project)


def drawn(project, *arguments):
    """Names of the plots of `dvc plots`, with how many values each has, and what DVC printed."""
    printed = dvc(project, "plots", *arguments, "--json", "-o", str(project.parent / "drawn"))
    shown = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    return {name: len(plots) for name, plots in shown["data"].items()}, printed


def test_plots_are_drawn_where_nothing_trains(project):
    shown, printed = drawn(project, "show")
    print(shown, printed)
    assert 0


def test_the_model_of_a_commit_is_taken_from_elsewhere_by_its_version(project, tmp_path):
    """Two versions: the headline's model is another one in the second."""
    name = "segmentation-model"
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run(project, "git", *who, "tag", "-am", "first", f"{name}@v1.0.0")
    dvc(project, "exp", "run", "-S", "model=unet")
    commit(project)
    run(project, "git", *who, "tag", "-am", "second", f"{name}@v2.0.0")
    for version, model in (("v1.0.0", "fcn_resnet50"), ("v2.0.0", "unet")):
        out = tmp_path / version
        dvc(tmp_path, "artifacts", "get", str(project), name, "--rev", version, "-o", str(out))
        assert out.read_text() == f"train@{model} 0.004"
        found = dvc.api.artifacts_show(name, version=version, repo=str(project))
        assert found["path"] == f"data/runs/miniature/{model}/train/weights.pt"
    (entry,) = [entry[name] for entry in described(project).values()]
    assert entry["type"] == "model" and "unet" in entry["desc"] and "unet" in entry["labels"]


def described(project):
    with Repo(str(project)) as repo:
        read = repo.artifacts.read()
        return {
            file: {key: value.to_dict() for key, value in entries.items()}
            for file, entries in read.items()
        }
