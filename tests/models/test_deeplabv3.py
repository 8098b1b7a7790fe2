"""DeepLab v3, its cascade and v3+ against torchvision, the figures and dense convolutions."""

import copy

import pytest
import torch
import torch.nn.functional as F
from test_deeplab import RESNET18, Part, built, width_seen
from torch import nn

from segmodels.models import deeplabv2


def randomize_batch_norm(model):
    """As if trained: random weights and statistics, so that no residual branch is zero."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.1)
    return model.eval()


@pytest.mark.parametrize(
    ("multi_grid", "rates"), [([1, 2, 4], (2, 4, 8)), ([1, 1, 1], (2, 2, 2)), (None, (1, 2, 2))]
)
def test_multi_grid_widens_the_last_stage_by_its_rates(multi_grid, rates):
    # Section 3.2.1: at output stride 16 multi-grid (1, 2, 4) means rates 2, 4 and 8; None is
    # torchvision's. ResNet-50 sees 267 pixels before that: 11 behind the stem, 3 x 2 x 4 more by
    # layer1, 2 x 4 + 3 x 2 x 8 by layer2, and 2 x 8 + 5 x 2 x 16 by layer3.
    model = built("deeplabv3", output_stride=16, multi_grid=multi_grid, aux=False)
    assert width_seen(Part(model), 800) == (267 + 2 * 16 * sum(rates), 16)


def test_large_rate_degenerates_to_a_1x1_convolution():
    # v3, section 3.3 and figure 4: taps of a 3 x 3 filter inside of a 65 x 65 feature map.
    size, shares = 65, {}
    for rate in (6, 24, 64, 65):
        conv = deeplabv2.atrous_score(1, 1, rate)
        nn.init.ones_(conv.weight)
        nn.init.zeros_(conv.bias)
        taps = conv(torch.ones(1, 1, size, size))[0, 0]
        steps = (-rate, 0, rate)
        inside = [sum(0 <= place + step < size for step in steps) for place in range(size)]
        assert taps.tolist() == [[row * column for column in inside] for row in inside]
        shares[rate] = (taps == 9).float().mean().item()
    assert shares[6] == pytest.approx((65 - 2 * 6) ** 2 / 65**2)  # most of the map
    assert shares[64] == shares[65] == 0
    assert (taps == 1).all()
    pyramid = built("deeplabv3", **RESNET18, output_stride=16, atrous_rates=[9, 9, 9]).classifier[0]
    conv = pyramid.convs[1][0]
    x = torch.randn(1, 512, 9, 8)
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight[:, :, 1:2, 1:2]))


@pytest.mark.parametrize("arch", ["deeplabv3", "deeplabv3plus"])
@pytest.mark.parametrize(
    ("output_stride", "rates"), [(8, [12, 24, 36]), (16, [6, 12, 18]), (32, [3, 6, 9])]
)
def test_rates_follow_the_output_stride(arch, output_stride, rates):
    with torch.device("meta"):
        model = built(arch, backbone="resnet50", output_stride=output_stride)
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    in_pyramid = [conv for conv in convs if conv.in_channels == 2048 and conv.kernel_size == (3, 3)]
    assert [conv.dilation[0] for conv in in_pyramid] == rates


def conv_bn_relu(x, sequence, **options):
    conv, bn = sequence[0], sequence[1]
    x = F.conv2d(x, conv.weight, None, **options)
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=1e-5).relu()


def resized(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def test_v3plus_computes_figure_2_written_out():
    model = randomize_batch_norm(built("deeplabv3plus", **RESNET18, aux=True)).double()
    image = torch.randn(2, 3, 65, 97, dtype=torch.float64)
    convs = model.aspp.convs
    with torch.no_grad():
        features = model.backbone(image)
        x, low = features["out"], features["low"]
        assert (x.shape[-2:], low.shape[-2:]) == ((5, 7), (17, 25))
        branches = [conv_bn_relu(x, convs[0])]
        for branch, rate in zip(convs[1:4], (6, 12, 18), strict=True):
            branches.append(conv_bn_relu(x, branch, padding=rate, dilation=rate))
        pooled = conv_bn_relu(x.mean((2, 3), keepdim=True), list(convs[4])[1:])
        branches.append(pooled.expand_as(branches[0]))
        high = conv_bn_relu(torch.cat(branches, 1), model.aspp.project)
        low = conv_bn_relu(low, model.low_level)
        assert (high.shape[1], low.shape[1]) == (256, 48)
        x = torch.cat([resized(high, (17, 25)), low], 1)
        x = conv_bn_relu(x, model.classifier[0], padding=1)
        x = conv_bn_relu(x, model.classifier[1], padding=1)
        x = F.conv2d(x, model.classifier[2].weight, model.classifier[2].bias)
        aux = model.aux_classifier(features["aux"])
        logits = model(image)
        torch.testing.assert_close(logits["out"], resized(x, (65, 97)))
        torch.testing.assert_close(logits["aux"], resized(aux, (65, 97)))


def test_image_pooling_is_a_mean_whose_gradient_is_the_same_every_time_on_cuda():
    # AdaptiveAvgPool2d has no deterministic gradient there, but to 1 x 1 torch takes the mean.
    pyramid = built("deeplabv3plus", **RESNET18).aspp
    x = torch.randn(2, 512, 3, 4, requires_grad=True)
    pooled = pyramid.convs[-1][0](x)
    assert type(pooled.grad_fn).__name__.startswith("Mean")
    torch.testing.assert_close(pooled, x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize(("output_stride", "last_block"), [(16, 7), (8, 5)])
def test_cascade_is_figure_3a_without_its_strides(output_stride, last_block):
    # Figure 3: (a) halves the map before each of block4 to block7, stride 32 to 256; (b) keeps
    # stride 16 at rates 2, 4, 8 and 16, times multi-grid. So (b) holds all that (a) computes.
    arguments = {"output_stride": output_stride, "last_block": last_block, "multi_grid": [1, 2, 1]}
    model = built("deeplabv3_cascade", backbone="resnet50", **arguments)
    randomize_batch_norm(model).double()
    blocks = [model.backbone["layer4"], *model.classifier[:-1]]
    assert len(blocks) == last_block - 3
    strided = ours = torch.randn(1, 1024, 17, 19, dtype=torch.float64).relu()
    step = 32 // output_stride
    with torch.no_grad():
        for block in blocks:
            ours = block(ours)
            dense = copy.deepcopy(block)
            for unit, rate in zip(dense, (1, 2, 1), strict=True):
                unit.conv2.dilation = unit.conv2.padding = (rate, rate)
            strided = dense(strided[..., ::step, ::step])
            step = 2
    step = 2 ** (last_block + 1) // output_stride
    torch.testing.assert_close(ours[..., ::step, ::step], strided)


def test_cascade_starts_as_what_ends_with_block4():
    model = built("deeplabv3_cascade", backbone="resnet50", last_block=6).train()
    x = torch.randn(2, 2048, 5, 4).relu()
    assert torch.equal(model.classifier[:-1](x), x)
