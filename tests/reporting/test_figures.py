import hashlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.made_up_reports import CLASSES, confusion, write_report
from sklearn.isotonic import IsotonicRegression

from segmodels.core.files import write_csv
from segmodels.reporting import figures, style, tables
from segmodels.reporting.result import read_result

FLOOR = "all background"

ROOT = Path(__file__).parents[2]
MODELS = ["unet", "fcn", "deeplab"]
LOOK = style.looks(MODELS)
NATS = ("cross_entropy", "cross-entropy (nats per pixel)")
GROUPS = {"things": ["a$b$", "NA"], "007": ["007"]}
LISTS = {"train": "train", "val": "val"}


def write_reports(folder):
    write_report(folder, "unet", counts=confusion(1))
    write_report(folder, "fcn", counts=confusion(2), miou=np.linspace(0.2, 0.3, 9))
    rising = np.linspace(0.1, 0.21, 9)
    again = {"arch": "fcn", "protocol": {"seed": 1}}  # the same network with another seed
    write_report(folder, "deeplab", counts=confusion(3), miou=rising, **again)


@pytest.fixture
def results(tmp_path):
    write_reports(tmp_path)
    return [read_result(model, tmp_path) for model in MODELS]


@pytest.fixture
def index():
    """Two pictures to train, four to validate; class 1 is in half of the latter."""
    pixels = [[80, 20, 0, 0, 0], [90, 0, 10, 0, 0]]
    pixels += [[50, 50, 0, 0, 0], [75, 25, 0, 0, 0], [90, 0, 0, 10, 0], [85, 0, 0, 15, 0]]
    table = pd.DataFrame(pixels, columns=CLASSES)
    facts = {"image_id": list("abcdef"), "split": ["train"] * 2 + ["val"] * 4}
    facts |= {"width": 25, "height": 5, "void_share": 0.2}
    return pd.concat([pd.DataFrame(facts), table], axis=1)


def lines(axes):
    """Labelled lines of a figure, by label."""
    return {line.get_label(): line for line in axes.lines if line.get_label()[0] != "_"}


def end_labels(axes):
    """Names written beside the lines, and the points to which they lead."""
    return {note.get_text(): tuple(note.xy) for note in axes.texts}


def rows(axes):
    """Names of the rows, from top to bottom."""
    return [tick.get_text() for tick in axes.get_yticklabels()]


def dots(axes, label, names=None):
    """x of the dots with a label, by the name of their row."""
    names, line = names or rows(axes), lines(axes)[label]
    return {names[round(y)]: x for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)}


def test_miou_curves_are_the_history_in_percent_with_the_floor(results):
    axes = figures.curves(tables.curves(results), LOOK, NATS, "mIoU", "caption").axes[1]
    drawn = lines(axes)
    assert set(drawn) == {*MODELS, FLOOR}
    for result in results:
        np.testing.assert_array_equal(
            drawn[result.model].get_ydata(), result.history["val_miou"] * 100
        )
        np.testing.assert_array_equal(drawn[result.model].get_xdata(), range(9))
    np.testing.assert_allclose(drawn[FLOOR].get_ydata(), 15.0)
    assert drawn[FLOOR].get_linestyle() == "--"
    ends = {name: (line.get_xdata()[-1], line.get_ydata()[-1]) for name, line in drawn.items()}
    assert end_labels(axes) == ends


def test_loss_draws_val_solid_and_train_dashed(results):
    axes = figures.curves(tables.curves(results), LOOK, NATS, "loss", "caption").axes[0]
    history = results[1].history
    colour = LOOK["fcn"]["color"]
    drawn = {line.get_linestyle(): line for line in axes.lines if line.get_color() == colour}
    np.testing.assert_array_equal(drawn["-"].get_ydata(), history["val_cross_entropy"])
    np.testing.assert_array_equal(drawn["--"].get_ydata(), history["train_cross_entropy"])
    assert set(end_labels(axes)) == set(MODELS)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["val", "train"]


def test_loss_of_models_with_a_loss_of_their_own_is_named(results):
    axes = figures.curves(tables.curves(results), LOOK, ("loss", "Dice"), "", "").axes[0]
    assert axes.get_ylabel() == "Dice, logarithmic"
    np.testing.assert_array_equal(lines(axes)["fcn"].get_ydata(), results[1].history["val_loss"])


def test_study_shows_its_own_models_in_their_usual_colours(results):
    some = {model: LOOK[model] for model in ["deeplab", "fcn"]}
    drawn = lines(figures.curves(tables.curves(results), some, NATS, "", "").axes[1])
    assert set(drawn) == {"deeplab", "fcn", FLOOR}
    assert drawn["deeplab"].get_color() == style.COLOURS[2]


