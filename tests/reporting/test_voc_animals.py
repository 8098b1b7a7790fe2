"""The studies on the animals subset of VOC: their params, and tables against results."""

import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import jaccard_score

from segmodels import models
from segmodels.config import params
from segmodels.config.paths import Paths
from segmodels.config.schema import Loss
from segmodels.reporting import summary, tables
from segmodels.reporting.result import read_result
from segmodels.reporting.result_files import read_json

FLOOR = "all background"

ROOT = Path(__file__).parents[2]
FOLDERS = ["voc_animals", "voc_animals_best", "voc_animals_held_out"]  # with costs, no other
PATHS = {name: Paths(f"studies/{name}/", "voc_sample", ROOT) for name in FOLDERS}
STUDIES = {name: params.load(paths.params) for name, paths in PATHS.items()}
RUNS = [
    (study, path.name)
    for study, paths in PATHS.items()
    for path in sorted(paths.report().iterdir())
]
RECORDS = [  # tables of the commit that trained these runs, with minutes
    (study, path.stem)
    for study, paths in PATHS.items()
    for path in sorted((paths.reports / "scores").glob("*.csv"))
    if not path.stem.endswith("_differences") and path.stem != "choice"
]
DRAWN = ["voc_animals", "voc_animals_best"]  # whose comparison the pipeline has drawn
FREQUENT = STUDIES["voc_animals"].comparisons["architectures"].score_classes


@functools.cache
def result(study, run):
    return read_result(run, PATHS[study].report())


@functools.cache
def check_once(arch, arguments):
    """The same network is in several runs, with other recipes."""
    models.check_arguments("model", arch, yaml.safe_load(arguments))


@pytest.mark.parametrize("study", FOLDERS)
def test_models_of_a_study_can_be_built(study):
    for model in STUDIES[study].models.values():
        check_once(model.arch, yaml.safe_dump(model.arguments))


def test_only_what_a_comparison_is_about_differs_within_it():
    """Same encoder, start, epochs and crop."""
    allowed = {
        "seeds": set(),
        "losses": {"loss"},
        "upsampling": set(),
        "network": {"epochs"},
        "crop": {"epochs", "crop_size"},
        "best": {"crop_size"},
    }
    for study, settings in STUDIES.items():
        encoder = "lite0" if study == "voc_animals" else "lite2"
        for name, comparison in settings.comparisons.items():
            for run in [settings.runs[run] for run in comparison.runs if name in allowed]:
                backbone = run.arguments["backbone"].removeprefix("timm/tf_")
                assert backbone == f"efficientnet_{encoder}"
                assert set(run.train) <= allowed[name], (name, run)


@pytest.mark.parametrize(("study", "run"), RUNS)
def test_results_belong_to_the_study_and_to_its_images(study, run):
    settings = STUDIES[study]
    assert run in settings.runs
    expected = settings.recipe(run).model_dump(mode="json")
    found = result(study, run).provenance["recipe"]
    found["init"] = re.sub(r"/lite(\d)", r"/efficientnet_lite\1", found["init"])  # as it was called
    found["loss"] = Loss.model_validate(found["loss"]).model_dump()  # losses that came later: 0
    own = {"init"} if run in settings.variants else set()  # once the copy of the other's weights
    for key in expected.keys() & found.keys() - own:
        assert found[key] == expected[key], key
    metrics = result(study, run).metrics
    assert metrics["protocol"]["seed"] == settings.model_seed(run)
    assert metrics["protocol"]["test_time"] == settings.prediction(run).test_time
    assert metrics["protocol"]["input_long_side"] == settings.prediction(run).long_side
    held_out = settings.prediction(run).split == "holdout"
    split, count = ("holdout of train", 80) if held_out else ("val", 200)
    assert (metrics["split"], metrics["images"]) == (split, count)


@pytest.mark.parametrize("run", STUDIES["voc_animals"].variants)
def test_a_variant_started_from_the_committed_weights_of_its_model(run):
    variant = STUDIES["voc_animals"].variants[run]
    weights = result("voc_animals", variant.weights_of).metrics["protocol"]["weights_sha256"]
    assert result("voc_animals", run).provenance["start"]["sha256"] == weights


def test_the_hours_of_the_whole_are_those_of_its_runs():
    costs = [read_json(path) for paths in PATHS.values() for path in paths.reports.glob("costs/*")]
    assert len(costs) == len(RUNS)
    hours = sum(cost["train_seconds"] for cost in costs) / 3600
    page = (ROOT / "studies/voc_animals/README.md").read_text(encoding="utf-8")
    assert f"everything, {hours:.1f} hours of training steps" in page


