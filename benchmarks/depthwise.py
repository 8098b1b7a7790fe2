"""Training with depthwise convolutions on a CPU: our gradients against PyTorch's own.

The first rows are single convolutions of EfficientNet-Lite, of the kinds that PyTorch is slow at.
Then come whole training steps of FCN (output stride 16) and FPN. One process, in turns.
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import timing
from benchmarks.train_step import CLASSES, our_step, random_batch, sgd
from segmodels import models
from segmodels.models import depthwise

BATCH = 8
OTHER = "ours with PyTorch's gradients"  # as for "ours", memory is used again
KINDS = {  # channels, side of the weights, stride, dilation, side of the input
    "3 x 3, stride 2": (96, 3, 2, 1, 113),
    "5 x 5": (240, 5, 1, 1, 28),
    "5 x 5, stride 2": (144, 5, 2, 1, 59),
    "5 x 5, dilation 2": (1152, 5, 1, 2, 14),
}
ARGUMENTS = {"backbone": "efficientnet_lite0"}
NETWORKS = {"fcn": {"output_stride": 16, "aux": False}, "fpn": {"pyramid_channels": 64}}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--turns", type=int, default=5, help="times that each side has its turn")
    options.add_argument("--crop", type=int, default=224, help="of the training steps, pixels")
    given = options.parse_args()
    print(timing.machine(given.threads))
    pair = [(OTHER, "ours")]
    for precision in ("bf16", "fp32"):
        for kind in KINDS:
            seconds = timing.alternate(gradients(kind, precision), given.turns)
            print(timing.row(f"gradients, {kind}, {precision}, ms", seconds, 1, pair))
        for arch in NETWORKS:
            seconds = timing.alternate(steps(arch, given.crop, precision), given.turns)
            print(timing.row(f"step of {arch}, {precision}, ms", seconds, 1, pair))


def gradients(kind: str, precision: str) -> dict[str, Callable[[], object]]:
    """Both gradients of one convolution."""
    channels, side, stride, dilation, length = KINDS[kind]
    padding = 0 if stride > 1 else dilation * (side // 2)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.randn(BATCH, channels, length, length, dtype=dtype)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(channels, 1, side, side, dtype=dtype).requires_grad_()
    theirs = F.conv2d(x, weight, None, stride, padding, dilation, channels)
    ours = depthwise.depthwise_conv2d(x, weight, stride, padding, dilation)

    def backward(y: Tensor) -> object:
        return torch.autograd.grad(y, [x, weight], torch.ones_like(y), retain_graph=True)

    return {OTHER: partial(backward, theirs), "ours": partial(backward, ours)}


def steps(arch: str, crop: int, precision: str) -> dict[str, Callable[[], object]]:
    """Whole training steps."""
    image, target = random_batch(BATCH, crop)
    model = models.build(arch, num_classes=CLASSES, **ARGUMENTS, **NETWORKS[arch])
    model = model.to(memory_format=torch.channels_last).train()

    def step(network: nn.Module, updates: torch.optim.Optimizer, slow: bool) -> None:
        if slow:
            with patch.object(depthwise, "has_slow_gradient", lambda *_: False):
                our_step(network, image, target, updates, precision)
        else:
            our_step(network, image, target, updates, precision)

    other = deepcopy(model)
    return {
        OTHER: partial(step, other, sgd(other, fused=True), slow=True),
        "ours": partial(step, model, sgd(model, fused=True), slow=False),
    }


if __name__ == "__main__":
    main()
