"""DeepLab v1 and v2 against the papers' tables and equations; what holds for the whole family."""

import math
from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from segmodels import models

RESNET18 = {"backbone": "resnet18"}
SMALL = [
    ("deeplabv1", {}),
    ("deeplabv1", RESNET18),
    ("deeplabv2", RESNET18),
    ("deeplabv2", {"backbone": "vgg16"}),
    ("deeplabv3", RESNET18 | {"output_stride": 16}),
    ("deeplabv3", {"multi_grid": [1, 2, 4], "aux": False}),
    ("deeplabv3_cascade", {"backbone": "resnet50", "last_block": 5}),
    ("deeplabv3plus", RESNET18 | {"aux": True}),
    ("deeplabv3plus", {"backbone": "mobilenet_v3_large", "output_stride": 8}),
    ("deeplabv3plus", RESNET18 | {"decoder_channels": 16}),
    pytest.param(
        "deeplabv3plus",
        {"backbone": "timm/tf_efficientnet_lite0"},
        marks=pytest.mark.skipif(find_spec("timm") is None, reason="needs the timm package"),
    ),
]


def built(arch, **arguments):
    torch.manual_seed(0)
    return models.build(arch, num_classes=5, **arguments)


def vgg16_parameters():
    """arXiv 1409.1556, table 1, column D: thirteen 3 x 3 convolutions."""
    widths = [3, 64, 64, 128, 128, *[256] * 3, *[512] * 6]
    return sum(9 * i * o + o for i, o in zip(widths, widths[1:], strict=False))


def resnet_parameters(units):
    """arXiv 1512.03385, table 1: bottlenecks; each channel of BatchNorm has two parameters."""
    total, channels = 49 * 3 * 64 + 2 * 64, 64
    for width, repeats in zip((64, 128, 256, 512), units, strict=True):
        out = 4 * width
        total += channels * out + 2 * out  # the first unit's projection
        for _ in range(repeats):
            total += channels * width + 9 * width * width + width * out + 4 * width + 2 * out
            channels = out
    return total


# fc6: 3 x 3, 512 -> 1024; fc7: 1 x 1, 1024 -> 1024; scores: 1 x 1, 1024 -> 21; all with bias.
LARGE_FOV = (9 * 512 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 21 + 21)
# v3, section 3.3: 1 x 1, three of 3 x 3, image pooling, and 1 x 1 over all five, each to 256
# channels with BatchNorm. v3+, section 4.1: stride 4 to 48 channels, two 3 x 3 of 256, scores.
PYRAMID = 2048 * 256 * (1 + 3 * 9 + 1) + 5 * 256 * 256 + 6 * 2 * 256
DECODER = (256 * 48 + 2 * 48) + 9 * (256 + 48) * 256 + 9 * 256 * 256 + 4 * 256 + (256 * 21 + 21)
NARROW_DECODER = (256 * 48 + 2 * 48) + 9 * (256 + 48) * 64 + 9 * 64 * 64 + 4 * 64 + (64 * 21 + 21)
# v3, figure 3: a copy of block4 has three bottlenecks on 2048 channels and no projection.
BLOCK = 3 * (2048 * 512 + 9 * 512 * 512 + 512 * 2048 + 4 * 512 + 2 * 2048)


@pytest.mark.parametrize(
    ("arch", "arguments", "derived", "number"),
    [
        # v1, table 2: 20.5 million.
        ("deeplabv1", {}, vgg16_parameters() + LARGE_FOV, 20_505_429),
        # v2, figure 7 (b) on VGG16; on a ResNet four 3 x 3 convolutions give the scores.
        ("deeplabv2", {"backbone": "vgg16"}, vgg16_parameters() + 4 * LARGE_FOV, 37_877_652),
        (
            "deeplabv2",
            {},
            resnet_parameters((3, 4, 23, 3)) + 4 * (9 * 2048 * 21 + 21),
            44_048_532,
        ),
        (
            "deeplabv3_cascade",
            {"backbone": "resnet50", "last_block": 4},
            resnet_parameters((3, 4, 6, 3)) + 2048 * 21 + 21,
            23_551_061,
        ),
        (
            "deeplabv3_cascade",
            {},
            resnet_parameters((3, 4, 23, 3)) + 3 * BLOCK + 2048 * 21 + 21,
            82_706_517,
        ),
        ("deeplabv3plus", {}, resnet_parameters((3, 4, 23, 3)) + PYRAMID + DECODER, 59_344_309),
        (
            "deeplabv3plus",
            {"decoder_channels": 64},
            resnet_parameters((3, 4, 23, 3)) + PYRAMID + NARROW_DECODER,
            58_261_237,
        ),
    ],
)
def test_parameter_count_follows_the_papers_tables(arch, arguments, derived, number):
    with torch.device("meta"):
        model = models.build(arch, num_classes=21, **arguments)
    assert sum(p.numel() for p in model.parameters()) == derived == number


def atrous(x, conv, rate):
    """v1, section 3.1: y[i] is the sum over k of x[i + rate k] w[k], outside of the map 0."""
    padded = F.pad(x, [rate] * 4)
    height, width = x.shape[-2:]
    result = conv.bias[:, None, None]
    for i in range(3):
        for j in range(3):
            shifted = padded[..., i * rate : i * rate + height, j * rate : j * rate + width]
            result = result + torch.einsum("nihw,oi->nohw", shifted, conv.weight[..., i, j])
    return result


def large_fov(x, layers, rate):
    """Table 2 of v1 written out, in eval mode."""
    x = atrous(x, layers[0], rate).relu()
    x = F.conv2d(x, layers[3].weight, layers[3].bias).relu()
    return F.conv2d(x, layers[6].weight, layers[6].bias)


