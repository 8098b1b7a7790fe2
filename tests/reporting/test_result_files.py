"""Reports that somebody has edited are refused, with the file and what is wrong in it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.made_up_reports import confusion, write_report

from segmodels.reporting import result_files


@pytest.fixture
def home(tmp_path):
    write_report(tmp_path, "unet", counts=confusion(1))
    return tmp_path / "unet"


def edit_json(path, **values):
    """Replace values of a JSON file; None removes a key."""
    content = json.loads(path.read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")


def edit_csv(path, column, values):
    """Replace the first values of a column of a CSV file."""
    table = result_files.read_csv(path).astype({column: object})
    for row, value in enumerate(values):
        table.loc[row, column] = value
    table.to_csv(path, index=False)


def test_what_evaluate_wrote_is_read_whole(home):
    contents = result_files.read(home)
    assert list(contents) == ["metrics", "provenance", *result_files.COLUMNS]
    assert contents["metrics"] == json.loads((home / "metrics.json").read_text(encoding="utf-8"))
    for name in result_files.COLUMNS:
        pd.testing.assert_frame_equal(contents[name], result_files.read_csv(home / f"{name}.csv"))


@pytest.mark.parametrize(
    "file", ["metrics.json", *(f"{name}.csv" for name in result_files.COLUMNS)]
)
def test_a_missing_file_is_named_with_the_stage_that_writes_it(home, file):
    (home / file).unlink()
    with pytest.raises(ValueError, match=rf"unet/{file} is missing: run `dvc repro evaluate@unet`"):
        result_files.read(home)


def test_the_advice_names_the_pipeline_of_the_study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="`dvc repro studies/mine/dvc.yaml:evaluate@unet`"):
        result_files.read(Path("studies/mine/reports/models/unet"))


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("metrics.json", "{", "Expecting property name"),
        ("metrics.json", '{"miou": NaN}', "NaN is no JSON"),
        ("metrics.json", "[]", "dataset is no str, or is missing"),
        ("history.csv", "", "No columns to parse"),
        ("history.csv", "epoch\n0\n", "lacks the column lr"),
    ],
)
def test_a_damaged_file_is_named_on_one_line(home, file, text, reason):
    (home / file).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{home}/{file}: {reason}.* makes it anew$"):
        result_files.read(home)


@pytest.mark.parametrize(
    ("file", "values", "reason"),
    [
        ("metrics.json", {"images": 3.0}, "images is no int"),
        ("metrics.json", {"miou": 0.5}, r"miou = 0\.5, but confusion\.csv gives "),
        ("metrics.json", {"miou": True}, r"miou = True, but confusion\.csv gives "),
        ("metrics.json", {"best_epoch": 9}, "best_epoch = 9: history.csv has no such epoch"),
        ("metrics.json", {"best_epoch_miou": 0.2}, r"best_epoch_miou = 0\.2, but history\.csv "),
        ("metrics.json", {"miou_low": None}, "miou_low = 'missing': expected a fraction"),
        ("metrics.json", {"miou_high": 1.5}, r"miou_high = 1\.5: expected a fraction"),
        ("metrics.json", {"miou_low": 0.9, "miou_high": 0.1}, "miou_low is above miou_high"),
        ("metrics.json", {"trimap_3px_miou": -1}, "trimap_3px_miou = -1: expected a fraction"),
        ("metrics.json", {"protocol": {}}, "protocol lacks ground_truth"),
        ("provenance.json", {"parameters": "7"}, "parameters is no int"),
        ("provenance.json", {"recipe": {}}, "recipe lacks the parts of loss"),
        (
            "provenance.json",
            {"recipe": {"loss": {"cross_entropy": 1, "dice": 0}}},
            "recipe lacks class_weights",
        ),
    ],
)
def test_an_edited_value_is_refused(home, file, values, reason):
    edit_json(home / file, **values)
    with pytest.raises(ValueError, match=f"unet/{file}: {reason}"):
        result_files.read(home)


@pytest.mark.parametrize(
    ("name", "column", "values", "reason"),
    [
        ("history", "epoch", [1], "epoch does not count from 0"),
        ("history", "epoch", [0.5], "epoch is not all whole numbers"),
        ("history", "lr", ["much"], "lr is not all numbers"),
        ("history", "lr", [None], "has a blank"),
        ("history", "val_miou", [1.5], "val_miou has impossible values"),
        ("history", "train_loss", ["inf"], "train_loss has impossible values"),
        ("history", "train_objective", [-1], "train_objective has impossible values"),
        ("per_class", "iou", [0.5], "iou is not what the counts of pixels give"),
        ("confusion", "fraction", [0.5], "fraction is not what the counts of pixels give"),
        ("confusion", "true", ["sky"], r"not the classes of per_class\.csv in their order"),
        ("images", "image_id", ["a", "a"], "not 3 pictures, each once"),
        ("images", "rank", [3, 3, 3], "rank is not what the counts of pixels give"),
        ("image_classes", "class", ["sky"], "not the pictures and classes of the other files"),
        ("image_classes", "right_pixels", [0], r"its sum is not that of confusion\.csv"),
        ("groups", "merged_iou", [2], "merged_iou has impossible values"),
    ],
)
def test_an_edited_table_is_refused(home, name, column, values, reason):
    edit_csv(home / f"{name}.csv", column, values)
    with pytest.raises(ValueError, match=rf"unet/{name}\.csv: {reason}"):
        result_files.read(home)


def test_a_band_without_pixels_has_no_score(home):
    metrics = json.loads((home / "metrics.json").read_text(encoding="utf-8"))
    metrics["trimap_3px_miou"] = None
    (home / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert result_files.read(home)["metrics"]["trimap_3px_miou"] is None
