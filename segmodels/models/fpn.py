"""A feature pyramid network with one label map: the semantic branch of Panoptic FPN.

Paper: Kirillov, Girshick, He, Dollar, "Panoptic Feature Pyramid Networks", arXiv 1901.02446:
section 3.1, figure 3 (the branch: levels of stride 4 to 32, each convolved and doubled until it has
stride 4, then added up), section 5.1 (256 channels in the pyramid, 128 in the branch). The pyramid:
Lin et al., arXiv 1612.03144, section 3, figure 3. It has torchvision's names and start; torchvision
itself takes as long to import as torch.

No convolution is dilated: details come from the finer levels, so that the deepest and widest layers
work at stride 32, where they cost a quarter of what they cost in DeepLab at output stride 16.

Differs from the paper: BatchNorm, in the pyramid too, where the paper has GroupNorm in the branch
and none in the pyramid; no instance branch. `detail_channels` adds one step, to stride 2, where
thin objects are wider than a pixel; it is no part of the paper.
"""

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
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


def activated(in_channels: int, channels: int, *, kernel: int) -> nn.Sequential:
    """The same and a ReLU."""
    return normalized(in_channels, channels, kernel=kernel).append(nn.ReLU(inplace=True))


class Detail(nn.Module):
    """A skip connection to stride 2, as U-Net's (arXiv 1505.04597, figure 1), of few channels.

    What the branch adds up and the backbone's "stem" are each reduced by a 1 x 1 convolution, put
    side by side, and mixed by a 3 x 3 convolution.
    """

    def __init__(self, branch_channels: int, stem_channels: int, channels: int) -> None:
        super().__init__()
        self.total = activated(branch_channels, channels, kernel=1)
        self.stem = activated(stem_channels, channels, kernel=1)
        self.mix = activated(2 * channels, channels, kernel=3)

    def forward(self, total: Tensor, stem: Tensor) -> Tensor:
        coarse = upsample(self.total(total), like=stem)
        return self.mix(torch.cat([coarse, self.stem(stem)], 1))  # (N, channels, H/2, W/2)


class FPN(nn.Module):
    """Figure 3: as many convolutions at a level as it has doublings to stride 4, at least one.

    Args:
        in_channels: of the backbone's features, by name.
    """

    def __init__(
        self,
        backbone: nn.Module,
        in_channels: dict[str, int],
        num_classes: int,
        pyramid_channels: int,
        branch_channels: int,
        detail_channels: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = Pyramid([in_channels[name] for name in LEVELS], pyramid_channels)
        self.branches = nn.ModuleList()
        for level in range(len(LEVELS)):
            convs = nn.ModuleList()
            channels = pyramid_channels
            for _ in range(max(level, 1)):
                convs.append(activated(channels, branch_channels, kernel=3))
                channels = branch_channels
            self.branches.append(convs)
        self.detail = None
        channels = branch_channels
        if detail_channels:
            self.detail = Detail(branch_channels, in_channels["stem"], detail_channels)
            channels = detail_channels
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        # (N, 256, H/4, W/4), ..., (N, 256, H/32, W/32)
        levels = self.pyramid([features[name] for name in LEVELS])
        total = torch.zeros_like(levels[0][:, :1])
        for level, (x, convs) in enumerate(zip(levels, self.branches, strict=True)):
            for k, conv in enumerate(convs.children(), start=1):
                x = upsample(conv(x), like=levels[max(level - k, 0)])
            total = total + x  # (N, 128, H/4, W/4)
        if self.detail is not None:
            total = self.detail(total, features["stem"])
        return {"out": upsample(self.classifier(total), like=image)}


def fpn(
    *,
    num_classes: int,
    backbone: str = "resnet50",
    pyramid_channels: PositiveInt = 256,
    branch_channels: PositiveInt = 128,
    detail_channels: NonNegativeInt = 0,
) -> nn.Module:
    """A feature pyramid network with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes; of VGG16 the convolutions.
        pyramid_channels: of the pyramid's levels.
        branch_channels: of what is added up; at stride 4 these two take most of the time of a small
            backbone.
        detail_channels: of a last step at stride 2, for thin objects; 0, as in the paper: none.
    Raises:
        ValueError: the backbone has no features of stride 2 for `detail_channels`.
    """
    features, channels = backbones.build(backbone, output_stride=32, fully_connected=False)
    if detail_channels and "stem" not in channels:
        raise ValueError(
            f"detail_channels = {detail_channels}: {backbone} has no features of stride 2; "
            "expected 0 or another backbone"
        )
    return FPN(features, channels, num_classes, pyramid_channels, branch_channels, detail_channels)
