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

from segmodels.models import backbones
from segmodels.models.backbones import SERVER
from segmodels.models.heads import fcn_head
from segmodels.models.layers import Segmentation

COCO = {  # torchvision's COCO_WITH_VOC_LABELS_V1
    "resnet50": f"{SERVER}/fcn_resnet50_coco-1167a1af.pth",
    "resnet101": f"{SERVER}/fcn_resnet101_coco-7ecb50ca.pth",
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
    aux_classifier = fcn_head(channels["aux"], num_classes) if aux else None
    return Segmentation(features, fcn_head(channels["out"], num_classes), aux_classifier)
