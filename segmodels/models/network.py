"""One way to run a model: pass images through it.

Training and validation call `forward`. All that predicts calls a `Network`, which is a model with
its weights, its normalisation and its classes, on a device; trained.py makes it from a run.

Conventions: images arrive as uint8 and are normalised on the device. Logits are resized bilinearly
(align_corners=False) to the image's size before the argmax; label maps are never resized.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from segmodels.config.schema import Normalize
from segmodels.core.machine import Runtime

CACHED_PIXELS = 1 << 13  # of a strip of logits; with 21 classes 0.7 MB

Computed = TypeVar("Computed")


@dataclass(frozen=True)
class Network:
    """A model that predicts, in eval mode, and what its label maps mean.

    Attributes:
        name: a key of `models` in params.yaml.
        module: on `device`; normalised images (N, 3, h, w) -> {"out": logits (N, C, h, w), ...}.
        classes: name of each label.
        palette: (256, 3) uint8, colour of each label.
        precision: in which it computes: fp32, bf16 or fp16.
    Example:
        >>> network = trained.load(params.load(), "fcn_resnet50")
        >>> network(torch.zeros(1, 3, 64, 80, dtype=torch.uint8)).shape
        torch.Size([1, 21, 64, 80])
    """

    name: str
    module: nn.Module
    normalization: Normalize
    classes: list[str]
    palette: np.ndarray
    device: torch.device = torch.device("cpu")
    precision: str = "fp32"

    def __post_init__(self) -> None:
        self.module.eval()

    @torch.inference_mode()
    def __call__(self, image: Tensor, compute: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Logits (N, C, h, w) float32, on the device.

        Args:
            image: (N, 3, h, w) uint8, on any device.
            compute: what the normalised images pass through; None: the module.
        """
        seen = image.to(self.device, non_blocking=True)
        passed = compute or self._out
        logits = forward(passed, seen, normalization=self.normalization, precision=self.precision)
        return logits.float()

    def on(self, runtime: Runtime) -> Self:
        """The same network where and in the precision in which `runtime` computes."""
        device = torch.device(runtime.device)
        place(self.module, device)
        return replace(self, device=device, precision=runtime.precision)

    def _out(self, normal: Tensor) -> Tensor:
        return self.module(normal)["out"]


def forward(
    compute: Callable[[Tensor], Computed],
    image: Tensor,
    *,
    normalization: Normalize,
    precision: str,
) -> Computed:
    """Pass images through a model.

    Args:
        compute: a model, or another function of normalised images.
        image: (N, 3, H, W) uint8, on the model's device.
        precision: fp32, bf16 or fp16.
    Returns:
        what `compute` returns; of a model {"out": logits (N, C, H, W)} and, if it has such a head,
        "aux", in `precision`.
    """
    with autocast(image.device, precision):
        return compute(normalize(image, normalization))


def normalize(image: Tensor, normalization: Normalize) -> Tensor:
    """(N, 3, H, W) uint8 -> float32, channels-last: 0..1, less the mean, over the deviation."""
    n, _, height, width = image.shape
    # Whole rows: broadcasting over an innermost axis of three is several times slower on a CPU.
    rows = image.permute(0, 2, 3, 1).float().reshape(n, height, 3 * width)
    # torch.tensor(..., device=) would make the program wait until the GPU has done all before it.
    shift, spread = (
        (torch.tensor(values) * 255).to(image.device, non_blocking=True).repeat(width)
        for values in (normalization.mean, normalization.std)
    )
    return rows.sub_(shift).div_(spread).view(n, height, width, 3).permute(0, 3, 1, 2)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a model computes in `precision`: fp32, bf16 or fp16."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """Bring a model to a device, its weights channels-last, in place."""
    return module.to(device).to(memory_format=torch.channels_last)


@torch.no_grad()
def label_map(logits: Tensor) -> Tensor:
    """The label of each pixel, which is that of its largest logit; of equals the first.

    The plain line is logits.argmax(-3).to(torch.uint8). On a CPU it takes ten times as long where
    logits lie class by class in memory, and about as long where they lie pixel by pixel.

    Args:
        logits: (..., C, H, W) float, at most 255 classes.
    Returns:
        (..., H, W) uint8, on their device. Where a logit is NaN, the label is 0.
    """
    strips = logits.split(strip_height(logits), -2)
    return torch.cat([_label_map(strip) for strip in strips], -2)


def _label_map(logits: Tensor) -> Tensor:
    """The smallest of the labels after C is added to those of less than the largest logit."""
    num_classes = logits.shape[-3]
    labels = torch.arange(num_classes, dtype=logits.dtype, device=logits.device).view(-1, 1, 1)
    lesser = logits.clone(memory_format=torch.contiguous_format)  # maxima of others are slow
    lesser.lt_(lesser.amax(-3, keepdim=True))
    return torch.add(labels, lesser, alpha=num_classes, out=lesser).amin(-3).to(torch.uint8)


def strip_height(logits: Tensor) -> int:
    """How many rows of logits (..., C, H, W) fit into a CPU's cache; on a GPU all."""
    if logits.device.type != "cpu":
        return max(1, logits.shape[-2])
    return max(1, CACHED_PIXELS // max(1, logits[..., 0, 0, :].numel()))
