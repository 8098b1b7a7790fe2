"""Depthwise convolutions: gradients against PyTorch's own, in float64 and in bf16."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segmodels.models import backbones, depthwise
from segmodels.models.depthwise import depthwise_conv2d

CHANNELS = 6
GEOMETRIES = [
    (side, stride, padding, dilation)
    for side, (stride, dilation) in product((3, 5, 7), ((1, 1), (2, 1), (3, 1), (1, 2), (1, 3)))
    for padding in (0, dilation * (side // 2))
]
SIDES = [(19, 20), (20, 23), (22, 19)]


def gradients(y: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    seed = torch.Generator().manual_seed(1)
    weights = torch.randn(y.shape, dtype=torch.float64, generator=seed).to(y.dtype)
    return torch.autograd.grad(y, inputs, weights)


def case(shape: tuple[int, int], side: int) -> list[Tensor]:
    seed = torch.Generator().manual_seed(0)
    x = torch.randn(2, CHANNELS, *shape, dtype=torch.float64, generator=seed)
    weight = torch.randn(CHANNELS, 1, side, side, dtype=torch.float64, generator=seed)
    return [x.requires_grad_(), weight.requires_grad_()]


@pytest.fixture
def all_slow(monkeypatch):
    """Every geometry takes the gradients that are put together."""
    monkeypatch.setattr(depthwise, "has_slow_gradient", lambda *given: True)


@pytest.mark.parametrize(("side", "stride", "padding", "dilation"), GEOMETRIES)
def test_gradients_equal_pytorchs(all_slow, side, stride, padding, dilation):
    for shape in SIDES:
        x, weight = case(shape, side)
        plain = F.conv2d(x, weight, None, stride, padding, dilation, CHANNELS)
        ours = depthwise_conv2d(x, weight, stride, padding, dilation)
        assert ours.grad_fn.name() == "_DepthwiseBackward"
        assert torch.equal(ours, plain)
        for mine, theirs in zip(
            gradients(ours, [x, weight]), gradients(plain, [x, weight]), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("side", "stride", "padding", "dilation"), GEOMETRIES)
def test_in_bf16_as_close_to_float64_as_pytorch(side, stride, padding, dilation):
    exact = case(SIDES[0], side)
    geometry = stride, padding, dilation
    truth = gradients(F.conv2d(exact[0], exact[1], None, *geometry, CHANNELS), exact)
    short = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    ours = gradients(depthwise_conv2d(short[0], short[1], *geometry), short)
    theirs = gradients(F.conv2d(short[0], short[1], None, *geometry, CHANNELS), short)
    for true, mine, other in zip(truth, ours, theirs, strict=True):
        assert mine.dtype == torch.bfloat16
        error, others_error = ((tensor.double() - true).abs().max() for tensor in (mine, other))
        assert error <= 1.5 * others_error + 0.01 * true.abs().max()


def test_one_gradient_alone(all_slow):
    x, weight = case((19, 19), 5)
    both = gradients(depthwise_conv2d(x, weight, 2, 2), [x, weight])
    assert torch.equal(gradients(depthwise_conv2d(x, weight.detach(), 2, 2), [x])[0], both[0])
    assert torch.equal(gradients(depthwise_conv2d(x.detach(), weight, 2, 2), [weight])[0], both[1])


def test_computes_in_autocasts_dtype():
    x, weight = (tensor.float() for tensor in case((19, 19), 5))
    with torch.autocast("cpu", torch.bfloat16):
        y = depthwise_conv2d(x, weight, 1, 2)
    assert y.dtype == torch.bfloat16
    of_x, of_weight = gradients(y, [x, weight])
    assert of_x.dtype == of_weight.dtype == torch.float32


def test_second_derivatives_are_refused(all_slow):
    x, weight = case((19, 19), 3)
    y = depthwise_conv2d(x, weight, 2, 1)
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_where_pytorch_is_fast_it_computes():
    x = torch.ones(1, 2, 9, 9, requires_grad=True)
    small, large = torch.ones(2, 1, 3, 3), torch.ones(2, 1, 5, 5)
    slow = depthwise.has_slow_gradient
    assert not slow(x, small, 1, 1) and not slow(x, small, 2, 1) and not slow(x, large, 1, 1)
    assert slow(x, small, 1, 2) and slow(x, large, 1, 2)
    x = x.bfloat16()
    assert not slow(x, small, 1, 1)
    assert slow(x, small, 2, 1) and slow(x, large, 1, 1) and slow(x, large, 2, 1)
    meta = depthwise_conv2d(x.detach().to("meta"), large.bfloat16().to("meta"))
    assert meta.shape == (1, 2, 5, 5)
    with torch.no_grad():
        assert depthwise_conv2d(x, large.bfloat16()).grad_fn is None


@pytest.mark.parametrize("output_stride", [16, 32])
def test_a_network_has_the_same_gradients(monkeypatch, output_stride):
    torch.manual_seed(0)
    net, _ = backbones.build("efficientnet_lite0", output_stride=output_stride)
    net = net.double().to(memory_format=torch.channels_last)
    image = torch.randn(2, 3, 70, 66, dtype=torch.float64)
    found = []
    for put_together in (True, False):
        monkeypatch.setattr(depthwise, "has_slow_gradient", lambda *_, now=put_together: now)
        net.zero_grad()
        sum(feature.square().mean() for feature in net(image).values()).backward()
        found.append({name: p.grad.clone() for name, p in net.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-8, atol=1e-10)
