"""SegNet against VGG16's table, nn.MaxUnpool2d, and its own picture turned round."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from segmodels import models
from segmodels.models import pretrained

UPSAMPLING = ["unpool", "bilinear", "transposed"]
DEPTHS = (2, 2, 3, 3, 3)  # convolutions before each pooling: arXiv 1409.1556, table 1, column D


def built(upsampling):
    torch.manual_seed(0)
    return models.build("segnet", num_classes=5, width=4, upsampling=upsampling)


def shake(model):
    """Give BatchNorm and biases values that a new model does not have."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.3)
    return model


def written_out(model, image, resize):
    """Figure 2 from the released network's order of layers: convolution, BatchNorm, ReLU."""
    tensors = iter([t for n, t in model.state_dict().items() if "num_batches" not in n])

    def convolve(x, times):
        for _ in range(times):
            x = F.conv2d(x, next(tensors), next(tensors), padding=1)
            scale, shift, mean, var = (next(tensors)[:, None, None] for _ in range(4))
            x = ((x - mean) / torch.sqrt(var + 1e-5) * scale + shift).relu()
        return x

    x, pooled = image, []
    for depth in DEPTHS:
        before = convolve(x, depth)
        x, indices = F.max_pool2d(before, 2, return_indices=True)
        pooled.append((before, indices))
    for depth, (before, indices) in zip(reversed(DEPTHS), reversed(pooled), strict=True):
        x = resize(x, indices, before.shape)
        x = convolve(x, depth if before is not pooled[0][0] else 1)
    return F.conv2d(x, next(tensors), next(tensors), padding=1)


def unpooled(x, indices, size):
    return nn.MaxUnpool2d(2)(x, indices, output_size=size)


def bilinear(x, _, size):
    return F.interpolate(x, size=size[-2:], mode="bilinear", align_corners=False)


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (63, 90)])
@pytest.mark.parametrize(("upsampling", "resize"), [("unpool", unpooled), ("bilinear", bilinear)])
def test_segnet_computes_figure_2_written_out_with_maxunpool(upsampling, resize, size):
    model = shake(built(upsampling)).double().eval()
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = written_out(model, image, resize)
        torch.testing.assert_close(model(image)["out"], expected)


def test_segnet_with_transposed_convolutions_starts_as_the_bilinear_one():
    learned, fixed = built("transposed").eval(), built("bilinear").eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(learned(image), fixed(image), rtol=1e-4, atol=1e-5)
    assert all(p.requires_grad for p in learned.up.parameters())


def test_one_seed_gives_the_three_ways_of_upsampling_the_same_weights():
    states = [built(upsampling).state_dict() for upsampling in UPSAMPLING]
    assert list(states[0]) == list(states[1])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
        assert torch.equal(tensor, states[2][name]), name
    assert {name.split(".")[0] for name in states[2].keys() - states[0].keys()} == {"up"}


@pytest.mark.parametrize("upsampling", UPSAMPLING)
def test_picture_turned_by_180_degrees_gives_turned_logits(upsampling):
    # Unpooling or upsampling that is off by a pixel would show. Kernels are made symmetric, and
    # ReLU is left out: the maximum of four zeros is the first, which turning would make the last.
    model = built(upsampling).double().eval()
    for layers in (model, model.backbone.features, *model.decoder):
        for name, layer in layers.named_children():
            if isinstance(layer, nn.Conv2d):
                layer.weight.data = (layer.weight.data + layer.weight.data.flip(-2, -1)) / 2
            if isinstance(layer, nn.ReLU):
                setattr(layers, name, nn.Identity())
    image = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        turned = model(image.flip(-2, -1))["out"].flip(-2, -1)
        torch.testing.assert_close(model(image)["out"], turned)


@pytest.mark.parametrize("upsampling", UPSAMPLING)
def test_any_size_keeps_its_size_and_every_parameter_is_used(upsampling):
    model = built(upsampling).train()
    logits = model(torch.randn(2, 3, 33, 47))["out"]
    assert logits.shape == (2, 5, 33, 47)
    logits.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_convolutions_start_with_hes_variance():
    model = built("unpool")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            expected = (2 / layer.weight[0].numel()) ** 0.5
            spread = 4 / layer.weight.numel() ** 0.5  # of an estimate from so many numbers
            assert layer.weight.std().item() == pytest.approx(expected, rel=spread)
            assert not layer.bias.any()


def test_parameter_count_follows_vgg16s_table():
    # Column D: 13 convolutions of 3 x 3 with bias, 14,714,688 parameters in the published table
    # of torchvision (138,357,544 less 123,642,856 of the classifier). The decoder has them the
    # other way round, the last giving 21 classes. BatchNorm: 2 for a channel, but for the scores.
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    encoder = sum(9 * i * o + o for i, o in zip(channels, channels[1:], strict=False))
    assert encoder == 138_357_544 - 123_642_856
    mirrored = [512, 512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 21]
    decoder = sum(9 * i * o + o for i, o in zip(mirrored, mirrored[1:], strict=False))
    expected = encoder + 2 * sum(channels[1:]) + decoder + 2 * sum(mirrored[1:-1])
    with torch.device("meta"):
        model = models.build("segnet", num_classes=21)
    assert sum(p.numel() for p in model.parameters()) == expected == 29_455_125
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.modules()) == 26


def test_imagenet_file_of_vgg16_bn_covers_the_encoder_and_fits_no_narrow_one():
    with torch.device("meta"):
        model = models.build("segnet", num_classes=21)
        narrow = models.build("segnet", num_classes=21, width=32)
        classifier = torchvision.models.vgg16_bn(weights=None)
    given = {n: t.shape for n, t in classifier.state_dict().items() if n.startswith("features.")}
    assert {name: t.shape for name, t in model.backbone.state_dict().items()} == given
    for name, tensor in narrow.backbone.state_dict().items():
        assert tensor.shape != given[name] or not tensor.shape, name
    source = pretrained.source(arch="segnet", arguments={}, init="imagenet")
    assert source == torchvision.models.VGG16_BN_Weights.IMAGENET1K_V1.url
