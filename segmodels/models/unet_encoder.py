"""U-Net whose contracting path is an ImageNet classifier.

Paper: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", arXiv 1505.04597, figure 1; the idea of a trained classifier in it: Iglovikov and
Shvets, arXiv 1801.05746. The expansive path follows `Unet` of segmentation_models.pytorch 0.6.0
with decoder_interpolation="bilinear": channels, order of the layers, scores by a 3 x 3
convolution. Trained there from ImageNet weights in "backbone." and random ones elsewhere.

Differs from the paper: another contracting path, whose skips have strides 16, 8, 4 and 2, and none
has stride 1; padded convolutions with BatchNorm; bilinear upsampling in place of up-convolutions,
which "transposed" brings back; no dropout. An image whose sides are no multiples of 32 is mirrored
at the right and the bottom up to the next one, so that the levels lie exactly on each other.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmodels.models import backbones
from segmodels.models.layers import Doubling, he_initialize

STEP = 32  # stride of the coarsest feature
# Channels of each level of the expansive path, by the backbone's feature of the same size. A
# feature that a backbone does not have is no skip; none has one of the image's own size.
WIDTHS = {"aux": 256, "mid": 128, "low": 64, "stem": 32, "image": 16}


class UpBlock(nn.Module):
    """Upsample by 2, join the skip if there is one, and convolve twice."""

    def __init__(self, in_channels: int, skip: int, out_channels: int, upsampling: str) -> None:
        super().__init__()
        self.up: nn.Module
        if upsampling == "transposed":
            self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
            in_channels = out_channels
        else:
            self.up = Doubling()
        self.convs = nn.Sequential(
            nn.Conv2d(in_channels + skip, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.up(x)
        return self.convs(x if skip is None else torch.cat([x, skip], 1))


class UNetEncoder(nn.Module):
    """A backbone, and an expansive path of five levels back to the image's size."""

    def __init__(
        self, backbone: nn.Module, channels: dict[str, int], num_classes: int, upsampling: str
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = nn.ModuleDict()
        in_channels = channels["out"]
        for name, width in WIDTHS.items():
            skip = channels.get(name, 0)
            self.decoder[name] = UpBlock(in_channels, skip, width, upsampling)
            in_channels = width
        self.classifier = nn.Conv2d(WIDTHS["image"], num_classes, 3, padding=1)
        he_initialize(self.decoder)
        he_initialize(self.classifier)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        features = self.backbone(F.pad(image, (0, -width % STEP, 0, -height % STEP), "reflect"))
        x = features["out"]  # (N, 2048, H/32, W/32)
        for name, block in self.decoder.items():
            x = block(x, features.get(name))  # (N, 256, H/16, W/16), ..., (N, 16, H, W)
        return {"out": self.classifier(x)[..., :height, :width]}


def unet_encoder(
    *,
    num_classes: int,
    backbone: str = "resnet50",
    upsampling: Literal["bilinear", "transposed"] = "bilinear",
) -> nn.Module:
    """U-Net on a backbone, with random weights.

    Args:
        num_classes: channels of the logits, background included.
        backbone: a key of backbones.IMAGENET, or "timm/" and a name; of VGG16 the convolutions.
        upsampling: fixed, or the paper's 2 x 2 up-convolution to the channels of the next level.
    """
    features, channels = backbones.build(backbone, output_stride=32, fully_connected=False)
    return UNetEncoder(features, channels, num_classes, upsampling)
