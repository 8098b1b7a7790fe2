"""Parts that several models share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Resize x bilinearly (align_corners=False) to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def mirror_pad(x: Tensor) -> Tensor:
    """Add one row or column at each side, mirrored at the outermost one: b | a b c ... y z | y.

    The same as F.pad(mode="reflect"), whose gradient on CUDA is a sum in no fixed order. Cutting
    by `split` has a gradient of one concatenation, where three overlapping slices have three sums.

    Args:
        x: (N, C, H, W), H and W >= 2.
    Returns:
        (N, C, H + 2, W + 2).
    """
    for dim in (-2, -1):
        size = x.shape[dim]
        parts = x.split([1, 1, size - 4, 1, 1] if size >= 4 else 1, dim)
        x = torch.cat([parts[1], *parts, parts[-2]], dim)
    return x


def he_initialize(model: nn.Module) -> None:
    """Convolutions start normal with variance 2 / fan_in, biases at 0.

    Reference:
        He et al., arXiv 1502.01852, equation 10.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
