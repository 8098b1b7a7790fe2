from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, PolynomialLR
from torchvision.models import resnet18
from torchvision.models.segmentation.fcn import FCNHead

from segmodels import models
from segmodels.config import params
from segmodels.training.optim import build_optimizer, lr_factor, parameter_groups, set_lr

RECIPE = params.load(Path(__file__).parents[2] / "params.yaml").train["miniature"]
STEPS = 5


class Segmenter(nn.Module):
    """One number for each part that has a learning rate, in another order than the groups."""

    def __init__(self, *parts):
        super().__init__()
        for part in parts:
            setattr(self, part, nn.Linear(1, 1, bias=False, dtype=torch.float64))
            nn.init.ones_(getattr(self, part).weight)


def recipe(**changes):
    plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "lr": 0.1}
    return RECIPE.model_copy(update={**plain, "head_lr": 1.0, "aux_lr": 1.0, **changes})


def curve(**changes):
    changed = recipe(epochs=4, **changes)
    total = changed.epochs * STEPS
    return [lr_factor(k, recipe=changed, steps_per_epoch=STEPS) for k in range(total)]


def torch_curve(scheduler, steps):
    updates = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = scheduler(updates)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        updates.step()
        schedule.step()
    return rates


def torch_onecycle(steps, warmup):
    def scheduler(updates):
        shape = {"pct_start": warmup / steps, "div_factor": 25, "final_div_factor": 1e4}
        return OneCycleLR(updates, 1.0, steps, **shape, cycle_momentum=False)

    return torch_curve(scheduler, steps)


def step_with_gradient_2(model, updates):
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    updates.step()
    return {name: parameter.item() for name, parameter in model.named_parameters()}


def counts(groups):
    return [(sum(p.numel() for p in group["params"]), group["factor"]) for group in groups]


def test_poly_equals_torch():
    theirs = torch_curve(lambda o: PolynomialLR(o, total_iters=20, power=0.9), 20)
    assert curve(schedule="poly", poly_power=0.9, warmup_epochs=0) == pytest.approx(theirs)


def test_cosine_falls_like_torch_after_a_linear_warm_up():
    rates = curve(schedule="cosine", warmup_epochs=1)
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    theirs = torch_curve(lambda o: CosineAnnealingLR(o, T_max=15), 15)
    assert rates[5:] == pytest.approx(theirs)


@pytest.mark.parametrize("warmup_epochs", [0, 0.6, 1, 2.4, 3.8])
def test_onecycle_equals_torch(warmup_epochs):
    warmup = round(warmup_epochs * STEPS)
    rates = curve(schedule="onecycle", warmup_epochs=warmup_epochs)
    assert rates == pytest.approx(torch_onecycle(20, warmup), rel=1e-9)
    if warmup:
        assert rates[0] == pytest.approx(1 / 25)
        assert rates.index(max(rates)) == warmup - 1
    assert rates[-1] == pytest.approx(1 / 25e4)


def test_onecycle_with_one_step_of_warm_up_starts_at_its_peak():
    with pytest.raises(ZeroDivisionError):
        torch_onecycle(20, 1)
    theirs = torch_curve(lambda o: CosineAnnealingLR(o, T_max=19, eta_min=1 / 25e4), 20)
    assert curve(schedule="onecycle", warmup_epochs=1 / STEPS) == pytest.approx(theirs)


def test_groups_of_fcn_are_torchvisions_parts():
    model = models.build("fcn", num_classes=21, backbone="resnet18")
    backbone = resnet18()
    backbone.fc = nn.Identity()
    parts = [backbone, FCNHead(256, 21), FCNHead(512, 21)]
    sizes = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert sizes[0] == 11_689_512 - 513_000  # torchvision's published number, less its fc
    groups = parameter_groups(model, recipe(head_lr=10.0, aux_lr=5.0))
    assert counts(groups) == list(zip(sizes, [1.0, 5.0, 10.0], strict=True))
    every = [id(p) for group in groups for p in group["params"]]
    assert sorted(every) == sorted(id(p) for p in model.parameters())


def test_model_without_backbone_has_one_group_of_factor_1():
    model = models.build("unet", num_classes=21, width=4)
    parameters = sum(p.numel() for p in model.parameters())
    assert counts(parameter_groups(model, recipe(head_lr=10.0))) == [(parameters, 1.0)]


def test_group_of_a_backbone_that_does_not_learn_is_left_out():
    model = Segmenter("classifier", "backbone")
    model.backbone.requires_grad_(False)
    assert counts(parameter_groups(model, recipe(head_lr=10.0))) == [(1, 10.0)]


def test_only_the_first_part_of_a_name_decides():
    model = Segmenter("backbone", "backbone_adapter", "aux_classifier")
    model.decoder = Segmenter("backbone", "aux_classifier")
    groups = parameter_groups(model, recipe(head_lr=10.0, aux_lr=5.0))
    assert counts(groups) == [(1, 1.0), (1, 5.0), (3, 10.0)]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_step_is_as_long_as_its_factor_says(name):
    model = Segmenter("classifier", "aux_classifier", "backbone")
    changed = recipe(optimizer=name, head_lr=10.0, aux_lr=5.0, lr=0.01)
    values = step_with_gradient_2(model, build_optimizer(model, changed))
    length = 0.01 * (2 if name == "sgd" else 1)  # AdamW's first step has length lr
    assert values == pytest.approx(
        {
            "classifier.weight": 1 - 10 * length,
            "aux_classifier.weight": 1 - 5 * length,
            "backbone.weight": 1 - length,
        },
        abs=1e-7,
    )


def test_set_lr_keeps_the_factors_also_in_a_restored_optimizer():
    model = Segmenter("classifier", "backbone")
    saved = build_optimizer(model, recipe(head_lr=10.0)).state_dict()
    updates = build_optimizer(model, recipe(head_lr=3.0))
    updates.load_state_dict(saved)
    set_lr(updates, 0.02)
    values = step_with_gradient_2(model, updates)
    assert values == pytest.approx({"backbone.weight": 0.96, "classifier.weight": 0.6}, abs=1e-7)


def test_optimizers_take_one_step_as_their_papers_say():
    for name, expected in (("sgd", 1 - 0.1 * (2 + 0.01 * 1)), ("adamw", (1 - 0.1 * 0.01) - 0.1)):
        model = Segmenter("classifier")
        updates = build_optimizer(model, recipe(optimizer=name, weight_decay=0.01))
        # SGD adds decay to the gradient; AdamW shrinks first, and its first step has length lr.
        value = step_with_gradient_2(model, updates)["classifier.weight"]
        assert value == pytest.approx(expected, abs=1e-7)


def test_momentum_reaches_both_optimizers():
    for name in ("sgd", "adamw"):
        updates = build_optimizer(Segmenter("classifier"), recipe(optimizer=name, momentum=0.7))
        (group,) = updates.param_groups
        assert group.get("momentum", group.get("betas", (None,))[0]) == 0.7
        assert not group.get("nesterov", False)
        assert group["fused"]
