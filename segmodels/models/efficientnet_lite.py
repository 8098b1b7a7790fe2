"""EfficientNet-Lite without its classifier: EfficientNets for devices that have no sigmoid.

Paper: Tan and Le, "EfficientNet", arXiv 1905.11946, table 1 (the stages), equation 3 (how they
grow). "Lite" is TensorFlow's: no squeeze-and-excitation, ReLU6, and the stem and the depth of the
first and last stages do not grow. Its padding is TensorFlow's too: where a side is even, a strided
convolution sees one element less before the image than behind it.

State-dict keys are those of timm's tf_efficientnet_lite, so that its weights fit; it takes seconds
to import, and these networks are 60 lines.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.models.depthwise import depthwise_conv2d

SCALES = {  # factors on channels and depth
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
    "efficientnet_lite3": (1.2, 1.4),
    "efficientnet_lite4": (1.4, 1.8),
}
STEM = 32  # channels
# Blocks, kernel, stride, channels of each stage.
STAGES = [(1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80)]
STAGES += [(3, 5, 1, 112), (4, 5, 2, 192), (1, 3, 1, 320)]
FEATURES = {0: "stem", 1: "low", 2: "mid", 4: "aux", 6: "out"}  # the last stage of each stride
EXPANSION = 6


class EfficientNetLite(nn.Module):
    """Features by name, see `backbones`.

    Attributes:
        channels: of each feature.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        width, depth = SCALES[name]
        self.channels = dict[str, int]()
        self.conv_stem = SameConv(3, STEM, 3, 2)
        self.bn1 = batch_norm(STEM)
        self.blocks = nn.Sequential()
        in_channels = STEM
        for k, (count, kernel, stride, base) in enumerate(STAGES):
            channels = rounded(base * width)
            last = k == len(STAGES) - 1
            count = count if k == 0 or last else math.ceil(count * depth)
            stage = nn.Sequential()
            for j in range(count):
                block = Separable if k == 0 else InvertedResidual
                stage.append(block(in_channels, channels, kernel, stride if j == 0 else 1))
                in_channels = channels
            self.blocks.append(stage)
            if k in FEATURES:
                self.channels[FEATURES[k]] = channels
        initialize(self)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = F.relu6(self.bn1(self.conv_stem(image)))  # (N, 32, H/2, W/2)
        features = {}
        for k, stage in enumerate(self.blocks):
            x = stage(x)
            if k in FEATURES:
                features[FEATURES[k]] = x
        return features


class Separable(nn.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = SameConv(in_channels, in_channels, kernel, stride, groups=in_channels)
        self.bn1 = batch_norm(in_channels)
        self.conv_pw = SameConv(in_channels, channels, 1)
        self.bn2 = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.bn1(self.conv_dw(x)))
        return self.bn2(self.conv_pw(x))


class InvertedResidual(nn.Module):
    """Wider, depthwise, narrower; added to the input where that has the same shape."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = EXPANSION * in_channels
        self.adds = stride == 1 and in_channels == channels
        self.conv_pw = SameConv(in_channels, wide, 1)
        self.bn1 = batch_norm(wide)
        self.conv_dw = SameConv(wide, wide, kernel, stride, groups=wide)
        self.bn2 = batch_norm(wide)
        self.conv_pwl = SameConv(wide, channels, 1)
        self.bn3 = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.adds else y


class SameConv(nn.Conv2d):
    """A convolution without bias whose output has ceil(side / stride) elements a side."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2
        super().__init__(in_channels, channels, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        stride, padding, dilation = self.stride[0], int(self.padding[0]), self.dilation[0]
        if stride > 1:
            after = self.kernel_size[0] // 2
            top, left = (after - 1 + side % 2 for side in x.shape[-2:])
            x, padding = F.pad(x, (left, after, top, after)), 0
        if self.groups > 1:
            return depthwise_conv2d(x, self.weight, stride, padding, dilation)
        return F.conv2d(x, self.weight, None, stride, padding, dilation)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def rounded(channels: float) -> int:
    """To a multiple of 8, the next one where more than a tenth would be lost."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def initialize(net: nn.Module) -> None:
    """As TensorFlow's: normal with variance 2 / (weights of an output channel's kernel x outputs).

    Reference:
        The published code of EfficientNet, conv_kernel_initializer.
    """
    for conv in net.modules():
        if isinstance(conv, nn.Conv2d):
            fan_out = conv.kernel_size[0] ** 2 * conv.out_channels // conv.groups
            nn.init.normal_(conv.weight, std=math.sqrt(2 / fan_out))
