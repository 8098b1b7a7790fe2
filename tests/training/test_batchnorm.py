from copy import deepcopy
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from segmodels.training import batchnorm

OFFSET = 1e3  # there E[x^2] - E[x]^2 of float32 is up to 0.7% off these variances
KINDS = [nn.BatchNorm2d, nn.SyncBatchNorm, lambda c: BatchNormAct2d(c, apply_act=False)]
TRAINED = {"weight": [0.5, 2.0, -1.0], "bias": [1.0, 0.0, 3.0]}
AVERAGES = {"running_mean": [0.1, -0.2, 0.3], "running_var": [0.5, 2.0, 4.0]}


class Residual(nn.Module):
    """BatchNorm within a block, one of timm's, and one used twice in a forward pass."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.inner = nn.Sequential(BatchNormAct2d(4), nn.Conv2d(4, 4, 3, stride=2, padding=1))
        self.twice = nn.SyncBatchNorm(4)

    def forward(self, x):
        x = self.twice(self.inner(self.conv(x)))
        return self.twice(3 * x + 1)


def network():
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3)
    nn.init.constant_(first.bias, -OFFSET)
    head = [nn.Dropout2d(0.5), nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5)]
    return nn.Sequential(nn.BatchNorm2d(3), first, nn.BatchNorm2d(4), Residual(), *head)


def batches(sizes=(4, 2, 7)):
    draw = torch.Generator().manual_seed(1)
    pictures = [torch.randn(n, 3, 9, 11, generator=draw) for n in sizes]
    return [OFFSET + (k + 1) * picture + 5 * k for k, picture in enumerate(pictures)]


def two_pass(model, images):
    """Mean and unbiased variance of all that enters each layer, by numpy; dropout is off."""
    model = deepcopy(model).train()
    seen = {}

    def keep(name, inputs):
        values = inputs[0].detach().double().numpy()
        seen.setdefault(name, []).append(np.moveaxis(values, 1, 0).reshape(values.shape[1], -1))

    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout2d):
            module.eval()
        if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            module.register_forward_pre_hook(lambda _, inputs, name=name: keep(name, inputs))
    for image in images:
        model(image)
    pooled = {name: np.concatenate(values, 1) for name, values in seen.items()}
    return {name: (v.mean(1), v.var(1, ddof=1)) for name, v in pooled.items()}


def assert_statistics(model, expected):
    layers = dict(model.named_modules())
    for name, (mean, var) in expected.items():
        layer = layers[name]
        np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(layer.running_var, var, rtol=1e-5)


def state(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def equal(first, second):
    assert first.keys() == second.keys()
    return {key for key in first if torch.equal(first[key], second[key])}


def threads(work, count):
    """Run work(rank, combine) in threads, combine being an all-reduce in place."""
    barrier, slots = Barrier(count, timeout=30), [None] * count

    def combine(rank, tensor):
        slots[rank] = tensor.clone()
        barrier.wait()
        tensor.copy_(sum(slots))
        barrier.wait()
        return tensor

    def run(rank):
        work(rank, lambda tensor: combine(rank, tensor))

    running = [Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def test_layers_finds_every_kind_once():
    model = network()
    kinds = [nn.BatchNorm2d, nn.BatchNorm2d, BatchNormAct2d, nn.SyncBatchNorm, nn.BatchNorm2d]
    assert [type(layer) for layer in batchnorm.layers(model)] == kinds
    assert batchnorm.layers(nn.Sequential(nn.GroupNorm(1, 3), nn.InstanceNorm2d(3))) == []


def test_recalibrate_equals_two_passes_over_all_pixels():
    model, images = network(), batches()
    expected = two_pass(model, images)
    assert len(expected) == 5
    batchnorm.recalibrate(model, images, model)
    assert_statistics(model, expected)
    # A second time does not depend on what the first one left behind.
    once = state(model)
    batchnorm.recalibrate(model, images, model)
    assert equal(once, state(model)) == set(once)


def test_recalibrate_is_as_exact_on_what_autocast_computes():
    model, images = network(), batches()
    with torch.autocast("cpu", torch.bfloat16):
        expected = two_pass(model, images)
        batchnorm.recalibrate(model, images, model)
    assert_statistics(model, expected)


def test_recalibrated_layer_normalises_its_batch_in_evaluation():
    layer, (image,) = nn.BatchNorm2d(3), batches([7])
    batchnorm.recalibrate(layer, [image], layer)
    normalised = layer.eval()(image).detach().double().numpy()
    np.testing.assert_allclose(normalised.mean((0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(normalised.var((0, 2, 3), ddof=1), 1, atol=1e-4)


def test_recalibrate_sums_over_processes():
    models, images = [network() for _ in range(3)], batches()
    shares = [images[:1], images[1:], []]  # one process has nothing
    expected = two_pass(models[0], images)
    for rank, layer in enumerate(model[0] for model in models):
        layer.running_mean.fill_(rank)  # averages of their own, as without SyncBatchNorm
    threads(
        lambda rank, combine: batchnorm.recalibrate(
            models[rank], shares[rank], models[rank], combine
        ),
        count=3,
    )
    for model in models:
        assert_statistics(model, expected)


def test_recalibrate_changes_nothing_but_the_statistics():
    model = network()
    model[4].eval()
    before, flags = state(model), [module.training for module in model.modules()]
    random = torch.get_rng_state()
    batchnorm.recalibrate(model, batches(), model)
    changed = before.keys() - equal(before, state(model))
    assert changed == {key for key in before if key.endswith(("running_mean", "running_var"))}
    assert [module.training for module in model.modules()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    model.train()(batches()[0])  # the layers go on averaging
    assert all(layer.num_batches_tracked > 0 for layer in batchnorm.layers(model))
    assert not any(layer._forward_pre_hooks for layer in batchnorm.layers(model))


def test_recalibrate_that_fails_leaves_the_model_as_it_was():
    model = network()
    before, flags = state(model), [module.training for module in model.modules()]

    def unreadable():
        yield batches()[0]
        raise ValueError("unreadable picture")

    with pytest.raises(ValueError, match="unreadable"):
        batchnorm.recalibrate(model, unreadable(), model)
    assert equal(before, state(model)) == set(before)
    assert [module.training for module in model.modules()] == flags
    assert all(layer.track_running_stats for layer in batchnorm.layers(model))
    assert not any(layer._forward_pre_hooks for layer in batchnorm.layers(model))


def test_recalibrate_leaves_alone_what_has_no_moving_average():
    cumulative = nn.BatchNorm2d(3, momentum=None)
    untracked = nn.BatchNorm2d(3, track_running_stats=False)
    plain = nn.BatchNorm2d(3)
    cumulative.running_mean.fill_(OFFSET / 2)
    model = nn.Sequential(cumulative, plain, untracked)
    model.spare = nn.BatchNorm2d(3)
    before = state(model)
    batchnorm.recalibrate(model, batches(), model[:3])
    assert before.keys() - equal(before, state(model)) == {"1.running_mean", "1.running_var"}
    # plain saw what the first one gives in inference: a shift by its mean and no scale.
    channels = [np.moveaxis(image.numpy(), 1, 0).reshape(3, -1) for image in batches()]
    mean = np.concatenate(channels, 1).mean(1) - OFFSET / 2
    np.testing.assert_allclose(plain.running_mean, mean, rtol=1e-4)


def test_recalibrate_without_a_batch_is_refused():
    model = network()
    before = state(model)
    with pytest.raises(ValueError, match="expected at least one batch"):
        batchnorm.recalibrate(model, [], model)
    assert equal(before, state(model)) == set(before)
    batchnorm.recalibrate(nn.Conv2d(3, 4, 1), [], model)  # nothing to measure, nothing to miss


def test_frozen_statistics_never_change_while_all_weights_learn():
    model = network()
    batchnorm.recalibrate(model, batches(), model)
    before = state(model)
    updates = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.train()
        batchnorm.freeze(model)
        for image in batches():
            updates.zero_grad()
            model(image).square().mean().backward()
            updates.step()
    same = equal(before, state(model))
    assert same == {key for key, _ in model.named_buffers()}
    assert len(same) == 3 * 5


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_gradient_is_that_of_a_fixed_affine_map(kind):
    layer = kind(3).double()
    with torch.no_grad():
        for key, value in {**TRAINED, **AVERAGES}.items():
            getattr(layer, key).copy_(torch.tensor(value))
    batchnorm.freeze(layer.train())
    draw = np.random.default_rng(0)
    x, slope = draw.normal(size=(2, 4, 3, 5, 6))
    image = torch.tensor(x, requires_grad=True)
    output = layer(image)
    output.backward(torch.tensor(slope))
    weight, bias, mean, var = (
        np.array(value).reshape(3, 1, 1) for value in (*TRAINED.values(), *AVERAGES.values())
    )
    scale = 1 / np.sqrt(var + layer.eps)
    normalised = (x - mean) * scale
    np.testing.assert_allclose(output.detach(), normalised * weight + bias, atol=1e-6)
    np.testing.assert_allclose(image.grad, slope * weight * scale, atol=1e-6)
    np.testing.assert_allclose(layer.weight.grad, (slope * normalised).sum((0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(layer.bias.grad, slope.sum((0, 2, 3)), atol=1e-6)


def test_freeze_acts_on_what_it_is_given_until_the_next_train():
    model = network().train()
    batchnorm.freeze(model[3])
    training = [layer.training for layer in batchnorm.layers(model)]
    assert training == [True, True, False, False, True]
    before = state(model)
    model(batches()[0])
    changed = before.keys() - equal(before, state(model))
    assert {key.split(".")[0] for key in changed} == {"0", "2", "6"}
    assert all(layer.training for layer in batchnorm.layers(model.train()))


@pytest.mark.parametrize("mode", [True, False])
def test_frozen_timm_layer_leaves_its_dropout_in_its_mode(mode):
    layer = BatchNormAct2d(3, drop_layer=nn.Dropout).train(mode)
    batchnorm.freeze(layer)
    assert not layer.training
    assert layer.drop.training is mode


@pytest.mark.parametrize("mode", [True, False])
def test_synchronised_layers_of_one_process_do_as_before(mode):
    """SyncBatchNorm without other processes is BatchNorm; timm's activation stays."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), BatchNormAct2d(4), nn.BatchNorm2d(4)).train(mode)
    expected, image = deepcopy(model), torch.randn(5, 3, 8, 8)
    batchnorm.synchronise(model)
    assert all(isinstance(layer, nn.SyncBatchNorm) for layer in batchnorm.layers(model))
    assert torch.equal(model(image), expected(image))
    assert model.state_dict().keys() == expected.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name
