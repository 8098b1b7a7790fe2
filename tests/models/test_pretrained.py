"""Starting weights: made-up files and a server on localhost, torchvision's models as witness."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product

import pytest
import torch
import torchvision
from torch import nn

from segmodels import models
from segmodels.models import fcn, pretrained

UNET = {"arch": "unet", "arguments": {"width": 2}}
FCN18 = {"arch": "fcn", "arguments": {"backbone": "resnet18", "output_stride": 32}}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder and the address under which it is served; torch's cache is empty."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def serve(server, state, name):
    """Put a state dict under a name that ends in its checksum's start, as torchvision's do."""
    folder, address = server
    torch.save(state, folder / "new")
    digest = hashlib.sha256((folder / "new").read_bytes()).hexdigest()
    file = folder / f"{name}-{digest[:8]}.pth"
    (folder / "new").rename(file)
    return file, digest, f"{address}/{file.name}"


@pytest.fixture
def coco(server, monkeypatch):
    """The file of a torchvision fcn_resnet50, offered as the COCO weights of ours."""
    torch.manual_seed(0)
    theirs = torchvision.models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    file, digest, url = serve(server, theirs.state_dict(), "fcn_resnet50_coco")
    monkeypatch.setitem(fcn.COCO, "resnet50", url)
    return theirs, file, digest


@pytest.fixture
def imagenet(server, monkeypatch):
    """The file of a torchvision resnet18, offered as its ImageNet weights."""
    theirs = torchvision.models.resnet18(weights=None)
    _, _, url = serve(server, theirs.state_dict(), "resnet18")
    monkeypatch.setitem(pretrained.IMAGENET, "resnet18", url)
    return theirs


def started(init, *, num_classes=21, arch, arguments):
    torch.manual_seed(1)
    model = models.build(arch, num_classes=num_classes, **arguments)
    return model, pretrained.start(model, arch=arch, arguments=arguments, init=str(init))


def parameters(names):
    return [name for name in names if not name.endswith("num_batches_tracked")]


def test_coco_start_computes_what_torchvision_does(coco):
    theirs, file, digest = coco
    model, coverage = started("coco", arch="fcn", arguments={"backbone": "resnet50"})
    assert coverage == {
        "init": "coco",
        "file": file.name,
        "sha256": digest,
        "loaded": parameters(theirs.state_dict()),
        "missing": [],
        "unexpected": [],
        "wrong_shape": [],
    }
    image = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        logits = model.eval()(image), theirs.eval()(image)
    assert torch.equal(logits[0]["out"], logits[1]["out"])
    assert torch.equal(logits[0]["aux"], logits[1]["aux"])
    file.unlink()  # the second start finds it in the cache
    assert started("coco", arch="fcn", arguments={})[1] == coverage


def test_coco_start_with_five_classes_leaves_the_heads_out(coco):
    theirs, file, _ = coco
    torch.manual_seed(1)
    fresh = models.build("fcn", num_classes=5).state_dict()
    model, coverage = started("coco", num_classes=5, arch="fcn", arguments={})
    heads = [
        f"{head}.4.{kind}"
        for head in ("classifier", "aux_classifier")
        for kind in ("weight", "bias")
    ]
    assert [entry["name"] for entry in coverage["wrong_shape"]] == heads
    assert coverage["wrong_shape"][1] == {"name": heads[1], "file": [21], "model": [5]}
    for name, tensor in model.state_dict().items():
        expected = fresh[name] if name in heads else theirs.state_dict()[name]
        assert torch.equal(tensor, expected), name
    loaded = len(parameters(fresh)) - 4
    assert pretrained.summary(coverage) == (
        f"coco ({file.name}): {loaded} of {loaded + 4} tensors loaded; random, other shape in the "
        "file: classifier.4.weight (21 outputs there, 5 here), classifier.4.bias (21 outputs "
        "there, 5 here), aux_classifier.4.weight (21 outputs there, 5 here), "
        "aux_classifier.4.bias (21 outputs there, 5 here)"
    )


def test_imagenet_start_covers_the_backbone_and_leaves_14_tensors_random(imagenet):
    model, coverage = started("imagenet", **FCN18)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, imagenet.state_dict()[name]), name
    heads = [name for name in parameters(model.state_dict()) if "classifier" in name]
    assert coverage["missing"] == heads and len(heads) == 14
    assert coverage["unexpected"] == ["fc.weight", "fc.bias"]
    assert pretrained.summary(coverage) == (
        f"imagenet ({coverage['file']}): 100 of 114 tensors loaded; "
        "random: classifier 7, aux_classifier 7; in the file only: fc 2"
    )


def test_imagenet_start_without_a_backbone_says_that_all_is_random():
    model, coverage = started("imagenet", **UNET)
    assert coverage["file"] is None and coverage["sha256"] is None
    assert coverage["missing"] == parameters(model.state_dict())
    assert pretrained.summary(coverage).startswith("imagenet: 0 of ")


def test_start_none_changes_nothing():
    torch.manual_seed(1)
    fresh = models.build("unet", num_classes=21, width=2).state_dict()
    model, coverage = started("none", **UNET)
    assert coverage["init"] == "none" and coverage["loaded"] == []
    assert coverage["missing"] == parameters(fresh)
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("arch", "arguments", "wanted"),
    [
        ("fcn", {"backbone": "resnet152"}, "fcn with backbone resnet152"),
        ("fcn_skip", {}, "fcn_skip with backbone vgg16"),
        ("unet", {}, "unet"),
    ],
)
def test_coco_where_there_is_none_names_those_there_are(arch, arguments, wanted):
    with pytest.raises(ValueError) as caught:
        pretrained.source(arch=arch, arguments=arguments, init="coco")
    assert str(caught.value) == (
        f"init = 'coco': torchvision has none for {wanted}, only for "
        "deeplabv3 (resnet50, resnet101), fcn (resnet50, resnet101)"
    )


def test_urls_are_those_of_torchvisions_own_builders():
    for arch, backbone in product(("fcn", "deeplabv3"), ("resnet50", "resnet101")):
        official = torchvision.models.get_model_weights(f"{arch}_{backbone}").DEFAULT
        given = pretrained.source(arch=arch, arguments={"backbone": backbone}, init="coco")
        assert given == official.url
    for backbone in pretrained.IMAGENET:
        official = torchvision.models.get_model_weights(backbone).IMAGENET1K_V1
        skip = {"arch": "fcn_skip", "arguments": {"backbone": backbone}}
        assert pretrained.source(**skip, init="imagenet") == official.url


def test_coco_weights_have_one_normalisation_and_the_same_classes():
    every = [
        torchvision.models.get_model_weights(f"{arch}_{backbone}").COCO_WITH_VOC_LABELS_V1
        for arch, backbone in product(("fcn", "deeplabv3"), ("resnet50", "resnet101"))
    ]
    assert len({(*w.transforms().mean, *w.transforms().std) for w in every}) == 1
    assert len({tuple(w.meta["categories"]) for w in every}) == 1


def test_wrong_byte_is_refused_and_not_kept(imagenet, server, tmp_path):
    file = next(server[0].glob("resnet18-*.pth"))
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^http.*{file.name}: cannot be downloaded \(invalid h"):
        started("imagenet", **FCN18)
    cache = tmp_path / "cache/hub/checkpoints"
    assert list(cache.iterdir()) == []
    (cache / file.name).write_bytes(content)  # put there by hand
    with pytest.raises(ValueError, match=rf"{file.name}: sha256 does not start with .*delete it"):
        started("imagenet", **FCN18)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", None])
def test_no_network_or_404_says_where_to_put_the_file(server, monkeypatch, tmp_path, address):
    url = f"{address or server[1]}/resnet18-0123abcd.pth"
    monkeypatch.setitem(pretrained.IMAGENET, "resnet18", url)
    with pytest.raises(ValueError) as caught:
        started("imagenet", **FCN18)
    place = tmp_path / "cache/hub/checkpoints/resnet18-0123abcd.pth"
    assert str(caught.value).startswith(f"{url}: cannot be downloaded (")
    assert str(caught.value).endswith(f"fetch it elsewhere and put it at {place}")
    assert "\n" not in str(caught.value)


def test_file_of_a_backbone_alone_starts_the_backbone(tmp_path):
    torch.manual_seed(0)
    trained = torchvision.models.resnet18().state_dict()
    torch.save(trained, tmp_path / "mine.pth")
    model, coverage = started(tmp_path / "mine.pth", **FCN18)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, trained[name]), name
    assert pretrained.summary(coverage) == (
        "file (mine.pth): 100 of 114 tensors loaded; random: classifier 7, aux_classifier 7; "
        "in the file only: fc 2"
    )


def test_file_of_another_head_starts_the_common_backbone(tmp_path):
    other = {"arch": "deeplabv3plus", "arguments": {"backbone": "resnet18"}}
    torch.manual_seed(0)
    trained = models.build("deeplabv3plus", num_classes=5, backbone="resnet18")
    torch.save(trained.state_dict(), tmp_path / "plus.pth")
    model, coverage = started(tmp_path / "plus.pth", **FCN18)
    for name, tensor in trained.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], tensor), name
    assert {name.split(".")[0] for name in coverage["loaded"]} == {"backbone"}
    assert started(tmp_path / "plus.pth", num_classes=5, **other)[1]["missing"] == []


def test_timm_backbone_starts_from_a_file_of_timms(tmp_path):
    timm = pytest.importorskip("timm")
    lite = {
        "arch": "deeplabv3plus",
        "arguments": {"backbone": "timm/tf_efficientnet_lite0", "output_stride": 32},
    }
    torch.manual_seed(0)
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "lite0.pth")
    model, coverage = started(tmp_path / "lite0.pth", **lite)
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        features = model.eval().backbone(image)["out"]
        expected = theirs.eval().blocks(theirs.bn1(theirs.conv_stem(image)))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert [n for n in coverage["missing"] if n.startswith("backbone.")] == []
    with pytest.raises(ValueError) as caught:
        started("imagenet", **lite)
    assert str(caught.value) == (
        "init = 'imagenet': torchvision has none for backbone timm/tf_efficientnet_lite0; save a "
        "state dict of it with torch.save and name that file"
    )


def test_fully_connected_weight_starts_the_convolution_in_its_place(tmp_path):
    linear = nn.Sequential(nn.Linear(4 * 7 * 7, 8), nn.ReLU(), nn.Linear(8, 5))
    conv = nn.Sequential(nn.Conv2d(4, 8, 7), nn.ReLU(), nn.Conv2d(8, 5, 1))
    torch.save(linear.state_dict(), tmp_path / "linear.pt")
    pretrained.start(conv, arch="unet", arguments={}, init=str(tmp_path / "linear.pt"))
    x = torch.randn(3, 4, 7, 7)
    torch.testing.assert_close(conv(x).flatten(1), linear(x.flatten(1)))
