import json
import statistics as stdlib

import numpy as np
import pandas as pd
import pytest
from helpers.made_up_reports import CLASSES, GROUPS, confusion, counts_of, write_report

from segmodels.evaluation import bootstrap, scores
from segmodels.reporting import figures, markdown, style, summary, tables
from segmodels.reporting.result import check_comparable, read_result

FLOOR = "all background"

NATS = ("cross_entropy", "cross-entropy (nats per pixel)")
SEED_1 = {"resamples": 2000, "seed": 1, "level": 0.95}
WEIGHTED_NAME = "cross-entropy with class weights"
ROOT_NAME = "cross-entropy with square-root class weights"


@pytest.fixture
def results(tmp_path):
    write_report(tmp_path, "unet", counts=confusion(1))
    write_report(tmp_path, "fcn", counts=confusion(2), miou=[0.1] * 9)
    return [read_result(model, tmp_path) for model in ("unet", "fcn")]


def test_summary_equals_the_metrics_files_and_ends_with_the_floor(results, tmp_path):
    table = summary.table(results).set_index("model")
    assert table.index.tolist() == ["unet", "fcn", FLOOR]
    for model in ("unet", "fcn"):
        written = json.loads((tmp_path / model / "metrics.json").read_text(encoding="utf-8"))
        own = ["classes_counted", "best_epoch", "best_epoch_miou", "miou_low", "miou_high"]
        for name in [*summary.SCORES, *summary.BANDS, *own]:
            assert table.loc[model, name] == written[name]
        assert table.loc[model, "parameters"] == 1_250_000
    assert table.loc[FLOOR, "miou"] == pytest.approx(0.15)


def test_metrics_are_those_of_the_summary(results):
    table = summary.table(results)
    found = summary.metrics(table)
    assert found["fcn"]["miou"] == results[1].metrics["miou"]
    assert found["unet"]["pixel_acc"] == results[0].metrics["pixel_acc"]
    assert list(found) == ["unet", "fcn"]
    json.dumps(found, allow_nan=False)


def test_curves_hold_every_history_and_the_floor(results):
    curves = tables.curves(results)
    for result in results:
        rows = curves[curves["model"] == result.model].drop(columns="model").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, result.history)
    floor = curves[curves["model"] == FLOOR]
    assert floor["epoch"].tolist() == list(range(9))
    assert floor["val_miou"].tolist() == pytest.approx([0.15] * 9)
    assert floor["val_pixel_acc"].tolist() == pytest.approx([0.6] * 9)
    assert floor["val_mean_acc"].tolist() == pytest.approx([0.25] * 9)
    assert floor["val_loss"].isna().all()  # a constant answer has no cross-entropy


def test_per_class_equals_the_files_and_leaves_the_absent_class_blank(results):
    table = tables.per_class(results).set_index(["model", "class"])
    for result in results:
        assert table.loc[result.model, "iou"].equals(result.per_class.set_index("class")["iou"])
    assert table.loc[FLOOR, "iou"].tolist()[:4] == pytest.approx([0.6, 0, 0, 0])
    assert np.isnan(table.loc[(FLOOR, "absent"), "iou"])


@pytest.mark.parametrize("classes", [CLASSES, ["0", "1", "02", "3.0", "1e3"]])
def test_class_names_survive_reading(tmp_path, classes):
    write_report(tmp_path, "unet", counts=confusion(1), classes=classes)
    result = read_result("unet", tmp_path)
    assert result.per_class["class"].tolist() == classes
    assert tables.confusion_matrix(result).columns.tolist() == classes


def test_confusion_matrix_is_row_normalised_in_class_order(results):
    counts = confusion(1)
    expected = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    assert expected[0, 1] != expected[1, 0]  # so a transposed matrix is seen
    np.testing.assert_allclose(tables.confusion_matrix(results[0]), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("miou", "gained"),
    [
        ([0.0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4], 0.0),  # flat
        ([0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.30, 0.31, 0.33], 0.03),  # epochs 6 to 8, not the jump
        ([0.5, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.2, 0.1], -0.2),  # falls
        ([0.1, 0.3], 0.2),  # one epoch: from before the first step
    ],
)
def test_rise_is_the_gain_of_the_last_quarter(miou, gained):
    history = pd.DataFrame({"epoch": range(len(miou)), "val_miou": miou})
    assert tables.rise(history) == pytest.approx(gained)


def said(results, val="val"):
    """The remarks on results, each a string: the sentence, and the lines under it."""
    return [" | ".join([sentence, *lines]) for sentence, lines in markdown.remarks(results, val)]


