"""`source` of a data set: what `segmodels import` makes, from the words of params.yaml."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from conftest import missing
from helpers.import_forms import CLASSES, FORMS, SPARSE, bring, pictures
from helpers.projects import ROOT

from segmodels.config import params
from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset
from segmodels.data import images, index, layout
from segmodels.data.doctor import trees
from segmodels.data.sources import sourced, tidy
from stages import check

VALUES = {str(value): name for value, name in zip(SPARSE.values(), CLASSES, strict=True)}


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "data/own").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(source, **keys):
    """The tree that the stage download makes of data/own/raw, and its data set."""
    data = Dataset.model_validate({"classes": CLASSES, "source": source, **keys})
    root = Path("data/roads/VOCdevkit/VOC2012")
    report = sourced.bring(data, Paths(dataset="roads"), root)
    return root, data, report


@pytest.mark.parametrize(
    ("form", "source"),
    [
        ("pairs", {"path": "data/own/raw"}),
        ("pairs of values", {"path": "data/own/raw", "map": VALUES}),
        ("pairs of colours", "data/own/raw"),
        ("camvid", {"path": "data/own/raw", "format": "camvid"}),
        ("coco", "data/own/raw"),
        ("yolo", "data/own/raw"),
    ],
)
def test_masks_are_those_that_were_drawn_and_the_pipeline_takes_them(project, form, source):
    if form == "coco" and importlib.util.find_spec("pycocotools") is None:
        missing("needs pycocotools: pip install -e '.[coco]'")
    FORMS[form](project / "data/own/raw")
    root, data, report = imported(source)
    assert sum(report.splits.values()) == 12
    for one in pictures():
        labels = images.read_target(layout.target_path(root, one.id))
        np.testing.assert_array_equal(labels, one.labels)
    assert tidy.tidy(root, data) == {"masks": 0, "images": 0}
    table, _ = index.build(root, data)
    assert index.meaning_problems(table, data, "roads") == []
    with images.open_image(layout.target_path(root, "plain")) as image:
        assert image.getpalette()[3:6] == [128, 0, 0]  # VOC's colours, whatever the source has


def test_the_same_bytes_as_the_command_makes(project):
    """Colours aside, which are the data set's in one and the source's in the other."""
    words = FORMS["pairs of values"](project / "data/own/raw")
    bring("data/own/raw", "data/own/other", *words)
    root, _, _ = imported({"path": "data/own/raw", "map": VALUES, "seed": 0})
    for file in sorted(Path("data/own/other").rglob("*")):
        if file.is_file():
            assert (root / file.relative_to("data/own/other")).read_bytes() == file.read_bytes()


def test_the_own_folder_is_the_source_where_no_path_is_given(project):
    FORMS["pairs"](project / "data/own/roads")
    _, _, report = imported({"val": 0.5, "seed": 3})
    assert report.splits == {"train": 6, "val": 6}


def test_colours_are_those_of_the_data_set(project):
    FORMS["pairs of colours"](project / "data/own/raw")
    palette = [(1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12)]
    root, data, _ = imported("data/own/raw", palette=palette)
    with images.open_image(layout.target_path(root, "plain")) as image:
        assert image.getpalette()[:6] == [1, 2, 3, 4, 5, 6]
    index.build(root, data)  # which compares palettes


def test_numbers_as_keys_of_the_map_are_values():
    data = Dataset.model_validate(
        {"classes": ["a", "b"], "source": {"map": {0: "a", 255: "b", "1,2,3": "void"}}}
    )
    assert data.source.map == {"0": "a", "255": "b", "1,2,3": "void"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("../elsewhere", r"source\.path = '\.\./elsewhere': expected a path in data/own, where"),
        ("data/own", r"source\.path = 'data/own': expected a path in data/own"),
        ("/etc", r"source\.path = '/etc': expected a path in data/own"),
        ({"table": "table.csv"}, r"source\.table = 'table.csv': expected a path in data/own"),
        ({"val_list": "val.txt"}, r"source\.val_list = 'val.txt': expected a path in data/own"),
        ({"val_list": "data/own/v", "val": 0.5}, r"source\.val_list: expected without val"),
        ({"format": "xml"}, r"source\.format = 'xml': expected one of auto, coco, labelme"),
        ({"group": "("}, r"source\.group = '\(': no regular expression"),
        ("data/own/nothing", r"data/own/nothing: no such file or folder"),
    ],
)
def test_what_cannot_be_is_refused(project, source, said):
    with pytest.raises(ValueError, match=said):
        imported(source)
    assert not Path("data/roads/VOCdevkit/VOC2012").exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"labels": {0: "a", 1: "b"}}, "labels and masks go without source"),
        ({"masks": "colour"}, "labels and masks go without source"),
        ({"generate": {"train": 1, "val": 1, "short_side": 64, "long_side": 64}}, "one of them"),
        ({"source": {"paht": "x"}}, "paht"),
        ({"source": {"val": 1}}, "val"),
    ],
)
def test_keys_that_contradict_are_refused(keys, said):
    with pytest.raises(ValueError, match=said):
        Dataset.model_validate({"classes": ["a", "b"], "source": "data/own/raw", **keys})


def test_only_the_download_depends_on_a_source(tmp_path):
    """And a data set without one has the facts that it had before there were sources."""
    settings = params.load(ROOT / "params.yaml")
    facts = []
    for source in (None, {"path": "data/own/raw"}):
        entry = settings.data.model_dump() | {"source": source, "generate": None}
        changed = {settings.dataset: Dataset.model_validate(entry)}
        folder = tmp_path / str(source is None)
        check.write_facts(settings.model_copy(update={"datasets": changed}), folder)
        facts.append(
            {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*.json")}
        )
    assert {name for name in facts[0] if facts[0][name] != facts[1][name]} == {"download.json"}
    assert "source" not in facts[0]["download.json"]


def test_the_doctor_looks_at_what_was_imported(project):
    FORMS["pairs"](project / "data/own/roads")
    settings = params.load(ROOT / "params.yaml")
    settings._project = Path()
    data = {"roads": Dataset.model_validate({"classes": CLASSES, "source": {}})}
    settings = settings.model_copy(update={"datasets": data})
    assert trees.find("roads", settings) == Path("data/own/roads")
    Path("data/roads/VOCdevkit/VOC2012").mkdir(parents=True)
    assert trees.find("roads", settings) == Path("data/roads/VOCdevkit/VOC2012")
