"""DeepLab v1 with a large field of view, DeepLab-LargeFOV in the paper.

Paper: Chen, Papandreou, Kokkinos, Murphy, Yuille, "Semantic Image Segmentation with Deep
Convolutional Nets and Fully Connected CRFs", arXiv 1412.7062: section 3.1 (VGG16 at output stride
8: the last two poolings have stride 1, conv5 has rate 2), section 3.2 and table 2 (fc6 as 3 x 3
convolution with rate 12 and 1024 channels, 20.5 million parameters).

Differs from the paper: fc6 and fc7 start at random (He), where the paper takes a part of VGG16's
weights; they cover 5.8 of the 20.5 million parameters, and an ImageNet file the rest, the scores
aside. The first three poolings are VGG16's 2 x 2, where the published network has 3 x 3, and no
average pooling follows the fifth. The loss sees logits upsampled by 8 to the image's size, where
the paper shrinks the target. No CRF, no multi-scale features; any backbone.
"""

from typing import Literal

from pydantic import PositiveInt
from torch import nn

from segmodels.models import backbones
from segmodels.models.layers import Segmentation, large_fov


def deeplabv1(
    *,
    num_classes: int,
    backbone: str = "vgg16",
    output_stride: Literal[8, 16, 32] = 8,
    atrous_rate: PositiveInt = 12,
) -> nn.Module:
    """DeepLab-LargeFOV with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes.
        output_stride: of the backbone.
        atrous_rate: of fc6.
    """
    features, channels = backbones.build(
        backbone, output_stride=output_stride, fully_connected=False
    )
    return Segmentation(features, large_fov(channels["out"], num_classes, atrous_rate))
