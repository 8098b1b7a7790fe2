"""Backbones against torchvision's classifiers, timm's features and dense convolutions."""

import sys

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from segmodels import models
from segmodels.models import backbones, efficientnet_lite

LITE = "timm/tf_efficientnet_lite0"
SLOW = pytest.mark.slow
# Parameters of the classifiers' layers that a backbone leaves out.
LAST = {"vgg16": 4096 * 1000 + 1000, "vgg16_bn": 4096 * 1000 + 1000}
LAST |= {name: 512 * 1000 + 1000 for name in ("resnet18", "resnet34")}
LAST |= {name: 2048 * 1000 + 1000 for name in ("resnet50", "resnet101", "resnet152")}
LAST |= {"mobilenet_v3_large": 960 * 1280 + 1280 + 1280 * 1000 + 1000}


def built(name, *, output_stride=32, fully_connected=False):
    torch.manual_seed(0)
    return backbones.build(name, output_stride=output_stride, fully_connected=fully_connected)[
        0
    ].eval()


def randomize(net):
    """Normalisations as if trained; gates that do not depend on the picture."""
    for key, tensor in net.state_dict().items():
        if key.endswith("running_var") or (key.endswith("weight") and tensor.ndim == 1):
            nn.init.uniform_(tensor, 0.5, 1.5)
        elif key.endswith(("running_mean", "bias")):
            nn.init.normal_(tensor, std=0.1)
        elif key.endswith("fc2.weight"):  # a gate sees the mean of its map, which is another one
            nn.init.zeros_(tensor)  # where the map is denser


