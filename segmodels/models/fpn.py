"""A feature pyramid network with one label map: the semantic branch of Panoptic FPN.

Paper: Kirillov, Girshick, He, Dollar, "Panoptic Feature Pyramid Networks", arXiv 1901.02446:
section 3.1, figure 3 (the branch: levels of stride 4 to 32, each convolved and doubled until it has
stride 4, then added up), section 5.1 (256 channels in the pyramid, 128 in the branch). The pyramid:
Lin et al., arXiv 1612.03144, section 3, figure 3. It has torchvision's names and start; torchvision
itself takes as long to import as torch.

No convolution is dilated: details come from the finer levels, so that the deepest and widest layers
work at stride 32, where they cost a quarter of what they cost in DeepLab at output stride 16.

Differs from the paper: BatchNorm, in the pyramid too, where the paper has GroupNorm in the branch
and none in the pyramid; no instance branch.
"""

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from segmodels.models import backbones
from segmodels.models.layers import upsample

LEVELS = ["low", "mid", "aux", "out"]  # strides 4, 8, 16, 32


class Pyramid(nn.Module):
    """Lin et al., figure 3: each level plus the one above it, enlarged; then 3 x 3 each."""

    def __init__(self, in_channels: list[int], channels: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList()
        self.layer_blocks = nn.ModuleList()
        for width in in_channels:
            self.inner_blocks.append(normalized(width, channels, kernel=1))
            self.layer_blocks.append(normalized(channels, channels, kernel=3))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=1)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Levels from the finest on, each (N, any, h, w) -> (N, channels, h, w)."""
        inner = [block(x) for block, x in zip(self.inner_blocks, features, strict=True)]
        for k in range(len(inner) - 1, 0, -1):
            above = F.interpolate(inner[k], size=inner[k - 1].shape[-2:], mode="nearest")
            inner[k - 1] = inner[k - 1] + above
        return [layer(x) for layer, x in zip(self.layer_blocks, inner, strict=True)]


def normalized(in_channels: int, channels: int, *, kernel: int) -> nn.Sequential:
    """A convolution and its BatchNorm."""
    conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


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
        self.pyramid = Pyramid(in_channels, pyramid_channels)
        self.branches = nn.ModuleList()
        for level in range(len(LEVELS)):
            convs = nn.ModuleList()
            channels = pyramid_channels
            for _ in range(max(level, 1)):
                conv = normalized(channels, branch_channels, kernel=3)
                convs.append(conv.append(nn.ReLU(inplace=True)))
                channels = branch_channels
            self.branches.append(convs)
        self.classifier = nn.Conv2d(branch_channels, num_classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        # (N, 256, H/4, W/4), ..., (N, 256, H/32, W/32)
        levels = self.pyramid([features[name] for name in LEVELS])
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
