"""DeepLab v3's other design: copies of the last ResNet block in cascade, without a pyramid.

Paper: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image
Segmentation", arXiv 1706.05587: section 3.2 and figure 3 (b), block5 to block7 repeat block4 (of
torchvision's names layer4) at twice the rate each; section 3.2.1, multi-grid. ResNet-101, block7
and multi-grid (1, 2, 1) at output stride 16 were best there, table 3.

Differs from the paper: scores by one 1 x 1 convolution are our reading of it; one output stride for
training and prediction; block5 to block7 start at random, as the identity like every residual
block here, so that a cascade starts as what ends with block4.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import nn

from segmodels.models import backbones
from segmodels.models.layers import Segmentation, he_initialize
from segmodels.models.resnet import Bottleneck


def copy_of_block4() -> nn.Sequential:
    """Three residual units, which keep 2048 channels and so need no projection."""
    units = [Bottleneck(2048, 512) for _ in range(3)]
    block = nn.Sequential(*units)
    he_initialize(block)
    for unit in units:
        nn.init.zeros_(unit.bn3.weight)
    return block


def deeplabv3_cascade(
    *,
    num_classes: int,
    backbone: Literal["resnet50", "resnet101", "resnet152"] = "resnet101",
    output_stride: Literal[8, 16, 32] = 16,
    last_block: Literal[4, 5, 6, 7] = 7,
    multi_grid: Annotated[Sequence[PositiveInt], Field(min_length=3, max_length=3)] = (1, 2, 1),
) -> nn.Module:
    """DeepLab v3 with cascaded blocks and random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a ResNet whose last stage has three 3 x 3 convolutions.
        output_stride: of the backbone, and of all that follows it.
        last_block: 4 for none but the backbone's own.
        multi_grid: unit rates of the three 3 x 3 convolutions of block4 to block7.
    """
    features, channels = backbones.build(backbone, output_stride=output_stride)
    copies = [copy_of_block4() for _ in range(4, last_block)]
    for number, block in enumerate([features.get_submodule("layer4"), *copies]):
        backbones.use_multi_grid(block, 2**number * 32 // output_stride, multi_grid)
    classifier = nn.Sequential(*copies, nn.Conv2d(channels["out"], num_classes, 1))
    return Segmentation(features, classifier)
