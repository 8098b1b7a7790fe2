"""ImageNet classifiers without their last layer, from torchvision's own parts.

A backbone maps an image (N, 3, H, W) to features by name: "low" has stride 4, "mid" 8, "aux" 16
and "out" 32; with dilation no stride exceeds the output stride. Its state-dict keys are
torchvision's, so that ImageNet files and the "backbone." part of COCO files fit.
"""

from torch import Tensor, nn
from torchvision import models
from torchvision.models import resnet, vgg
from torchvision.models._utils import IntermediateLayerGetter

from segmodels.models.layers import he_initialize

# V1, from which torchvision's segmentation models were trained too; V2 of the ResNets had another,
# longer recipe, and ResNet-18, ResNet-34 and VGG16 have no V2 that could stand beside it.
IMAGENET = {
    "resnet18": models.ResNet18_Weights.IMAGENET1K_V1,
    "resnet34": models.ResNet34_Weights.IMAGENET1K_V1,
    "resnet50": models.ResNet50_Weights.IMAGENET1K_V1,
    "resnet101": models.ResNet101_Weights.IMAGENET1K_V1,
    "resnet152": models.ResNet152_Weights.IMAGENET1K_V1,
    "vgg16": models.VGG16_Weights.IMAGENET1K_V1,
}
DILATED = ("resnet50", "resnet101", "resnet152")  # torchvision's BasicBlock has no dilation


def build(name: str, *, output_stride: int) -> tuple[nn.Module, dict[str, int]]:
    """Build a backbone with random weights.

    Args:
        name: a key of IMAGENET.
        output_stride: 8, 16 or 32, of "out".
    Returns:
        the backbone, and how many channels each of its features has.
    Raises:
        ValueError: there is no such backbone, or it cannot have that output stride.
    """
    if name not in IMAGENET:
        raise ValueError(f"backbone = {name!r}: expected one of {', '.join(IMAGENET)}")
    if output_stride != 32 and name not in DILATED:
        raise ValueError(
            f"backbone = {name!r}: cannot have output stride {output_stride}, since its layers "
            f"have no dilation; set output_stride: 32, or take one of {', '.join(DILATED)}"
        )
    if name == "vgg16":
        return VGG16(), {"low": 128, "mid": 256, "aux": 512, "out": 4096}
    dilate = [False, output_stride == 8, output_stride <= 16]
    # Every residual block starts as the identity (Goyal et al., arXiv 1706.02677, section 5.1).
    # Otherwise the random blocks' variances add up: on the miniature FCN-ResNet-50 then starts at a
    # validation loss of 9.1 instead of 3.1 (ln 21 = 3.04), and learns several times slower.
    net = getattr(resnet, name)(
        weights=None, zero_init_residual=True, replace_stride_with_dilation=dilate
    )
    width = 64 * net.layer1[0].expansion
    features = {"layer1": "low", "layer2": "mid", "layer3": "aux", "layer4": "out"}
    channels = {"low": width, "mid": 2 * width, "aux": 4 * width, "out": 8 * width}
    return IntermediateLayerGetter(net, features), channels


class VGG16(nn.Module):
    """VGG16 with its fully-connected layers fc6 and fc7 as convolutions of 7 x 7 and 1 x 1.

    fc6 is padded by 3, so that "out" has stride 32 and the size of the last pooling; for a picture
    of 224 x 224 its central element, [3, 3], is what the classifier computes.

    Reference:
        Simonyan and Zisserman, arXiv 1409.1556, table 1, column D; Long et al., arXiv 1411.4038,
        section 3.1.
    """

    def __init__(self) -> None:
        super().__init__()
        pools = {"9": "low", "16": "mid", "23": "aux", "30": "out"}
        self.features = IntermediateLayerGetter(vgg.make_layers(vgg.cfgs["D"]), pools)
        self.classifier = nn.Sequential(
            nn.Conv2d(512, 4096, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(4096, 4096, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        he_initialize(self)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.features(image)
        features["out"] = self.classifier(features["out"])  # (N, 4096, H/32, W/32)
        return features
