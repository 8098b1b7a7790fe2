"""docs/ against the code: whatever can be computed is computed again."""

import functools
import math
import re
import shlex
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.models import get_model_weights

from segmodels import models
from segmodels.config import params
from segmodels.data.sources.miniature import generate
from segmodels.models import flops, pretrained
from segmodels.models.network import normalize

ROOT = Path(__file__).parents[2]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
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


def arch_and_arguments(model):
    entry = params.Model.model_validate(ENTRIES[model])
    if "timm" in str(entry.arguments):
        pytest.importorskip("timm")
    return entry.arch, entry.arguments


@functools.cache
def built(model):
    arch, arguments = arch_and_arguments(model)
    with torch.device("meta"):
        return models.build(arch, num_classes=21, **arguments).eval()


class Heights(TorchDispatchMode):
    """Notes the height of everything that has the shape of a feature."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.seen |= {t.shape[2] for t in tensors if t.dim() == 4 and t.shape[0] == 1}
        return result


def gflops(model, size):
    with torch.device("meta"), torch.no_grad():
        return flops.gflops(lambda: model(torch.empty(1, 3, size, size)))


def coarsest_stride(model):
    """A power of 2, since valid convolutions change the size a little; pooled images aside."""
    with Heights() as heights, torch.device("meta"), torch.no_grad():
        model(torch.empty(1, 3, 512, 512))
    return 2 ** round(math.log2(512 / min(heights.seen - {1})))


@pytest.mark.parametrize("arch", ["fcn", "deeplabv3"])
@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_gflops_are_those_of_torchvisions_tables(arch, backbone):
    published = get_model_weights(f"{arch}_{backbone}").DEFAULT.meta["_ops"]  # at 520 x 520
    with torch.device("meta"):
        model = models.build(arch, num_classes=21, backbone=backbone).eval()
    assert gflops(model, 520) == pytest.approx(published, abs=0.0006)


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row["model"])
def test_model_row_is_what_is_counted(row):
    model = built(row["model"])
    assert row["parameters"] == f"{sum(p.numel() for p in model.parameters()):,}"
    assert row["GMACs"] == f"{gflops(model, 513):.1f}"
    assert row["output stride"] == str(coarsest_stride(model))


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row["model"])
def test_command_trains_the_model_of_its_row(row):
    assert row["command"].startswith(("`dvc exp run headline -S ", "`dvc repro studies/"))
    settings = params.Params.model_validate(changed_params(row["command"]))
    assert settings.model == row["model"]
    models.check_arguments(row["model"], *arch_and_arguments(row["model"]))


def test_every_arch_and_every_model_of_params_has_a_row():
    assert {entry["arch"] for entry in ENTRIES.values()} == set(models.available())
    for study in (PARAMS, MORE):
        for name, entry in study["models"].items():
            assert ENTRIES[name] == entry


def test_every_comparison_of_the_miniature_has_the_command_that_draws_it():
    commands = {
        row["comparison"]: row["command"] for row in table("reference/models.md", "comparison")
    }
    assert list(commands) == [*PARAMS["comparisons"], *MORE["comparisons"]]
    for comparison, command in commands.items():
        study = study_of(command)
        assert set(study["comparisons"][comparison]) <= set(study["models"])


def reference(arch, arguments, init):
    """Names and shapes of the file that a start downloads."""
    name = models.backbone(arch, arguments)
    with torch.device("meta"):
        if init == "imagenet":
            theirs = torchvision.models.get_model(name)
        else:
            off = {"weights": None, "weights_backbone": None}
            theirs = torchvision.models.get_model(f"{arch}_{name}", aux_loss=True, **off)
    state = theirs.state_dict()
    return {key: state[key] for key in state if not key.endswith("num_batches_tracked")}


def told(model, init):
    """What docs/learn/starting-weights.md has to say of a model."""
    arch, arguments = arch_and_arguments(model)
    try:
        if pretrained.source(arch=arch, arguments=arguments, init=init) is None:
            return "all random, no backbone"
    except ValueError:
        return "refused"
    prefixes = ["backbone."] if init == "imagenet" else [""]
    coverage = pretrained.load(built(model), reference(arch, arguments, init), prefixes)
    if not coverage["loaded"]:
        return "refused, nothing fits"
    return pretrained.summary({"init": init, "file": None, **coverage}).removeprefix(f"{init}: ")


STARTS = table("learn/starting-weights.md", "model")


def test_starting_weights_name_every_model():
    assert [row["model"] for row in STARTS] == [row["model"] for row in MODELS]


@pytest.mark.filterwarnings("ignore:for .* which is a no-op")  # weights on the meta device
@pytest.mark.parametrize("row", STARTS, ids=lambda row: row["model"])
def test_starting_weights_cover_what_the_docs_say(row):
    assert {init: row[init] for init in ("imagenet", "coco")} == {
        init: told(row["model"], init) for init in ("imagenet", "coco")
    }


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
