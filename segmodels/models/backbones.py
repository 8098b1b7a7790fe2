"""ImageNet classifiers without their last layer, as torchvision or timm has them.

A backbone maps an image (N, 3, H, W) to features by name: "stem" has stride 2 (some of timm's have
no such layer), "low" 4, "mid" 8, "aux" 16 and "out" 32; with dilation no stride exceeds the output
stride. Its state-dict keys are torchvision's or timm's, so that ImageNet files and the "backbone."
part of COCO files fit.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from segmodels.models import efficientnet_lite
from segmodels.models.efficientnet_lite import EfficientNetLite
from segmodels.models.layers import he_initialize
from segmodels.models.resnet import LAYERS, ResNet

SERVER = "https://download.pytorch.org/models"
# torchvision's IMAGENET1K_V1, from which its segmentation models were trained too; V2 of the
# ResNets had another, longer recipe, and ResNet-18, ResNet-34 and VGG16 have no V2 that could stand
# beside it.
IMAGENET = {
    "resnet18": f"{SERVER}/resnet18-f37072fd.pth",
    "resnet34": f"{SERVER}/resnet34-b627a593.pth",
    "resnet50": f"{SERVER}/resnet50-0676ba61.pth",
    "resnet101": f"{SERVER}/resnet101-63fe2227.pth",
    "resnet152": f"{SERVER}/resnet152-394f9c45.pth",
    "vgg16": f"{SERVER}/vgg16-397923af.pth",
    "vgg16_bn": f"{SERVER}/vgg16_bn-6c64b313.pth",
    "mobilenet_v3_large": f"{SERVER}/mobilenet_v3_large-8738ca79.pth",
}
TIMM = "timm/"  # in front of any timm model that gives features
STRIDES = {2: "stem", 4: "low", 8: "mid", 16: "aux", 32: "out"}  # without dilation


def build(
    name: str, *, output_stride: int, fully_connected: bool = True
) -> tuple[nn.Module, dict[str, int]]:
    """Build a backbone with random weights.

    Args:
        name: a key of IMAGENET or of efficientnet_lite.SCALES, or "timm/" and the name of a timm
            model.
        output_stride: 8, 16 or 32, of "out".
        fully_connected: whether VGG16 ends with its fc6 and fc7, as convolutions, or with its last
            pooling; the others have no such layers.
    Returns:
        the backbone, and how many channels each of its features has.
    Raises:
        ValueError: there is no such backbone, or it cannot have that output stride.
    """
    if name.startswith(TIMM):
        return from_timm(name, output_stride)
    if name in efficientnet_lite.SCALES:
        lite = EfficientNetLite(name)
        dilate(lite, output_stride)
        return lite, lite.channels
    if name not in IMAGENET:
        known = ", ".join([*IMAGENET, *efficientnet_lite.SCALES, f"{TIMM}<name>"])
        raise ValueError(f"backbone = {name!r}: expected one of {known}")
    if name.startswith("vgg16"):
        net = VGG16(output_stride, batch_norm=name == "vgg16_bn", fully_connected=fully_connected)
        out = 4096 if fully_connected else 512
        return net, {"stem": 64, "low": 128, "mid": 256, "aux": 512, "out": out}
    if name == "mobilenet_v3_large":
        channels = {"stem": 16, "low": 24, "mid": 40, "aux": 112, "out": 960}
        return MobileNetV3Large(output_stride), channels
    return residual(name, output_stride)


def residual(name: str, output_stride: int) -> tuple[nn.Module, dict[str, int]]:
    """A ResNet (He et al., arXiv 1512.03385, table 1); "stem" is conv1."""
    block, depths = LAYERS[name]
    net = ResNet(block, depths)
    dilate(net, output_stride)
    names = {"relu": "stem", "layer1": "low", "layer2": "mid", "layer3": "aux", "layer4": "out"}
    width = 64 * block.expansion
    channels = {"stem": 64, "low": width, "mid": 2 * width, "aux": 4 * width, "out": 8 * width}
    return Features(net, names), channels


class Features(nn.ModuleDict):
    """A network's layers, which compute one after the other; some of them give features.

    Args:
        net: its children are the layers, under names that stay.
        names: of the layers that give features, and what to call these.
    """

    def __init__(self, net: nn.Module, names: dict[str, str]) -> None:
        super().__init__(dict(net.named_children()))
        self.names = names

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = {}
        for key, layer in self.items():
            x = layer(x)
            if key in self.names:
                features[self.names[key]] = x
        return features


class VGG16(nn.Module):
    """VGG16: each feature is a max pooling, and "out" the last one or fc7.

    fc6 and fc7 are convolutions of 7 x 7 and 1 x 1. fc6 is padded by 3, so that "out" has the size
    of the last pooling; for a picture of 224 x 224 its central element, [3, 3], is what the
    classifier computes. Poolings that lose their stride become 3 x 3, as in DeepLab's published
    network (arXiv 1412.7062).

    Reference:
        Simonyan and Zisserman, arXiv 1409.1556, table 1, column D; Long et al., arXiv 1411.4038,
        section 3.1.
    """

    def __init__(self, output_stride: int, *, batch_norm: bool, fully_connected: bool) -> None:
        super().__init__()
        layers = vgg16_layers(64, batch_norm=batch_norm)
        poolings = [
            name for name, layer in layers.named_children() if isinstance(layer, nn.MaxPool2d)
        ]
        names = dict(zip(poolings, STRIDES.values(), strict=True))
        self.features = Features(layers, names)
        self.classifier = nn.Sequential()
        if fully_connected:
            self.classifier = nn.Sequential(
                nn.Conv2d(512, 4096, 7, padding=3),
                nn.ReLU(inplace=True),
                nn.Dropout(0.5),
                nn.Conv2d(4096, 4096, 1),
                nn.ReLU(inplace=True),
                nn.Dropout(0.5),
            )
        dilate(self, output_stride)
        he_initialize(self)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.features(image)
        features["out"] = self.classifier(features["out"])  # (N, 512 or 4096, H/os, W/os)
        return features


def vgg16_layers(width: int, *, batch_norm: bool) -> nn.Sequential:
    """VGG16's convolutions and poolings, 64 channels wide at first in the paper."""
    layers: list[nn.Module] = []
    in_channels = 3
    for channels, depth in zip((1, 2, 4, 8, 8), (2, 2, 3, 3, 3), strict=True):
        for _ in range(depth):
            layers.append(nn.Conv2d(in_channels, channels * width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels * width))
            layers.append(nn.ReLU(inplace=True))
            in_channels = channels * width
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