def plain_and_dilated(name, output_stride):
    """A net and its twin of another output stride, in float64."""
    plain, dilated = (built(name, output_stride=s).double() for s in (32, output_stride))
    randomize(plain)
    dilated.load_state_dict(plain.state_dict(), strict=True)
    return plain, dilated


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        *(pytest.param(name, marks=SLOW) for name in ("resnet34", "resnet101", "resnet152")),
        "mobilenet_v3_large",
        LITE,
        "efficientnet_lite0",
    ],
)
def test_dilated_features_contain_the_plain_ones(name, output_stride):
    plain, dilated = plain_and_dilated(name, output_stride)
    # Each strided layer sees an odd size: at even ones, TensorFlow's padding (lite0) shifts it.
    image = torch.randn(1, 3, 33, 65, dtype=torch.float64)
    with torch.no_grad():
        expected, features = plain(image), dilated(image)
    for natural, key in backbones.STRIDES.items():
        stride = min(natural, output_stride)
        assert features[key].shape[-2:] == (32 // stride + 1, 64 // stride + 1)
        step = natural // stride
        contained = features[key][..., ::step, ::step]
        torch.testing.assert_close(contained, expected[key], rtol=1e-9, atol=1e-9)


def through(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def test_vgg16_at_stride_16_contains_the_net_whose_pool5_is_3_x_3():
    plain, dilated = plain_and_dilated("vgg16", 16)
    image = torch.randn(1, 3, 33, 65, dtype=torch.float64)
    with torch.no_grad():
        conv5 = through(list(plain.features.values())[:30], image)
        expected = F.max_pool2d(conv5, 3, stride=2, padding=1)
        torch.testing.assert_close(dilated(image)["out"][..., ::2, ::2], expected)


def test_vgg16_at_stride_8_contains_the_net_whose_pool4_is_3_x_3():
    plain, dilated = plain_and_dilated("vgg16", 8)
    image = torch.randn(1, 3, 33, 65, dtype=torch.float64)
    with torch.no_grad():
        conv4 = through(list(plain.features.values())[:23], image)
        pool4 = F.max_pool2d(conv4, 3, stride=2, padding=1)
        conv5 = through(list(dilated.features.values())[:30], image)
        features = dilated(image)
        torch.testing.assert_close(features["aux"][..., ::2, ::2], pool4)
        expected = through(list(plain.features.values())[24:30], pool4)
        torch.testing.assert_close(conv5[..., ::2, ::2], expected)
        torch.testing.assert_close(features["out"], F.max_pool2d(conv5, 3, stride=1, padding=1))


def test_dilated_fc6_contains_the_plain_one():
    with torch.device("meta"):  # as it has 103 million weights, its geometry only
        net, _ = backbones.build("vgg16", output_stride=8)
    fc6 = net.classifier[0]
    pool5, weight = torch.randn(1, 3, 9, 13), torch.randn(2, 3, 7, 7)
    plain = F.conv2d(pool5[..., ::4, ::4], weight, padding=3)
    dilated = F.conv2d(pool5, weight, None, fc6.stride, fc6.padding, fc6.dilation)
    torch.testing.assert_close(dilated[..., ::4, ::4], plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("resnet18", "layer4"),
        ("resnet34", "layer4"),
        ("mobilenet_v3_large", "features"),
    ],
)
def test_plain_backbone_computes_torchvisions_features(name, last):
    theirs = getattr(torchvision.models, name)(weights=None)
    randomize(theirs)
    ours = built(name)
    left = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert left.missing_keys == []
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = create_feature_extractor(theirs.eval(), [last])(image)[last]
        torch.testing.assert_close(ours(image)["out"], expected)


@pytest.mark.parametrize("name", backbones.IMAGENET)
def test_imagenet_file_has_every_parameter_and_one_layer_more(name):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(weights=None).state_dict()
        ours, channels = backbones.build(name, output_stride=8)
        features = ours(torch.empty(2, 3, 33, 47))
    count = sum(parameter.numel() for parameter in ours.parameters())
    published = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta["num_params"]
    assert count == published - LAST[name]
    for key, tensor in ours.state_dict().items():  # fc6 and fc7 are matrices in the file
        assert theirs[key].numel() == tensor.numel(), key
    assert {key: feature.shape[1] for key, feature in features.items()} == channels


# A receptive field grows by (kernel - 1) x dilation x stride so far with each layer.
FIELDS = {
    # 7 x 7 convolution, 3 x 3 pooling: 11. Then two 3 x 3 a block: 2 2 2 2 blocks.
    "resnet18": {"stem": 7, "low": 43, "mid": 99, "aux": 211, "out": 435},
    # One 3 x 3 a block, the first of a stage at the finer stride: 3 4 6 3 blocks.
    "resnet50": {"stem": 7, "low": 35, "mid": 91, "aux": 267, "out": 427},
    # 3; then depthwise 3 | 3 3 | 5 5 5 | 3 3 3 3 3 3 | 5 5 5, the first of a group strided but 1.
    "mobilenet_v3_large": {"stem": 7, "low": 19, "mid": 99, "aux": 275, "out": 595},
    # 3; then depthwise 3 | 3 3 | 5 5 | 3 3 3 5 5 5 | 5 5 5 5 3.
    LITE: {"stem": 7, "low": 19, "mid": 67, "aux": 339, "out": 851},
}
VGG = {"stem": 6, "low": 16, "mid": 44, "aux": 100}
CASES = [(name, stride, fields) for name, fields in FIELDS.items() for stride in (8, 16, 32)]
CASES += [
    ("vgg16", 32, VGG | {"out": 196 + 16}),  # conv5_3, pool5
    ("vgg16", 16, VGG | {"out": 196 + 2 * 16}),  # pool5 is 3 x 3
    # conv4_3 92, pool4 and pool5 are 3 x 3, conv5 has dilation 2
    ("vgg16", 8, VGG | {"aux": 92 + 16, "out": 92 + 16 + 3 * 32 + 16}),
]


@pytest.mark.parametrize(("name", "output_stride", "fields"), CASES)
def test_strides_and_receptive_fields_measured_by_gradient(name, output_stride, fields):
    net = built(name, output_stride=output_stride)
    image = torch.ones(1, 3, 32, fields["out"] + 96, requires_grad=True)
    features = as_means(net)(image)
    for natural, key in backbones.STRIDES.items():
        row = features[key].sum((0, 1, 2))
        first, second = (seen_by(row[len(row) // 2 + k], image) for k in (0, 1))
        assert second[0] - first[0] == min(natural, output_stride), key
        assert first[-1] - first[0] + 1 == fields[key], key


def as_means(net):
    """Every layer a mean, so that no gradient vanishes or cancels within its receptive field."""
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        if isinstance(module, nn.BatchNorm2d):  # also of a block that starts as the identity
            nn.init.ones_(module.weight)
        for key, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):  # would pass the gradient to one element only
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                setattr(module, key, pool)
    for key, tensor in net.state_dict().items():
        if key.endswith("fc2.weight"):  # gates, which see everything
            nn.init.zeros_(tensor)
    return net


def seen_by(element, image):
    gradient = torch.autograd.grad(element, image, retain_graph=True)[0]
    return gradient.sum((0, 1, 2)).nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("model", "skipped"), [("tf_efficientnet_lite0", 0), ("darknet17", 1), ("convnext_atto", 0)]
)
def test_timm_backbone_starts_and_computes_as_timms_own(model, skipped):
    torch.manual_seed(0)
    theirs = timm.create_model(model, features_only=True, output_stride=16).eval()
    ours = built(f"timm/{model}", output_stride=16)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected, features = theirs(image)[skipped:], ours(image)
    names = [name for name in backbones.STRIDES.values() if name in features]
    assert names[-4:] == ["low", "mid", "aux", "out"]
    for name, feature in zip(names, expected, strict=True):
        assert torch.equal(features[name], feature)


@pytest.mark.parametrize(
    ("name", "output_stride", "message"),
    [
        ("timm/resnet99", 32, f"timm {timm.__version__} has no such model"),
        ("timm/hf-hub:timm/resnet18", 32, f"timm {timm.__version__} has no such model"),
        ("timm/vit_tiny_patch16_224", 32, "of every image at output stride 32: its strides are 16"),
        ("timm/efficientvit_m0", 32, "of every image at output stride 32: its strides are 16, 32"),
        ("timm/mambaout_femto", 32, "at output stride 32: its features are not (N, C, H, W)"),
        ("timm/dla34", 32, "cannot give features of every image at output stride 32: "),
        ("timm/densenet121", 8, "output stride 8: DenseNet.__init__() got an unexpected keyword"),
        ("timm/vgg11", 16, "cannot give features of every image at output stride 16: timm does"),
        ("resnet20", 32, "expected one of resnet18, resnet34, resnet50, resnet101, resnet152, "),
    ],
)
def test_backbone_of_no_use_is_one_line_with_the_reason(name, output_stride, message):
    with pytest.raises(ValueError) as caught:
        models.check_arguments("x", "fcn", {"backbone": name, "output_stride": output_stride})
    assert str(caught.value).startswith(f"models.x.backbone = {name!r}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_timm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError) as caught:
        backbones.build(LITE, output_stride=32)
    assert str(caught.value) == (
        f"backbone = '{LITE}': needs the timm package; pip install 'segmodels[timm]'"
    )


@pytest.mark.parametrize("output_stride", [8, 32])
@pytest.mark.parametrize("name", [*backbones.IMAGENET, LITE, "timm/convnext_atto"])
def test_every_backbone_passes_the_check_and_leaves_the_random_numbers_alone(name, output_stride):
    before = torch.get_rng_state()
    models.check_arguments("x", "fcn", {"backbone": name, "output_stride": output_stride})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (33, 130)])
@pytest.mark.parametrize("name", efficientnet_lite.SCALES)
def test_efficientnet_lite_is_timms_bit_for_bit(name, size):
    theirs, channels = backbones.build(f"timm/tf_{name}", output_stride=32)
    ours, our_channels = backbones.build(name, output_stride=32)
    randomize(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert our_channels == {key: channels[key] for key in our_channels}
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        for mode in (True, False):
            features = ours.train(mode)(image)
            expected = theirs.train(mode)(image)
            for key, value in features.items():
                assert torch.equal(value, expected[key]), (key, mode)


def test_efficientnet_lite_starts_as_timms():
    theirs, _ = backbones.build("timm/tf_efficientnet_lite0", output_stride=32)
    ours, _ = backbones.build("efficientnet_lite0", output_stride=32)
    for key, tensor in theirs.state_dict().items():
        if tensor.ndim == 4 and tensor.numel() > 5000:  # enough for a deviation within 10 %
            found = ours.state_dict()[key].std().item()
            assert found == pytest.approx(tensor.std().item(), rel=0.1), key
