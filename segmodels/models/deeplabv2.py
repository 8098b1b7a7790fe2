"""DeepLab v2: scores of four atrous rates, summed.

Paper: Chen, Papandreou, Kokkinos, Murphy, Yuille, "DeepLab: Semantic Image Segmentation with Deep
Convolutional Nets, Atrous Convolution, and Fully Connected CRFs", arXiv 1606.00915: section 3.2
and figure 4 (atrous spatial pyramid pooling), section 4.1 (rates 6, 12, 18, 24: ASPP-L). On VGG16 a
rate is a branch of fc6, fc7 and scores, figure 7 (b); on a ResNet it is one 3 x 3 convolution that
gives scores, as in the published network.

Differs from the paper: one scale, where the paper's ResNet-101 sees the image at 0.5, 0.75 and 1,
takes the largest score and has a loss for each scale; no CRF; the loss sees logits upsampled to the
image's size, where the paper shrinks the target; fc6 and fc7 start at random (He), where the
paper takes a part of VGG16's weights; torchvision's ResNets stride in the 3 x 3 convolutions, so
the first block of a dilated stage has the rate of the stage before.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from segmodels.models import backbones
from segmodels.models.layers import Segmentation, he_initialize, large_fov


class ASPP(nn.ModuleList):
    """Figure 4: the sum of parallel branches."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([branch(x) for branch in self]).sum(0)  # (N, C, H/8, W/8)


def atrous_score(in_channels: int, num_classes: int, rate: int) -> nn.Conv2d:
    """A rate on a ResNet: the scores themselves, which start as published."""
    score = nn.Conv2d(in_channels, num_classes, 3, padding=rate, dilation=rate)
    he_initialize(score)
    nn.init.normal_(score.weight, std=0.01)
    return score


def deeplabv2(
    *,
    num_classes: int,
    backbone: str = "resnet101",
    output_stride: Literal[8, 16, 32] = 8,
    atrous_rates: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (6, 12, 18, 24),
) -> nn.Module:
    """DeepLab v2 with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes.
        output_stride: of the backbone.
        atrous_rates: one for each branch.
    """
    features, channels = backbones.build(
        backbone, output_stride=output_stride, fully_connected=False
    )
    branch = large_fov if backbone.startswith("vgg") else atrous_score
    pyramid = ASPP(branch(channels["out"], num_classes, rate) for rate in atrous_rates)
    return Segmentation(features, pyramid)