class MobileNetV3Large(nn.Module):
    """MobileNetV3-Large up to its last 1 x 1 convolution; each feature is the last of its stride.

    Differs from torchvision's: BatchNorm's running statistics have momentum 0.1, as in the other
    backbones here; with 0.01 an FCN that had learned one batch by heart in 200 steps (accuracy 0.97
    in both modes with 0.1) still answered background only in eval().

    Reference:
        Howard et al., arXiv 1905.02244, table 1.
    """

    def __init__(self, output_stride: int) -> None:
        from torchvision import models  # takes as long as `import torch`; the others need it not

        super().__init__()
        norm_layer = partial(nn.BatchNorm2d, eps=0.001)
        layers = models.mobilenet_v3_large(weights=None, norm_layer=norm_layer).features
        names = {"1": "stem", "3": "low", "6": "mid", "12": "aux", "16": "out"}
        self.features = Features(layers, names)
        dilate(self, output_stride)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.features(image)


def dilate(net: nn.Module, output_stride: int) -> None:
    """Replace strides beyond the output stride by dilation of all that follows, in place.

    A convolution that loses its stride keeps the dilation so far, as in torchvision's ResNets: then
    every other element of its output is what it was (Yu et al., arXiv 1705.09914, section 2).

    Args:
        net: its layers lie in the order in which they compute; a strided convolution of 1 x 1 is
            a shortcut around the one before it.
        output_stride: 8, 16 or 32.
    """
    stride = 1
    rate = 1
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            if rate > 1:
                layer.stride = (1, 1)
            continue
        if isinstance(layer, nn.Conv2d):
            layer.dilation = (rate, rate)
            layer.padding = (rate * (layer.kernel_size[0] // 2),) * 2
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d) and layer.stride in (2, (2, 2)):
            if stride < output_stride:
                stride *= 2
            else:
                remove_stride(layer)
                rate *= 2


def use_multi_grid(stage: nn.Module, rate: int, multi_grid: Sequence[int]) -> None:
    """Set the rates of a ResNet stage's 3 x 3 convolutions to rate x (r1, r2, r3), in place.

    Reference:
        DeepLab v3: Chen et al., arXiv 1706.05587, section 3.2.1.
    """
    convs = [m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    for conv, unit_rate in zip(convs, multi_grid, strict=True):
        conv.dilation = (rate * unit_rate, rate * unit_rate)
        conv.padding = conv.dilation


def remove_stride(layer: nn.Conv2d | nn.MaxPool2d) -> None:
    if isinstance(layer, nn.Conv2d):
        layer.stride = (1, 1)
    else:
        layer.kernel_size = 3
        layer.stride = 1
        layer.padding = 1


def from_timm(name: str, output_stride: int) -> tuple[nn.Module, dict[str, int]]:
    """A timm model, dilated by timm itself, that gives its features by name.

    Many cannot serve; a trial on the meta device, which costs no memory, finds out.
    """
    try:
        import timm
    except ImportError:
        raise ValueError(
            f"backbone = {name!r}: needs the timm package; pip install 'segmodels[timm]'"
        ) from None
    model = name.removeprefix(TIMM)
    if not timm.is_model(model):
        raise ValueError(f"backbone = {name!r}: timm {timm.__version__} has no such model")
    dilation: dict[str, Any] = {} if output_stride == 32 else {"output_stride": output_stride}
    create = partial(timm.create_model, model, pretrained=False, features_only=True, **dilation)
    try:
        with torch.device("meta"):
            names = feature_names(create(), output_stride)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0] or "timm does not say why"
        raise ValueError(
            f"backbone = {name!r}: cannot give features of every image at output stride "
            f"{output_stride}: {reason}"
        ) from None
    net: Any = create()
    net.register_forward_hook(partial(by_name, names))
    channels = dict(zip(names, net.feature_info.channels(), strict=True))
    channels.pop("", None)  # features of stride 1 have no name
    return net, channels


def feature_names(net: Any, output_stride: int) -> list[str]:
    """What to call each of a timm model's features; nothing at stride 1.

    Raises:
        ValueError: they have other strides or another layout; their model may raise anything.
    """
    strides = net.feature_info.reduction()
    undilated = [strides[0] * 2**k for k in range(len(strides))]
    dilated = [min(stride, output_stride) for stride in undilated]
    if undilated[0] > 4 or undilated[-1] != 32 or strides != dilated:
        raise ValueError(f"its strides are {', '.join(map(str, strides))}")
    features = net(torch.empty(2, 3, 33, 47))
    channels = [feature.shape[1] for feature in features]
    if channels != net.feature_info.channels():
        raise ValueError("its features are not (N, C, H, W)")
    return [STRIDES.get(stride, "") for stride in undilated]


def by_name(names: list[str], net: nn.Module, inputs: Any, features: Any) -> dict[str, Tensor]:
    """A forward hook: the list of features that a timm model returns becomes a dictionary."""
    named = dict(zip(names, features, strict=True))
    named.pop("", None)  # features of stride 1 have no name
    return named
