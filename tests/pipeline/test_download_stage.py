"""The stages download and index as DVC runs them, in a folder of their own."""

import hashlib
import io
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import write_tree
from helpers import import_forms, warm
from helpers.made_up_camvid import IDS, write_archive, write_manifest
from helpers.made_up_camvid import contents as camvid_contents
from PIL import Image

from segmodels.config import params
from segmodels.data import images, layout, splits

PROJECT = Path(__file__).parents[2]
NAME = "my data/日本"
ARCHIVES = [f"SEGMODELS_{name}_ARCHIVE" for name in ("VOC", "SBD", "CAMVID")]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(stage, entry) with datasets.<NAME> = entry in params.yaml; gives (status, stderr)."""
    monkeypatch.chdir(tmp_path)
    for variable in ("DVC_ROOT", *ARCHIVES):
        monkeypatch.delenv(variable, raising=False)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))

    def run(stage, entry, seed=0):
        values = {**params, "dataset": NAME, "seed": seed, "datasets": {NAME: entry}}
        values["train"] = {NAME: params["train"]["miniature"]}
        values["predict"] = {NAME: params["predict"]["miniature"]}
        Path("params.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), "utf-8")
        ended = warm.run(tmp_path, f"stages.{stage}", PYTHONPATH=str(PROJECT))
        return ended.returncode, ended.stderr

    run.root = Path("data") / NAME / "VOCdevkit" / "VOC2012"
    return run


@pytest.fixture
def archive(tmp_path):
    """A VOC archive of the classes a, b and c, and its entry in params.yaml."""
    write_tree(tmp_path / "VOCdevkit" / "VOC2012", train=3, val=2, num_classes=3)
    subprocess.run(["tar", "-cf", "voc.tar", "VOCdevkit"], cwd=tmp_path, check=True)
    path = tmp_path / "voc.tar"
    source = {"urls": [], "md5": [hashlib.md5(path.read_bytes()).hexdigest()]}
    return path, {"classes": ["a", "b", "c"], "archive": source}


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_archive_is_downloaded_and_indexed_and_scratch_is_cleaned(run, archive, tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    path, entry = archive
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        address = f"http://127.0.0.1:{server.server_port}"
        entry["archive"]["urls"] = [f"{address}/gone.tar", f"{address}/voc.tar"]
        status, told = run("download", entry)
        server.shutdown()
    assert status == 0, told
    assert "gone.tar: answered 404" in told and "voc.tar: 0.0 MB, starting at 0.0 MB" in told
    assert contents(run.root) == contents(tmp_path / "VOCdevkit" / "VOC2012")
    assert [p.name for p in run.root.parent.iterdir()] == ["VOC2012"]
    assert not list(Path(".scratch").iterdir())

    assert run("index", entry)[0] == 0
    table = pd.read_csv(Path("data") / NAME / "index.csv")
    assert list(table["split"]) == ["train"] * 3 + ["val"] * 2
    labels = ["label_0", "label_1", "label_2"]
    assert (table[labels].sum(axis=1) < table["width"] * table["height"]).all()


def test_archive_at_hand_needs_no_network(run, archive, monkeypatch):
    path, entry = archive
    entry["archive"]["urls"] = ["http://127.0.0.1:1/"]
    monkeypatch.setenv("SEGMODELS_VOC_ARCHIVE", str(path))
    run.root.with_name(".VOC2012.part").mkdir(parents=True)
    (run.root.with_name(".VOC2012.part") / "of a killed run").touch()
    assert run("download", entry)[0] == 0
    assert not (run.root / "of a killed run").exists()
    assert path.exists()


def test_archive_at_hand_with_a_wrong_byte_is_refused_in_one_line(run, archive, monkeypatch):
    path, entry = archive
    entry["archive"]["urls"] = ["http://127.0.0.1:1/"]
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    monkeypatch.setenv("SEGMODELS_VOC_ARCHIVE", str(path))
    found, expected = hashlib.md5(content).hexdigest(), entry["archive"]["md5"][0]
    assert run("download", entry) == (1, f"error: {path}: md5 is {found}, expected {expected}\n")
    assert not run.root.exists()


def test_camvid_at_hand_is_verified_by_its_manifest_and_indexed(run, tmp_path, monkeypatch):
    files = camvid_contents()
    write_manifest(tmp_path / "splits", files)
    archive = {"urls": ["http://127.0.0.1:1/"], "layout": "camvid", "splits": "splits"}
    labels = {value: f"class {value}" for value in range(11)} | {11: "void"}
    entry = {"archive": archive, "classes": list(labels.values())[:11], "labels": labels}
    entry |= {"test": "test", "allow_absent": entry["classes"]}
    monkeypatch.setenv("SEGMODELS_CAMVID_ARCHIVE", str(write_archive(tmp_path / "c.tar", files)))
    assert run("download", entry) == (0, "4 masks converted to label maps\n")
    for split, image_ids in IDS.items():
        for image_id in image_ids:
            stored = np.asarray(Image.open(io.BytesIO(files[f"{split}annot/{image_id}.png"])))
            target = images.read_target(layout.target_path(run.root, image_id))
            assert np.array_equal(target, np.where(stored == 11, 255, stored))
    status, told = run("index", entry)
    assert status == 0, told
    table = pd.read_csv(Path("data") / NAME / "index.csv")
    assert table["image_id"].tolist() == ["A_1", "A_2", "B_1"]
    settings = params.load("params.yaml")
    test = splits.rows(settings.paths, settings.data, "test")
    assert test["image_id"].tolist() == ["C_1"] and test["split"].tolist() == ["test"]
    pixels = np.bincount(images.read_target(layout.target_path(run.root, "C_1")).ravel())
    assert test[settings.data.classes].to_numpy().tolist() == [[*pixels[:11].tolist()]]
    everything = splits.all_rows(settings.paths, settings.data)
    assert everything["split"].tolist() == ["train", "train", "val", "test"]

    entry["archive"]["splits"] = "nowhere"
    expected = "nowhere/pixels.sha256: no such file, expected the manifest of `archive.splits`"
    assert run("download", entry) == (1, f"error: {expected}\n")


def test_own_data_set_is_taken_and_its_absence_explained(run):
    entry = {"classes": ["a", "b", "c"]}
    status, told = run("download", entry)
    assert status == 1 and told.count("\n") == 1
    assert f"dvc add 'data/own/{NAME}'" in told
    write_tree(Path("data/own") / NAME, train=3, val=2, num_classes=3)
    assert run("download", entry) == (0, "")
    assert contents(run.root) == contents(Path("data/own") / NAME)


def test_a_source_is_imported_and_indexed(run):
    """Masks in colours, in data/own; the labels that were drawn are the witness."""
    import_forms.pairs_of_colours(Path("data/own/raw"))
    entry = {"classes": import_forms.CLASSES, "source": "data/own/raw"}
    status, told = run("download", entry)
    assert status == 0, told
    assert (
        "pairs, recognised by images/ and masks/" in told and "12 images (10 train, 2 val)" in told
    )
    for one in import_forms.pictures():
        labels = images.read_target(layout.target_path(run.root, one.id))
        np.testing.assert_array_equal(labels, one.labels)
    assert run("index", entry)[0] == 0
    assert len(pd.read_csv(Path("data") / NAME / "index.csv")) == 12


def test_miniature_does_not_depend_on_the_seed_of_training(run):
    classes = yaml.safe_load((PROJECT / "params.yaml").read_text())["datasets"]["miniature"]
    sizes = {"train": 2, "val": 1, "short_side": 32, "long_side": 40}
    trees = []
    for seed in (0, 5):
        status, told = run("download", {**classes, "generate": sizes}, seed)
        assert status == 0, told
        trees.append(contents(run.root))
    assert trees[0] == trees[1] and len(trees[0]) > 3


def test_index_names_every_problem_and_writes_nothing(run):
    write_tree(run.root, train=3, val=2, num_classes=3)
    first, second = sorted((run.root / "JPEGImages").iterdir())[:2]
    first.unlink()
    second.write_bytes(np.random.default_rng(0).bytes(100))
    status, told = run("index", {"classes": ["a", "b", "c"]})
    assert status == 1 and told.startswith(f"error: 2 problems in {run.root}:\n")
    assert f"{first.name}: missing" in told and f"{second.name}: not a picture" in told
    assert not (Path("data") / NAME / "index.csv").exists()
