from pathlib import Path

import pytest
import torch

from segmodels import params
from segmodels.training.recipe import lr_factor, optimizer

RECIPE = params.load(Path(__file__).parents[1] / "params.yaml").train["miniature"]
STEPS = 5


def curve(**changes):
    recipe = RECIPE.model_copy(update={"epochs": 4, **changes})
    total = recipe.epochs * STEPS
    return [lr_factor(k, recipe=recipe, steps_per_epoch=STEPS) for k in range(total)]


def torch_curve(scheduler, steps):
    parameter = torch.nn.Parameter(torch.zeros(1))
    updates = torch.optim.SGD([parameter], lr=1.0)
    schedule = scheduler(updates)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        updates.step()
        schedule.step()
    return rates


def test_poly_equals_torch():
    theirs = torch_curve(
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=20, power=0.9), 20
    )
    assert curve(schedule="poly", warmup_epochs=0) == pytest.approx(theirs)


def test_onecycle_falls_like_torch_cosine_after_a_linear_warm_up():
    rates = curve(schedule="onecycle", warmup_epochs=1)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    theirs = torch_curve(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=15), 15)
    assert rates[5:] == pytest.approx(theirs)


def test_optimizers_take_one_step_as_their_papers_say():
    for name, expected in (("sgd", 1 - 0.1 * (2 + 0.01 * 1)), ("adamw", (1 - 0.1 * 0.01) - 0.1)):
        recipe = RECIPE.model_copy(update={"optimizer": name, "lr": 0.1, "weight_decay": 0.01})
        weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
        updates = optimizer([weight], recipe)
        weight.grad = torch.full_like(weight, 2.0)
        updates.step()
        # SGD adds decay to the gradient; AdamW shrinks first, and its first step has length lr.
        assert weight.item() == pytest.approx(expected, abs=1e-7)


def test_momentum_reaches_both_optimizers():
    for name in ("sgd", "adamw"):
        recipe = RECIPE.model_copy(update={"optimizer": name, "momentum": 0.7})
        group = optimizer([torch.nn.Parameter(torch.ones(1))], recipe).param_groups[0]
        assert group.get("momentum", group.get("betas", (None,))[0]) == 0.7