def test_heads_of_v1_and_v2_compute_the_papers_figures():
    features = torch.randn(1, 512, 9, 26, dtype=torch.float64)
    expected = {}
    v1 = built("deeplabv1").double().eval().classifier
    expected[v1] = large_fov(features, v1, 12)
    v2 = built("deeplabv2", **RESNET18).double().eval().classifier
    expected[v2] = sum(map(atrous, [features] * 4, v2, (6, 12, 18, 24)))
    v2_vgg = built("deeplabv2", backbone="vgg16").double().eval().classifier
    expected[v2_vgg] = sum(map(large_fov, [features] * 4, v2_vgg, (6, 12, 18, 24)))
    with torch.no_grad():
        for head, logits in expected.items():
            torch.testing.assert_close(head(features), logits)


def test_v1_starts_from_imagenets_convolutions_and_resizes_its_scores_to_the_image():
    model = built("deeplabv1").eval()
    theirs = torchvision.models.vgg16(weights=None, init_weights=False).features.state_dict()
    started = {f"backbone.features.{name}": tensor for name, tensor in theirs.items()}
    missing, unexpected = model.load_state_dict(started, strict=False)
    assert unexpected == []
    assert {name.split(".")[0] for name in missing} == {"classifier"}
    image = torch.randn(1, 3, 50, 75)
    with torch.no_grad():
        scores = large_fov(model.backbone(image)["out"], model.classifier, 12)
        assert scores.shape[-2:] == (6, 9)
        expected = F.interpolate(scores, (50, 75), mode="bilinear", align_corners=False)
        torch.testing.assert_close(model(image)["out"], expected, rtol=1e-4, atol=1e-5)


def width_seen(net, width):
    """Pixels that the middle column of a network's output sees, by gradient; its stride."""
    for module in list(net.modules()):
        if isinstance(module, nn.Conv2d):  # means: nothing vanishes or cancels
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        for key, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):  # would pass the gradient to one element only
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                setattr(module, key, pool)
    image = torch.ones(1, 3, 16, width, dtype=torch.float64, requires_grad=True)
    row = net.double().eval()(image).sum((0, 1, 2))
    seen = [
        torch.autograd.grad(row[column], image, retain_graph=True)[0].sum((0, 1, 2)).nonzero()
        for column in (len(row) // 2, len(row) // 2 + 1)
    ]
    return int(seen[0].max() - seen[0].min()) + 1, int(seen[1].min() - seen[0].min())


class Part(nn.Module):
    """From the image to one feature of a model, and on through a head."""

    def __init__(self, model, *head):
        super().__init__()
        self.backbone = model.backbone
        self.head = nn.Sequential(*head)

    def forward(self, image):
        return self.head(self.backbone(image)["out"])


def test_large_fov_sees_the_224_pixels_of_table_2():
    # A receptive field grows by (kernel - 1) x rate x stride so far. Pools 1 to 3 and conv1 to
    # conv4: 92 at stride 8; pool4 3 x 3: 108; conv5 with rate 2: 204; pool5 3 x 3: 220. fc6 adds
    # two steps of 12 at stride 8, 192. The paper counts each tap of fc6 as the 32 pixels that the
    # classifier's fc6 steps by, "with zero-padding": 192 + 32 = 224, as 7 taps x 32 = 224 there.
    model = built("deeplabv1")
    features, _ = width_seen(Part(model), 704)
    scores, stride = width_seen(Part(model, *model.classifier), 704)
    assert (features, scores, stride) == (220, 412, 8)
    assert scores - features + 32 == 224


@pytest.mark.parametrize(("arch", "arguments"), SMALL)
def test_odd_size_is_kept_every_parameter_learns_and_the_start_is_a_guess(arch, arguments):
    model = built(arch, **arguments)
    image = torch.randn(2, 3, 33, 47)
    target = torch.randint(5, (2, 33, 47), generator=torch.Generator().manual_seed(0))
    names = ["out", "aux"] if "aux_classifier" in dict(model.named_children()) else ["out"]
    for mode in (False, True):
        logits = model.train(mode)(image)
        assert list(logits) == names
        assert {value.shape for value in logits.values()} == {(2, 5, 33, 47)}
    losses = [F.cross_entropy(value, target) for value in logits.values()]
    sum(losses).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert losses[0].item() == pytest.approx(math.log(5), abs=0.5)


@pytest.mark.parametrize(
    ("arch", "arguments", "message"),
    [
        ("deeplabv2", {"atrous_rates": []}, "models.x.atrous_rates = []: value should have at le"),
        ("deeplabv3", {"multi_grid": [1, 2]}, "models.x.multi_grid = [1, 2]: value should have "),
        (
            "deeplabv3",
            {"multi_grid": [1, 2, 4], **RESNET18},
            "models.x.multi_grid = [1, 2, 4]: expected none for backbone 'resnet18', whose last",
        ),
        ("deeplabv3", {"multi_grid": [0, 1, 1]}, "models.x.multi_grid.0 = 0: input should be"),
        ("deeplabv3_cascade", {"multi_grid": [1]}, "models.x.multi_grid = [1]: value should have"),
        ("deeplabv3_cascade", {"last_block": 8}, "models.x.last_block = 8: input should be 4, 5"),
        ("deeplabv3_cascade", RESNET18, "models.x.backbone = 'resnet18': input should be 'resnet"),
    ],
)
def test_argument_that_does_not_fit_is_one_line(arch, arguments, message):
    with pytest.raises(ValueError) as caught:
        models.check_arguments("x", arch, arguments)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
