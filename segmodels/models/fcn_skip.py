"""FCN-32s, FCN-16s and FCN-8s: scores of stride 32, refined by skips from strides 16 and 8.

Paper: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation",
arXiv 1411.4038, sections 4.1 and 4.2, figure 3.

Differs from the paper: any backbone, ResNet-18 by default; with vgg16, fc6 is padded by 3, where
the paper's code pads the image by 100 and crops the scores; all upsampling is bilinear and fixed,
where the paper learns the 2x one from a bilinear start; skips start at zero as in the paper, but
are trained with the rest from the first step, not in stages.
"""

from typing import Literal

from torch import Tensor, nn

from segmodels.models import backbones
from segmodels.models.layers import upsample

SKIPS: dict[int, list[str]] = {32: [], 16: ["aux"], 8: ["aux", "mid"]}  # coarse to fine


class FCNSkip(nn.Module):
    """Figure 3: each score is upsampled to the size of the next finer one and added to it."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module, skips: nn.ModuleDict) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.skips = skips

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        logits = self.classifier(features["out"])  # (N, C, H/32, W/32)
        for name, skip in self.skips.items():
            score = skip(features[name])  # (N, C, H/16, W/16), then (N, C, H/8, W/8)
            logits = upsample(logits, like=score) + score
        return {"out": upsample(logits, like=image)}


def score_layer(in_channels: int, num_classes: int) -> nn.Conv2d:
    """A 1 x 1 convolution that starts at zero (section 4.3), so that every class is as likely."""
    layer = nn.Conv2d(in_channels, num_classes, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def fcn_skip(
    *, num_classes: int, backbone: str = "resnet18", stride: Literal[8, 16, 32] = 32
) -> nn.Module:
    """FCN-32s, 16s or 8s with random weights; one seed gives the three the same backbone.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a key of backbones.IMAGENET.
        stride: of the finest scores.
    """
    features, channels = backbones.build(backbone, output_stride=32)
    classifier = score_layer(channels["out"], num_classes)
    skips = {name: score_layer(channels[name], num_classes) for name in SKIPS[stride]}
    return FCNSkip(features, classifier, nn.ModuleDict(skips))
