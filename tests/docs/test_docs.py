"""docs/ against the code: whatever can be computed is computed again."""

import math
import re
import shlex
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch import nn
from torchvision.models import get_model_weights

from segmodels import models
from segmodels.config import params
from segmodels.data.sources.miniature import generate
from segmodels.models.network import normalize
from tools import model_rows

ROOT = Path(__file__).parents[2]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
PRINTS = "the rows are printed by: python -m tools.model_rows"
MORE = yaml.safe_load((ROOT / "studies/miniature_more/params.yaml").read_text("utf-8"))


def table(file, first):
    """Rows of all tables of docs/<file> with this first heading, as dictionaries."""
    rows, head = [], []
    for line in (ROOT / "docs" / file).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells
        elif head[0] == first and not cells[0].startswith("---"):
            rows.append(dict(zip(head, cells, strict=True)))
    return rows


def overrides(command):
    """What a `dvc exp run` command sets, by key, as DVC reads it."""
    words = shlex.split(command.strip("`"))
    given = [word for flag, word in zip(words, words[1:], strict=False) if flag == "-S"]
    parsed = OverridesParser.create().parse_overrides(given)
    return {override.key_or_group: override.value() for override in parsed}


def study_of(command):
    """The params.yaml of the study that a command runs, which is the project's own or another's."""
    study = re.search(r"dvc repro (studies/\w+/)dvc\.yaml", command)
    if study is None:
        return yaml.safe_load(yaml.safe_dump(PARAMS))
    return yaml.safe_load((ROOT / study[1] / "params.yaml").read_text(encoding="utf-8"))


def changed_params(command):
    """params.yaml as a command changes it."""
    values, given = study_of(command), overrides(command)
    if evaluated := re.search(r":evaluate@(\w+)", command):
        return values | {"model": evaluated[1]}
    added = {key[7:]: entry for key, entry in given.items() if key.startswith("models.")}
    return values | {"models": values["models"] | added, "model": given["model"]}


MODELS = table("reference/models.md", "model")
ENTRIES = {  # model -> its arch and arguments
    row["model"]: changed_params(row["command"])["models"].get(row["model"]) for row in MODELS
}


def entry_of(name):
    model = params.Model.model_validate(ENTRIES[name])
    if "timm" in str(model.arguments):
        pytest.importorskip("timm")
    return model


class Bins(nn.Module):
    """Stride 8, and means of a fixed number of bins as in a pyramid pooling module."""

    def forward(self, image):
        features = F.avg_pool2d(image, 8)
        for bins in (1, 2, 3, 6):
            pooled = F.adaptive_avg_pool2d(features, bins)
            features = features + F.interpolate(pooled, size=features.shape[-2:])
        return {"out": features}


def test_stride_is_that_of_features_and_not_of_means_in_bins():
    assert model_rows.coarsest_stride(Bins()) == 8


@pytest.mark.parametrize("arch", ["fcn", "deeplabv3"])
@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_gflops_are_those_of_torchvisions_tables(arch, backbone):
    published = get_model_weights(f"{arch}_{backbone}").DEFAULT.meta["_ops"]  # at 520 x 520
    with torch.device("meta"):
        model = models.build(arch, num_classes=21, backbone=backbone).eval()
    assert model_rows.gflops(model, 520) == pytest.approx(published, abs=0.0006)


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row["model"])
def test_model_row_is_what_is_counted(row):
    counted = model_rows.counted(entry_of(row["model"]))
    assert {heading: row[heading] for heading in counted} == counted


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row["model"])
def test_command_trains_the_model_of_its_row(row):
    assert row["command"].startswith(("`dvc exp run headline -S ", "`dvc repro studies/"))
    settings = params.Params.model_validate(changed_params(row["command"]))
    assert settings.model == row["model"]
    model = entry_of(row["model"])
    models.check_arguments(row["model"], model.arch, model.arguments)


def test_every_arch_and_every_model_of_params_has_a_row():
    archs = {entry["arch"] for entry in ENTRIES.values()}
    for name in models.available():
        assert name in archs, f"docs/reference/models.md: no row; {PRINTS} {name}"
    for study in (PARAMS, MORE):
        for name, entry in study["models"].items():
            assert ENTRIES.get(name) == entry, f"docs/reference/models.md: {PRINTS} {name}"


def test_every_comparison_of_the_miniature_has_the_command_that_draws_it():
    commands = {
        row["comparison"]: row["command"] for row in table("reference/models.md", "comparison")
    }
    assert list(commands) == [*PARAMS["comparisons"], *MORE["comparisons"]]
    for comparison, command in commands.items():
        study = study_of(command)
        assert set(study["comparisons"][comparison]) <= set(study["models"])


STARTS = table("learn/starting-weights.md", "model")


def test_starting_weights_name_every_model():
    names = [row["model"] for row in STARTS]
    for row in MODELS:
        name = row["model"]
        assert name in names, f"docs/learn/starting-weights.md: no row; {PRINTS} {name}"
    assert names == [row["model"] for row in MODELS], "the same order in both tables"


@pytest.mark.parametrize("row", STARTS, ids=lambda row: row["model"])
def test_starting_weights_cover_what_the_docs_say(row):
    model = entry_of(row["model"])
    for init in ("imagenet", "coco"):
        assert row[init] == model_rows.coverage(model, init)


@pytest.mark.slow
def test_a_random_head_on_resnet152_starts_at_the_losses_that_the_docs_name():
    classes = PARAMS["datasets"]["miniature"]["classes"]
    scenes = list(islice(generate.draw(classes, 64, 64, seed=(0, 0)), 8))
    image = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
    target = torch.from_numpy(np.stack([scene.target for scene in scenes])).long()
    image = normalize(image, params.Normalize.model_validate(PARAMS["normalize"]))
    found = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = models.build("fcn", num_classes=21, backbone="resnet152").train()
        torch.manual_seed(0)
        with torch.no_grad():
            logits = model(image)
        parts = [F.cross_entropy(logits[n], target, ignore_index=255) for n in ("out", "aux")]
        found.append(float(parts[0] + parts[1] / 2))
    text = (ROOT / "docs/learn/starting-weights.md").read_text(encoding="utf-8")
    named = re.search(r"seeds 0, 1, 2: ([\d.]+), ([\d.]+), ([\d.]+), mean ([\d.]+)\.", text)
    assert [float(number) for number in named.groups()] == pytest.approx(
        [*found, sum(found) / 3], abs=0.03
    )
    assert sum(found) / 3 == pytest.approx(1.5 * math.log(21), abs=0.15)
