"""Models against torchvision, the papers' tables, and receptive fields measured by gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models import segmentation

from benchmarks.gpu_checks import Recorder
from benchmarks.small_cases import CASES
from segmodels import models
from segmodels.models import backbones, layers
from segmodels.models.layers import mirror_pad, upsample

NARROW_UNET = ("unet", {"width": 4})
SKIP = CASES["fcn_skip"]
MODELS = CASES | {
    "fcn_stride_32": ("fcn", {"backbone": "resnet18", "output_stride": 32}),
    "deeplabv3_stride_16": ("deeplabv3", {"backbone": "resnet18", "output_stride": 16}),
}
SIZE = (33, 47)


def seeded(build, *args, **kwargs):
    torch.manual_seed(0)
    return build(*args, **kwargs)


def build_skip(num_classes=5, **arguments):
    return models.build("fcn_skip", num_classes=num_classes, backbone="resnet18", **arguments)


def torchvision_model(arch, backbone):
    build = getattr(segmentation, f"{arch}_{backbone}")
    return seeded(build, weights=None, weights_backbone=None, num_classes=21, aux_loss=True)


def assert_same_logits(ours, theirs, size):
    image = torch.randn(2, 3, *size)
    with torch.no_grad():
        logits = [seeded(model, image) for model in (ours, theirs)]  # the same dropout in both
    assert list(logits[0]) == list(logits[1]) == ["out", "aux"]
    for name in ("out", "aux"):
        torch.testing.assert_close(logits[0][name], logits[1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arch", ["fcn", "deeplabv3"])
@pytest.mark.parametrize(
    "backbone", ["resnet50", pytest.param("resnet101", marks=pytest.mark.slow)]
)
def test_model_computes_what_torchvision_does(arch, backbone):
    theirs = torchvision_model(arch, backbone)
    torch.manual_seed(1)
    ours = models.build(arch, num_classes=21, backbone=backbone)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for size in ((65, 97), (160, 160)):
        assert_same_logits(ours.train(), theirs.train(), size)
        assert_same_logits(ours.eval(), theirs.eval(), size)
    theirs.load_state_dict(ours.state_dict(), strict=True)


@pytest.mark.parametrize("arch", ["fcn", "deeplabv3"])
def test_resnet101_model_starts_as_torchvisions_does_but_with_identities(arch):
    theirs = torchvision_model(arch, "resnet101")
    ours = seeded(models.build, arch, num_classes=21, backbone="resnet101")
    theirs_state = theirs.state_dict()
    assert list(ours.state_dict()) == list(theirs_state)
    for name, tensor in ours.state_dict().items():
        ends_a_block = name.startswith("backbone.layer") and name.endswith("bn3.weight")
        expected = torch.zeros_like(tensor) if ends_a_block else theirs_state[name]
        assert torch.equal(tensor, expected), name
    ours.load_state_dict(theirs_state, strict=True)
    assert_same_logits(ours.train(), theirs.train(), (65, 97))


@pytest.mark.parametrize(
    ("arch", "backbone", "published"),
    [
        ("fcn", "resnet50", 35_322_218),
        ("fcn", "resnet101", 54_314_346),
        ("fcn", "resnet152", 69_957_994),
        ("deeplabv3", "resnet50", 42_004_074),
        ("deeplabv3", "resnet101", 60_996_202),
    ],
)
def test_parameter_count_is_the_published_one(arch, backbone, published):
    with torch.device("meta"):
        model = models.build(arch, num_classes=21, backbone=backbone)
    assert sum(p.numel() for p in model.parameters()) == published


def test_unet_parameter_count_follows_figure_1():
    # Figure 1, per level two 3 x 3 convolutions (here without bias, each with 2 BatchNorm
    # parameters for a channel) and 2 x 2 up-convolutions that halve the channels (with bias).
    down = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    up = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    expected = sum(9 * i * o + 9 * o * o + 4 * o for i, o in down + up)
    expected += sum(4 * i * o + o for i, o in up)
    expected += 64 * 21 + 21
    with torch.device("meta"):
        model = models.build("unet", num_classes=21)
    assert sum(p.numel() for p in model.parameters()) == expected == 31_038_933


def test_unet_computes_figure_1_written_out():
    torch.manual_seed(0)
    model = models.build("unet", num_classes=5, width=4).eval()
    state = model.state_dict()

    def convolve(x, name):
        for k in "01":
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
            x = F.conv2d(x, state[f"{name}.{k}.conv.weight"]) / math.sqrt(1 + 1e-5)  # new BatchNorm
            x = x.relu()
        return x

    def up(x, level):
        return F.conv_transpose2d(
            x, state[f"up.{level}.weight"], state[f"up.{level}.bias"], stride=2
        )

    image = torch.randn(1, 3, 37, 50)
    x = F.pad(image, (0, 14, 0, 11), mode="reflect")  # to 48 x 64
    level1 = convolve(x, "encoder.0")
    level2 = convolve(F.max_pool2d(level1, 2), "encoder.1")
    level3 = convolve(F.max_pool2d(level2, 2), "encoder.2")
    level4 = convolve(F.max_pool2d(level3, 2), "encoder.3")
    x = convolve(F.max_pool2d(level4, 2), "encoder.4")
    for k, skip in enumerate([level4, level3, level2, level1]):
        x = convolve(torch.cat([skip, up(x, k)], 1), f"decoder.{k}")
    expected = F.conv2d(x, state["classifier.weight"], state["classifier.bias"])[..., :37, :50]
    with torch.no_grad():
        torch.testing.assert_close(model(image)["out"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (4, 3), (5, 4), (9, 7)])
def test_mirror_pad_and_its_gradient_equal_reflection_padding(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, size[0] + 2, size[1] + 2, dtype=torch.float64)
    theirs = F.pad(x, (1, 1, 1, 1), mode="reflect")
    assert torch.equal(mirror_pad(x), theirs)
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (mirror_pad(x), theirs)]
    torch.testing.assert_close(*gradients)


def measure(net):
    """Stride of each feature and width in pixels of what one element sees, by gradient."""
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d):  # means: nothing vanishes, cancels or overflows
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        if isinstance(module, nn.BatchNorm2d):  # of a block that starts as the identity too
            nn.init.ones_(module.weight)
        for key, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):  # would pass the gradient to one element only
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                setattr(module, key, pool)
    image = torch.ones(1, 3, 32, 704, requires_grad=True)
    features = net.eval()(image)
    return {name: stride_and_width(feature, image) for name, feature in features.items()}


def stride_and_width(feature, image):
    row = feature.sum((0, 1, 2))
    middle = len(row) // 2
    seen = []
    for column in (middle, middle + 1):
        gradient = torch.autograd.grad(row[column], image, retain_graph=True)[0]
        seen.append(gradient.sum((0, 1, 2)).nonzero().flatten())
    return int(seen[1][0] - seen[0][0]), int(seen[0][-1] - seen[0][0]) + 1


@pytest.fixture(scope="module")
def vgg16():
    return backbones.build("vgg16", output_stride=32)[0]


def test_vgg16_fc7_equals_torchvisions_classifier_on_224_pixels(vgg16):
    theirs = torchvision.models.vgg16(weights=None, init_weights=False).eval()
    state = {name: t for name, t in theirs.state_dict().items() if "classifier.6" not in name}
    for layer, kernel in (("0", 7), ("3", 1)):
        weight = state[f"classifier.{layer}.weight"]
        state[f"classifier.{layer}.weight"] = weight.view(4096, -1, kernel, kernel)
    vgg16.load_state_dict(state, strict=True)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = theirs.classifier[:6](theirs.features(image).flatten(1))
        ours = vgg16.eval()(image)["out"]
    assert ours.shape[-2:] == (7, 7)
    torch.testing.assert_close(ours[..., 3, 3], expected, rtol=1e-4, atol=1e-5)


def test_features_have_strides_and_receptive_fields(vgg16):
    # A receptive field grows by (kernel - 1) x stride so far with each layer. ResNet-18: stem 11,
    # then four 3 x 3 convolutions in each stage. VGG16: pools 2 to 4, then fc6 (404 in the paper).
    resnet18, _ = backbones.build("resnet18", output_stride=32)
    expected = {"low": (4, 43), "mid": (8, 99), "aux": (16, 211), "out": (32, 435)}
    assert measure(resnet18) == {"stem": (2, 7), **expected}
    expected = {"low": (4, 16), "mid": (8, 44), "aux": (16, 100), "out": (32, 404)}
    assert measure(vgg16) == {"stem": (2, 6), **expected}


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_dilation_keeps_the_output_stride(output_stride):
    net, _ = backbones.build("resnet50", output_stride=output_stride)
    strides = {name: stride for name, (stride, _) in measure(net).items()}
    natural = {"stem": 2, "low": 4, "mid": 8, "aux": 16, "out": 32}
    assert strides == {name: min(stride, output_stride) for name, stride in natural.items()}


@pytest.mark.parametrize(("stride", "skips"), [(32, []), (16, ["aux"]), (8, ["aux", "mid"])])
def test_fcn_skip_adds_the_scores_of_each_stride_by_hand(stride, skips):
    model = seeded(build_skip, stride=stride).eval()
    for score in (model.classifier, *model.skips.values()):
        nn.init.normal_(score.weight)
        nn.init.normal_(score.bias)

    def scored(features, score):
        product = torch.einsum("nihw,oi->nohw", features, score.weight[:, :, 0, 0])
        return product + score.bias[:, None, None]

    def resized(x, size):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)

    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        features = model.backbone(image)
        logits = scored(features["out"], model.classifier)
        assert logits.shape == (1, 5, 2, 3)
        for name, size in zip(skips, [(4, 6), (8, 12)], strict=False):
            logits = resized(logits, size) + scored(features[name], model.skips[name])
        expected = resized(logits, (64, 96))
        torch.testing.assert_close(model(image)["out"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("stride", [16, 8])
def test_fcn_skip_continues_fcn32s_with_unmodified_scores(stride):
    coarse = seeded(build_skip, stride=32).eval()
    nn.init.normal_(coarse.classifier.weight)
    fine = build_skip(stride=stride).eval()
    left = fine.load_state_dict(coarse.state_dict(), strict=False)
    assert left.unexpected_keys == []
    assert all(name.startswith("skips.") for name in left.missing_keys)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        score = coarse.classifier(coarse.backbone(image)["out"])
        for size in [(4, 4), (8, 8)][: 32 // stride // 2]:
            score = F.interpolate(score, size=size, mode="bilinear")
        assert torch.equal(fine(image)["out"], upsample(score, image))


def test_fcn_skip_starts_the_three_strides_alike():
    states = [seeded(build_skip, stride=stride).state_dict() for stride in (32, 16, 8)]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
        assert torch.equal(tensor, states[2][name]), name


def loss(logits, num_classes):
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(num_classes, logits["out"][:, 0].shape, generator=generator)
    losses = {name: F.cross_entropy(value, target) for name, value in logits.items()}
    return losses["out"] + 0.5 * losses.get("aux", 0)


def test_initial_loss_is_that_of_guessing():
    image = torch.randn(2, 3, 64, 64)
    fcn = seeded(models.build, "fcn", num_classes=21)
    assert loss(fcn(image), 21).item() == pytest.approx(1.5 * math.log(21), abs=0.15)
    skip = seeded(build_skip, num_classes=21)
    assert loss(skip(image), 21).item() == pytest.approx(math.log(21), abs=1e-5)  # zero scores


@pytest.mark.parametrize(("arch", "arguments"), MODELS.values(), ids=MODELS)
def test_arch_keeps_what_the_models_package_asks_of_it(arch, arguments, monkeypatch):
    """See segmodels/models/__init__.py."""
    monkeypatch.setattr(layers, "resize", layers.resize_by_products)  # as on a GPU
    model = seeded(models.build, arch, num_classes=5, **arguments)
    image = torch.randn(2, 3, *SIZE)
    with Recorder() as recorder:
        logits = {mode: model.train(mode)(image) for mode in (False, True)}
    assert type(logits[True]) is type(logits[False]) is dict
    assert list(logits[True]) == list(logits[False])
    assert {value.shape for value in logits[True].values()} == {(2, 5, *SIZE)}, "size of the image"
    objective = loss(logits[True], 5)
    with recorder:
        objective.backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert not unused, "parameters that no logits depend on"
    assert not recorder.forbidden, "operations that a GPU refuses under `deterministic: true`"


@pytest.mark.parametrize(("arch", "arguments"), [NARROW_UNET, SKIP])
def test_seed_decides_the_weights(arch, arguments):
    same = [seeded(models.build, arch, num_classes=5, **arguments) for _ in range(2)]
    torch.manual_seed(1)
    other = models.build(arch, num_classes=5, **arguments)
    first, second, third = (list(model.parameters()) for model in (*same, other))
    assert all(map(torch.equal, first, second))
    assert not all(map(torch.equal, first, third))
