"""Titles against tables written by hand, whose answer one sees."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from segmodels.config import params
from segmodels.reporting import findings, style
from stages import compare

ROOT = Path(__file__).parents[2]
FLOOR = "all sky"
CLASSES = ["sky", "pole", "car"]


def matrix(rows):
    return pd.DataFrame(rows, index=CLASSES, columns=CLASSES)


def test_scores_name_both_ends_and_leave_the_floor_out():
    table = pd.DataFrame({"model": ["a", "b", "c", FLOOR], "miou": [0.5, 0.612, 0.4, 0.01]})
    assert findings.scores(table, ["a", "b", "c"]) == "mIoU between 40.0% (c) and 61.2% (b)"
    assert findings.scores(table, ["a"]) == "mIoU at 50.0% (a)"


def study(**comparison):
    """A study of two runs with one comparison."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["models"] = {name: {"arch": "unet"} for name in "ab"}
    values["model"] = "a"
    values["comparisons"] = {"x": comparison}
    return params.Params(**values)


def test_a_comparison_of_all_runs_gives_its_title_to_the_figure_of_their_scores():
    table = pd.DataFrame({"model": ["a", "b", FLOOR], "miou": [0.5, 0.4, 0.01]})
    automatic = "miniature (generated images): mIoU between 40.0% (b) and 50.0% (a)"
    titled = {"title": "b is 10 points behind a"}
    for runs, more, expected in [
        (["b", "a"], titled, titled["title"]),
        (["b", "a"], {}, automatic),
        (["b"], titled, automatic),
        (["b", "a"], titled | {"score_classes": ["cat"]}, automatic),
    ]:
        title = compare.scores_title(study(runs=runs, **more), table, style.looks(["a", "b"]))
        assert title == expected


def test_curves_end_at_the_last_epoch_not_at_the_best():
    table = pd.DataFrame(
        {
            "model": ["a", "a", "a", "b", "b", FLOOR],
            "epoch": [0, 1, 2, 0, 1, 0],
            "val_miou": [0.1, 0.9, 0.3, 0.1, 0.2, 0.0],
        }
    )
    assert findings.curves(table, ["a", "b"]) == "val mIoU ends between 20.0% (b) and 30.0% (a)"
    some = findings.curves(table, ["a"], "val mIoU over 5 classes")
    assert some == "val mIoU over 5 classes ends at 30.0% (a)"


def test_the_hardest_class_has_the_lowest_mean_of_the_models_and_classes_asked_for():
    rows = [("a", "sky", 0.9), ("a", "pole", 0.1), ("a", "car", 0.3)]
    rows += [("b", "sky", 0.8), ("b", "pole", 0.7), ("b", "car", 0.2)]
    rows += [(FLOOR, "sky", 0.2), (FLOOR, "pole", 0.0), (FLOOR, "car", 0.0), ("a", "none", np.nan)]
    table = pd.DataFrame(rows, columns=["model", "class", "iou"])
    every = [*CLASSES, "none"]
    found = "car is the hardest of 3 classes, mean IoU 25%"
    assert findings.per_class(table, ["a", "b"], every) == found
    found = "pole is the hardest of 2 classes, mean IoU 40%"
    assert findings.per_class(table, ["a", "b"], ["sky", "pole"]) == found
    assert findings.per_class(table, ["a"], ["none"]) == "no class has an IoU"


def test_the_most_frequent_confusion_is_a_mean_over_the_models_off_the_diagonal():
    a = matrix([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])
    b = matrix([[1, 0, 0], [0.1, 0.2, 0.7], [0, 0.4, 0.6]])
    averaged = "pole is most often taken for car, 35% of its pixels on average"
    assert findings.confusions({"a": a, "b": b}, CLASSES) == averaged
    assert (
        findings.confusions({"a": a}, CLASSES)
        == "pole is most often taken for sky, 50% of its pixels"
    )
    some = "of 2 classes car is most often taken for pole, 40% of its pixels"
    assert findings.confusions({"b": b}, ["sky", "car"]) == some


def test_a_class_that_truth_lacks_is_confused_with_none():
    none = matrix([[1, 0, 0], [np.nan] * 3, [0, 0, 1]])
    assert findings.confusions({"a": none}, CLASSES) == "no class is taken for another"


@pytest.mark.parametrize(
    ("gflops", "found"),
    [
        ([1.0, 8.37, 2.0], "a scores highest, at 1 GMACs; b costs the most, 8.37"),
        ([9.0, 8.0, 2.0], "a scores highest and costs the most, 9 GMACs"),
    ],
)
def test_cost_names_the_best_network_and_the_most_expensive(gflops, found):
    table = pd.DataFrame({"model": list("abc"), "miou": [0.6, 0.5, 0.4], "gflops": gflops})
    assert findings.cost(table, ["a", "b", "c"]) == found


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        ([60, 39, 1], "sky has 60% of train's pixels, car 1%"),
        ([60, 40, 0], "sky has 60% of train's pixels, 1 of 3 classes have none"),
    ],
)
def test_dataset_names_the_most_frequent_class_and_the_rarest(pixels, found):
    assert findings.dataset(pd.Series(pixels, CLASSES, name="train")) == found


def test_models_of_one_figure_differ_in_colour_and_marker():
    models = [f"m{i}" for i in range(20)]
    groups = [models[:3], ["m0", "m8", "m16", "m3"], ["m16", "m1"], models[5:13]]
    looks = style.looks(models, groups)
    for group in groups:
        assert len({looks[model]["color"] for model in group}) == len(group)
        assert len({looks[model]["marker"] for model in group}) == len(group)
    alone = style.looks(models)
    assert all(looks[model] == alone[model] for model in models[:8])  # who was first keeps his
