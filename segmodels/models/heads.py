"""Heads of torchvision's segmentation models, with its names, random start and order of layers.

FCN's head is a design of torchvision; the pyramid and DeepLab's head are those of Chen,
Papandreou, Schroff, Adam, arXiv 1706.05587, section 3.3 and figure 5, with dropout.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segmodels.models.layers import ImagePooling

CHANNELS = 256  # of the pyramid and of DeepLab's head
RATES = (6, 12, 18)  # of the pyramid at output stride 16


def fcn_head(in_channels: int, num_classes: int) -> nn.Sequential:
    """A 3 x 3 convolution to a quarter of the channels, dropout, and scores."""
    channels = in_channels // 4
    return nn.Sequential(
        *conv_bn_relu(in_channels, channels, 3),
        nn.Dropout(0.1),
        nn.Conv2d(channels, num_classes, 1),
    )


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, rate: int = 1) -> nn.Sequential:
    """A convolution that keeps height and width, BatchNorm and ReLU."""
    padding = kernel // 2 * rate
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class ASPP(nn.Module):
    """Figure 5, (a) and (b): branches of several atrous rates and one of the whole image."""

    def __init__(self, in_channels: int, atrous_rates: Sequence[int]) -> None:
        super().__init__()
        branches = [conv_bn_relu(in_channels, CHANNELS, 1)]
        branches += [conv_bn_relu(in_channels, CHANNELS, 3, rate) for rate in atrous_rates]
        pooled = conv_bn_relu(in_channels, CHANNELS, 1)
        branches.append(ImagePooling(nn.AdaptiveAvgPool2d(1), *pooled))
        self.convs = nn.ModuleList(branches)
        concatenated = len(branches) * CHANNELS
        self.project = nn.Sequential(*conv_bn_relu(concatenated, CHANNELS, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        branches = [branch(x) for branch in self.convs]  # (N, 256, H/os, W/os) each
        return self.project(torch.cat(branches, 1))  # (N, 256, H/os, W/os)


def paper_rates(output_stride: int) -> list[int]:
    """RATES at another output stride: they reach as far in the image."""
    return [rate * 16 // output_stride for rate in RATES]


def deeplab_head(in_channels: int, num_classes: int, atrous_rates: Sequence[int]) -> nn.Sequential:
    """The pyramid, a 3 x 3 convolution, and scores."""
    return nn.Sequential(
        ASPP(in_channels, atrous_rates),
        *conv_bn_relu(CHANNELS, CHANNELS, 3),
        nn.Conv2d(CHANNELS, num_classes, 1),
    )
