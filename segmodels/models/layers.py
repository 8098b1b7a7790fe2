"""Parts that several models share."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Resize x (N, C, h, w) bilinearly, align_corners=False, to the height and width of `like`."""
    return resize(x, like.shape[-2:])


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize x (N, C, h, w) bilinearly, align_corners=False, to (height, width).

    On a GPU under torch.use_deterministic_algorithms, F.interpolate gathers four neighbours and
    its gradient is a sorted index_put, which is slow; two matrix products take its place there.
    """
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return resize_by_products(x, size)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def resize_by_products(x: Tensor, size: Sequence[int]) -> Tensor:
    """The same as F.interpolate, as rows @ x @ columns, in float32 or wider under autocast too."""
    wide = torch.promote_types(x.dtype, torch.float32)
    rows = interpolation_matrix(size[0], x.shape[-2], dtype=wide, device=x.device)
    columns = interpolation_matrix(size[1], x.shape[-1], dtype=wide, device=x.device)
    with torch.autocast(x.device.type, enabled=False):
        return (rows @ x.to(wide) @ columns.T).to(x.dtype)  # (N, C, H, w), then (N, C, H, W)


def interpolation_matrix(
    target: int, source: int, *, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """(target, source) weights of linear interpolation; each row sums up to 1."""
    centres = torch.arange(target, dtype=dtype, device=device) + 0.5
    places = (centres * (source / target) - 0.5).clamp(0, source - 1)
    distances = places[:, None] - torch.arange(source, dtype=dtype, device=device)
    return (1 - distances.abs()).clamp(min=0)


class Doubling(nn.Module):
    """Resize to twice the height and width."""

    def forward(self, x: Tensor) -> Tensor:
        return resize(x, [2 * side for side in x.shape[-2:]])


class ImagePooling(nn.Sequential):
    """Layers that make one element of each channel, which is spread to the size before."""

    def forward(self, x: Tensor) -> Tensor:
        return upsample(super().forward(x), like=x)


class Segmentation(nn.Module):
    """A backbone and a classifier, and perhaps an auxiliary one, resized to the image's size.

    The parts have torchvision's names, so that weights of its models fit.
    """

    def __init__(
        self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.aux_classifier = aux_classifier

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.backbone(image)
        logits = {"out": self.classifier(features["out"])}  # (N, C, H/os, W/os)
        if self.aux_classifier is not None:
            logits["aux"] = self.aux_classifier(features["aux"])
        return {name: upsample(value, like=image) for name, value in logits.items()}


class LearnedUpsampling(nn.Module):
    """A transposed convolution that starts as bilinear interpolation, the same as `upsample`.

    The border is repeated first, as interpolation does; a plain transposed convolution would fade
    to 0 there.

    Args:
        channels: of the input and the output; each output channel learns to see all of them.
        factor: even.
    Reference:
        Long et al., arXiv 1411.4038, section 3.3.
    """

    def __init__(self, channels: int, factor: int = 2) -> None:
        super().__init__()
        self.factor = factor
        row = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
        eye = torch.eye(channels)[:, :, None, None]
        self.weight = nn.Parameter(eye * row[:, None] * row)  # (C, C, 2 factor, 2 factor)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """Enlarge x by the factor; at the right and the bottom, cut or repeat to fit `like`."""
        height, width = like.shape[-2:]
        x = repeat_border(x, -2, (height + self.factor - 1) // self.factor)
        x = repeat_border(x, -1, (width + self.factor - 1) // self.factor)
        pad = self.factor + self.factor // 2
        x = F.conv_transpose2d(x, self.weight, stride=self.factor, padding=pad)
        return x[..., :height, :width]


def repeat_border(x: Tensor, dim: int, size: int) -> Tensor:
    """Repeat the ends of a dimension: the first element once, the last one up to size + 2.

    F.pad(mode="replicate") has a gradient on CUDA that is a sum in no fixed order.
    """
    if torch.compiler.is_exporting():  # no gradient, and `sym_max` of every level lies in the next
        places = torch.arange(-1, size + 1, device=x.device).clamp(0, x.shape[dim] - 1)
        return x.index_select(dim, places)
    first = x.narrow(dim, 0, 1)
    last = x.narrow(dim, -1, 1)
    sizes: list[int | torch.SymInt] = list(x.shape)
    sizes[dim] = torch.sym_max(0, size + 1 - x.shape[dim])
    return torch.cat([first, x, last.expand(sizes)], dim)


def max_pool_with_indices(x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima of 2 x 2 elements, and where in each flattened channel of x they are.

    Args:
        x: (N, C, H, W).
    Returns:
        pooled and indices, (N, C, H // 2, W // 2) each.
    """
    return F.max_pool2d(x, 2, return_indices=True)


def unpool(x: Tensor, indices: Tensor, like: Tensor) -> Tensor:
    """Put each element of x where the maximum was, and 0 elsewhere, in the size of `like`.

    The same as nn.MaxUnpool2d, which CUDA does not compute in a fixed order.

    Args:
        x: (N, C, h, w).
        indices: as max_pool_with_indices gave them, all different within a channel.
        like: what was pooled, (N, any, H, W).
    Returns:
        (N, C, H, W).
    """
    height, width = like.shape[-2:]
    flat = x.new_zeros(*x.shape[:2], height * width)
    return flat.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))


def large_fov(in_channels: int, num_classes: int, rate: int) -> nn.Sequential:
    """DeepLab's fc6 of 3 x 3, fc7 and scores; the scores start as in the published network.

    Reference:
        Chen et al., arXiv 1412.7062, section 3.2 and table 2.
    """
    score = nn.Conv2d(1024, num_classes, 1)
    head = nn.Sequential(
        nn.Conv2d(in_channels, 1024, 3, padding=rate, dilation=rate),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Conv2d(1024, 1024, 1),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        score,
    )
    he_initialize(head)
    nn.init.normal_(score.weight, std=0.01)
    return head


def mirror_pad(x: Tensor) -> Tensor:
    """Add one row or column at each side, mirrored at the outermost one: b | a b c ... y z | y.

    The same as F.pad(mode="reflect"), whose gradient on CUDA is a sum in no fixed order. Cutting
    by `split` has a gradient of one concatenation, where three overlapping slices have three sums.

    Args:
        x: (N, C, H, W), H and W >= 2.
    Returns:
        (N, C, H + 2, W + 2).
    """
    if torch.compiler.is_exporting():  # no gradient, and `size` below would become a constant
        return F.pad(x, (1, 1, 1, 1), "reflect")
    for dim in (-2, -1):
        size = x.shape[dim]
        sizes = [1, 1, size - 4, 1, 1] if size >= 4 else 1
        parts = x.split(sizes, dim)
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
