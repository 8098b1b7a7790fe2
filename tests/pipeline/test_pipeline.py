"""The whole pipeline through DVC, in a copy of the project under a name with spaces and Kanji."""

import hashlib
import json
import sys
import tarfile

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import write_tree
from dvc.repo import Repo
from helpers.projects import (
    ROOT,
    back_to_the_usual_models,
    change_params,
    commit,
    copy_project,
    hashes,
    run,
    started,
)
from helpers.warm import dvc, python

from segmodels.data import images, layout

MODELS = {
    "small": {"arch": "unet", "width": 2},
    "fine": {"arch": "unet", "width": 4, "train": {}},
}
CLASSES = ["空", "road", "blue car", "sign, traffic", "tree"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two small models on a data set of the user's own, computed once by `dvc repro`.

    Here DVC and all stages start as on a user's machine; later in these tests from warm.py.
    """
    folder = tmp_path_factory.mktemp("work") / "my data" / "日本"
    copy_project(folder)
    own = folder / "data/own/my data/日本"
    write_tree(own, train=9, val=5, num_classes=5)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = {"epochs": 1, "batch_size": 4, "crop_size": 32, "warmup_epochs": 0, "threads": 1}
    name = "my data/日本"
    values |= {"dataset": name, "model": "small", "models": MODELS}
    values["comparisons"] = {"widths": list(MODELS)}
    values["datasets"][name] = {"classes": CLASSES}
    values["train"][name] = {**values["train"]["miniature"], **small}
    values["predict"][name] = {**values["predict"]["miniature"], "threads": 1}
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    dvc(folder, "add", "data/own/my data/日本")
    run(folder, sys.executable, "-m", "dvc", "repro")
    commit(folder)
    return folder


def test_own_data_goes_through_every_stage(project):
    metrics = json.loads((project / "reports/headline/metrics.json").read_text(encoding="utf-8"))
    assert metrics["model"] == "small"
    per_class = pd.read_csv(project / "reports/models/fine/per_class.csv")
    assert per_class["class"].tolist() == CLASSES
    run_folder = project / "data/runs/my data/日本/fine"
    history = pd.read_csv(run_folder / "train/history.csv")
    assert history["epoch"].tolist() == [0, 1]
    report = json.loads((project / "reports/models/fine/metrics.json").read_text(encoding="utf-8"))
    # The last epoch's validation and the evaluation of the written masks are the same numbers.
    assert report["miou"] == pytest.approx(history["val_miou"].iloc[-1], abs=1e-12)
    assert report["pixel_acc"] == pytest.approx(history["val_pixel_acc"].iloc[-1], abs=1e-12)
    counted = json.loads((run_folder / "gflops.json").read_text(encoding="utf-8"))
    assert counted == {"gflops": report["gflops"], "picture": "64 x 48"}  # 3 of 5 pictures
    measured = json.loads((project / "data/costs/my data/日本/fine.json").read_text("utf-8"))
    assert measured["latency_ms"] > 0 and measured["device"] == "cpu"
    assert measured["training"] == json.loads((run_folder / "cost.json").read_text("utf-8"))
    for mask in (project / "data/predictions/my data/日本/fine").glob("*.png"):
        target = layout.target_path(project / "data/own/my data/日本", mask.stem)
        assert images.read_target(mask).shape == images.read_target(target).shape
    assert (project / "data/page/index.html").is_file()
    assert (project / "reports/comparison/widths_curves.png").is_file()
    assert not (project / "reports/comparison/seeds.csv").exists()  # no two differ by the seed


def test_second_run_has_nothing_to_do(project):
    assert "up to date" in dvc(project, "repro")
    assert "up to date" in dvc(project, "status")
    assert run(project, "git", "status", "--porcelain") == ""


def test_forced_runs_give_the_same_bits_and_other_times_reach_the_page_and_no_report(project):
    before = hashes(project)
    for stage in ("train@fine", "predict@small"):  # cost.json of one, latency of the other
        dvc(project, "repro", "--force", "--single-item", stage)
    assert hashes(project) == before
    assert started(dvc(project, "repro")) == ["predict@fine", "page"]
    assert "up to date" in dvc(project, "status")
    assert hashes(project) == before
    listed = run(project, "git", "status", "--porcelain").split()
    assert listed == ["M", "dvc.lock"]
    commit(project)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("segmodels/reporting/figures.py", {"compare"}),
        ("segmodels/training/losses.py", {"train@small", "train@fine"}),
        ("segmodels/models/unet.py", {"train@small", "train@fine"}),
        ("segmodels/models/fcn_skip.py", set()),
        ("segmodels/inference/cost.py", {"predict@small", "predict@fine"}),
        (
            "segmodels/evaluation/scores.py",
            {"evaluate@small", "evaluate@fine", "compare", "page", "headline"},
        ),
    ],
)
def test_an_edit_reaches_only_what_depends_on_it(project, file, expected):
    assert stages_after(project, [file], "EDITED = 1") == expected | {"check"}


def test_a_comment_and_a_docstring_reach_check_alone(project):
    names = ("training/losses.py", "data/images.py", "core/files.py")
    assert stages_after(project, [f"segmodels/{name}" for name in names], "# edited") == {"check"}


def stages_after(project, files, line):
    """Stages that an edit of files reaches first; those below them are not listed yet."""
    before = {project / file: (project / file).read_text(encoding="utf-8") for file in files}
    for path, text in before.items():
        path.write_text(f"{text}\n{line}\n", encoding="utf-8")
    try:
        python(project, "stages.check")
        return changed_stages(project)
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
        python(project, "stages.check")


def test_experiment_with_another_model_runs_headline_only(project):
    output = dvc(project, "exp", "run", "-S", "model=fine")
    assert started(output) == ["check", "headline"]
    shown = json.loads(dvc(project, "metrics", "diff", "--json"))
    assert "reports/headline/metrics.json" in shown
    back_to_the_usual_models(project)
    assert "up to date" in dvc(project, "status")


def changed_stages(project):
    """Stages that `dvc status` lists, without another start of DVC."""
    with Repo(str(project)) as repo:
        changed = repo.status()
    return {name.rpartition(":")[2] for name in changed if changed[name]}


def restore(project):
    """The workspace as it was committed."""
    run(project, "git", "checkout", "-q", ".")
    dvc(project, "checkout")


def test_another_name_of_a_class_trains_nothing(project):
    change_params(project, **{"datasets__my data/日本__classes": ["空", "rode", *CLASSES[2:]]})
    try:
        ran = started(dvc(project, "repro", "evaluate@fine"))
        computing = ("train", "predict")
        assert "evaluate@fine" in ran and not [name for name in ran if name.startswith(computing)]
        per_class = pd.read_csv(project / "reports/models/fine/per_class_history.csv")
        assert "rode" in set(per_class["class"]) and "road" not in set(per_class["class"])
        noted = project / "data/runs/my data/日本/fine/train/provenance.json"
        assert json.loads(noted.read_text(encoding="utf-8"))["classes"] == CLASSES
    finally:
        restore(project)


def test_another_start_file_trains_again_and_one_of_the_pipelines_own_is_refused(project):
    weights = project / "data/runs/my data/日本/fine/train/weights.pt"
    start = project.parent / "start.pt"  # anywhere
    start.write_bytes(weights.read_bytes())
    change_params(project, models__fine__train={"init": str(start)})
    try:
        ran = started(dvc(project, "repro", "train@fine", "train@small"))
        assert ran == ["check", "starts", "train@fine"]
        noted = weights.with_name("provenance.json")
        first = json.loads(noted.read_text(encoding="utf-8"))["start"]
        # 18 convolutions with 4 arrays of BatchNorm each; 4 transposed and the last have a bias.
        assert len(first["loaded"]) == 18 * 5 + 5 * 2 and not first["missing"]
        assert changed_stages(project) >= {"predict@fine"} and "starts" not in changed_stages(
            project
        )
        start.write_bytes(weights.read_bytes())  # what was learned from it
        assert "starts" in changed_stages(project)
        assert started(dvc(project, "repro", "train@fine")) == ["starts", "train@fine"]
        second = json.loads(noted.read_text(encoding="utf-8"))["start"]
        assert second["sha256"] != first["sha256"]

        change_params(project, models__fine__train={"init": str(weights.relative_to(project))})
        refused = dvc(project, "repro", "train@fine", status=255)
        assert "DVC removes what a stage has made before the stage runs" in refused
        assert weights.is_file() and "Traceback" not in refused
        start = start.rename(start.with_name("moved.pt"))
        change_params(project, models__fine__train={"init": str(start)})
        assert started(dvc(project, "repro", "starts")) == ["check", "starts"]
        change_params(project, models__fine__train={"init": "nowhere.pt"})
        refused = dvc(project, "repro", "train@fine", status=255)
        assert f"no such file in {project}; expected none, imagenet, coco, a model" in refused
        assert weights.is_file()
    finally:
        restore(project)
        for link in (project / "data/links").glob("*.pt"):
            link.unlink()


def test_changing_one_mask_reruns_what_depends_on_it_and_git_brings_it_back(project):
    own = project / "data/own/my data/日本"
    before = hashes(project)
    mask = layout.target_path(own, "val_000")
    labels = images.read_target(mask)
    labels[:4] = 3
    images.write_target(mask, labels, images.palette())
    output = dvc(project, "repro", "evaluate@fine")
    assert {"download", "index", "train@fine", "evaluate@fine"} <= set(started(output))
    assert {"train@small", "compare", "page"} <= set(json.loads(dvc(project, "status", "--json")))
    commit(project, "another mask")
    assert hashes(project) != before
    run(project, "git", "checkout", "-q", "HEAD~1")
    dvc(project, "checkout")
    assert hashes(project) == before
    assert not np.array_equal(images.read_target(mask), labels)
    assert "up to date" in dvc(project, "repro")


WRONG = [  # problems that are told together
    {
        "train__miniature__lr": (-1, "train.miniature.lr = -1"),
        "train__miniature__epochs": ("ten", "train.miniature.epochs = 'ten'"),
        "train__miniature__epoch": (3, "train.miniature.epoch: unknown key"),
    },
    {"model": ("unett", "model = 'unett': expected a key of `models`")},
    {"dataset": ("nowhere", "dataset = 'nowhere': expected a key of `datasets`")},
    {"models": ({}, "models = {}: ")},
    {"models__small": ({"arch": "fcn_skip", "strid": 8}, "models.small.strid")},
    {"models__fine": ({"arch": "fcn_skip", "stride": 4}, "models.fine.stride = 4")},
    {"variants": ({"on": {"weights_of": "smal"}}, "weights_of = 'smal'")},
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: next(iter(changes)))
def test_bad_params_are_answered_before_anything_trains(project, changes):
    text = (project / "params.yaml").read_text(encoding="utf-8")
    change_params(project, **{key: value for key, (value, _) in changes.items()})
    try:
        output = dvc(project, "repro", status=255)
    finally:
        (project / "params.yaml").write_text(text, encoding="utf-8")
    for _, message in changes.values():
        lines = [line for line in output.splitlines() if message in line]
        assert len(lines) == 1, output
    assert started(output) in (["check"], [])
    assert "Traceback" not in output


def test_archive_is_verified_and_restricted_and_another_clone_needs_none(project, tmp_path):
    """A toy archive at hand; `dvc push` to a folder; a clone pulls and has nothing to do."""
    folder = tmp_path / "project"
    copy_project(folder)
    write_tree(tmp_path / "VOCdevkit/VOC2012", train=6, val=4, num_classes=5)
    archive = tmp_path / "toy.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "VOCdevkit", "VOCdevkit")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    values = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    dataset = {"archive": {"urls": ["http://localhost:9/x.tar"], "md5": [md5]}, "classes": CLASSES}
    values |= {
        "dataset": "toy",
        "models": {"small": MODELS["small"]},
        "comparisons": {"one": ["small"]},
    }
    values["datasets"]["toy"] = dataset
    for section in ("train", "predict"):
        values[section]["toy"] = values[section]["my data/日本"]
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")

    (tmp_path / "other.tar").write_bytes(archive.read_bytes() + b"x")
    refused = dvc(folder, "repro", status=255, SEGMODELS_VOC_ARCHIVE=str(tmp_path / "other.tar"))
    assert md5 in refused and "Traceback" not in refused
    dvc(folder, "repro", "index", SEGMODELS_VOC_ARCHIVE=str(archive))
    change_params(folder, datasets__toy__archive__urls=["http://localhost:9/x", "http://mirror"])
    dvc(folder, "repro", "check")
    assert "download" in changed_stages(folder) and "index" not in changed_stages(folder)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    dvc(folder, "repro", "check")
    commit(folder)
    clone = cloned_with_results(folder, tmp_path, "--with-deps", "index")
    assert "up to date" in dvc(clone, "repro", "index")
    tree = "data/toy/VOCdevkit/VOC2012"
    assert len(list((clone / tree).rglob("*.jpg"))) == 10
    assert content(clone / tree) == content(folder / tree)


def test_another_clone_computes_nothing(project, tmp_path):
    clone = cloned_with_results(project, tmp_path)
    assert "up to date" in dvc(clone, "repro")
    assert hashes(clone) == hashes(project)


def cloned_with_results(folder, place, *targets):
    """Another clone, with what `dvc push` took to a storage and `dvc pull` brings."""
    clone = place / "clone"
    run(place, "git", "clone", "-q", str(folder), "clone")
    for each in (folder, clone):
        dvc(each, "remote", "add", "--local", "-d", "storage", str(place / "storage"))
    dvc(folder, "push")
    dvc(clone, "pull", *targets)
    return clone


def content(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")}