def test_curves_have_losses_left_and_miou_right(results):
    left, right = figures.curves(tables.curves(results), LOOK, NATS, "", "", "mIoU of 2 (%)").axes
    expected = results[0].history["val_cross_entropy"]
    np.testing.assert_array_equal(lines(left)["unet"].get_ydata(), expected)
    assert set(lines(right)) == {*MODELS, FLOOR}
    assert "nats" in left.get_ylabel() and right.get_ylabel() == "mIoU of 2 (%)"


def test_curves_over_some_classes_are_the_means_of_their_ious(results):
    classes = ["background", "007"]
    rng = np.random.default_rng(0)
    iou = {model: rng.random((9, 2)) for model in ("unet", "fcn")}
    histories = {}
    for model, values in iou.items():
        rows = {"epoch": np.repeat(range(9), 2), "class": classes * 9, "iou": values.ravel()}
        histories[model] = pd.DataFrame(rows)
    scored = tables.class_scores(results[:2], classes)
    found = tables.class_curves(tables.curves(results), histories, scored)
    for model, values in iou.items():
        own = found[found["model"] == model]["val_miou"]
        np.testing.assert_allclose(own, values.mean(axis=1))
    assert set(found["model"]) == {"unet", "fcn", FLOOR}
    level = found[found["model"] == FLOOR]["val_miou"]
    np.testing.assert_allclose(level, 0.6 / 2)  # background fills 60 of 100 pixels, 007 is missed


def test_cost_shows_one_run_of_each_network(results):
    assert tables.networks(results) == ["unet", "fcn"]  # deeplab is fcn with another seed


def test_per_class_dots_are_the_ious_on_the_rows_of_their_classes(results):
    table = tables.per_class(results)
    axes = figures.per_class(table, LOOK, GROUPS, "IoU", "caption").axes[0]
    for result in results:
        expected = dict(zip(CLASSES, result.per_class["iou"] * 100, strict=True))
        del expected["absent"]  # in neither truth nor prediction: no row
        assert dots(axes, result.model) == pytest.approx(expected)
    assert dots(axes, FLOOR)["background"] == pytest.approx(60)


def test_per_class_rows_stand_under_their_group_and_fall_within_it(results):
    axes = figures.per_class(tables.per_class(results), LOOK, GROUPS, "", "").axes[0]
    mean = tables.per_class(results).query("model != @FLOOR").groupby("class")["iou"].mean()
    within = sorted(["a$b$", "NA"], key=mean.get, reverse=True)
    without = sorted(["background", "007"], key=mean.get, reverse=True)
    assert rows(axes) == [*without, "things", *within]  # else 007 would stand under things


def test_confusions_show_fractions_with_true_classes_as_rows(results):
    matrices = {result.model: tables.confusion_matrix(result) for result in results}
    figure = figures.confusions(matrices, "confusion", "caption")
    for axes, (model, matrix) in zip(figure.axes, matrices.items(), strict=False):
        assert axes.get_title(loc="left") == model
        shown = axes.images[0].get_array()
        percent = matrix.loc[CLASSES[:4], CLASSES[:4]].to_numpy() * 100
        np.testing.assert_allclose(shown, percent)
        assert shown[1, 0] != shown[0, 1]
        printed = {text.get_position(): text.get_text() for text in axes.texts}  # (column, row)
        assert printed == {
            (p, t): f"{percent[t, p]:.0f}" for t, p in np.ndindex(4, 4) if percent[t, p] >= 10
        }
    assert rows(figure.axes[0]) == CLASSES[:4]  # the last is absent
    assert figure.axes[0].get_ylabel() == "true class"


def test_dataset_shows_shares_and_counts_by_hand(index):
    figure = figures.dataset(index, GROUPS, "classes", LISTS)
    left, right = figure.axes
    names = rows(left)
    assert dots(left, "train")["NA"] == pytest.approx(20 / 200 * 100)
    assert dots(left, "val")["NA"] == pytest.approx(75 / 400 * 100)
    assert dots(left, "val")["absent"] == 0
    assert dots(right, "train", names)["007"] == pytest.approx(50)
    assert dots(right, "val", names)["background"] == pytest.approx(100)
    assert dots(right, "val", names)["007"] == 0
    counts = {names[text.get_position()[1]]: text.get_text() for text in right.texts}
    assert (counts["NA"], counts["007"], counts["absent"]) == ("1 + 2", "1 + 0", "0 + 0")
    assert "2 train and 4 val images" in figure.get_supxlabel()


def test_dataset_names_a_list_that_is_not_called_as_its_split(index):
    left, _ = figures.dataset(index, GROUPS, "classes", LISTS | {"val": "holdout"}).axes
    assert set(dots(left, "val (holdout)")) == set(CLASSES)