def test_remarks_say_how_it_was_measured_and_which_models_still_rise(results):
    gained = "val mIoU rose by more than 1 point over the last quarter of the epochs"
    assert said(results) == [  # unet rises in a straight line, fcn stays
        "miniature, val: 3 images, original size, single scale, last epoch.",
        "Start: random weights; epochs: 8; fp32.",
        "Loss: cross-entropy.",
        f"Still improving ({gained}): unet.",
    ]
    assert said(results[:1])[-1].endswith("): unet.")
    assert said(results[:1] * 2)[-1].endswith("): all.")
    assert said(results[1:])[-1].endswith("): none.")


def test_remarks_are_a_markdown_list():
    both = [markdown.Remark("One."), markdown.Remark("Seeds", ["0: a, c", "1: b"])]
    assert markdown.listed(both) == "- One.\n- Seeds:\n  - 0: a, c\n  - 1: b\n"


DICE = {"loss": {"cross_entropy": 0, "dice": 1}}
BOTH = {"loss": {"cross_entropy": 1, "dice": 0.5}}
WEIGHTED = {"class_weights": "median_frequency"}
ROOT = {"class_weights": "sqrt_median_frequency"}
HALF = {**BOTH, **ROOT}  # Dice first: behind "weights" it would seem to have some
LOSSES = "Losses (curves show cross-entropy, which all have)"


@pytest.mark.parametrize(
    ("first", "second", "common", "remark"),
    [
        ({}, {}, NATS, "Loss: cross-entropy."),
        (DICE, DICE, ("loss", "Dice"), "Loss: Dice."),
        (WEIGHTED, WEIGHTED, ("loss", WEIGHTED_NAME), f"Loss: {WEIGHTED_NAME}."),
        (ROOT, ROOT, ("loss", ROOT_NAME), f"Loss: {ROOT_NAME}."),
        (HALF, HALF, ("loss", f"0.5 Dice + {ROOT_NAME}"), f"Loss: 0.5 Dice + {ROOT_NAME}."),
        ({}, BOTH, NATS, f"{LOSSES} | cross-entropy: unet | cross-entropy + 0.5 Dice: fcn"),
        ({}, WEIGHTED, NATS, f"{LOSSES} | cross-entropy: unet | {WEIGHTED_NAME}: fcn"),
        (DICE, BOTH, NATS, f"{LOSSES} | Dice: unet | cross-entropy + 0.5 Dice: fcn"),
    ],
)
def test_models_with_different_losses_are_compared_by_cross_entropy(
    tmp_path, first, second, common, remark
):
    write_report(tmp_path, "unet", counts=confusion(1), recipe=first)
    write_report(tmp_path, "fcn", counts=confusion(2), recipe=second)
    results = [read_result(model, tmp_path) for model in ("unet", "fcn")]
    check_comparable(results)
    assert tables.common_loss(results) == common
    assert remark in said(results)
    assert tables.common_loss(results)[0] in tables.curves(results).columns.str.removeprefix("val_")


def with_seeds(folder, **seeds):
    """Results of models <arch>_<letter>, trained with these seeds."""
    for k, (model, seed) in enumerate(seeds.items()):
        arch = model.partition("_")[0]
        write_report(folder, model, counts=confusion(k), arch=arch, protocol={"seed": seed})
    return [read_result(model, folder) for model in seeds]


def test_models_that_differ_by_the_seed_alone_are_summed_up(tmp_path):
    results = with_seeds(tmp_path, unet_a=0, fcn_a=0, unet_b=1, unet_c=7, fcn_b=3, segnet_a=0)
    check_comparable(results)
    table = tables.over_seeds(results).set_index("model")
    assert table["runs"].to_dict() == {"unet_a": "unet_a, unet_b, unet_c", "fcn_a": "fcn_a, fcn_b"}
    miou = {result.model: result.metrics["miou"] for result in results}
    for _, row in table.iterrows():
        own = [miou[model] for model in row["runs"].split(", ")]
        assert row["seeds"] == len(own)
        assert row["mean"] == pytest.approx(stdlib.mean(own))
        assert row["sd"] == pytest.approx(stdlib.stdev(own))
    line = markdown.seeds_markdown(table.reset_index()).splitlines()[2]
    mean, spread = (f"{100 * table.loc['unet_a', name]:.2f}" for name in ("mean", "sd"))
    assert line == f"| unet_a | unet_a, unet_b, unet_c | 3 | {mean}% | {spread} |"
    together = "0: unet_a, fcn_a, segnet_a | 1: unet_b | 7: unet_c | 3: fcn_b"
    assert f"Seeds | {together}" in said(results)


