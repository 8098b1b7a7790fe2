"""Depthwise convolutions with fast gradients on a CPU.

On CPUs PyTorch computes convolutions with oneDNN, which lacks fast kernels for some gradients of
depthwise ones: both where they are dilated; in bf16 also the input's at stride 2, and the weights'
at 5 x 5. Here these are put together from operations that have fast kernels. They differ from
PyTorch's by rounding alone. `python -m benchmarks.depthwise` times both.
"""

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 3  # the gradient of 3 x 3 weights has a fast kernel
LAYOUT = torch.channels_last  # the layout of the fast kernels


def depthwise_conv2d(
    x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """`F.conv2d` with as many groups as channels; in autocast's dtype where that is on.

    Args:
        x: (N, C, H, W).
        weight: (C, 1, K, K); K is odd.
    Returns:
        (N, C, H', W').
    Example:
        >>> depthwise_conv2d(torch.ones(1, 2, 4, 4), torch.ones(2, 1, 3, 3)).shape
        torch.Size([1, 2, 2, 2])
    """
    if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
    if torch.is_grad_enabled() and has_slow_gradient(x, weight, stride, dilation):
        y: Tensor = _Depthwise.apply(x, weight, stride, padding, dilation)
        return y
    return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))


def has_slow_gradient(x: Tensor, weight: Tensor, stride: int, dilation: int) -> bool:
    """Whether a CPU has no fast kernel for a gradient of this convolution, and this file does."""
    side = weight.shape[2]
    if x.device.type != "cpu" or side < BLOCK or (stride > 1 and dilation > 1):
        return False
    return dilation > 1 or (x.dtype == torch.bfloat16 and (stride > 1 or side > BLOCK))


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        padded = F.pad(x, [padding] * 4)
        shape = padded.shape
        if dilation > 1:
            padded, gradient = _phases(padded, dilation), _phases(gradient, dilation)
        padded = padded.contiguous(memory_format=LAYOUT)
        gradient = gradient.contiguous(memory_format=LAYOUT)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _of_input(gradient, weight, stride, padded.shape)
            if dilation > 1:
                of_x = _from_phases(of_x, dilation, shape)
            of_x = F.pad(of_x, [-padding] * 4).contiguous(memory_format=LAYOUT)
        if ctx.needs_input_grad[1]:
            of_weight = _of_weight(gradient, padded, weight, stride)
        return of_x, of_weight, None, None, None


def _of_input(gradient: Tensor, weight: Tensor, stride: int, shape: torch.Size) -> Tensor:
    """Gradient of an input of this shape, convolved without padding and dilation.

    That of a stride is that of stride 1 where the outputs that were left out have the gradient 0.
    """
    reach = weight.shape[2] - 1
    if stride > 1:
        taken = gradient
        sides = shape[2] - reach, shape[3] - reach
        gradient = torch.empty((*shape[:2], *sides), dtype=taken.dtype, memory_format=LAYOUT)
        gradient.zero_()[:, :, ::stride, ::stride] = taken
    return F.conv2d(gradient, weight.flip(2, 3), padding=reach, groups=len(weight))


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient of the weights, in blocks: each is that of smaller weights on a shifted input."""
    of_weight = torch.empty_like(weight)
    block = weight[:, :, :BLOCK, :BLOCK].contiguous(memory_format=LAYOUT)
    height, width = ((side - 1) * stride + BLOCK for side in gradient.shape[2:])
    starts = range(0, weight.shape[2] - 1, BLOCK - 1)
    for top, left in product(starts, starts):
        shifted = x[:, :, top : top + height, left : left + width]
        of_weight[:, :, top : top + BLOCK, left : left + BLOCK] = (
            torch.ops.aten.convolution_backward(
                gradient,
                shifted.contiguous(memory_format=LAYOUT),
                block,
                None,
                (stride, stride),
                (0, 0),
                (1, 1),
                False,
                (0, 0),
                len(weight),
                (False, True, False),
            )[1]
        )
    return of_weight


def _phases(x: Tensor, step: int) -> Tensor:
    """Every `step`-th row and column as an image of its own, and zeros where the sides end early.

    Returns:
        (N * step * step, C, ceil(H / step), ceil(W / step)), which a dilated convolution takes as
        one without dilation.
    """
    number, channels = x.shape[:2]
    x = F.pad(x, [0, -x.shape[3] % step, 0, -x.shape[2] % step])
    height, width = x.shape[2] // step, x.shape[3] // step
    x = x.permute(0, 2, 3, 1).reshape(number, height, step, width, step, channels)
    x = x.permute(0, 2, 4, 1, 3, 5).reshape(-1, height, width, channels)
    return x.permute(0, 3, 1, 2)


def _from_phases(x: Tensor, step: int, shape: torch.Size) -> Tensor:
    """What `_phases` took apart, of this shape."""
    channels, height, width = x.shape[1:]
    x = x.permute(0, 2, 3, 1).reshape(-1, step, step, height, width, channels)
    x = x.permute(0, 3, 1, 4, 2, 5).reshape(-1, height * step, width * step, channels)
    return x[:, : shape[2], : shape[3]].permute(0, 3, 1, 2)
