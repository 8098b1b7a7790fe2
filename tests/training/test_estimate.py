"""Minutes said beforehand, from counted work and a measured speed."""

import json
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model_weights

from segmodels.config import code, params
from segmodels.config.schema import Model
from segmodels.training import estimate
from stages import check

ROOT = Path(__file__).parents[2]
SETTINGS = params.load(ROOT / "params.yaml")


def test_work_of_an_image_is_that_of_torchvisions_table():
    published = get_model_weights("fcn_resnet50").DEFAULT.meta["_ops"]  # at 520 x 520
    entry = Model.model_validate({"arch": "fcn", "backbone": "resnet50"})
    assert estimate.work(entry, 520) == pytest.approx(published, abs=0.001)


def test_minutes_count_every_pass_over_the_images(monkeypatch):
    monkeypatch.setattr(estimate, "work", lambda entry, side: 20.0)
    monkeypatch.setattr(estimate, "speed", lambda recipe: 40.0)
    recipe = SETTINGS.train["miniature"].model_copy(update={"epochs": 3})
    models = {
        "plain": Model.model_validate({"arch": "unet"}),
        "longer": Model.model_validate({"arch": "unet", "train": {"epochs": 5}}),
    }
    settings = SETTINGS.model_copy(update={"models": models, "train": {"miniature": recipe}})
    # Three forward passes of work in each epoch; val, of 1.5 times the pixels of a crop, before the
    # first step, after each epoch, and in predict.
    plain = 3 * 10 * 3 + (1 + 3 + 1) * 4 * 1.5
    longer = 5 * 10 * 3 + (1 + 5 + 1) * 4 * 1.5
    expected = estimate.SLOWER * (plain + longer) * 20 / 40 + 2 * 6 * 1.5
    pixels = recipe.crop_size**2 * 3 // 2
    minutes = estimate.minutes(
        settings, settings.runs, images=(10, 4), pixels=pixels, start_seconds=1.5
    )
    assert minutes == pytest.approx(expected / 60)
    monkeypatch.setattr(estimate, "speed", None)  # a minute's work is not measured
    assert estimate.minutes(settings, ["plain"], images=(1, 1), pixels=1, start_seconds=1.5) is None


def test_speed_is_work_over_the_time_of_the_fastest_step(monkeypatch):
    moments = iter([0, 0.5, 1, 1.25, 2, 4])  # steps of 0.5, 0.25 and 2 seconds
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(moments))
    monkeypatch.setattr(estimate, "work", lambda entry, side: 7.0)
    shapes = []
    monkeypatch.setattr(estimate, "_step", lambda model, image: shapes.append(image.shape))
    recipe = SETTINGS.train["miniature"].model_copy(update={"batch_size": 2, "crop_size": 33})
    assert estimate.speed(recipe) == pytest.approx(3 * 2 * 7.0 / 0.25)
    assert shapes == [torch.Size([2, 3, 33, 33])] * 4  # the first warms up


def test_large_recipes_are_measured_small(monkeypatch):
    moments = iter([0.0, 3.0])
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: next(moments))
    sides = []
    monkeypatch.setattr(estimate, "work", lambda entry, side: float(sides.append(side) or 1))
    shapes = []
    monkeypatch.setattr(estimate, "_step", lambda model, image: shapes.append(image.shape))
    recipe = SETTINGS.train["voc2012"].model_copy(update={"batch_size": 16})
    assert estimate.speed(recipe) == pytest.approx(3 * 8 / 3)  # as many images as were shown
    assert shapes == [torch.Size([8, 3, 64, 64])] * 2 and sides == [64]


def test_a_model_that_reads_values_has_no_estimate(monkeypatch):
    def reads(entry, side):
        with torch.device("meta"):
            return float(torch.ones(1).item())

    monkeypatch.setattr(estimate, "work", reads)
    size = {"images": (128, 64), "pixels": 5120}
    assert estimate.minutes(SETTINGS, SETTINGS.runs, **size, start_seconds=1.0) is None


@pytest.mark.parametrize(("asked", "named"), [("fp32", True), ("auto", False)])
def test_fp32_on_a_machine_with_bf16_is_named(monkeypatch, asked, named):
    monkeypatch.setattr(check.machine, "has_bf16", lambda: True)
    monkeypatch.setattr(estimate, "minutes", lambda *_, **__: 2.0)
    monkeypatch.setattr(check, "trained", lambda *_: False)
    recipe = SETTINGS.train["miniature"].model_copy(update={"precision": asked, "threads": 1})
    settings = SETTINGS.model_copy(update={"train": {"miniature": recipe}})
    line = check.expected(settings, 1.0)
    assert ("train.miniature.precision; this CPU has bf16" in line) is named


def test_a_run_that_is_trained_already_is_not_estimated(monkeypatch, tmp_path):
    """Its provenance is the committed one; of another rate or of other code it counts again."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    settings = params.load(tmp_path / "params.yaml")
    path = settings.paths.train("unet") / "provenance.json"
    assert not check.trained(settings, "unet")
    assert tmp_path in path.parents
    path.parent.mkdir(parents=True)
    record = json.loads((ROOT / "reports/models/unet/provenance.json").read_text())
    files = {"train": "stages/train.py", "arch": "segmodels/models/unet.py"}
    for what, file in files.items():
        record["code_sha256"][what] = code.digest(code.reached(file))
    path.write_text(json.dumps(record))
    assert check.trained(settings, "unet")
    asked = []
    monkeypatch.setattr(estimate, "minutes", lambda _, runs, **__: asked.append(runs))
    check.expected(settings, 1.0)
    assert asked == [[name for name in settings.runs if name != "unet"]]
    for broken in (record | {"seed": 1}, record | {"code_sha256": {}}, {}):
        path.write_text(json.dumps(broken))
        assert not check.trained(settings, "unet")
    path.write_text("{")
    assert not check.trained(settings, "unet")


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({"classes": [f"name {k}" for k in range(21)], "groups": {}}, ["download.json"]),
        ({"classes": SETTINGS.data.classes[::-1]}, ["download.json"]),
        ({"groups": {"all": SETTINGS.data.classes}}, []),
        ({"allow_absent": ["cat"]}, []),
        ({"allow_void": 0.5}, []),
        ({"holdout": 3}, []),
    ],
)
def test_names_and_groups_of_classes_reach_no_network(tmp_path, changes, reached):
    """dvc.yaml: train and predict depend on files of their own; nor is anything fetched again."""
    data = SETTINGS.data.model_copy(update=changes)
    settings = SETTINGS.model_copy(update={"datasets": {"miniature": data}})
    check.write_facts(SETTINGS, tmp_path / "before")
    check.write_facts(settings, tmp_path / "after")
    written = sorted(
        p.relative_to(tmp_path / "before") for p in (tmp_path / "before").rglob("*.json")
    )
    changed = [
        file.name
        for file in written
        if (tmp_path / "before" / file).read_bytes() != (tmp_path / "after" / file).read_bytes()
    ]
    assert len(written) > 8 and changed == ["dataset.json", *reached]
