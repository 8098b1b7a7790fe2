"""ResNet, with torchvision's names, random start and order of layers.

Paper: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", arXiv 1512.03385:
figure 5 (the two blocks), table 1 (the five networks). `import torchvision` takes as long as
`import torch`, because of operators that no ResNet has: so the network is here, and tests compare
it with torchvision's.

Differs from the paper: a bottleneck's stride is in its 3 x 3 convolution, as in torchvision. Every
residual block starts as the identity (Goyal et al., arXiv 1706.02677, section 5.1): otherwise the
random blocks' variances add up. On the miniature FCN-ResNet-50 then starts at a validation loss of
9.1 instead of 3.1 (ln 21 = 3.04), and learns several times slower.
"""

from typing import ClassVar

from torch import Tensor, nn


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)


class BasicBlock(nn.Module):
    """Figure 5, left: two 3 x 3 convolutions and a shortcut."""

    expansion: ClassVar[int] = 1

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    @property
    def last_bn(self) -> nn.BatchNorm2d:
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        residual += x if self.downsample is None else self.downsample(x)
        return self.relu(residual)


class Bottleneck(nn.Module):
    """Figure 5, right: 1 x 1, 3 x 3 and 1 x 1 convolutions, four times as wide at the end."""

    expansion: ClassVar[int] = 4

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = conv1x1(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    @property
    def last_bn(self) -> nn.BatchNorm2d:
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        residual += x if self.downsample is None else self.downsample(x)
        return self.relu(residual)


Block = type[BasicBlock] | type[Bottleneck]
LAYERS: dict[str, tuple[Block, tuple[int, int, int, int]]] = {  # table 1
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """Table 1 as far as its last stage; `forward` is left to who takes the features."""

    def __init__(self, block: Block, depths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for k, depth in enumerate(depths):
            width = 64 * 2**k
            stride = 1 if k == 0 else 2
            self.add_module(f"layer{k + 1}", stage(block, channels, width, depth, stride))
            channels = width * block.expansion
        # torchvision's classifier: it draws random numbers, and the next ones are those after them.
        nn.Linear(channels, 1000)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        for layer in self.modules():
            if isinstance(layer, BasicBlock | Bottleneck):
                nn.init.zeros_(layer.last_bn.weight)


def stage(block: Block, in_channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
    """Blocks of one width, of which the first changes size and channels."""
    channels = width * block.expansion
    downsample = None
    if stride != 1 or in_channels != channels:
        shortcut = conv1x1(in_channels, channels, stride)
        downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels))
    first = block(in_channels, width, stride, downsample)
    return nn.Sequential(first, *(block(channels, width) for _ in range(depth - 1)))
