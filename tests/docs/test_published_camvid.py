"""Published results on CamVid: what the file says agrees with itself, and ours stand among them."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.made_up_reports import confusion, write_report

from segmodels.config import params
from tools import published

ROOT = Path(__file__).parents[2]
FILE = ROOT / published.PUBLISHED
ROWS, NOTES = published.published(FILE)


def test_the_mean_of_the_printed_classes_is_the_printed_miou():
    with_classes = [row for row in ROWS if row.classes]
    assert len(with_classes) >= 6
    for row in with_classes:
        assert len(row.classes) == 11
        assert np.mean(row.classes) == pytest.approx(row.miou, abs=0.11), row.model


def test_the_rows_a_reader_looks_for_are_there():
    found = {(row.model, row.miou) for row in ROWS}
    assert {("FC-DenseNet103", 66.9), ("LETNet", 70.5), ("DeepLab-LFOV", 61.6)} <= found
    segnet = next(row for row in ROWS if row.model == "SegNet" and row.miou == 60.1)
    assert segnet.train == "3,433" and segnet.notes == ["d"]  # not a result of 367 images
    assert set(NOTES) == {note for row in ROWS for note in row.notes}


def test_ours_are_sorted_in_and_bold(tmp_path):
    settings = yaml.safe_load((ROOT / "studies/camvid_best/params.yaml").read_text("utf-8"))
    settings |= {"root": ".", "here": "", "variants": {}, "comparisons": {}}
    settings["datasets"]["camvid"] |= {"labels": None, "palette": None, "groups": {}}
    classes = [f"class {k}" for k in range(5)]
    settings["datasets"]["camvid"]["classes"] = classes
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    loaded = params.load(tmp_path / "params.yaml")
    reports = tmp_path / "reports/models"
    ids = [f"v_{k}" for k in range(published.IMAGES)]
    write_report(
        reports, "fpn", counts=confusion(1), pictures=ids, classes=classes, split="test",
        protocol={"init": "data/weights/efficientnet_lite2.pth"},
    )  # fmt: skip
    (ours,) = published.our_rows(loaded)
    text = published.report([*ROWS, ours], NOTES, classes)
    scores = [float(line.split("|")[2]) for line in text.split("\n\n")[0].splitlines()[2:]]
    assert scores == sorted(scores, reverse=True)
    line = next(line for line in text.splitlines() if line.startswith("| **fpn**"))
    assert f"| {ours.miou:.1f} |" in line and "| ImageNet, efficientnet_lite2 |" in line
    assert "[d] Trained on 3,433 road scenes" in text
    write_report(reports, "fpn", counts=confusion(1), classes=classes, split="val")
    assert not published.our_rows(loaded)


def test_the_committed_tables_are_those_of_the_files():
    settings = params.load(ROOT / "studies/camvid_best/params.yaml")
    ours = published.our_rows(settings)
    assert {row.model for row in ours} == {"fpn", "fpn_three", "fpn_single"}
    text = published.report([*ROWS, *ours], NOTES, settings.data.classes)
    made = (ROOT / "studies/camvid_best/reports/published.md").read_text(encoding="utf-8")
    assert made == text + "\n", "see studies/camvid_best/README.md"


def test_a_row_without_a_source_is_named(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("results: [{model: X, miou: 1, train: t, starts: s, notes: [z]}]\nnotes: {}\n")
    with pytest.raises(ValueError, match=r"X: lacks \['source'\], unknown notes \['z'\]"):
        published.published(path)