@pytest.mark.parametrize("newer", ["unet", "fcn"])
def test_a_key_that_came_later_has_its_default_in_older_results(tmp_path, newer):
    """A result in which it differs is trained otherwise, and one in which it does not is none."""
    for model in ("unet", "fcn", "segnet"):
        later = {"color_jitter": 0.3, "compile": False} if model == newer else {}
        write_report(tmp_path, model, counts=confusion(1), recipe=later)
    results = [read_result(model, tmp_path) for model in ("unet", "fcn", "segnet")]
    assert tables.otherwise(results) == {newer: {"color_jitter": 0.3}}
    again = {
        "compile": False,
        "color_jitter": 0.0,
        "loss": {"cross_entropy": 1, "dice": 0, "focal": 0.0},
    }
    write_report(tmp_path, "segnet again", counts=confusion(1), recipe=again, arch="segnet")
    assert read_result("segnet again", tmp_path).identity == results[2].identity


def test_another_recipe_or_argument_or_the_same_seed_makes_no_spread(tmp_path):
    results = with_seeds(tmp_path, unet_a=0, unet_b=1, unet_c=2, unet_d=0)
    results[1].provenance["recipe"]["lr"] = 0.5
    results[2].provenance["arguments"]["width"] = 32
    assert tables.over_seeds(results).empty
    assert markdown.seeds_markdown(tables.over_seeds(results)) == ""


def test_remarks_say_when_pictures_were_shrunk(tmp_path):
    protocol, recipe = {"input_long_side": 384}, {"init": "imagenet", "val_size": 256}
    write_report(tmp_path, "unet", counts=confusion(1), protocol=protocol, recipe=recipe)
    first, second, third, *_ = said([read_result("unet", tmp_path)])
    assert "original size (resized to long side 384 for inference), single scale" in first
    assert second == "Curves: at long side 256."
    assert third.startswith("Start: imagenet;")


SIZES = {
    "fcn": {"input_long_side": 448, "gflops_picture": "448 x 336"},
    "fcn_320": {"input_long_side": 320, "gflops_picture": "320 x 240"},
    "fcn_best": {"input_long_side": 448, "gflops_picture": "448 x 336", "weights": "best epoch"},
}


def of_sizes(folder, *models):
    """Results of one network, predicted at several sizes and with the weights of two epochs."""
    for seed, model in enumerate(models):
        protocol = {**SIZES[model], "seed": seed}
        write_report(folder, model, counts=confusion(seed), arch="fcn", protocol=protocol)
    return [read_result(model, folder) for model in models]


def test_captions_name_the_first_size_where_runs_have_several(tmp_path):
    both = of_sizes(tmp_path, "fcn", "fcn_320")
    said_size = "original size (resized to several sizes for inference, fcn: 448), single scale"
    assert said_size in markdown.measured(both)
    assert markdown.counted(both).endswith("one image, at several sizes (fcn: 448 x 336 pixels).")
    assert "(resized to long side 320 for inference)" in markdown.measured(both[1:])
    assert markdown.counted(both[1:]).endswith("one image of 320 x 240 pixels.")
    assert "Predicted otherwise than fcn | long side 320: fcn_320" in said(both)


def test_captions_name_the_first_epoch_where_runs_have_several(tmp_path):
    both = of_sizes(tmp_path, "fcn", "fcn_best")
    assert markdown.measured(both).endswith("weights of several epochs (fcn: last epoch).")
    assert "Predicted otherwise than fcn | best epoch: fcn_best" in said(both)


@pytest.mark.parametrize("other", [{"test_time": "flip"}, SIZES["fcn_320"], SIZES["fcn_best"]])
def test_runs_that_are_predicted_otherwise_make_no_spread(tmp_path, other):
    """Found: a run with another seed and another input size stood among the seeds."""
    for seed, protocol in enumerate([SIZES["fcn"], SIZES["fcn"], {**SIZES["fcn"], **other}]):
        protocol = {**protocol, "seed": seed}
        write_report(tmp_path, f"fcn_{seed}", counts=confusion(seed), arch="fcn", protocol=protocol)
    results = [read_result(f"fcn_{seed}", tmp_path) for seed in range(3)]
    assert tables.over_seeds(results)["runs"].tolist() == ["fcn_0, fcn_1"]


