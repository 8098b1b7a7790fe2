"""FCN-32s, FCN-16s and FCN-8s: scores of stride 32, refined by skips from strides 16 and 8.

Paper: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation",
arXiv 1411.4038, sections 4.1 and 4.2, figure 3. Upsampling there is by transposed convolution,
which starts bilinear (section 3.3); the last one stays so, those between the skips are learned
(section 4.3, "Dense prediction").

Differs from the paper: backbones other than VGG16 too; fc6 is padded by 3, where the paper's code
pads the image by 100 and crops the scores; either no upsampling is learned ("bilinear") or all of
it, the last one too ("transposed"), from the same logits; skips start at zero as in the paper, but
are trained with the rest from the first step, not in stages. Where sizes are no multiples of each
other, "bilinear" stretches, "transposed" cuts or repeats the border.
"""

from typing import Literal

from torch import Tensor, nn

from segmodels.models import backbones
from segmodels.models.layers import LearnedUpsampling, upsample

SKIPS: dict[int, list[str]] = {32: [], 16: ["aux"], 8: ["aux", "mid"]}  # coarse to fine


class FCNSkip(nn.Module):
    """Figure 3: each score is upsampled to the size of the next finer one and added to it."""

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        skips: nn.ModuleDict,
        upsamplings: nn.ModuleList,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.skips = skips
        self.upsamplings = upsamplings

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        logits = self.classifier(features["out"])  # (N, C, H/32, W/32)
        for step, (name, skip) in enumerate(self.skips.items()):
            score = skip(features[name])  # (N, C, H/16, W/16), then (N, C, H/8, W/8)
            logits = self.enlarge(step, logits, score) + score
        return {"out": self.enlarge(-1, logits, image)}

    def enlarge(self, step: int, x: Tensor, like: Tensor) -> Tensor:
        return self.upsamplings[step](x, like) if self.upsamplings else upsample(x, like)


def score_layer(in_channels: int, num_classes: int) -> nn.Conv2d:
    """A 1 x 1 convolution that starts at zero (section 4.3), so that every class is as likely."""
    layer = nn.Conv2d(in_channels, num_classes, 1)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def fcn_skip(
    *,
    num_classes: int,
    backbone: str = "vgg16",
    stride: Literal[8, 16, 32] = 32,
    upsampling: Literal["bilinear", "transposed"] = "bilinear",
) -> nn.Module:
    """FCN-32s, 16s or 8s with random weights; one seed gives all of them the same backbone.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes.
        stride: of the finest scores.
        upsampling: fixed, or transposed convolutions that learn from a bilinear start.
    """
    features, channels = backbones.build(backbone, output_stride=32)
    classifier = score_layer(channels["out"], num_classes)
    skips = {name: score_layer(channels[name], num_classes) for name in SKIPS[stride]}
    factors = [2] * len(skips) + [stride] if upsampling == "transposed" else []
    upsamplings = nn.ModuleList(LearnedUpsampling(num_classes, factor) for factor in factors)
    return FCNSkip(features, classifier, nn.ModuleDict(skips), upsamplings)
