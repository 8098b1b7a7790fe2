import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segmodels.training.losses import cross_entropy, cross_entropy_sum

VOID = 255


def random_case(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 5, 6, 7)) * 3
    target = rng.choice([0, 1, 3, VOID], p=[0.4, 0.3, 0.1, 0.2], size=84)
    return torch.tensor(logits), torch.tensor(target.reshape(2, 6, 7).astype(np.uint8))


def by_loop(logits, target):
    total, count = 0.0, 0
    for n, y, x in np.ndindex(*target.shape):
        label = int(target[n, y, x])
        if label != VOID:
            scores = logits[n, :, y, x].tolist()
            total += math.log(sum(math.exp(s) for s in scores)) - scores[label]
            count += 1
    return total, count


@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_equals_a_loop_over_pixels(seed):
    logits, target = random_case(seed)
    total, count = by_loop(logits, target)
    measured, pixels = cross_entropy_sum(logits, target, ignore_index=VOID)
    assert measured.item() == pytest.approx(total, rel=1e-12)
    assert pixels.item() == count
    assert cross_entropy(logits, target, ignore_index=VOID).item() == pytest.approx(total / count)


def test_cross_entropy_equals_torch_mean_in_value_and_gradient():
    logits, target = random_case(7)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    cross_entropy(ours, target, ignore_index=VOID).backward()
    F.cross_entropy(theirs, target.long(), ignore_index=VOID).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=0)
    assert (ours.grad.permute(0, 2, 3, 1)[target == VOID] == 0).all()


def test_all_void_crop_is_zero_with_zero_gradient():
    logits = torch.randn(1, 5, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((1, 4, 4), VOID), ignore_index=VOID)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_target_is_not_written_to():
    logits, target = random_case(1)
    before = target.clone()
    cross_entropy(logits, target, ignore_index=VOID)
    assert torch.equal(target, before)


def test_bf16_logits_are_summed_in_float32():
    logits, target = random_case(2)
    total, _ = cross_entropy_sum(logits.bfloat16(), target, ignore_index=VOID)
    expected, _ = cross_entropy_sum(logits.bfloat16().double(), target, ignore_index=VOID)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_equal_logits_cost_ln_of_the_number_of_classes():
    target = torch.randint(0, 21, (1, 8, 8))
    loss = cross_entropy(torch.zeros(1, 21, 8, 8), target, ignore_index=VOID)
    assert loss.item() == pytest.approx(math.log(21))