@pytest.mark.parametrize(("study", "section"), RECORDS)
def test_scores_over_some_classes_are_those_of_the_record_and_of_sklearn(study, section):
    """sklearn sees two labels: the pixels that are right, and the rest."""
    folder = PATHS[study].reports / "scores"
    record = pd.read_csv(folder / f"{section}.csv").set_index("model")
    runs = [name for name in record.index if name != FLOOR]
    results = [result(study, run) for run in runs]
    found = tables.class_scores(results, FREQUENT).set_index("model")
    pd.testing.assert_frame_equal(found, record[list(found)], rtol=0, atol=1e-12)
    for run, each in zip(runs, results, strict=True):
        scores = []
        for right, true, predicted in each.of(FREQUENT).sum(axis=0).T:
            weights = [right, true - right, predicted - right]
            scores.append(jaccard_score([1, 1, 0], [1, 0, 1], sample_weight=weights))
        assert found.loc[run, "miou"] == pytest.approx(np.mean(scores), abs=1e-12)
    pairs = pd.read_csv(folder / f"{section}_differences.csv")
    pd.testing.assert_frame_equal(tables.differences(results, FREQUENT), pairs, atol=1e-12)


@pytest.mark.parametrize("study", DRAWN)
def test_what_was_drawn_is_of_the_results_that_are_here(study):
    settings, folder = STUDIES[study], PATHS[study].comparison
    written = pd.read_csv(folder / "summary.csv")
    results = [result(study, run) for run in settings.runs]
    expected = summary.table(results)
    assert written["model"].tolist() == expected["model"].tolist()
    np.testing.assert_allclose(written["miou"], expected["miou"], atol=1e-12)
    for name, comparison in settings.comparisons.items():
        shown = pd.read_csv(folder / f"{name}_scores.csv").set_index("model")
        assert shown.index.tolist() == [*comparison.runs, FLOOR]
        for run in comparison.runs:
            overlap = result(study, run).of(comparison.score_classes).sum(axis=0)
            iou = overlap[0] / (overlap[1] + overlap[2] - overlap[0])
            assert shown.loc[run, "miou"] == pytest.approx(iou.mean(), abs=1e-12)


@pytest.mark.parametrize(
    ("study", "comparison", "ahead", "behind"),
    [
        ("voc_animals", "architectures", "deeplabv3plus", "fcn"),
        ("voc_animals", "losses", "fcn", "fcn_dice"),
        ("voc_animals", "losses", "fcn", "fcn_both"),
        ("voc_animals", "upsampling", "unet", "unet_transposed"),
        ("voc_animals", "batch_4", "fcn", "fcn_4_train"),
        ("voc_animals", "batch_size", "fcn_16_train", "fcn_4_train"),
        ("voc_animals_held_out", "crop", "fpn_crop_320", "fpn_crop_224"),
        ("voc_animals_best", "best", "fpn_lite2_320", "fpn_lite2"),
    ],
)
def test_titles_say_what_the_tables_do(study, comparison, ahead, behind):
    title = STUDIES[study].comparisons[comparison].title
    assert "nimals subset of VOC" in title
    pairs = tables.differences([result(study, behind), result(study, ahead)], FREQUENT)
    gain, low, _ = 100 * pairs.loc[0, ["difference", "low", "high"]].astype(float)
    assert low > 0
    assert f" {gain:.0f} points" in title
    if "times the training time" in title:
        costs = PATHS[study].reports / "costs"
        seconds = [read_json(costs / f"{run}.json")["train_seconds"] for run in (ahead, behind)]
        assert f"{seconds[0] / seconds[1]:.1f} times" in title


SUBSET = params.load(ROOT / "params.yaml").datasets["voc_sample"]
ANIMALS = ["cat", "cow", "dog", "horse", "sheep"]
VALIDATED = [(study, run) for study, run in RUNS if study != "voc_animals_held_out"]


def test_every_validation_image_shows_one_of_the_animals_and_three_a_motorbike():
    pixels = result("voc_animals", "fcn").image_classes
    shown = pixels[pixels["true_pixels"] > 0]
    assert shown[shown["class"].isin(ANIMALS)]["image_id"].nunique() == 200
    assert (shown["class"] == "motorbike").sum() == 3


@pytest.mark.parametrize(("study", "run"), VALIDATED)
def test_what_no_training_image_shows_counts_as_0(study, run):
    per_class = result(study, run).per_class.set_index("class")
    untrained = per_class.loc[SUBSET.allow_absent]
    scored = untrained[untrained["true_pixels"] > 0]
    assert scored.index.tolist() == ["motorbike"]
    assert scored["iou"].tolist() == [0]


def test_the_subset_is_what_its_pages_say():
    """Counted in index.csv, where the archive is at hand."""
    file = PATHS["voc_animals"].index
    if not file.is_file():
        pytest.skip(
            "needs the index of the photographs: dvc repro studies/voc_animals/dvc.yaml:index"
        )
    index = pd.read_csv(file)
    index.columns = [*index.columns[: -len(SUBSET.classes)], *SUBSET.classes]
    train, val = (index[index["split"] == split] for split in ("train", "val"))
    counts = [int((part[ANIMALS] > 0).any(axis=1).sum()) for part in (train, val)]
    assert [len(train), len(val), *counts] == [440, 200, 437, 200]
    assert [name for name in SUBSET.classes if not train[name].any()] == SUBSET.allow_absent
    for page, numbers in (
        ("README.md", {"437"}),
        ("README.zh-CN.md", {"437"}),
        ("studies/voc_animals/README.md", {"437", "440", "200"}),
    ):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert numbers <= set(re.findall(r"\d+", text)), page
