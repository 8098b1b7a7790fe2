"""U-Net with valid convolutions, as published: no layer invents pixels beyond a border.

Paper: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image
Segmentation", arXiv 1505.04597: the network in section 2 and figure 1, mirror extrapolation and
overlap-tile in figure 2, dropout and initial weights in section 3. Trained there on 30 pictures of
512 x 512: a batch of one large tile, SGD with momentum 0.99, cross-entropy weighted by a map that
stresses the borders between cells, elastic deformations. Dropout of 0.5 stands where the authors'
released network has it, behind the last two levels of the contracting path.

Differs from the paper: three input channels; recipe and loss are those of all models here. The
released network's last up-convolution keeps 128 channels, and a ReLU follows each; here, as in
figure 1, all halve the channels and nothing follows. `batch_norm` is ours.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from segmodels.models.layers import he_initialize

LEVELS = 4  # of pooling
GRID = 2**LEVELS  # pixels by which a tile may move so that the poolings see the same windows
MARGIN = 92  # pixels lost at each side: 2 x (1 + 2 + 4 + 8 + 16) downwards, 2 x (8 + 4 + 2 + 1) up
SMALLEST = 4  # side of the smallest possible logits; others are larger by multiples of GRID


def extend(image: Tensor) -> Tensor:
    """Mirror an image beyond its borders, again and again where it is smaller than the margin.

    Args:
        image: (N, 3, H, W), H and W >= 2.
    Returns:
        (N, 3, h + 2 MARGIN, w + 2 MARGIN), where h x w is the smallest possible size of logits
        that holds H x W; the image begins at [MARGIN, MARGIN].
    """
    height, width = image.shape[-2:]
    rows = _mirrored(height, image.device)
    columns = _mirrored(width, image.device)
    return image[..., rows[:, None], columns]


def _mirrored(size: int, device: torch.device) -> Tensor:
    """Which row of an image is seen at each row of the extended one."""
    period = 2 * (size - 1)
    end = size + (SMALLEST - size) % GRID + MARGIN
    index = torch.arange(-MARGIN, end, device=device)
    index = index % torch.full_like(index, period)
    return torch.minimum(index, period - index)


def double_conv(in_channels: int, out_channels: int, batch_norm: bool) -> nn.Sequential:
    """Two blue arrows of figure 1: valid 3 x 3 convolution and ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, 3, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def crop(skip: Tensor, like: Tensor) -> Tensor:
    """The middle of a skip, as high and wide as `like`: a grey arrow of figure 1."""
    height, width = like.shape[-2:]
    top = (skip.shape[-2] - height) // 2
    left = (skip.shape[-1] - width) // 2
    return skip[..., top : top + height, left : left + width]


class UNetValid(nn.Module):
    """Figure 1; `valid` is the network itself, `forward` extends the image by mirroring first."""

    margin = MARGIN
    grid = GRID
    extend = staticmethod(extend)

    def __init__(self, num_classes: int, width: int, batch_norm: bool) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS + 1)]
        downwards = list(pairwise([3, *widths]))  # channels before and after each level
        upwards = list(pairwise(reversed(widths)))
        self.encoder = nn.ModuleList(double_conv(i, o, batch_norm) for i, o in downwards)
        self.dropout = nn.Dropout(0.5)
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in upwards)
        self.decoder = nn.ModuleList(double_conv(i, o, batch_norm) for i, o in upwards)
        self.classifier = nn.Conv2d(width, num_classes, 1)
        he_initialize(self)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        return {"out": self.valid(extend(image))[..., :height, :width]}

    def valid(self, extended: Tensor) -> Tensor:
        """(N, 3, h + 2 MARGIN, w + 2 MARGIN) -> logits (N, C, h, w), h and w = 4, 20, 36, ..."""
        x = extended
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            if level >= LEVELS - 1:
                x = self.dropout(x)
            skips.append(x)  # figure 1: (N, 64, 568, 568), ..., (N, 1024, 28, 28)
        for up, block, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            x = up(x)  # (N, 512, 56, 56), ..., (N, 64, 392, 392)
            x = block(torch.cat([crop(skip, like=x), x], 1))  # (N, 512, 52, 52), ...
        return self.classifier(x)  # (N, C, 388, 388)


def unet_valid(*, num_classes: int, width: PositiveInt = 64, batch_norm: bool = False) -> nn.Module:
    """U-Net as published, with random weights.

    Args:
        num_classes: channels of the logits, background included.
        width: channels of the first level; each of the next four has twice as many.
        batch_norm: BatchNorm instead of a bias behind every 3 x 3 convolution.
    """
    return UNetValid(num_classes, width, batch_norm)
