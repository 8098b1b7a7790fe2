"""The U-Nets against their figure and code written out; tiles against one pass."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from segmodels import models
from segmodels.inference.testtime import overlap_tile
from segmodels.models.unet_valid import GRID, MARGIN, extend

SKIPS = ("aux", "mid", "low", "stem")


def built(arch, **arguments):
    torch.manual_seed(0)
    return models.build(arch, num_classes=5, **arguments)


def parameter_count(arch, **arguments):
    with torch.device("meta"):
        model = models.build(arch, num_classes=21, **arguments)
    return sum(parameter.numel() for parameter in model.parameters())


def shake(model):
    """Give BatchNorm and biases values that a new model does not have."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
        if getattr(module, "bias", None) is not None:
            nn.init.normal_(module.bias, std=0.3)
    return model


def symmetric(model):
    """Make every kernel the same when turned by 180 degrees."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.data = (module.weight.data + module.weight.data.flip(-2, -1)) / 2
    return model


def norm(x, state, name):
    """BatchNorm in eval mode, from its definition."""
    mean, var, scale, shift = (
        state[f"{name}.{key}"][:, None, None]
        for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift


@pytest.mark.parametrize("size", [(32, 33), (36, 100), (93, 94), (200, 63)])
def test_extend_mirrors_as_numpy_does_up_to_a_size_of_figure_1(size):
    image = torch.randn(2, 3, *size)
    pads = [(0, 0), (0, 0), *((92, 92 + (4 - side) % 16) for side in size)]
    assert np.array_equal(extend(image), np.pad(image, pads, mode="reflect"))


def test_valid_unet_has_the_sizes_and_channels_of_figure_1():
    with torch.device("meta"):
        model = models.build("unet_valid", num_classes=2)
        image = torch.empty(1, 3, 572, 572)
    seen = []
    for block in (*model.encoder, *model.up, *model.decoder):
        block.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:3])))
    assert model.valid(image).shape == (1, 2, 388, 388)
    assert seen[:5] == [(64, 568), (128, 280), (256, 136), (512, 64), (1024, 28)]
    assert seen[5::2] == [(512, 56), (256, 104), (128, 200), (64, 392)]
    assert seen[6::2] == [(512, 52), (256, 100), (128, 196), (64, 388)]


def test_valid_unet_parameter_count_follows_figure_1():
    # Figure 1, per level two 3 x 3 convolutions and 2 x 2 up-convolutions that halve the channels,
    # all with bias. The figure's own network, one channel in and two classes, has 31,030,658; with
    # BatchNorm's two parameters for a channel in place of a bias, ours is as large as `unet`.
    down = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]
    up = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    convolutions = sum(9 * i * o + o + 9 * o * o + o for i, o in down + up)
    expected = convolutions + sum(4 * i * o + o for i, o in up) + 64 * 21 + 21
    assert expected - 9 * 2 * 64 - 65 * 19 == 31_030_658
    assert parameter_count("unet_valid") == expected == 31_033_045
    assert parameter_count("unet_valid", batch_norm=True) == parameter_count("unet")


@pytest.mark.parametrize(("batch_norm", "training"), [(False, False), (False, True), (True, False)])
def test_valid_unet_computes_figure_1_written_out(batch_norm, training):
    model = shake(built("unet_valid", width=4, batch_norm=batch_norm)).double().train(training)
    state = model.state_dict()

    def convolve(x, name):
        for k in (0, 3) if batch_norm else (0, 2):
            x = F.conv2d(x, state[f"{name}.{k}.weight"], state.get(f"{name}.{k}.bias"))
            x = (norm(x, state, f"{name}.{k + 1}") if batch_norm else x).relu()
        return x

    def up(x, level):
        weight, bias = state[f"up.{level}.weight"], state[f"up.{level}.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2)

    image = torch.randn(2, 3, 37, 50, dtype=torch.float64)
    torch.manual_seed(3)
    x = torch.from_numpy(np.pad(image, [(0, 0), (0, 0), (92, 107), (92, 94)], mode="reflect"))
    level1 = convolve(x, "encoder.0")
    level2 = convolve(F.max_pool2d(level1, 2), "encoder.1")
    level3 = convolve(F.max_pool2d(level2, 2), "encoder.2")
    level4 = F.dropout(convolve(F.max_pool2d(level3, 2), "encoder.3"), 0.5, training)
    x = F.dropout(convolve(F.max_pool2d(level4, 2), "encoder.4"), 0.5, training)
    # What figure 1 crops at each side: (64 - 56) / 2, (136 - 104) / 2, ...
    for k, (skip, cut) in enumerate([(level4, 4), (level3, 16), (level2, 40), (level1, 88)]):
        skip = skip[..., cut:-cut, cut:-cut]
        x = convolve(torch.cat([skip, up(x, k)], 1), f"decoder.{k}")
    expected = F.conv2d(x, state["classifier.weight"], state["classifier.bias"])[..., :37, :50]
    torch.manual_seed(3)
    with torch.no_grad():
        torch.testing.assert_close(model(image)["out"], expected)


def test_valid_unet_turned_by_180_degrees_gives_turned_logits():
    # Any pixel off between image, skips and logits would show; 36 and 52 are sizes of figure 1.
    model = symmetric(built("unet_valid", width=4)).double().eval()
    image = torch.randn(1, 3, 36, 52, dtype=torch.float64)
    with torch.no_grad():
        turned = model(image.flip(-2, -1))["out"].flip(-2, -1)
        torch.testing.assert_close(model(image)["out"], turned)


@pytest.mark.parametrize(
    ("arch", "arguments", "part"),
    [
        ("unet_valid", {"width": 16}, "encoder"),
        ("unet_encoder", {"backbone": "resnet18"}, "decoder"),
    ],
)
def test_convolutions_start_with_the_papers_variance(arch, arguments, part):
    for layer in getattr(built(arch, **arguments), part).modules():
        if isinstance(layer, nn.Conv2d):  # section 3: sqrt(2 / N), N = 9 x channels
            expected = (2 / (9 * layer.in_channels)) ** 0.5
            spread = 4 / layer.weight.numel() ** 0.5  # of an estimate from so many numbers
            assert layer.weight.std().item() == pytest.approx(expected, rel=spread)


def random_sizes():
    rng = random.Random(0)
    return [(rng.randint(32, 150), rng.randint(32, 150)) for _ in range(20)]


@pytest.mark.parametrize("size", random_sizes())
def test_tiles_of_the_valid_unet_equal_one_pass(size):
    model = shake(built("unet_valid", width=4)).eval()
    image = torch.randn(1, 3, *size)
    tile = 36 if sum(size) % 2 else 68
    tiled = overlap_tile(model.valid, extend(image), margin=MARGIN, tile=tile, grid=GRID)
    with torch.no_grad():
        whole = model(image)["out"]
    torch.testing.assert_close(tiled[..., : size[0], : size[1]], whole, rtol=0, atol=1e-4)


def test_tiles_off_the_pooling_grid_differ():
    model = built("unet_valid", width=4).eval()
    extended = extend(torch.randn(1, 3, 68, 68))
    tiled = overlap_tile(model.valid, extended, margin=MARGIN, tile=20, grid=4)
    assert (tiled - model.valid(extended)).abs().max() > 0.1


@pytest.mark.parametrize(("size", "tile"), [((9, 30), 7), ((7, 7), 7), ((20, 5), 6), ((31, 8), 1)])
def test_tiles_of_any_valid_network_equal_one_pass_and_none_is_larger(size, tile):
    weight = torch.randn(2, 3, 7, 7)
    seen = []

    def network(x):
        seen.append(tuple(x.shape[-2:]))
        return F.conv2d(x, weight)

    extended = torch.randn(2, 3, size[0] + 6, size[1] + 6)
    tiled = overlap_tile(network, extended, margin=3, tile=tile, grid=1)
    torch.testing.assert_close(tiled, F.conv2d(extended, weight), rtol=1e-4, atol=1e-4)
    assert set(seen) == {(min(tile, size[0]) + 6, min(tile, size[1]) + 6)}
    assert len(seen) == math.ceil(size[0] / tile) * math.ceil(size[1] / tile)


@pytest.mark.parametrize("tile", [30, 4])
def test_tile_that_does_not_fit_the_grid_is_refused(tile):
    extended = torch.zeros(1, 3, 100 + 184, 36 + 184)
    message = f"tile = {tile}: expected 16 or more, and 100 less a multiple of 16"
    with pytest.raises(ValueError, match=message):
        overlap_tile(lambda x: x, extended, margin=MARGIN, tile=tile, grid=GRID)


def features_of_torchvisions(resnet, x):
    features = {"stem": resnet.relu(resnet.bn1(resnet.conv1(x)))}
    features["low"] = resnet.layer1(resnet.maxpool(features["stem"]))
    features["mid"] = resnet.layer2(features["low"])
    features["aux"] = resnet.layer3(features["mid"])
    return {**features, "out": resnet.layer4(features["aux"])}


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
def test_unet_encoder_computes_its_levels_written_out(upsampling):
    model = shake(built("unet_encoder", backbone="resnet18", upsampling=upsampling)).eval().double()
    state = model.state_dict()
    resnet = torchvision.models.resnet18(weights=None).eval().double()
    left = resnet.load_state_dict(model.backbone.state_dict(), strict=False)
    assert left.missing_keys == ["fc.weight", "fc.bias"] and not left.unexpected_keys

    def up(x, name):
        if upsampling == "bilinear":
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        weight, bias = state[f"{name}.up.weight"], state[f"{name}.up.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2)

    image = torch.randn(1, 3, 33, 50, dtype=torch.float64)
    with torch.no_grad():
        features = features_of_torchvisions(resnet, F.pad(image, (0, 14, 0, 31), mode="reflect"))
        x = features["out"]
        for name in (*SKIPS, "image"):
            x = up(x, f"decoder.{name}")
            x = torch.cat([x, features[name]], 1) if name in features else x
            for k in (0, 3):
                x = F.conv2d(x, state[f"decoder.{name}.convs.{k}.weight"], padding=1)
                x = norm(x, state, f"decoder.{name}.convs.{k + 1}").relu()
        x = F.conv2d(x, state["classifier.weight"], state["classifier.bias"], padding=1)
        expected = x[..., :33, :50]
        torch.testing.assert_close(model(image)["out"], expected, rtol=1e-9, atol=1e-9)


def test_unet_encoder_parameter_count_is_that_of_segmentation_models_pytorch():
    # ResNet-50 without its fc (25,557,032 less 2,049,000 in torchvision's table), then per level
    # two 3 x 3 convolutions without bias, each with BatchNorm: (channels in, of the skip, out).
    levels = [(2048, 1024, 256), (256, 512, 128), (128, 256, 64), (64, 64, 32), (32, 0, 16)]
    expected = 25_557_032 - 2_049_000
    expected += sum(9 * (i + s) * o + 9 * o * o + 4 * o for i, s, o in levels)
    expected += 9 * 16 * 21 + 21
    assert parameter_count("unet_encoder") == expected == 32_524_005
    # U-Net's up-convolutions instead, with bias: the level's first convolution then sees less.
    expected += sum(4 * i * o + o - 9 * (i - o) * o for i, _, o in levels)
    assert parameter_count("unet_encoder", upsampling="transposed") == expected


BACKBONES = ["resnet18", "vgg16", "mobilenet_v3_large", "timm/tf_efficientnet_lite0"]


@pytest.mark.parametrize("backbone", BACKBONES)
def test_unet_encoder_uses_every_skip_and_parameter_of_a_backbone(backbone):
    if backbone.startswith("timm/"):
        pytest.importorskip("timm")
    model = built("unet_encoder", backbone=backbone).train()
    logits = model(torch.randn(2, 3, 33, 47))["out"]
    assert logits.shape == (2, 5, 33, 47)
    logits.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    for name, block in model.decoder.items():
        joined = block.convs[0].weight.grad.abs().sum((0, 2, 3))
        assert (joined > 0).float().mean() > 0.9, name


@pytest.mark.parametrize("backbone", ["resnet50", "vgg16", "vgg16_bn", "mobilenet_v3_large"])
def test_imagenet_file_covers_all_of_unet_encoders_backbone(backbone):
    with torch.device("meta"):
        model = models.build("unet_encoder", num_classes=5, backbone=backbone)
        classifier = torchvision.models.get_model(backbone, weights=None)
    given = {name: tensor.shape for name, tensor in classifier.state_dict().items()}
    for name, tensor in model.backbone.state_dict().items():
        assert given[name] == tensor.shape, name
