"""The feature pyramid network against its papers' figures and numbers."""

from importlib.util import find_spec

import pytest
import torch
import torch.nn.functional as F
from test_deeplab import resnet_parameters
from test_deeplabv3 import randomize_batch_norm
from torch import nn
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork

from segmodels import models
from segmodels.models.fpn import Pyramid, normalized


def convolved(x, sequence):
    conv, bn = sequence[0], sequence[1]
    x = F.conv2d(x, conv.weight, conv.bias, padding=conv.kernel_size[0] // 2)
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps)


def resized(x, size, mode="bilinear"):
    align = {} if mode == "nearest" else {"align_corners": False}
    return F.interpolate(x, size=size, mode=mode, **align)


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_fpn_computes_both_figures_written_out(size):
    torch.manual_seed(0)
    model = models.build("fpn", num_classes=5, backbone="resnet18", pyramid_channels=16)
    randomize_batch_norm(model).double()
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        features = list(model.backbone(image).values())[1:]  # without the stem
        inner = [convolved(x, f) for x, f in zip(features, model.pyramid.inner_blocks, strict=True)]
        sizes = [x.shape[-2:] for x in inner]
        assert sizes[0] == tuple(-(-side // 4) for side in size)
        for k in (2, 1, 0):
            inner[k] = inner[k] + resized(inner[k + 1], sizes[k], "nearest")
        pyramid = zip(inner, model.pyramid.layer_blocks, strict=True)
        p2, p3, p4, p5 = (convolved(x, layer) for x, layer in pyramid)
        b2, b3, b4, b5 = model.branches
        assert [len(branch) for branch in model.branches] == [1, 1, 2, 3]
        s2 = convolved(p2, b2[0]).relu()
        s3 = resized(convolved(p3, b3[0]).relu(), sizes[0])
        s4 = resized(convolved(p4, b4[0]).relu(), sizes[1])
        s4 = resized(convolved(s4, b4[1]).relu(), sizes[0])
        s5 = resized(convolved(p5, b5[0]).relu(), sizes[2])
        s5 = resized(convolved(s5, b5[1]).relu(), sizes[1])
        s5 = resized(convolved(s5, b5[2]).relu(), sizes[0])
        scores = F.conv2d(s2 + s3 + s4 + s5, model.classifier.weight, model.classifier.bias)
        torch.testing.assert_close(model(image)["out"], resized(scores, size))


def test_pyramid_starts_and_computes_as_torchvisions_bit_for_bit():
    in_channels = [8, 16, 24]
    torch.manual_seed(0)
    theirs = FeaturePyramidNetwork(in_channels, 12, norm_layer=nn.BatchNorm2d)
    their_branch = Conv2dNormActivation(12, 6)
    torch.manual_seed(0)
    ours = Pyramid(in_channels, 12)
    our_branch = normalized(12, 6, kernel=3).append(nn.ReLU())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    features = [torch.randn(2, c, *size) for c, size in zip(in_channels, SIZES, strict=True)]
    expected = list(theirs(dict(enumerate(features))).values())
    levels = ours(features)
    for level, other in zip(levels, expected, strict=True):
        assert torch.equal(level, other)
        assert torch.equal(our_branch(level), their_branch(other))


SIZES = [(17, 25), (9, 13), (5, 7)]


def test_detail_is_a_skip_connection_to_stride_2():
    torch.manual_seed(0)
    model = models.build(
        "fpn", num_classes=5, backbone="resnet18", pyramid_channels=16, detail_channels=6
    )
    randomize_batch_norm(model).double()
    totals = []  # what the branches add up, which the test above writes out
    model.detail.register_forward_pre_hook(lambda _, inputs: totals.append(inputs[0]))
    image = torch.randn(2, 3, 65, 97, dtype=torch.float64)
    with torch.no_grad():
        logits = model(image)["out"]
        assert totals[0].shape[-2:] == (17, 25)
        stem = model.backbone(image)["stem"]
        assert stem.shape[-2:] == (33, 49)
        total = convolved(totals[0], model.detail.total).relu()
        side_by_side = [resized(total, (33, 49)), convolved(stem, model.detail.stem).relu()]
        mixed = convolved(torch.cat(side_by_side, 1), model.detail.mix).relu()
        scores = F.conv2d(mixed, model.classifier.weight, model.classifier.bias)
        torch.testing.assert_close(logits, resized(scores, (65, 97)))


def test_fpn_parameter_count_follows_the_papers():
    # 1612.03144, section 3: 1 x 1 and 3 x 3 for each level to 256. 1901.02446, figure 3: seven
    # 3 x 3, the first of each level from 256 to 128; scores. BatchNorm has two for each channel.
    pyramid = 256 * (256 + 512 + 1024 + 2048) + 4 * 9 * 256 * 256 + 8 * 2 * 256
    branches = 9 * 128 * (4 * 256 + 3 * 128) + 7 * 2 * 128
    expected = resnet_parameters((3, 4, 6, 3)) + pyramid + branches + 128 * 21 + 21
    with torch.device("meta"):
        model = models.build("fpn", num_classes=21)
    assert sum(p.numel() for p in model.parameters()) == expected == 28_480_981


TIMM = pytest.param(
    "timm/tf_efficientnet_lite0",
    marks=pytest.mark.skipif(find_spec("timm") is None, reason="needs the timm package"),
)


@pytest.mark.parametrize("backbone", ["resnet50", "vgg16_bn", "mobilenet_v3_large", TIMM])
def test_every_parameter_learns_and_nothing_is_dilated(backbone):
    torch.manual_seed(0)
    model = models.build(
        "fpn", num_classes=3, backbone=backbone, pyramid_channels=8, branch_channels=4
    )
    model(torch.randn(2, 3, 65, 97))["out"].square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert {conv.dilation for conv in convs} == {(1, 1)}
