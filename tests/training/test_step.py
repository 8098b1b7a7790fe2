"""Gradients of a batch in parts against those of the batch whole, and of a plain loss."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import VOID
from torch import nn

from benchmarks import small_cases
from segmodels.config.schema import Loss
from segmodels.core.distributed import Processes
from segmodels.training import losses
from segmodels.training.step import Objective, gradients, untouched

NUM_CLASSES = 5


def make_model(dropout=0.0):
    """Two heads, no BatchNorm, float64."""
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.Dropout(dropout))
    heads = nn.ModuleDict(
        {"out": nn.Conv2d(8, NUM_CLASSES, 1), "aux": nn.Conv2d(8, NUM_CLASSES, 1)}
    )
    return nn.ModuleDict({"stem": stem, "heads": heads}).double()


def see(model, image):
    features = model["stem"](image.double() / 255)
    return {name: head(features) for name, head in model["heads"].items()}


def make_batch(size=8):
    """Pictures with very different shares of void."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (size, 3, 12, 10), dtype=torch.uint8, generator=generator)
    target = torch.randint(0, NUM_CLASSES, (size, 12, 10), generator=generator).to(torch.uint8)
    for k in range(size):
        target[k, : (5 * k) % 12] = VOID
    return image, target


def objective(cross_entropy=1.0, dice=0.0, weights=None, focal=0.0):
    loss = Loss(cross_entropy=cross_entropy, dice=dice, focal=focal)
    return Objective(loss, 0.5, weights, NUM_CLASSES, VOID)


def alone(name):
    return Objective(small_cases.alone(name), 0.5, None, NUM_CLASSES, VOID)


def learned(model, batch, parts, goal):
    """Gradients by name, and the sums."""
    model.zero_grad()
    torch.manual_seed(7)
    pieces = list(zip(*(tensor.chunk(parts) for tensor in batch), strict=True))
    sums = gradients(
        model, pieces, objective=goal, forward=see, processes=Processes(), scale=lambda loss: loss
    )
    return {name: p.grad.clone() for name, p in model.named_parameters()}, sums


