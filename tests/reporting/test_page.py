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
from helpers.made_up_page import (
    CLASSES,
    COSTS,
    GROUPS,
    MODELS,
    VAL,
    make_page,
    prediction,
    target,
    write_project,
)
from helpers.made_up_reports import confusion, write_report

from segmodels.config.paths import Paths
from segmodels.reporting import costs, gallery, markdown, page, style, summary

ROOT = Path(__file__).parents[2]
PREDICTIONS = Path("data/predictions/miniature")


@pytest.fixture(scope="module")
def text(made_up_project):
    return (made_up_project / "data/page/index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(text):
    return json.loads(re.search('id="data">(.*)</script>', text)[1])


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


def test_the_tables_say_what_the_summary_says_without_javascript(text, made_up_results):
    rows = Cells(text).rows
    for _, row in summary.table(made_up_results).iterrows():
        assert summary.printed_row(row)[:-1] in rows
    for name in CLASSES:
        k = CLASSES.index(name)
        heat = [f"{100 * result.per_class['iou'][k]:.1f}" for result in made_up_results]
        assert [name, *heat] in rows
    pictures = {"background": 4, CLASSES[1]: 2, CLASSES[2]: 1, CLASSES[3]: 1}
    found = {row[0]: row[3] for row in rows if len(row) == 5 and row[0] in CLASSES}
    assert found == {name: str(count) for name, count in pictures.items()}


def test_every_column_is_explained():
    headings = {*summary.HEAD[:-1], *markdown.DIFFERENCES_HEAD, *markdown.SEEDS_HEAD}
    headings |= {column.heading for column in costs.COLUMNS.values()}
    assert page.HELP.keys() == headings, "HELP in segmodels/reporting/page.py"
    told = (ROOT / "docs/learn/how-we-measure.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([^|]+) \|", told, re.MULTILINE)
    assert set(summary.SHOWN) <= {*words, *", ".join(words).split(", ")}


def test_the_best_epoch_is_that_of_the_holdout_where_there_is_one():
    """As `stages.evaluate` chooses it; the mIoU behind it is val's."""
    assert page.HELP["best epoch"] == (
        "Epoch with the highest mIoU during training: on the holdout, or on val where there is "
        "none. In brackets its mIoU on val."
    )


def test_scores_are_sorted_by_their_full_value_and_not_by_what_is_printed(made_up_results):
    table = summary.table(made_up_results)
    cells = dict(zip(summary.HEAD, page.scores_row(table.iloc[0]), strict=False))
    values = {head: cell.value for head, cell in cells.items()}
    metrics = made_up_results[0].metrics
    assert values["mIoU"] == metrics["miou"]
    assert values["parameters"] == 1_250_000
    low, middle, high = (metrics[name] for name in ("miou_low", "miou", "miou_high"))
    assert cells["95% interval"].bar == (low, middle, high) and values["95% interval"] == low
    floor = page.scores_row(table.iloc[-1])
    assert not any(cell.bar for cell in floor) and floor[-1] == page.Cell("", None)


def test_the_page_says_how_it_was_measured_and_what_differs(text, made_up_results):
    remarks = markdown.remarks(made_up_results)
    assert any(remark.lines for remark in remarks)
    for sentence, lines in remarks:
        assert sentence in text
        for line in lines:
            assert f"<li>{line}</li>" in text


def test_costs_are_those_that_were_counted_and_measured(text, data, made_up_results):
    rows = Cells(text).rows
    for result in made_up_results:
        gflops, latency, seconds, memory = COSTS[result.model]
        shown = [f"{gflops:.2f}", "1.2", f"{latency:.1f}", f"{seconds:.0f}", f"{memory:.2f}"]
        assert [result.model, f"{result.metrics['miou']:.1%}", *shown] in rows
    found = {cost["name"]: cost for cost in data["costs"]}
    assert found["latency, ms"]["cost"] == [COSTS[model][1] for model in MODELS]
    # From good to bad unet, fcn8s, fcn32s; fcn8s is slower than unet, but cheaper in GMACs.
    assert [MODELS[i] for i in found["latency, ms"]["front"]] == ["fcn32s", "unet"]
    assert [MODELS[i] for i in found["GMACs"]["front"]] == ["fcn32s", "fcn8s", "unet"]
    assert "50 predictions of one image of 80 x 64 pixels" in text
    assert text.count("fp32, 2 threads, Abacus 3000.") == 2  # the latency's and the training's


def test_times_at_two_sizes_name_the_first(made_up_project, made_up_results):
    spent = costs.read(made_up_results, made_up_project / "data/costs/miniature")
    spent.loc[1, "picture"] = "40 x 32"
    first, _ = costs.machines(made_up_results, spent)
    assert "50 predictions of one image, at several sizes (unet: 80 x 64 pixels), after" in first


def test_times_of_two_machines_name_the_models_of_each(made_up_project, made_up_results):
    spent = costs.read(made_up_results, made_up_project / "data/costs/miniature")
    spent.loc[1, "machine"] = "fp32, 1 thread, Slide Rule"
    first, second, training = costs.machines(made_up_results, spent)
    assert first.endswith("after a warm-up, unet, fcn32s: fp32, 2 threads, Abacus 3000.")
    assert second.endswith("after a warm-up, fcn8s: fp32, 1 thread, Slide Rule.")
    assert training == "Training without validation: fp32, 2 threads, Abacus 3000."


def test_a_missing_cost_says_which_stage_makes_it(tmp_path, made_up_results):
    with pytest.raises(ValueError, match=r"unet\.json is missing: run `dvc repro predict@unet`"):
        costs.read(made_up_results, tmp_path)


def test_seeds_of_one_network_are_shown_with_mean_and_deviation(text, made_up_results):
    miou = [100 * result.metrics["miou"] for result in made_up_results[1:]]
    shown = [f"{np.mean(miou):.2f}%", f"{np.std(miou, ddof=1):.2f}"]
    assert ["fcn8s", "fcn8s, fcn32s", "2", *shown] in Cells(text).rows


def test_groups_are_the_means_of_their_classes(text, made_up_results):
    rows = Cells(text).rows
    for group, members in GROUPS.items():
        per_class = [result.per_class.set_index("class")["iou"] for result in made_up_results]
        means = [f"{100 * iou[members].mean():.1f}" for iou in per_class]
        assert [group, *means] in rows


def test_confusion_rows_are_true_classes(made_up_results):
    counts = np.zeros((4, 4), int)
    for k in range(len(VAL)):
        true, found = target(k)[0], prediction(k, 2)
        np.add.at(counts, (true[true != 255], found[true != 255]), 1)
    assert page.pixels(made_up_results[2]) == counts.tolist() != counts.T.tolist()


def test_curves_of_the_data_are_those_of_the_history(data, made_up_results):
    for model, result in zip(data["models"], made_up_results, strict=True):
        for name, column in [("loss", "val_cross_entropy"), ("miou", "val_miou")]:
            np.testing.assert_allclose(model[name], result.history[column], rtol=1e-5)
    assert data["floor"] == pytest.approx(made_up_results[0].floor["miou"])
    assert [model["colour"] for model in data["models"]] == style.COLOURS[:3]


def test_the_page_knows_whether_label_0_is_background(data):
    assert data["background"] is True
    assert gallery.has_background(["background", "sky"])
    assert not gallery.has_background(["sky", "background"])


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
    shown = [cell.text for cell in page.difference_row(pair)]
    assert shown == ["NA − 007", "-10.00", "-20.00 to -5.00", "yes"]


def test_the_page_is_one_small_file_that_names_no_address(made_up_project, text):
    assert [path.name for path in (made_up_project / "data/page").iterdir()] == ["index.html"]
    assert not re.search(r"https?:|src=\"(?!data:)|@import|url\(", text)
    assert "default-src 'none'" in text  # what a browser enforces
    assert CLASSES[1] not in text and "&lt;b&gt;cat&lt;/b&gt; &amp; dog" in text


def test_the_same_results_give_the_same_bytes(made_up_project, text):
    assert make_page(made_up_project).read_text(encoding="utf-8") == text


def test_a_data_set_without_objects_has_a_page_without_their_views(tmp_path):
    write_project(tmp_path)
    for path in (tmp_path / Paths(dataset="miniature").tree / "SegmentationObject").iterdir():
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
