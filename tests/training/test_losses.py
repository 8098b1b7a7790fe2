import math
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.small_cases import alone
from segmodels.config import schema
from segmodels.config.schema import Loss
from segmodels.training import losses

VOID = 255
CLASSES = 5  # 2 and 4 never occur in the targets
CLASS_WEIGHTS = [0.2, 1.0, 3.0, 2.5, 0.7]
OBJECTIVES = [(1, 0, False), (0, 1, False), (1, 1, False), (0.3, 2, True), (1, 0, True)]


def random_case(seed):
    """Logits and a target with void, absent classes, and a second picture that is all void."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, CLASSES, 6, 7)) * 3
    target = rng.choice([0, 1, 3, VOID], p=[0.4, 0.3, 0.1, 0.2], size=(3, 6, 7))
    target[1] = VOID
    return torch.tensor(logits), torch.tensor(target.astype(np.uint8))


def all_void():
    return torch.randn(2, CLASSES, 4, 4, dtype=torch.float64), torch.full((2, 4, 4), VOID)


def by_loop(logits, target, class_weights):
    """Weighted cross-entropy and soft Dice, pixel by pixel in plain Python."""
    nats = weights = 0.0
    overlap, predicted, true = ([0.0] * CLASSES for _ in range(3))
    for n, y, x in np.ndindex(*target.shape):
        label = int(target[n, y, x])
        if label == VOID:
            continue
        scores = logits[n, :, y, x].tolist()
        shares = [math.exp(s) / sum(map(math.exp, scores)) for s in scores]
        nats -= class_weights[label] * math.log(shares[label])
        weights += class_weights[label]
        overlap[label] += shares[label]
        true[label] += 1
        for c in range(CLASSES):
            predicted[c] += shares[c]
    present = [c for c in range(CLASSES) if true[c]]
    dices = [1 - 2 * overlap[c] / (predicted[c] + true[c]) for c in present]
    return (nats / weights, sum(dices) / len(dices)) if present else (0.0, 0.0)


def loss(logits, target, cross_entropy=1, dice=0, weighted=False, **others):
    weights = Loss(cross_entropy=cross_entropy, dice=dice, **others)
    sums = losses.class_sums(logits, target, weights, ignore_index=VOID)
    class_weights = torch.tensor(CLASS_WEIGHTS, dtype=torch.float64) if weighted else None
    return losses.objective(sums, weights, class_weights)


def value_of(name, logits, target):
    """One loss alone."""
    weights = alone(name)
    sums = losses.class_sums(logits, target, weights, ignore_index=VOID)
    return losses.objective(sums, weights, None)


each = pytest.mark.parametrize("name", losses.LOSSES)
PLAIN, BOTH = Loss(cross_entropy=1, dice=0), Loss(cross_entropy=1, dice=1)


@pytest.mark.parametrize(("cross_entropy", "dice", "weighted"), OBJECTIVES)
@pytest.mark.parametrize("case", [random_case(seed) for seed in range(5)] + [all_void()])
def test_objective_equals_a_loop_over_pixels(case, cross_entropy, dice, weighted):
    parts = by_loop(*case, CLASS_WEIGHTS if weighted else [1] * CLASSES)
    expected = cross_entropy * parts[0] + dice * parts[1]
    measured = loss(*case, cross_entropy, dice, weighted).item()
    assert measured == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("weight", [None, CLASS_WEIGHTS])
def test_cross_entropy_equals_torch_mean_in_value_and_gradient(weight):
    logits, target = random_case(7)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    given = loss(ours, target, weighted=weight is not None)
    weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    expected = F.cross_entropy(theirs, target.long(), weight=weight, ignore_index=VOID)
    assert given.item() == pytest.approx(expected.item(), rel=1e-12)
    given.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-18)
    assert (ours.grad.permute(0, 2, 3, 1)[target == VOID] == 0).all()


@pytest.mark.parametrize(("cross_entropy", "dice", "weighted"), OBJECTIVES)
def test_gradients_equal_finite_differences(cross_entropy, dice, weighted):
    logits, target = random_case(3)
    logits = logits[:, :, :3, :3].clone().requires_grad_()
    target = target[:, :3, :3]
    assert torch.autograd.gradcheck(
        lambda x: loss(x, target, cross_entropy, dice, weighted), logits, atol=1e-7
    )


@pytest.mark.parametrize(("cross_entropy", "dice", "weighted"), OBJECTIVES)
def test_all_void_crop_is_zero_with_zero_gradient(cross_entropy, dice, weighted):
    logits, target = all_void()
    value = loss(logits.requires_grad_(), target, cross_entropy, dice, weighted)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


def test_perfect_and_opposite_masks_have_dice_0_and_1():
    target = torch.tensor([[[0, 1], [3, VOID]]])
    right = 100.0 * F.one_hot(target % VOID, CLASSES).permute(0, 3, 1, 2)
    wrong = 100.0 * F.one_hot(torch.tensor([[[4, 2], [2, 0]]]), CLASSES).permute(0, 3, 1, 2)
    assert loss(right, target, 0, 1).item() == pytest.approx(0, abs=1e-6)
    assert loss(wrong, target, 0, 1).item() == pytest.approx(1, abs=1e-6)


def test_sums_of_two_batches_give_the_loss_of_both_as_one():
    (first, _), (second, _) = (case for case in (random_case(1), random_case(2)))
    targets = random_case(1)[1], torch.where(random_case(2)[1] == 1, 4, random_case(2)[1])
    sums = [
        losses.class_sums(x, t, PLAIN, ignore_index=VOID)
        for x, t in zip((first, second), targets, strict=True)
    ]
    whole = torch.cat([second, first]), torch.cat([targets[1], targets[0]])
    parts = by_loop(*whole, [1] * CLASSES)
    expected = {"loss": parts[0], "cross_entropy": parts[0], "dice": parts[1]}
    assert losses.values(sum(sums), PLAIN, None) == pytest.approx(expected, rel=1e-12)
    dices = [losses.values(one, PLAIN, None)["dice"] for one in sums]
    assert parts[1] != pytest.approx(sum(dices) / 2)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_target_is_not_written_to(dtype):
    logits, target = random_case(1)
    target = target.to(dtype)
    before = target.numpy().tobytes()
    loss(logits.requires_grad_(), target, 1, 1, weighted=True).backward()
    assert target.numpy().tobytes() == before


def test_bf16_logits_are_summed_in_float32():
    logits, target = random_case(2)
    given = loss(logits.bfloat16(), target, 1, 1)
    assert given.dtype == torch.float32
    expected = loss(logits.bfloat16().double(), target, 1, 1)
    assert given.item() == pytest.approx(expected.item(), rel=1e-5)


def test_equal_logits_cost_ln_of_the_number_of_classes():
    target = torch.randint(0, 21, (1, 8, 8))
    assert loss(torch.zeros(1, 21, 8, 8), target).item() == pytest.approx(math.log(21))


def test_cross_entropy_alone_learns_nothing_from_dice():
    logits, target = random_case(4)
    sums = losses.class_sums(logits.requires_grad_(), target, PLAIN, ignore_index=VOID)
    rows = dict(zip(losses.quantities(PLAIN), sums, strict=True))
    dice = losses.dice(rows, None)
    assert dice > 0
    assert torch.autograd.grad(dice, logits, allow_unused=True)[0].abs().sum() == 0


def test_label_out_of_range_is_no_void():
    with pytest.raises(IndexError, match="7"):
        loss(torch.zeros(1, CLASSES, 2, 2), torch.full((1, 2, 2), 7))


def test_median_frequency_by_hand():
    # Class 0 has 90 + 50 of 200 pixels, class 1 has 10 of 100 (in the first image alone), class 2
    # has 50 of 100; class 3 never occurs. Frequencies 0.7, 0.1, 0.5; their median is 0.5.
    pixels = np.array([[90, 10, 0, 0], [50, 0, 50, 0]])
    expected = [0.5 / 0.7, 0.5 / 0.1, 1, 1]
    np.testing.assert_allclose(losses.median_frequency(pixels), expected, rtol=1e-12)
    softer = losses.CLASS_WEIGHTS["sqrt_median_frequency"](pixels)
    np.testing.assert_allclose(softer, [0.845154254728517, 2.23606797749979, 1, 1], rtol=1e-12)


def test_each_class_weighting_of_the_schema_exists():
    named = set(get_args(schema.ClassWeights))
    assert named == {"none", *losses.CLASS_WEIGHTS}


@pytest.mark.parametrize("seed", range(3))
def test_median_frequency_equals_a_loop_over_images(seed):
    pixels = np.random.default_rng(seed).integers(-5, 9, (6, 7)).clip(0)
    pixels[:, 2] = 0
    frequency = {}
    for c in range(7):
        images = [row for row in pixels if row[c] > 0]
        if images:
            frequency[c] = sum(row[c] for row in images) / sum(sum(row) for row in images)
    median = np.median(list(frequency.values()))
    expected = [median / frequency[c] if c in frequency else 1 for c in range(7)]
    np.testing.assert_allclose(losses.median_frequency(pixels), expected, rtol=1e-12)


@pytest.mark.parametrize("weights", [PLAIN, BOTH])
def test_memory_layout_of_the_logits_does_not_matter(weights):
    logits, target = random_case(6)
    plain = losses.class_sums(logits, target, weights, ignore_index=VOID)
    last = logits.contiguous(memory_format=torch.channels_last)
    other = losses.class_sums(last, target, weights, ignore_index=VOID)
    assert torch.equal(plain, other)


def test_float32_sums_are_near_those_of_float64():
    logits = torch.randn(2, CLASSES, 200, 300) * 5
    target = torch.randint(0, CLASSES, (2, 200, 300), dtype=torch.uint8)
    target[:, :20] = VOID
    sums, exact = (
        losses.class_sums(x, target, PLAIN, ignore_index=VOID) for x in (logits, logits.double())
    )
    # 24 bits of each probability, of which 10^5 are added up; a plain float32 sum would lose 10.
    torch.testing.assert_close(sums.double(), exact, rtol=1e-6, atol=0)
    pixels = torch.bincount(target.flatten(), minlength=256)[:CLASSES]
    assert sums[3].tolist() == pixels.tolist()


def test_every_loss_has_a_weight_and_a_title_and_shares_sums_by_name():
    schema = "Loss of segmodels/config/schema.py"
    assert list(losses.LOSSES) == list(Loss.model_fields), f"{schema}: a weight for each loss"
    assert all(field.title for field in Loss.model_fields.values()), f"{schema}: a title for each"
    by_name = {}
    for one in losses.LOSSES.values():
        for name, quantity in one.sums.items():
            assert by_name.setdefault(name, quantity) is quantity
            assert name != losses.TRUE


@each
def test_gradient_of_each_loss_equals_finite_differences(name):
    logits, target = random_case(3)
    logits = logits[:, :, :3, :3].clone().requires_grad_()
    target = target[:, :3, :3]
    assert torch.autograd.gradcheck(lambda x: value_of(name, x, target), logits, atol=1e-7)


@each
def test_each_loss_is_0_with_gradient_0_where_all_is_void(name):
    logits, target = all_void()
    value = value_of(name, logits.requires_grad_(), target)
    value.backward()
    assert value.item() == 0
    assert (logits.grad == 0).all()


@each
def test_no_loss_looks_at_the_logits_of_void(name):
    logits, target = random_case(5)
    other = torch.where((target == VOID)[:, None], 3 - 2 * logits, logits)
    assert value_of(name, logits, target).item() != 0
    torch.testing.assert_close(value_of(name, other, target), value_of(name, logits, target))


@each
def test_a_linear_loss_has_a_slope_that_the_true_pixels_give(name):
    weights = alone(name)
    logits, target = random_case(8)
    sums = losses.class_sums(logits, target, weights, ignore_index=VOID)
    unknown = sums.clone()
    unknown[:-1] = 0
    slopes = []
    for at in (sums, unknown):
        at.requires_grad_()
        slope = torch.autograd.grad(losses.objective(at, weights, None), at)[0]
        slopes.append(slope[:-1])
    assert torch.equal(*slopes) == losses.linear(weights) == losses.LOSSES[name].linear


def test_a_loss_of_one_line_is_found_everywhere(monkeypatch):
    """Not in the schema, so that it stands here in place of Dice: one without a sum of its own."""
    wrong = losses.SummedLoss(
        {"overlap": losses.LOSSES["dice"].sums["overlap"]},
        lambda sums, _: 1 - sums["overlap"].sum() / sums["true"].sum(),
        linear=True,
    )
    monkeypatch.setitem(losses.LOSSES, "dice", wrong)
    assert list(losses.quantities(PLAIN)) == ["nats", "true"]  # of weight 0 it costs nothing
    logits, target = random_case(9)
    sums = losses.class_sums(logits, target, BOTH, ignore_index=VOID)
    figures = losses.values(sums, BOTH, None)
    shares = logits.softmax(1).movedim(1, -1)[target != VOID]
    labels = target[target != VOID].long()
    expected = 1 - shares[torch.arange(len(labels)), labels].mean().item()
    assert figures["dice"] == pytest.approx(expected, rel=1e-12)
    assert figures["loss"] == pytest.approx(figures["cross_entropy"] + expected, rel=1e-12)


def focal_by_loop(logits, target):
    """Mean of -(1 - p)^2 ln p over the pixels that are not void, in plain Python."""
    values = []
    for n, y, x in np.ndindex(*target.shape):
        label = int(target[n, y, x])
        if label != VOID:
            exps = np.exp(logits[n, :, y, x].numpy())
            p = exps[label] / exps.sum()
            values.append(-((1 - p) ** 2) * np.log(p))
    return np.mean(values)


@pytest.mark.parametrize("seed", range(5))
def test_focal_equals_a_loop_over_pixels(seed):
    logits, target = random_case(seed)
    expected = focal_by_loop(logits, target)
    assert loss(logits, target, 0, focal=1).item() == pytest.approx(expected, rel=1e-12)
    nats = by_loop(logits, target, [1] * CLASSES)[0]
    both = loss(logits, target, 1, focal=0.5).item()
    assert both == pytest.approx(nats + 0.5 * expected, rel=1e-12)


def test_focal_is_finite_where_the_prediction_is_certain():
    target = torch.tensor([[[0, 1]]])
    logits = 200 * F.one_hot(torch.tensor([[[0, 0]]]), CLASSES).permute(0, 3, 1, 2).float()
    logits.requires_grad_()
    value = loss(logits, target, 0, focal=1)
    value.backward()
    assert value.item() == pytest.approx(100)  # of two pixels, one has p = 1, one p = e^-200
    assert torch.isfinite(logits.grad).all()


def test_focal_is_reported_where_it_is_learned_alone():
    logits, target = random_case(1)
    for weights in (PLAIN, Loss(cross_entropy=0, dice=0, focal=1)):
        sums = losses.class_sums(logits, target, weights, ignore_index=VOID)
        figures = losses.values(sums, weights, None)
        assert ("focal" in figures) == (weights.focal > 0)
        assert {"loss", "cross_entropy", "dice"} <= figures.keys()