WEIGHTS = torch.tensor([0.3, 1.0, 2.5, 1.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize(
    "goal",
    [
        *[alone(name) for name in losses.LOSSES],
        objective(weights=WEIGHTS),
        objective(0.7, 2, WEIGHTS),
        objective(0, 1, focal=1),
    ],
)
@pytest.mark.parametrize("parts", [2, 4, 8])
def test_parts_have_the_gradient_of_the_whole_batch(goal, parts):
    model, batch = make_model(), make_batch()
    whole, sums = learned(model, batch, 1, goal)
    pieces, sums_of_pieces = learned(model, batch, parts, goal)
    for name in whole:
        torch.testing.assert_close(pieces[name], whole[name], rtol=1e-9, atol=1e-14, msg=name)
    torch.testing.assert_close(sums_of_pieces, sums, rtol=1e-12, atol=0)


def test_whole_batch_has_the_gradient_of_torch_losses():
    model, (image, target) = make_model(), make_batch()
    got, _ = learned(model, (image, target), 1, objective(weights=WEIGHTS))
    model.zero_grad()
    out, aux = (
        F.cross_entropy(logits, target.long(), weight=WEIGHTS, ignore_index=VOID)
        for logits in see(model, image).values()
    )
    (out + 0.5 * aux).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, rtol=1e-9, atol=1e-14, msg=name)


def test_mean_of_the_parts_would_be_another_gradient():
    """The void shares of the batch are uneven enough for the tests above to mean something."""
    model, (image, target) = make_model(), make_batch()
    whole, _ = learned(model, (image, target), 1, objective())
    model.zero_grad()
    for k in range(2):
        part = slice(4 * k, 4 * k + 4)
        out, aux = (
            F.cross_entropy(logits, target[part].long(), ignore_index=VOID)
            for logits in see(model, image[part]).values()
        )
        ((out + 0.5 * aux) / 2).backward()
    name = "heads.out.weight"
    naive = model["heads"]["out"].weight.grad
    assert (naive - whole[name]).norm() > 1e-2 * whole[name].norm()


@pytest.mark.parametrize(("goal", "passes"), [(objective(0, focal=1), 4), (objective(0, 1), 8)])
def test_parts_pass_the_model_once_where_the_slope_is_known_before(goal, passes):
    model, batch = make_model(), make_batch()
    calls = []
    model["stem"].register_forward_hook(lambda *call: calls.append(call))
    learned(model, batch, 4, goal)
    assert len(calls) == passes


def test_dice_in_parts_sees_the_same_dropout_twice():
    """The slope is taken at sums of the very network that is then learned from."""
    model, (image, target) = make_model(dropout=0.5), make_batch(4)
    pieces, sums = learned(model, (image, target), 2, objective(0, 1))
    model.zero_grad()
    torch.manual_seed(7)
    logits = [see(model, part) for part in image.chunk(2)]
    whole = {name: torch.cat([part[name] for part in logits]) for name in ("out", "aux")}
    goal = objective(0, 1)
    goal.value(goal.sums(whole, target)).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(pieces[name], parameter.grad, rtol=1e-9, atol=1e-14, msg=name)


def test_untouched_brings_buffers_back():
    layer = nn.BatchNorm2d(3)
    with untouched(layer):
        layer(torch.randn(2, 3, 4, 4))
        assert layer.running_mean.any() and layer.num_batches_tracked == 1
    assert not layer.running_mean.any() and layer.num_batches_tracked == 0


def sums_before(logits, target, learn_dice):
    """The four class sums in the order of operations of the first version, (4, C) float32."""
    log_shares = F.log_softmax(logits.float().contiguous(), 1)
    nats = F.nll_loss(log_shares, target.long(), ignore_index=VOID, reduction="none")
    counts = target != VOID
    with torch.set_grad_enabled(learn_dice):
        overlap = (-nats).exp()
        shares = (log_shares * math.log2(math.e)).exp2_() * counts[:, None].float()
    n, height, _ = target.shape
    rows = torch.arange(n * height).view(n, height, 1) * (NUM_CLASSES + 1)
    bins = (rows + torch.where(counts, target, NUM_CLASSES)).flatten()

    def by_class(values):
        flat = torch.zeros(n * height * (NUM_CLASSES + 1), dtype=torch.float64)
        flat = flat.index_add(0, bins, values.flatten().double())
        return flat.view(n * height, NUM_CLASSES + 1).sum(0)[:NUM_CLASSES]

    sums = [by_class(values) for values in (nats, overlap, counts)]
    return torch.stack([*sums[:2], shares.sum((2, 3)).double().sum(0), sums[2]]).float()


def value_before(sums, cross_entropy, dice, class_weights):
    nats, overlap, predicted, true = sums
    present = true > 0
    dices = 1 - 2 * overlap / torch.where(present, predicted + true, 1)
    mean_dice = torch.where(present, dices, 0).sum() / present.sum().clamp(min=1)
    if class_weights is not None:
        nats, true = nats * class_weights, true * class_weights
    mean_nats = nats.sum() / torch.where(true.sum() > 0, true.sum(), 1)
    return cross_entropy * mean_nats + dice * mean_dice


@pytest.mark.parametrize("class_weights", [None, WEIGHTS])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize(("cross_entropy", "dice"), [(1, 0), (0, 1), (0.7, 2)])
def test_steps_have_the_bits_of_the_first_version(parts, cross_entropy, dice, class_weights):
    """Results that were trained with it are trained to the same bits."""
    ours, theirs = make_model().float(), make_model().float()
    batch = make_batch()
    goal = objective(cross_entropy, dice, class_weights)

    def look(model, image):
        features = model["stem"](image.float() / 255)
        return {name: head(features) for name, head in model["heads"].items()}

    def by_head(model, image, target):
        heads = look(model, image).values()
        return torch.stack([sums_before(logits, target, dice > 0) for logits in heads])

    pieces = list(zip(*(tensor.chunk(parts) for tensor in batch), strict=True))
    for _ in range(3):
        for model in (ours, theirs):
            model.zero_grad()
        plain = {"forward": look, "processes": Processes(), "scale": lambda loss: loss}
        sums = gradients(ours, pieces, objective=goal, **plain)
        with torch.no_grad():
            whole = sum(by_head(theirs, *piece).double() for piece in pieces)
        assert torch.equal(sums, whole)
        at = whole.clone().requires_grad_()
        out, aux = (value_before(head, cross_entropy, dice, class_weights) for head in at)
        slope = torch.autograd.grad(out + 0.5 * aux, at)[0].float()
        for image, target in pieces:
            (by_head(theirs, image, target) * slope).sum().backward()
        with torch.no_grad():
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                assert torch.equal(a.grad, b.grad)
                a -= 0.1 * a.grad
                b -= 0.1 * b.grad
