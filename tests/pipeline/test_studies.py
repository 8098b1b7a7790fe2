"""Studies in folders: what is in each, and that none touches another's files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from segmodels.config import params
from segmodels.config.paths import Paths
from segmodels.core import supervise

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.parent for path in ROOT.glob("studies/*/params.yaml"))
named = pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STUDY = "studies/voc_animals/"
SHARED = {"data/own", "data/splits", "segmodels", "segmodels/reporting/web", "stages"}


@named
def test_the_pipeline_is_the_same_in_every_study(study):
    assert (study / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes(), (
        f"cp dvc.yaml {study.relative_to(ROOT)}/"
    )


@pytest.mark.parametrize("start", ["", "voc_animals"])
def test_a_new_study_is_one_folder_with_all_that_a_study_has(tmp_path, start):
    for file in ("Makefile", "dvc.yaml", "params.yaml", "data/links/README.md"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    shutil.copytree(ROOT / STUDY, tmp_path / STUDY)
    make = ["make", "study", "NAME=mine", f"FROM={start}"]
    for _ in range(2):
        subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
        study = tmp_path / "studies/mine"
        (study / "README.md").open("a").write("\nwhat was found\n")  # a second time keeps it
    names = {path.relative_to(study).as_posix() for path in study.rglob("*") if path.is_file()}
    assert names == {"README.md", "data/links/README.md", "dvc.yaml", "params.yaml"}
    assert (study / "README.md").read_text("utf-8") == "# mine\n" + 2 * "\nwhat was found\n"
    settings = params.load(study / "params.yaml")
    began = params.load(ROOT / (STUDY if start else "") / "params.yaml")
    assert settings.here == "studies/mine/"
    own = {"root", "here"}
    assert settings.model_dump(exclude=own) == began.model_dump(exclude=own)


def test_a_new_study_of_none_is_refused_in_a_line():
    make = ["make", "study", "NAME=mine", "FROM=nowhere"]
    alone = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(make, cwd=ROOT, env=alone, capture_output=True, encoding="utf-8")
    assert done.returncode != 0
    assert done.stdout == (
        "error: FROM='nowhere': no studies/nowhere/params.yaml; expected a study of studies/\n"
    )
    assert not (ROOT / "studies/mine").exists()


@named
def test_a_study_has_its_params_its_page_and_a_folder_for_links(study):
    settings = params.load(study / "params.yaml")
    assert settings.here == f"studies/{study.name}/"
    assert not settings.left_out
    assert (study / "README.md").read_text(encoding="utf-8").startswith("# ")
    assert (study / "data/links/README.md").is_file()


def test_all_that_a_stage_writes_lies_in_the_folder_of_its_study():
    for name, entry in PIPELINE["stages"].items():
        stage = entry.get("do", entry)
        outs = [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
        assert all(out.startswith("${here}") for out in outs), name
        assert all(dep.startswith("${here}") or dep in SHARED for dep in stage["deps"]), name
        assert stage["wdir"] == "${root}", name
        assert re.match(r'exec sh tools/python -m stages\.\w+ "\$\{here\}"', stage["cmd"]), name


def test_the_pipeline_can_be_read_at_once():
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 140
    lock = ROOT / "dvc.lock"
    assert not lock.exists() or len(lock.read_text(encoding="utf-8").splitlines()) <= 4000


@named
@pytest.mark.parametrize(
    ("old", "new"), [("root: ../..", "root: .."), ("here: studies/", "here: study/")]
)
def test_a_study_that_names_another_folder_is_refused(study, tmp_path, old, new):
    folder = tmp_path / "studies" / study.name
    folder.mkdir(parents=True)
    text = (study / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    assert params.load(folder / "params.yaml").here == f"studies/{study.name}/"
    (folder / "params.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match="expected the way to the project's folder") as caught:
        params.load(folder / "params.yaml")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "here"),
    [([], ""), (["unet"], ""), (["", "unet"], ""), (["studies/voc_animals/", "unet"], STUDY)],
)
def test_a_stage_may_name_its_study_before_its_model(monkeypatch, words, here):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["stages/train.py", *words])
    assert supervise.study() == here
    if words:
        assert supervise.argument(["fcn", "unet"]) == "unet"


def test_a_study_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stages/train.py", "studies/nowhere/", "unet"])
    with pytest.raises(ValueError, match="studies/nowhere/: expected a study's folder"):
        supervise.study()


def test_paths_of_the_projects_own_study_are_what_they_always_were():
    paths = Paths(dataset="voc2012")
    expected = {
        paths.train("fcn"): "data/runs/voc2012/fcn/train",
        paths.predictions("fcn"): "data/predictions/voc2012/fcn",
        paths.report("fcn"): "reports/models/fcn",
        paths.tree: "data/voc2012/VOCdevkit/VOC2012",
        paths.index: "data/voc2012/index.csv",
        paths.own: "data/own/voc2012",
        paths.params: "params.yaml",
    }
    assert {path: path.as_posix() for path in expected} == expected
    within = Paths("studies/x/", "voc2012", Path("../.."))
    assert within.report("fcn") == Path("../../studies/x/reports/models/fcn")
    assert within.own == Path("../../data/own/voc2012")
