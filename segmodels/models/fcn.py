"""FCN on a dilated ResNet, as torchvision has it.

Paper: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation",
arXiv 1411.4038, section 3. Auxiliary head: Zhao et al., arXiv 1612.01105, section 3.3. Dilation
instead of stride: Yu, Koltun, Funkhouser, arXiv 1705.09914, section 2.

Differs from the paper: a ResNet instead of VGG16; output stride 8 by dilation instead of skips
(those are in fcn_skip.py); a head of 3 x 3 convolution, BatchNorm, ReLU, dropout and 1 x 1
convolution; a second such head on layer3, of use to training only.
"""

from typing import Literal

from torch import nn
from torchvision.models.segmentation import FCN_ResNet50_Weights, FCN_ResNet101_Weights
from torchvision.models.segmentation.fcn import FCN, FCNHead

from segmodels.models import backbones

COCO = {
    "resnet50": FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "resnet101": FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
}


def fcn(
    *,
    num_classes: int,
    backbone: str = "resnet50",
    output_stride: Literal[8, 16, 32] = 8,
    aux: bool = True,
) -> nn.Module:
    """torchvision's fcn_resnet50 and its siblings, with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes; of vgg16 the convolutions only.
        output_stride: of the backbone.
        aux: whether to have the auxiliary head.
    """
    features, channels = backbones.build(
        backbone, output_stride=output_stride, fully_connected=False
    )
    aux_classifier = FCNHead(channels["aux"], num_classes) if aux else None
    return FCN(features, FCNHead(channels["out"], num_classes), aux_classifier)
