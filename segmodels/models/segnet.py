"""SegNet: VGG16's convolutions, and their mirror image that unpools where the maxima were.

Paper: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture
for Image Segmentation", arXiv 1511.00561: network in section 3 and figures 2 and 3, other ways of
upsampling on one network in section 3.1 and table 1. Layer by layer it is the authors' released
network: 13 convolutions each way with bias, BatchNorm and ReLU, the very last without, since it
gives the scores. Trained there on CamVid and SUN RGB-D: SGD with momentum 0.9, rate 0.1, batches of
12, cross-entropy with median frequency balancing; the released recipe starts from VGG16's weights.

Differs from the paper: ImageNet weights are those of torchvision's VGG16 with BatchNorm, which fit
the whole encoder, not its convolutions alone; no local contrast normalisation; an odd last row or
column, which pooling leaves out, comes back as zeros. Recipe and loss are those of all models here.
"""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from segmodels.models.backbones import vgg16_layers
from segmodels.models.layers import (
    LearnedUpsampling,
    he_initialize,
    max_pool_with_indices,
    unpool,
    upsample,
)

Pooling = tuple[Tensor, Tensor]  # what was pooled, and the indices of its maxima


class Encoder(nn.Module):
    """VGG16's convolutions with BatchNorm, under the names that torchvision's have."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = vgg16_layers(width, batch_norm=True)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Pooling]]:
        pooled: list[Pooling] = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                before = x
                x, indices = max_pool_with_indices(before)
                pooled.append((before, indices))
            else:
                x = layer(x)
        return x, pooled


def decoder_stage(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    """3 x 3 convolutions with BatchNorm and ReLU, the last of which changes the channels."""
    layers: list[nn.Module] = []
    for channels in [in_channels] * (depth - 1) + [out_channels]:
        layers.append(nn.Conv2d(in_channels, channels, 3, padding=1))
        layers.append(nn.BatchNorm2d(channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class SegNet(nn.Module):
    """Figure 2; every stage of the decoder begins at the size that its pooling began with."""

    def __init__(self, num_classes: int, width: int, upsampling: str) -> None:
        super().__init__()
        self.backbone = Encoder(width)
        widths = [8 * width, 8 * width, 4 * width, 2 * width, width]  # before each stage
        depths = (3, 3, 3, 2, 1)
        self.decoder = nn.ModuleList()
        for before, after, depth in zip(widths, [*widths[1:], width], depths, strict=True):
            self.decoder.append(decoder_stage(before, after, depth))
        self.classifier = nn.Conv2d(width, num_classes, 3, padding=1)
        he_initialize(self)
        self.upsampling = upsampling
        self.up = nn.ModuleList()
        if upsampling == "transposed":
            self.up.extend(LearnedUpsampling(channels) for channels in widths)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x, pooled = self.backbone(image)  # (N, 512, H/32, W/32)
        for level, stage in enumerate(self.decoder):
            before, indices = pooled[-1 - level]
            if self.upsampling == "unpool":
                x = unpool(x, indices, like=before)
            elif self.upsampling == "bilinear":
                x = upsample(x, like=before)
            else:
                x = self.up[level](x, like=before)
            x = stage(x)  # (N, 512, H/16, W/16), ..., (N, 64, H, W)
        return {"out": self.classifier(x)}


def segnet(
    *,
    num_classes: int,
    backbone: Literal["vgg16_bn"] = "vgg16_bn",
    width: PositiveInt = 64,
    upsampling: Literal["unpool", "bilinear", "transposed"] = "unpool",
) -> nn.Module:
    """SegNet with random weights; one seed gives the three ways of upsampling the same ones.

    Args:
        num_classes: channels of the logits, background included.
        backbone: whose ImageNet weights fit; no other is possible.
        width: channels of the first level; ImageNet weights fit 64 only.
        upsampling: unpooling as published, bilinear, or a transposed convolution with a bilinear
            start; the last two ignore where the maxima were.
    """
    return SegNet(num_classes, width, upsampling)
