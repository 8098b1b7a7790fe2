"""Shared layers against torch's own interpolation, unpooling and reflection."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segmodels.models.layers import LearnedUpsampling, max_pool_with_indices, unpool


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def gradient(y, x):
    """Of a sum with fixed random weights."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.rand(y.shape, dtype=torch.float64, generator=generator)
    return torch.autograd.grad((y * weight).sum(), x, retain_graph=True)[0]


@pytest.mark.parametrize("factor", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 3)])
def test_learned_upsampling_starts_as_interpolation_border_and_gradient_included(factor, size):
    x = random(2, 3, *size)
    layer = LearnedUpsampling(3, factor).double()
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    ours = layer(x, like=expected)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient(ours, x), gradient(expected, x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_learned_upsampling_starts_with_the_papers_filter(factor):
    # As the paper's code fills its filters, for a kernel of 2 x factor.
    size = 2 * factor
    rows, columns = np.ogrid[:size, :size]
    centre = factor - 0.5
    expected = (1 - abs(rows - centre) / factor) * (1 - abs(columns - centre) / factor)
    weight = LearnedUpsampling(3, factor).weight.detach().numpy()
    assert weight.shape == (3, 3, size, size)
    for i in range(3):
        for j in range(3):
            np.testing.assert_allclose(weight[i, j], expected * (i == j), atol=1e-7)


@pytest.mark.parametrize("like", [(9, 12), (10, 11), (11, 13), (12, 15), (5, 6)])
def test_learned_upsampling_cuts_or_repeats_the_end_to_fit(like):
    x = random(1, 2, 5, 6)
    repeated = F.pad(x, (0, 2, 0, 1), mode="replicate")
    expected = F.interpolate(repeated, scale_factor=2, mode="bilinear", align_corners=False)
    ours = LearnedUpsampling(2).double()(x, like=torch.empty(1, 1, *like))
    torch.testing.assert_close(ours, expected[..., : like[0], : like[1]], rtol=0, atol=1e-12)


def test_learned_upsampling_learns_to_exchange_channels():
    torch.manual_seed(0)
    layer = LearnedUpsampling(2)
    x = torch.randn(4, 2, 6, 6)
    target = F.interpolate(x.flip(1), scale_factor=2, mode="bilinear", align_corners=False)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(200):
        loss = F.mse_loss(layer(x, like=target), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-3 * target.var().item()


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 2), (5, 7), (8, 6), (9, 9)])
def test_unpooling_and_its_gradient_equal_torchs(size):
    x = random(2, 3, *size)
    pooled, indices = max_pool_with_indices(x)
    expected = nn.MaxUnpool2d(2)(pooled, indices, output_size=size)
    ours = unpool(pooled, indices, like=x)
    assert torch.equal(ours, expected)
    torch.testing.assert_close(gradient(ours, x), gradient(expected, x))


def test_unpooling_by_hand():
    # Maxima 4 (row 0, column 1) and 9 (row 1, column 2); the last row and column are not pooled.
    x = torch.tensor([[[[1.0, 4, 2, 3, 7], [0, 2, 9, 8, 7], [7, 7, 7, 7, 7]]]])
    pooled, indices = max_pool_with_indices(x)
    assert pooled.tolist() == [[[[4, 9]]]]
    expected = [[0, 40, 0, 0, 0], [0, 0, 90, 0, 0], [0, 0, 0, 0, 0]]
    assert unpool(10 * pooled, indices, like=x).tolist() == [[expected]]