def test_curves_are_of_val_where_other_pictures_are_scored(tmp_path):
    """So the floor of those pictures is not theirs."""
    recipe = {"init": "imagenet", "val_size": 256}
    write_report(tmp_path, "unet", counts=confusion(1), split="holdout of train", recipe=recipe)
    results = [read_result("unet", tmp_path)]
    assert "Curves: val, at long side 256." in said(results)
    curves = tables.curves(results)
    assert set(curves["model"]) == {"unet"}
    shown = tables.common_loss(results)
    axes = figures.curves(curves, style.looks(["unet"]), shown, "", "").axes[1]
    assert [line.get_label() for line in axes.lines if line.get_label()[0] != "_"] == ["unet"]


def test_curves_of_a_list_of_another_name_are_of_the_images_scored(tmp_path):
    """So the floor is theirs too."""
    write_report(tmp_path, "unet", counts=confusion(1), split="holdout")
    results = [read_result("unet", tmp_path)]
    assert "Curves:" not in "".join(said(results, "holdout"))
    caption = markdown.of_curves(results, "holdout")
    assert f"val, which is holdout: {results[0].metrics['images']} images" in caption
    assert tables.floor_name(results) in set(tables.curves(results, "holdout")["model"])


def test_looks_at_test_are_counted_in_the_remarks(tmp_path):
    for model in ("fcn", "unet"):
        write_report(tmp_path, model, counts=confusion(1), split="test", protocol={"test_looks": 1})
    results = [read_result(model, tmp_path) for model in ("fcn", "unet")]
    assert "Looks at test by these runs: 2, one a run, after its training." in said(results)
    assert "Curves: val." in said(results)
    assert set(tables.curves(results)["model"]) == {"fcn", "unet"}  # the floor is of another split


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dataset": "voc2012"}, "dataset is 'miniature' and 'voc2012'"),
        ({"split": "train"}, "split is 'val' and 'train'"),
        ({"pictures": list("abcd")}, "images is 3 and 4"),
        ({"protocol": {"precision": "bf16"}}, "precision is 'fp32' and 'bf16'"),
        ({"protocol": {"flip": True}}, "flip is None and True"),
        ({"protocol": {"ids_sha256": "ab"}}, "ids_sha256 is None and 'ab'"),
        ({"protocol": {"evaluation": 2}}, "evaluation is 1 and 2"),
        ({"protocol": {"bootstrap": SEED_1}}, "bootstrap of seed is 0 and 1"),
        ({"counts": confusion(2, [60, 20, 14, 6, 0])}, "pixels of 007 is 15 and 14"),
        ({"classes": ["background", "NA", "007", "a", "b"]}, r"pixels of a\$b\$ is 5 and None"),
    ],
)
def test_models_measured_differently_are_refused(tmp_path, change, named):
    write_report(tmp_path, "unet", counts=confusion(1))
    write_report(tmp_path, "fcn", **{"counts": confusion(2), **change})
    results = [read_result(model, tmp_path) for model in ("unet", "fcn")]
    with pytest.raises(ValueError, match=f"^unet and fcn do not belong in one table: .*{named}"):
        check_comparable(results)


def test_models_measured_alike_are_accepted_with_weights_of_their_own(results):
    assert len({result.metrics["protocol"]["weights_sha256"] for result in results}) == 2
    check_comparable(results)


def test_models_trained_otherwise_than_most_are_marked(tmp_path):
    own = {"unet": {}, "fcn": {"epochs": 30}, "segnet": {"init": "imagenet", "bn": "frozen"}}
    for k, (model, recipe) in enumerate(own.items()):
        loss = {"loss": {"cross_entropy": 1, "dice": k}}
        write_report(tmp_path, model, counts=confusion(k), recipe=recipe | loss)
    results = [read_result(model, tmp_path) for model in own]
    check_comparable(results)
    assert tables.otherwise(results) == {model: recipe for model, recipe in own.items() if recipe}
    text = summary.report(
        summary.table(results),
        markdown.remarks(results),
        tables.differences(results),
        {},
        tables.over_seeds(results),
    )
    marked = ["unet", "fcn *", "segnet *", "all background"]
    assert [line.split(" | ")[0][2:] for line in text.splitlines()[2:6]] == marked
    assert "- Start: random weights; epochs: 8; fp32.\n" in text
    recipes = "  - epochs 30: fcn\n  - init imagenet, bn frozen: segnet\n"
    assert f"- Trained otherwise (*):\n{recipes}" in text


FOCAL = {"loss": {"cross_entropy": 0, "dice": 0, "focal": 1}}


