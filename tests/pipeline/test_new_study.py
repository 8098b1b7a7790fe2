"""`segmodels new`: what a recipe follows from, what is written, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import packing
from helpers.import_forms import CLASSES, bring, pairs, pairs_of_colours
from helpers.projects import ROOT
from safetensors.torch import load_file

from segmodels import models, new_study
from segmodels.cli import main
from segmodels.config import params
from segmodels.config.schema import Dataset, Train
from segmodels.data import layout
from segmodels.models import pretrained
from segmodels.training import estimate

STEP = 0.6  # seconds, of a measured step


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder with an imported data set of 10 and 2 images, in which steps take STEP."""
    for name in ("dvc.yaml", "params.yaml", "data/links/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(estimate, "step_seconds", lambda *given: STEP)
    monkeypatch.setattr(new_study.weights, "provide", lambda init: None)
    pairs_of_colours(tmp_path / "coloured")
    bring("coloured", "data/own/roads")
    return tmp_path


def new(capsys, *words):
    """What the command prints, or its error."""
    capsys.readouterr()
    try:
        main(["new", *words])
    except SystemExit as end:
        return f"{end.code} {capsys.readouterr().err}"
    return capsys.readouterr().out


def test_a_study_follows_from_the_images(project, capsys):
    said = new(capsys, "roads")
    settings = params.load("studies/roads/params.yaml")
    recipe = settings.recipe("fpn")
    assert settings.data.classes == CLASSES
    assert settings.data.palette == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
    assert (recipe.batch_size, recipe.crop_size, recipe.base_size) == (8, 32, None)
    assert recipe.epochs == 100  # 1,500 steps, of which an epoch of 10 images has one
    assert recipe.init == "data/weights/efficientnet_lite0.pth"
    assert Path("studies/roads/dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert "10 train and 2 val images of 37 x 51 to 56 x 40, 4 classes" in said
    assert "next: dvc repro studies/roads/dvc.yaml" in said
    assert Path("studies/roads/README.md").read_text().startswith("# roads")
    assert Path("studies/roads/data/links/README.md").is_file()


def test_images_of_test_are_left_for_one_last_score(project, capsys):
    lists = Path("data/own/roads/ImageSets/Segmentation")
    *kept, first, second = layout.read_ids(lists / "train.txt")
    layout.write_ids(lists / "train.txt", kept)
    layout.write_ids(lists / "test.txt", [first, second])
    assert "2 images of test.txt for one last score: README.md" in new(capsys, "roads")
    study = Path("studies/roads")
    assert "`test.txt` lists 2 images" in (study / "README.md").read_text()
    chosen = params.load(study / "params.yaml")
    assert chosen.data.test is None and chosen.prediction("fpn").split == "val"
    text = (study / "params.yaml").read_text()
    (study / "params.yaml").write_text(
        text.replace("# test: test", "test: test").replace("# split: test", "split: test")
    )
    last = params.load(study / "params.yaml")
    assert last.data.test == "test" and last.prediction("fpn").split == "test"
    assert last.recipe("fpn") == chosen.recipe("fpn")  # else it would be trained again


def test_minutes_are_those_of_its_steps(project, capsys):
    """100 epochs of one step; 102 validations of two images, at a third of a step's time."""
    table, _ = new_study.index.build(Path("data/own/roads"), Dataset(classes=CLASSES))
    val = table[table["split"] == "val"]
    areas = (val["width"] * val["height"]).tolist()
    forward = STEP / 3 / 8  # of a crop
    expected = 100 * STEP + 102 * sum(areas) * forward / 32**2 + 10 * forward
    assert f"about {round(expected / 60)} min of training" in new(capsys, "roads")


def test_a_limit_of_minutes_lowers_the_epochs(project, capsys):
    said = new(capsys, "roads", "--minutes", "0.2", "--study", "short")
    chosen = params.load("studies/short/params.yaml").recipe("fpn")
    images = (10, 2)
    areas = 37 * 51

    def minutes(epochs):
        recipe = chosen.model_copy(update={"epochs": epochs})
        return estimate.model_minutes(recipe, STEP, images, areas)

    assert 1 <= chosen.epochs < 20
    assert minutes(chosen.epochs - 2) < 0.2 < minutes(chosen.epochs + 2)
    assert chosen.warmup_epochs == pytest.approx(chosen.epochs / 5)
    assert ("fewer than 10 epochs" in said) == (chosen.epochs < 10)


def test_the_second_step_is_what_its_comments_say(project, capsys):
    new(capsys, "roads")
    path = Path("studies/roads/params.yaml")
    text = path.read_text().replace("  # fcn:", "  fcn:").replace("  # deeplabv3:", "  deeplabv3:")
    comparison = text.partition("comparisons: {}")[2].partition("second step: ")[2]
    path.write_text(text.replace("comparisons: {}", f"comparisons: {comparison.strip()}  #"))
    settings = params.load(path)
    assert list(settings.models) == ["fpn", "fcn", "deeplabv3"]
    assert settings.comparisons["architectures"].runs == ["fpn", "fcn", "deeplabv3"]
    assert settings.left_out == ()
    for name, entry in settings.models.items():
        models.check_arguments(name, entry.arch, entry.arguments)
    assert (
        "comparisons: {architectures: [fpn, fcn, deeplabv3]}"
        in path.with_name("README.md").read_text()
    )


@pytest.mark.parametrize(
    ("size", "long_side", "crop"),
    [
        ((480, 360), None, 256),
        ((4000, 3000), 512, 256),
        ((1000, 250), 512, 128),
        ((40, 30), None, 32),
    ],
)
def test_large_images_are_shrunk_and_crops_fit_into_them(size, long_side, crop):
    table = pd.DataFrame({"split": ["train"] * 300 + ["val"] * 5, "a": 1, "b": 0})
    table["width"], table["height"] = size
    draft = new_study.drafted("s", "d", Dataset(classes=["a", "b"]), table)
    assert (draft.long_side, draft.crop_size, draft.absent) == (long_side, crop, ["b"])
    assert draft.epochs == round(1500 / (300 // 8))
    assert new_study.pixels(table, long_side) == pytest.approx(
        size[0] * size[1] * (1 if long_side is None else (long_side / size[0]) ** 2)
    )


def test_the_guide_shows_what_camvid_gets():
    table = pd.DataFrame({"split": ["train"] * 367 + ["val"] * 101, "width": 480, "height": 360})
    classes = [f"c{k}" for k in range(11)]
    for name in classes:
        table[name] = 1
    draft = new_study.drafted("streets", "streets", Dataset(classes=classes), table)
    lines = new_study.summary(draft, 20)
    page = (ROOT / "docs/guides/own-data.md").read_text(encoding="utf-8")
    assert "\n".join([*lines[:2], lines[-1]]) in page
    assert lines[2] == "about 20 min of training, from steps measured just now"


def test_minutes_of_a_model_by_hand():
    recipe = Train(epochs=10, batch_size=4, crop_size=100, lr=0.1)
    # 10 epochs of 5 steps; 12 validations of 3 images of 4 crops; 20 crops once
    forward = 1.2 / 3 / 4
    expected = 10 * 5 * 1.2 + 12 * 3 * 4 * forward + 20 * forward
    assert estimate.model_minutes(recipe, 1.2, (20, 3), 40_000) == pytest.approx(expected / 60)


def test_a_step_is_the_models_own():
    """A model with 16 times the pixels takes longer; both are measured, not computed."""
    entry = params.Model.model_validate({"arch": "unet", "width": 4})
    runtime = new_study.machine.start("fp32", 1, deterministic=False, seed=0)
    seconds = []
    for side in (32, 128):
        recipe = Train(epochs=1, batch_size=2, crop_size=side, lr=0.1)
        seconds.append(estimate.step_seconds(entry, recipe, 3, runtime))
    assert 0 < 2 * seconds[0] < seconds[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "data/own/nothing: no such folder (there: roads)"),
        (["roads", "--study", "a b"], "--study a b: expected letters, digits"),
        (["roads", "--minutes", "0"], "expected minutes above 0"),
        (["roads", "--classes", "a"], "--classes: "),
        (["roads", "--classes", "a,b"], "labels 2, 3"),
    ],
)
def test_what_cannot_be_is_refused(project, capsys, words, said):
    assert said in new(capsys, *words)
    assert not Path("studies").exists()


def test_what_is_there_is_left_alone(project, capsys):
    Path("studies/roads").mkdir(parents=True)
    assert "studies/roads: is there already: --study" in new(capsys, "roads")
    assert not list(Path("studies/roads").iterdir())


def test_own_folder_without_a_note_needs_its_classes(project, capsys):
    Path("data/own/roads/dataset.json").unlink()
    assert "dataset.json: missing: --classes" in new(capsys, "roads")
    assert "4 classes" in new(capsys, "roads", "--classes", ",".join(CLASSES))
    Path("data/own/roads/dataset.json").write_text("{")
    assert "dataset.json: " in new(capsys, "roads", "--study", "other")


def test_classes_that_no_mask_holds_are_allowed_and_said(project, capsys):
    pairs(project / "plain", store=lambda labels: np.where(labels == 3, 0, labels))
    bring("plain", "data/own/plain", "--classes", ",".join(CLASSES))
    assert "no pixel of sign in train: allow_absent" in new(capsys, "plain")
    assert params.load("studies/plain/params.yaml").data.allow_absent == ["sign"]


def test_a_study_may_start_from_a_model_that_comes_along(project, capsys, monkeypatch):
    """The network, its input and its weights are those of the file; the class layer is new."""
    monkeypatch.setattr(new_study.packed, "FOLDER", project / "segmodels/weights")
    packing.pack(project / "segmodels/weights/zoo.safetensors")
    card = new_study.packed.read_card(project / "segmodels/weights/zoo.safetensors")
    asked: list[str] = []
    monkeypatch.setattr(new_study.weights, "provide", asked.append)
    said = new(capsys, "roads", "--start", "zoo")
    assert [Path(each).name for each in asked] == ["zoo.safetensors"]  # no package of encoders
    assert "the network of zoo, which starts from its weights" in said
    settings = params.load("studies/roads/params.yaml")
    entry = settings.models[card.arch]
    assert (entry.arch, entry.arguments) == (card.arch, card.arguments)
    assert settings.normalization(card.arch).model_dump(mode="json") == card.normalize
    recipe = settings.recipe(card.arch)
    assert recipe.init == "segmodels/weights/zoo.safetensors"
    model = models.build(card.arch, num_classes=len(CLASSES), **card.arguments)
    start = pretrained.start(model, arch=card.arch, arguments=card.arguments, init=recipe.init)
    assert start["missing"] == start["unexpected"] == []
    for tensor in start["wrong_shape"]:
        assert (tensor["file"][0], tensor["model"][0]) == (len(card.classes), len(CLASSES))
    given = load_file(recipe.init)
    for name, tensor in model.state_dict().items():
        if name in start["loaded"]:
            assert torch.equal(tensor, given[name].float())
    assert len(start["loaded"]) > len(start["wrong_shape"]) > 0


def test_a_start_that_does_not_come_along_is_refused(project, capsys):
    assert "--start zebra: expected a model that comes along" in new(
        capsys, "roads", "--start", "zebra"
    )


def test_the_folder_that_import_was_given_is_a_name_too(project, capsys):
    assert "next: dvc repro studies/again/" in new(capsys, "data/own/roads/", "--study", "again")
    assert params.load("studies/again/params.yaml").dataset == "roads"


def test_check_takes_the_classes_that_import_noted(project, capsys):
    capsys.readouterr()
    main(["check", "data/own/roads"])
    out, err = capsys.readouterr()
    assert "class names are those of" not in err
    assert "roads, 10 training and 2 validation images: 0 problems" in out
