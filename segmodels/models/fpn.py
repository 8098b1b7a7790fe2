"""A feature pyramid network with one label map: the semantic branch of Panoptic FPN.

Paper: Kirillov, Girshick, He, Dollar, "Panoptic Feature Pyramid Networks", arXiv 1901.02446:
section 3.1, figure 3 (the branch: levels of stride 4 to 32, each convolved and doubled until it has
stride 4, then added up), section 5.1 (256 channels in the pyramid, 128 in the branch). The pyramid,
torchvision's part: Lin et al., arXiv 1612.03144, section 3, figure 3.

No convolution is dilated: details come from the finer levels, so that the deepest and widest layers
work at stride 32, where they cost a quarter of what they cost in DeepLab at output stride 16.

Differs from the paper: BatchNorm, in the pyramid too, where the paper has GroupNorm in the branch
and none in the pyramid; no instance branch.
"""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, FeaturePyramidNetwork

from segmodels.models import backbones
from segmodels.models.layers import upsample

LEVELS = ["low", "mid", "aux", "out"]  # strides 4, 8, 16, 32


class FPN(nn.Module):
    """Figure 3: as many convolutions at a level as it has doublings to stride 4, at least one."""

    def __init__(
        self,
        backbone: nn.Module,
        in_channels: list[int],
        num_classes: int,
        pyramid_channels: int,
        branch_channels: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = FeaturePyramidNetwork(
            in_channels, pyramid_channels, norm_layer=nn.BatchNorm2d
        )
        self.branches = nn.ModuleList()
        for level in range(len(LEVELS)):
            convs = nn.ModuleList()
            channels = pyramid_channels
            for _ in range(max(level, 1)):
                convs.append(Conv2dNormActivation(channels, branch_channels))
                channels = branch_channels
            self.branches.append(convs)
        self.classifier = nn.Conv2d(branch_channels, num_classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        # (N, 256, H/4, W/4), ..., (N, 256, H/32, W/32)
        levels = list(self.pyramid({name: features[name] for name in LEVELS}).values())
        total = torch.zeros_like(levels[0][:, :1])
        for level, (x, convs) in enumerate(zip(levels, self.branches, strict=True)):
            for k, conv in enumerate(convs.children(), start=1):
                x = upsample(conv(x), like=levels[max(level - k, 0)])
            total = total + x  # (N, 128, H/4, W/4)
        return {"out": upsample(self.classifier(total), like=image)}


def fpn(
    *,
    num_classes: int,
    backbone: str = "resnet50",
    pyramid_channels: PositiveInt = 256,
    branch_channels: PositiveInt = 128,
) -> nn.Module:
    """A feature pyramid network with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes; of VGG16 the convolutions.
        pyramid_channels: of the pyramid's levels.
        branch_channels: of what is added up; at stride 4 these two take most of the time of a small
            backbone.
    """
    features, channels = backbones.build(backbone, output_stride=32, fully_connected=False)
    in_channels = [channels[name] for name in LEVELS]
    return FPN(features, in_channels, num_classes, pyramid_channels, branch_channels)