def test_dataset_shows_test_where_there_is_one(index):
    more = index[index["split"] == "val"].assign(split="test")
    both = pd.concat([index, more], ignore_index=True)
    figure = figures.dataset(both, GROUPS, "classes", LISTS | {"test": "test"})
    left, right = figure.axes
    assert dots(left, "test") == dots(left, "val") != dots(left, "train")
    counts = {rows(left)[text.get_position()[1]]: text.get_text() for text in right.texts}
    assert counts["NA"] == "1 + 2 + 2"
    assert "2 train, 4 val and 4 test images" in figure.get_supxlabel()


def test_caption_and_title_are_on_every_figure(results, index):
    curves, caption = tables.curves(results), "as it was measured"
    matrices = {result.model: tables.confusion_matrix(result) for result in results}
    drawn = [
        figures.per_class(tables.per_class(results), LOOK, GROUPS, "title", caption),
        figures.confusions(matrices, "title", caption),
        figures.curves(curves, LOOK, NATS, "title", caption),
    ]
    assert [figure.get_suptitle() for figure in drawn] == ["title"] * 3
    cells = f"{caption} Cells of less than 10% have no number."
    assert [figure.get_supxlabel() for figure in drawn] == [caption, cells, caption]


@pytest.mark.parametrize("seed", range(5))
def test_spread_is_the_least_move_that_keeps_the_gap(seed):
    positions = np.random.default_rng(seed).uniform(0.3, 0.7, 8)
    placed = figures.spread(positions, gap=0.06)
    order = np.argsort(positions)
    steps = 0.06 * np.arange(8)
    expected = IsotonicRegression().fit_transform(np.arange(8), positions[order] - steps) + steps
    np.testing.assert_allclose(placed[order], expected, atol=1e-12)
    assert np.diff(placed[order]).min() >= 0.06 - 1e-12


def test_spread_of_too_many_stays_inside():
    placed = figures.spread([0.5] * 40, gap=0.06)
    assert placed.min() >= 0 and placed.max() <= 1
    assert np.unique(placed).size == 40


def test_names_without_a_glyph_become_numbers():
    unassigned = "\U000e0fff"
    assert style.drawable(["sky", unassigned], "class") == ["sky", "class 1"]
    assert style.framed(f"a{unassigned}b", "", size=(4, 3)).get_suptitle() == "a?b"


@pytest.mark.parametrize("classes", [2, 60, 255])
def test_any_number_of_classes_is_drawn_without_a_warning(tmp_path, classes):
    names = ["背景", *(f"種 {i} $x$" for i in range(1, classes))]
    counts = confusion(1, [50] + [10] * (classes - 1))
    write_report(tmp_path, "unet", counts=counts, classes=names)
    results = [read_result("unet", tmp_path)]
    look = style.looks(["unet"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = [
            figures.per_class(tables.per_class(results), look, {}, "IoU", "caption"),
            figures.confusions({"unet": tables.confusion_matrix(results[0])}, "", "caption"),
        ]
        for figure in drawn:
            figure.set_dpi(20)
            style.png(figure)
    assert len(lines(drawn[0].axes[0])["unet"].get_xdata()) == classes


def test_settings_of_the_user_change_nothing(results):
    curves = tables.curves(results)
    plain = style.png(figures.curves(curves, LOOK, NATS, "mIoU", "caption"))
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.edgecolor": "red"}):
        assert style.png(figures.curves(curves, LOOK, NATS, "mIoU", "caption")) == plain


def test_plot_stage_gives_the_same_bytes_twice_and_reads_only_the_models_named(tmp_path, index):
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings |= {
        "model": "unet",
        "models": {model: {"arch": "unet"} for model in MODELS},
        "comparisons": {"pair": ["deeplab", "unet"]},
    }
    settings["datasets"]["miniature"] |= {"classes": CLASSES, "groups": GROUPS}
    for run in ("first", "second"):
        home = tmp_path / run
        write_reports(home / "reports/models")
        (home / "reports/models/left over").mkdir()
        write_csv(home / "data/miniature/index.csv", index)
        text = yaml.safe_dump(settings, allow_unicode=True)
        (home / "params.yaml").write_text(text, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(len(run))}
        subprocess.run(
            [sys.executable, "-m", "stages.compare"], cwd=home, env=environment, check=True
        )
    first, second = (
        {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (tmp_path / run / "reports/comparison").rglob("*.*")
        }
        for run in ("first", "second")
    )
    assert first == second
    drawn = {f"pair_{what}.png" for what in ("curves", "per_class", "confusion")}
    tables_written = ("curves", "per_class", "groups", "summary", "differences", "seeds")
    written = (
        {f"{name}.csv" for name in tables_written}
        | {"summary.md"}
        | {f"{model}.json" for model in MODELS}
    )
    assert set(first) == drawn | written | {"scores.png", "cost.png", "dataset.png"}