def test_another_loss_is_in_the_tables_of_the_models_that_have_it(tmp_path):
    write_report(tmp_path, "unet", counts=confusion(1))
    write_report(tmp_path, "fcn", counts=confusion(2), recipe=FOCAL)
    path = tmp_path / "fcn" / "history.csv"
    history = pd.read_csv(path)
    history["train_focal"] = history["train_dice"] / 2
    history["val_focal"] = history["val_dice"] / 2
    history.to_csv(path, index=False)
    results = [read_result(model, tmp_path) for model in ("unet", "fcn")]
    table = summary.table(results).set_index("model")
    assert table.loc["fcn", "val_focal"] == history["val_focal"].iloc[-1]
    assert np.isnan(table.loc["unet", "val_focal"])
    assert f"{LOSSES} | cross-entropy: unet | focal: fcn" in said(results)
    assert tables.common_loss(results[1:]) == ("loss", "focal")


def test_a_history_without_the_loss_of_its_training_is_refused(tmp_path):
    write_report(tmp_path, "fcn", counts=confusion(2), recipe=FOCAL)
    with pytest.raises(ValueError, match=r"history\.csv: lacks the column train_focal"):
        read_result("fcn", tmp_path)


def test_missing_report_says_which_stage_makes_it(tmp_path):
    write_report(tmp_path, "unet", counts=confusion(1))
    (tmp_path / "unet" / "history.csv").unlink()
    with pytest.raises(ValueError, match=r"unet.history\.csv is missing: run `dvc repro evaluate@"):
        read_result("unet", tmp_path)


def test_overlap_and_groups_are_those_that_were_written(results):
    counts = counts_of(confusion(1))
    np.testing.assert_array_equal(results[0].overlap, counts.overlap)
    table = tables.groups(results)
    assert table["group"].tolist() == 2 * list(GROUPS)
    own = scores.groups_table(confusion(2), CLASSES, GROUPS)
    pd.testing.assert_frame_equal(
        table[table["model"] == "fcn"].drop(columns="model").reset_index(drop=True), own
    )


def test_differences_are_those_of_the_pictures(results):
    table = tables.differences(results)
    expected = bootstrap.differences(
        {"unet": counts_of(confusion(1)).overlap, "fcn": counts_of(confusion(2)).overlap}
    )
    pd.testing.assert_frame_equal(table, expected)
    gain = results[1].metrics["miou"] - results[0].metrics["miou"]
    assert table.loc[0, "difference"] == pytest.approx(gain)


def test_differences_are_answered_for_the_pairs_of_each_comparison():
    rows = [("a", "b", 0.0512, 0.011, 0.0909, True), ("a", "c", -0.02, -0.05, 0.01, False)]
    columns = ["first", "second", "difference", "low", "high", "real"]
    table = pd.DataFrame([*rows, ("b", "c", -0.07, -0.1, -0.04, True)], columns=columns)
    lines = markdown.differences_markdown(table, {"x": ["b", "a"], "y": ["a", "c"]}).splitlines()
    assert lines[2:4] == [
        "| x | b - a | +5.12 | +1.10 to +9.09 | yes |",
        "| y | c - a | -2.00 | -5.00 to +1.00 | no |",
    ]
    assert lines[-1] == markdown.DIFFERENCES_MEANING and "2,000 resamples" in lines[-1]
    assert markdown.differences_markdown(table, {"alone": ["a"]}) == ""


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_is_in_percent_with_the_protocol_under_it(results):
    lines = summary.printed(summary.table(results), [markdown.Remark("As measured.")]).splitlines()
    metrics = results[0].metrics
    shown = [f"{metrics[name]:.1%}" for name in ("miou", "miou_low", "miou_high", "boundary_miou")]
    miou, low, high, band = shown
    unet, floor = (dict(zip(cells(lines[0]), cells(lines[k]), strict=True)) for k in (2, 4))
    assert unet["model"] == "unet" and unet["95% interval"] == f"{low} to {high}"
    assert [unet["mIoU"], unet["mIoU, present"], unet["boundary mIoU"]] == [miou, miou, band]
    assert [unet["best epoch"], unet["parameters"], unet["GMACs"]] == ["8 (40.0%)", "1.2 M", "2.50"]
    assert {heading: cell for heading, cell in floor.items() if cell} == {
        "model": "all background",
        "mIoU": "15.0%",
        "mIoU, present": "15.0%",
        "pixel acc": "60.0%",
        "mean acc": "25.0%",
    }
    assert lines[-1] == "- As measured."


def test_a_column_is_printed_in_its_form(results, monkeypatch):
    monkeypatch.setitem(summary.SHOWN, "classes", ("classes_counted", summary.COUNT))
    table = summary.table(results).assign(classes_counted=2100)
    assert summary.printed_row(table.iloc[0])[len(summary.SHOWN)] == "2,100"
