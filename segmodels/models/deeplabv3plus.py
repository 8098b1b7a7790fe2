"""DeepLab v3+: the pyramid of DeepLab v3 and a decoder that adds features of stride 4.

Paper: Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation", arXiv 1802.02611: sections 3.1 and 4.1, figure 2 (encoder and
decoder), tables 1 and 2 (48 channels of stride 4, two 3 x 3 convolutions of 256).

Differs from the paper: a ResNet-101 without multi-grid, where the paper's best network is a
modified Xception with separable convolutions in pyramid and decoder as well; torchvision's pyramid,
with dropout; one output stride for training and prediction. BatchNorm behind the image pooling sees
one element of each picture, so training needs at least two pictures in a batch.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from segmodels.models import backbones
from segmodels.models.heads import ASPP, CHANNELS, fcn_head, paper_rates
from segmodels.models.layers import upsample

LOW = 48  # channels of stride 4 (table 1)
HIGH = CHANNELS  # of pyramid and decoder (table 2)


class DeepLabV3Plus(nn.Module):
    """Figure 2: the pyramid's features, upsampled, beside the backbone's of stride 4."""

    def __init__(
        self,
        backbone: nn.Module,
        aspp: nn.Module,
        low_level: nn.Module,
        classifier: nn.Module,
        aux_classifier: nn.Module | None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.aspp = aspp
        self.low_level = low_level
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        low = self.low_level(features["low"])  # (N, 48, H/4, W/4)
        high = self.aspp(features["out"])  # (N, 256, H/16, W/16)
        high = upsample(high, like=low)  # (N, 256, H/4, W/4)
        logits = {"out": self.classifier(torch.cat([high, low], 1))}  # (N, C, H/4, W/4)
        if self.aux_classifier is not None:
            logits["aux"] = self.aux_classifier(features["aux"])  # (N, C, H/16, W/16)
        return {name: upsample(value, like=image) for name, value in logits.items()}


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def deeplabv3plus(
    *,
    num_classes: int,
    backbone: str = "resnet101",
    output_stride: Literal[8, 16, 32] = 16,
    atrous_rates: Sequence[PositiveInt] | None = None,
    decoder_channels: PositiveInt = HIGH,
    aux: bool = False,
) -> nn.Module:
    """DeepLab v3+ with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a name that backbones.build takes.
        output_stride: of the backbone.
        atrous_rates: of the pyramid's 3 x 3 convolutions; None: the paper's 6, 12, 18 at output
            stride 16, twice as large at 8, half as large at 32.
        decoder_channels: of the decoder's two 3 x 3 convolutions, which at stride 4 take most of
            the time of a small backbone.
        aux: whether to have an auxiliary head, as torchvision's models do.
    """
    features, channels = backbones.build(
        backbone, output_stride=output_stride, fully_connected=False
    )
    if atrous_rates is None:
        atrous_rates = paper_rates(output_stride)
    aspp = ASPP(channels["out"], atrous_rates)
    low_level = conv_bn_relu(channels["low"], LOW, 1)
    classifier = nn.Sequential(
        conv_bn_relu(HIGH + LOW, decoder_channels, 3),
        conv_bn_relu(decoder_channels, decoder_channels, 3),
        nn.Conv2d(decoder_channels, num_classes, 1),
    )
    aux_classifier = fcn_head(channels["aux"], num_classes) if aux else None
    return DeepLabV3Plus(features, aspp, low_level, classifier, aux_classifier)
