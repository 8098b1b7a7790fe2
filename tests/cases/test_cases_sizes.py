"""Images with tiny sides at every place that sees whole images, and batches in parts of one."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import as_network, write_picture, write_split
from torch import nn

from segmodels import models
from segmodels.config import params
from segmodels.config.paths import Paths
from segmodels.config.schema import Normalize
from segmodels.core import distributed
from segmodels.data import transforms
from segmodels.data.images import read_target
from segmodels.data.loading import whole_images
from segmodels.inference import photos, testtime
from segmodels.training import parts
from stages import check, index, predict, train

ROOT = Path(__file__).parents[2]
NORMALIZE = Normalize(mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
TINY = {"m": {"arch": "unet", "width": 2}}
PANORAMA = (40, 1100)  # height, width


def settings(folder, *, entries=TINY, recipe=(), choices=()):
    """params.yaml with a small recipe on an own data set called pano."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values |= {"dataset": "pano", "models": entries, "model": next(iter(entries))}
    values |= {"comparisons": {"one": list(entries)}}
    values["datasets"]["pano"] = {"classes": ["background", "disc", "box"]}
    small = {"epochs": 1, "batch_size": 4, "crop_size": 32, "warmup_epochs": 0}
    small |= {"precision": "fp32", "threads": 1, "lr": 0.003}
    values["train"]["pano"] = values["train"]["miniature"] | small | dict(recipe)
    values["predict"]["pano"] = values["predict"]["miniature"] | {"precision": "fp32"}
    values["predict"]["pano"] |= {"threads": 1, **dict(choices)}
    (folder / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return params.load(folder / "params.yaml")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty project in which stages run within this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("SEGMODELS_WORKERS", "0")
    return tmp_path


def images(root, *, train, val):
    """A VOC tree of noise with the given sizes, (height, width) each."""
    rng = np.random.default_rng(0)
    for split, sizes in (("train", train), ("val", val)):
        ids = [f"{split}_{k}" for k in range(len(sizes))]
        for image_id, size in zip(ids, sizes, strict=True):
            image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            write_picture(root, image_id, image, rng.integers(0, 3, size).astype(np.uint8))
        write_split(root, split, ids)


def stage(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    module.main()


def run_all(home, monkeypatch, sizes, **changes):
    """Index, train and predict, with the cost; returns the folder of predictions."""
    settings(home, **changes)
    images(Paths(dataset="pano").tree, train=[(48, 64)] * 4, val=sizes)
    stage(monkeypatch, index)
    train.train(params.load(), "m", distributed.Processes())
    stage(monkeypatch, predict, "m")
    return home / "data/predictions/pano/m"


def test_panorama_that_is_seen_at_14_rows_trains_and_predicts(home, monkeypatch):
    changes = {"recipe": {"val_size": 384}, "choices": {"long_side": 384}}
    predicted = run_all(home, monkeypatch, [PANORAMA, PANORAMA], **changes)
    labels = read_target(predicted / "val_0.png")
    assert labels.shape == PANORAMA and labels.max() < 3
    counted = json.loads((home / "data/runs/pano/m/gflops.json").read_text())
    assert counted["picture"] == "384 x 32"


@pytest.mark.parametrize("arch", ["segnet", "unet_encoder"])
def test_images_of_a_few_pixels_train_and_predict(home, monkeypatch, arch):
    arguments = {"width": 2} if arch == "segnet" else {"backbone": "resnet18"}
    sizes = [(1, 1), (5, 40), (31, 16)]
    predicted = run_all(home, monkeypatch, sizes, entries={"m": {"arch": arch, **arguments}})
    shapes = [read_target(predicted / f"val_{k}.png").shape for k in range(3)]
    assert shapes == sizes


def test_small_scales_are_seen_at_32_pixels(home, monkeypatch):
    changes = {"choices": {"scales": [0.01, 0.25, 1], "flip": True}}
    predicted = run_all(home, monkeypatch, [(48, 64)], **changes)
    assert read_target(predicted / "val_0.png").shape == (48, 64)


class Noting(nn.Module):
    """Remembers the sizes that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, image):
        self.seen.append(tuple(image.shape[-2:]))
        return {"out": image}


@pytest.mark.parametrize("shape", [(40, 1100), (1100, 40), (1, 1), (20, 3000), (33, 47)])
@pytest.mark.parametrize("long_side", [None, 32, 384])
def test_every_reader_shows_the_same_size(tmp_path, shape, long_side):
    images(tmp_path, train=[], val=[shape])
    rows = voc_index(shape)
    size = transforms.seen_size(*shape, long_side)
    assert min(size) >= 32
    [(_, validated, _, original)] = whole_images(tmp_path, rows, size=long_side, batch_size=1)
    assert (tuple(validated.shape[-2:]), original) == (size, shape)
    [(ids, stored, *_)] = whole_images(tmp_path, rows, size=None, batch_size=1, as_stored=True)
    assert tuple(stored.shape[-2:]) == shape
    model = Noting()
    network = as_network(model, NORMALIZE)
    choices = settings(tmp_path, choices={"long_side": long_side}).predict["pano"]
    [(_, labels)] = testtime.label_maps(network, [(ids, stored)], choices)
    assert labels.shape == shape
    photo = photos.label_photo(network, stored[0].permute(1, 2, 0).numpy(), choices)
    assert photo.shape == shape
    assert model.seen[0] == size
    if max(shape) <= photos.LARGEST or long_side:
        assert model.seen[1] == size
    else:
        assert model.seen[1] == transforms.seen_size(*shape, photos.LARGEST)


def voc_index(shape):
    """The rows of index.csv of one val image."""
    import pandas as pd

    columns = {"image_id": ["val_0"], "split": ["val"], "width": [shape[1]], "height": [shape[0]]}
    return pd.DataFrame(columns)


def test_sides_of_32_and_more_keep_their_shape():
    for shape in [(32, 32), (375, 500), (333, 500), (64, 80), (32, 1000)]:
        assert transforms.seen_size(*shape, None) == shape
        for long_side in (384, 1024):
            resized = transforms.resized_size(*shape, long_side)
            if min(resized) >= 32:
                assert transforms.seen_size(*shape, long_side) == resized


V3 = {"arch": "deeplabv3", "backbone": "resnet18", "aux": False}
SKIP32 = {"arch": "fcn_skip", "backbone": "resnet18", "stride": 32}


def refusal(folder, entry, **recipe):
    with pytest.raises(ValueError) as caught:
        parts.check(settings(folder, entries={"m": entry}, recipe=recipe), "m")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_parts_of_one_image_are_refused_by_check_and_by_train(home):
    settings(home, entries={"m": V3}, recipe={"accumulate": 4})
    message = (
        "train.pano.accumulate = 4: batch_size / accumulate = 4 / 4 is one image at a time, and "
        "BatchNorm of model m needs more than one value per channel; expected accumulate: 2 or "
        "less, or bn: frozen"
    )
    for begin in (check.main, lambda: train.train(params.load(), "m", distributed.Processes())):
        with pytest.raises(ValueError) as caught:
            begin()
        assert str(caught.value) == message
    assert not (home / "data/code").exists()


def test_crop_that_shrinks_to_one_pixel_is_refused_with_a_larger_one_named(tmp_path):
    fcn = {"arch": "fcn", "backbone": "resnet18", "output_stride": 32}
    message = refusal(tmp_path, fcn, accumulate=4)
    assert message.endswith("expected accumulate: 2 or less, or bn: frozen, or crop_size: 64")
    message = refusal(tmp_path, SKIP32, batch_size=2, accumulate=2)
    assert "expected accumulate: 1, or bn: frozen, or crop_size: 64" in message


def test_override_of_one_model_is_named_by_its_own_key(tmp_path):
    entry = {**V3, "train": {"batch_size": 6, "accumulate": 6}}
    message = refusal(tmp_path, entry)
    assert message.startswith("models.m.train.accumulate = 6: batch_size / accumulate = 6 / 6 is")
    assert "expected accumulate: 3 or less" in message


@pytest.mark.parametrize(
    ("entry", "recipe"),
    [
        (V3, {"accumulate": 2}),
        (V3, {"accumulate": 4, "bn": "frozen"}),
        (SKIP32, {"accumulate": 4, "crop_size": 64}),
        (TINY["m"], {"accumulate": 4}),
    ],
)
def test_parts_that_suffice_are_passed(tmp_path, entry, recipe):
    parts.check(settings(tmp_path, entries={"m": entry}, recipe=recipe), "m")
    batch = recipe.get("batch_size", 4) // recipe["accumulate"]
    with torch.device("meta"):  # and the step that is taken is one that torch takes
        arguments = {key: value for key, value in entry.items() if key != "arch"}
        model = models.build(entry["arch"], num_classes=3, **arguments)
        model.train(recipe.get("bn") != "frozen")
        side = recipe.get("crop_size", 32)
        assert model(torch.empty(batch, 3, side, side))["out"].shape[-1] == side
