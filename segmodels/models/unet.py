"""U-Net, padded, so that its logits have the image's size.

Paper: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", arXiv 1505.04597, section 2 and figure 1.

Differs from the paper: convolutions are mirror-padded, where the paper mirrors the image's border
once and loses two pixels with each convolution; so nothing is cropped at the skips. BatchNorm
behind every 3 x 3 convolution, which then has no bias; no dropout. An image whose sides are no
multiples of 16 is mirrored at the right and the bottom up to the next one. The network as
published, and what it was trained with, is in unet_valid.py.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from segmodels.models.layers import he_initialize, mirror_pad

LEVELS = 4  # of pooling


class ConvBNReLU(nn.Module):
    """Mirror-padded 3 x 3 convolution, BatchNorm, ReLU: a blue arrow of figure 1."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(mirror_pad(x))), inplace=True)


def double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvBNReLU(in_channels, out_channels), ConvBNReLU(out_channels, out_channels)
    )


class UNet(nn.Module):
    """Figure 1: contracting path, expansive path, and a skip at each of the four levels."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS + 1)]
        downwards = list(pairwise([3, *widths]))  # channels before and after each level
        upwards = list(pairwise(reversed(widths)))
        self.encoder = nn.ModuleList(double_conv(i, o) for i, o in downwards)
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in upwards)
        self.decoder = nn.ModuleList(double_conv(i, o) for i, o in upwards)
        self.classifier = nn.Conv2d(width, num_classes, 1)
        he_initialize(self)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        step = 2**LEVELS
        x = F.pad(image, (0, -width % step, 0, -height % step), mode="reflect")
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)  # (N, 64, H, W), ..., (N, 1024, H/16, W/16)
        for up, block, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            x = block(torch.cat([skip, up(x)], 1))  # (N, 512, H/8, W/8), ..., (N, 64, H, W)
        return {"out": self.classifier(x)[..., :height, :width]}


def unet(*, num_classes: int, width: PositiveInt = 64) -> nn.Module:
    """U-Net with random weights.

    Args:
        num_classes: channels of the logits, background included.
        width: channels of the first level; each of the next four has twice as many.
    """
    return UNet(num_classes, width)
