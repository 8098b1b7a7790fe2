"""DeepLab v3 on a dilated ResNet, as torchvision has it.

Paper: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image
Segmentation", arXiv 1706.05587: atrous spatial pyramid pooling with BatchNorm and image pooling,
section 3.3 and figure 5.

Differs from the paper: a 3 x 3 convolution between the pyramid and the logits; dropout in the
pyramid; no multi-grid in the last block; an auxiliary head on layer3. BatchNorm behind the image
pooling sees one element of each picture, so training needs at least two pictures in a batch.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveInt
from torch import nn
from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights, DeepLabV3_ResNet101_Weights
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCNHead

from segmodels.models import backbones

COCO = {
    "resnet50": DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "resnet101": DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
}


def deeplabv3(
    *,
    num_classes: int,
    backbone: str = "resnet50",
    output_stride: Literal[8, 16, 32] = 8,
    atrous_rates: Sequence[PositiveInt] = (12, 24, 36),
    aux: bool = True,
) -> nn.Module:
    """torchvision's deeplabv3_resnet50 and its siblings, with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a key of backbones.IMAGENET.
        output_stride: of the backbone; resnet18, resnet34 and vgg16 have 32 only.
        atrous_rates: of the pyramid's 3 x 3 convolutions; the paper halves them at stride 16.
        aux: whether to have the auxiliary head.
    """
    features, channels = backbones.build(backbone, output_stride=output_stride)
    aux_classifier = FCNHead(channels["aux"], num_classes) if aux else None
    head = DeepLabHead(channels["out"], num_classes, atrous_rates)
    return DeepLabV3(features, head, aux_classifier)
