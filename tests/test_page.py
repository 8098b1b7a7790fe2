import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from made_up_page import CLASSES, MODELS, VAL, make_page, prediction, target, write_project
from made_up_reports import confusion, write_report

from segmodels.data import voc
from segmodels.reporting import page, tables

ROOT = Path(__file__).parents[1]
PREDICTIONS = Path("data/predictions/miniature")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    home = tmp_path_factory.mktemp("project")
    write_project(home)
    return home


@pytest.fixture(scope="module")
def text(project):
    return make_page(project).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(text):
    return json.loads(re.search('id="data">(.*)</script>', text)[1])


@pytest.fixture(scope="module")
def results(project):
    return [tables.read_result(model, project / "reports/models") for model in MODELS]


class Cells(HTMLParser):
    """Text of all table rows, as a reader without JavaScript gets it."""

    def __init__(self, text):
        super().__init__()
        self.rows, self._open = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag):
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data):
        if self._open:
            self.rows[-1][-1] += data.strip()


def test_the_tables_say_what_the_summary_says_without_javascript(text, results):
    rows = Cells(text).rows
    for _, row in tables.summary(results).iterrows():
        assert tables.printed_row(row) in rows
    for name in CLASSES:
        k = CLASSES.index(name)
        heat = [f"{100 * result.per_class['iou'][k]:.1f}" for result in results]
        assert [name, *heat] in rows
    pictures = {"background": 4, CLASSES[1]: 2, CLASSES[2]: 1, CLASSES[3]: 1}
    found = {row[0]: row[3] for row in rows if len(row) == 5 and row[0] in CLASSES}
    assert found == {name: str(count) for name, count in pictures.items()}


def test_scores_are_sorted_by_their_full_value_and_not_by_what_is_printed(results):
    summary = tables.summary(results)
    row = page.scores_row(summary.iloc[0])
    values = dict(zip(tables.HEAD, [value for _, value in row["cells"]], strict=True))
    assert values["mIoU"] == results[0].metrics["miou"]
    assert values["parameters"] == 1_250_000
    assert (row["low"], row["high"]) == (values["95% interval"], results[0].metrics["miou_high"])
    floor = page.scores_row(summary.iloc[-1])
    assert floor["low"] is None and floor["cells"][-1] == ("", None)


def test_confusion_rows_are_true_classes(results):
    counts = np.zeros((4, 4), int)
    for k in range(len(VAL)):
        true, found = target(k)[0], prediction(k, 2)
        np.add.at(counts, (true[true != 255], found[true != 255]), 1)
    assert page.pixels(results[2]) == counts.tolist() != counts.T.tolist()


def test_curves_of_the_data_are_those_of_the_history(data, results):
    for model, result in zip(data["models"], results, strict=True):
        for name, column in [("loss", "val_cross_entropy"), ("miou", "val_miou")]:
            np.testing.assert_allclose(model[name], result.history[column], rtol=1e-5)
    assert data["floor"] == pytest.approx(results[0].floor["miou"])
    assert [model["colour"] for model in data["models"]] == ["#0072B2", "#E69F00", "#009E73"]


def test_facts_name_every_value_and_count_long_lists():
    nested = {"a_b": {"c": None, "long": [0] * 9}, "short": [1, 2], "empty": []}
    assert list(page.facts(nested)) == [
        ("a b: c", "none"),
        ("a b: long", "9 entries"),
        ("short", "1, 2"),
        ("empty", "none"),
    ]


def test_a_difference_is_the_second_model_minus_the_first(tmp_path):
    path = tmp_path / "differences.csv"
    path.write_text("first,second,difference,low,high,real\n007,NA,-0.1,-0.2,-0.05,True\n", "utf-8")
    ((_, pair),) = page.read_differences(path).iterrows()
    shown = [cell for cell, _ in page.difference_row(pair)]
    assert shown == ["NA − 007", "-10.00", "-20.00 to -5.00", "yes"]


def test_the_page_is_one_small_file_that_names_no_address(project, text):
    assert [path.name for path in (project / "data/page").iterdir()] == ["index.html"]
    assert not re.search(r"https?:|src=\"(?!data:)|@import|url\(", text)
    assert "default-src 'none'" in text  # what a browser enforces
    assert CLASSES[1] not in text and "&lt;b&gt;cat&lt;/b&gt; &amp; dog" in text


def test_the_same_results_give_the_same_bytes(project, text):
    assert make_page(project).read_text(encoding="utf-8") == text


def test_a_data_set_without_objects_has_a_page_without_their_views(tmp_path):
    write_project(tmp_path)
    for path in (tmp_path / voc.dataset_root("miniature") / "SegmentationObject").iterdir():
        path.unlink()
    assert "Without SegmentationObject there is no" in make_page(tmp_path).read_text("utf-8")


def test_headline_stage_adds_the_floor_and_needs_no_data_set(tmp_path):
    write_report(tmp_path / "reports/models", "unet", counts=confusion(1))
    subprocess.run(
        [sys.executable, "-m", "stages.headline", "unet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    out, source = tmp_path / "reports/headline", tmp_path / "reports/models/unet"
    history = pd.read_csv(out / "history.csv")
    assert history["floor_miou"].tolist() == pytest.approx([0.15] * 9)
    pd.testing.assert_frame_equal(
        history.drop(columns="floor_miou"), pd.read_csv(source / "history.csv")
    )
    for name in ("per_class.csv", "confusion.csv"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    written = yaml.safe_load((out / "metrics.json").read_text(encoding="utf-8"))
    assert written["model"] == "unet" and written["floor_miou"] == pytest.approx(0.15)
    assert not any(isinstance(value, (dict, list)) for value in written.values())
