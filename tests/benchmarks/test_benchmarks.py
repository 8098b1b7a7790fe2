"""The two sides of the benchmarks compute the same; their speed is in benchmarks/README.md."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from conftest import write_tree
from torch import nn

from benchmarks import recipe, timing, train_step, validation
from segmodels import models
from segmodels.data.augment import RandomCrop
from segmodels.data.loading import training_batches
from segmodels.models.network import normalize

CHANNELS_LAST = torch.channels_last


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = models.build("fcn", num_classes=21, backbone="resnet18").train()
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0  # it draws in the order of the memory layout
    return model


def floats(image, dtype):
    """(N, 3, H, W) uint8 -> normalised in `dtype`, the way of torchvision's Normalize."""
    mean, std = (torch.tensor(v, dtype=dtype).view(3, 1, 1) for v in (recipe.MEAN, recipe.STD))
    return ((image.to(dtype) / 255 - mean) / std).contiguous()


def plain_gradient(network, dtype, seed):
    """Gradient of torchvision's step, in contiguous layout."""
    model = deepcopy(network).to(dtype)
    image, target = train_step.random_batch(2, 48, seed)
    recipe.criterion(model(floats(image, dtype)), target.long()).backward()
    return flat(model)


def fast_gradient(network, dtype, seed):
    """Gradient of the training loop's step, in channels-last layout."""
    model = deepcopy(network).to(dtype).to(memory_format=CHANNELS_LAST)

    def see(model, image):
        if dtype == torch.float32:
            return train_step.see(model, image, "fp32")
        return model(floats(image, dtype).contiguous(memory_format=CHANNELS_LAST))

    train_step.our_gradients(model, *train_step.random_batch(2, 48, seed), see)
    return flat(model)


def flat(model):
    return torch.cat([p.grad.contiguous().flatten() for p in model.parameters()]).double()


def error(gradient, exact):
    return ((gradient - exact).norm() / exact.norm()).item()


def test_fast_step_has_the_gradient_of_the_plain_one(network):
    exact = plain_gradient(network, torch.float64, 0)
    assert error(fast_gradient(network, torch.float64, 0), exact) < 1e-10
    assert error(plain_gradient(network, torch.float64, 1), exact) > 0.1


def test_fast_step_is_as_exact_in_fp32_as_the_plain_one(network):
    fast, plain = [], []
    for seed in range(3):
        exact = plain_gradient(network, torch.float64, seed)
        fast.append(error(fast_gradient(network, torch.float32, seed), exact))
        plain.append(error(plain_gradient(network, torch.float32, seed), exact))
    assert np.mean(fast) <= 1.5 * np.mean(plain), (fast, plain)


def test_a_step_of_each_side_ends_with_the_same_weights(network):
    image, target = train_step.random_batch(2, 48)
    plain = deepcopy(network).double()
    fast = deepcopy(plain).to(memory_format=CHANNELS_LAST)
    see = lambda model, image: model(floats(image, torch.float64))  # noqa: E731
    updates = train_step.sgd(fast, fused=True)
    train_step.our_gradients(fast, image, target, see)
    updates.step()
    recipe.train_step(
        plain, floats(image, torch.float64), target.long(), train_step.sgd(plain, fused=False)
    )
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.contiguous(), theirs, rtol=1e-9, atol=1e-12)


def test_both_sides_of_validation_count_the_same(tmp_path):
    write_tree(tmp_path, train=0, val=5, num_classes=21)
    index = validation.read_index(tmp_path, 5)

    class Colours(nn.Module):
        """Logits that depend on the pixel alone, with room between the largest and the next."""

        def forward(self, image):
            return {
                "out": (image.mean(1, keepdim=True) - torch.arange(-10, 11).view(-1, 1, 1) / 5) ** 2
            }

    theirs = validation.theirs(Colours(), tmp_path, index)
    ours = validation.ours(Colours(), tmp_path, index, batch_size=3, precision="fp32")
    assert theirs.sum() > 5 * 40 * 40 and np.count_nonzero(theirs) > 5
    np.testing.assert_array_equal(ours, theirs)


def test_both_sides_of_the_input_show_the_same_picture(tmp_path):
    """At scale 1, without a flip and uncut, where nothing is left to chance."""
    index = write_tree(tmp_path, train=1, val=0, num_classes=4)
    whole = RandomCrop(
        size=64, base_size=None, scale=(1, 1), flip=False, ignore_index=255, fill=(0, 0, 0)
    )
    ids = index["image_id"].tolist()
    loader = training_batches(
        tmp_path, ids, [[0]], crop=whole, seed=0, epoch=1, workers=0, decoded=None
    )
    [(image, target)] = loader
    [pair] = recipe.Pictures(tmp_path, ids, partial(recipe.eval_preset, base=None))
    expected, labels = recipe.collate([pair])
    top, left = (int(np.flatnonzero((target[0] != 255).any(axis).numpy())[0]) for axis in (1, 0))
    height, width = labels.shape[-2:]
    window = np.s_[..., top : top + height, left : left + width]
    assert torch.equal(target[window].long(), labels)
    ours = normalize(image, validation.NORMALIZE)[window]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_sides_take_turns_and_a_row_has_the_ratio():
    order = []
    sides = {name: partial(order.append, name) for name in ("a", "b")}
    assert set(timing.alternate(sides, turns=3)) == {"a", "b"}
    assert order == ["a", "a", "b", "b"] * 3
    row = timing.row("what", {"a": 0.3, "b": 0.1}, 10, [("a", "b")])
    assert row == "| what | a 30.0, b 10.0 | a / b = 3.00 |"
