"""Optimizer and learning-rate schedule of a training section of params.yaml."""

import inspect
import math
from typing import Any

import torch
from torch import nn

from segmodels.config.schema import Train


def parameter_groups(model: nn.Module, recipe: Train) -> list[dict[str, Any]]:
    """Parameters that learn, by the factor of their learning rate.

    The backbone has factor 1, the auxiliary head aux_lr, the rest head_lr, or 1 in a model without
    a backbone, where nothing was trained before.

    Args:
        model: its own names decide, so not a wrapper that puts a prefix before them.
    Returns:
        {"params": [...], "factor": float} of backbone, aux_classifier and the rest, in this order,
        without the empty ones.
    """
    backbone: list[nn.Parameter] = []
    aux: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    has_backbone = False
    for name, parameter in model.named_parameters():
        has_backbone = has_backbone or name.startswith("backbone.")
        if not parameter.requires_grad:
            continue
        if name.startswith("backbone."):
            backbone.append(parameter)
        elif name.startswith("aux_classifier."):
            aux.append(parameter)
        else:
            rest.append(parameter)
    groups = [
        {"params": backbone, "factor": 1.0},
        {"params": aux, "factor": recipe.aux_lr},
        {"params": rest, "factor": recipe.head_lr if has_backbone else 1.0},
    ]
    return [group for group in groups if group["params"]]


def uncompiled(kind: Any) -> Any:
    """A class of torch.optim without its wrappers for torch.compile, which keep out of its graphs.

    No graph contains an optimizer's step here, and the wrappers import the compiler, which takes
    nearly as long as `import torch`. Of those of `step`, the one that turns gradients off is kept.
    """
    wrapped = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


SGD = uncompiled(torch.optim.SGD)
AdamW = uncompiled(torch.optim.AdamW)


def build_optimizer(model: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW with the momentum as beta1; groups as in parameter_groups."""
    groups = parameter_groups(model, recipe)
    decay = recipe.weight_decay
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = SGD(groups, momentum=recipe.momentum, weight_decay=decay, fused=True)
    else:
        betas = (recipe.momentum, 0.999)
        optimizer = AdamW(groups, betas=betas, weight_decay=decay, fused=True)
    set_lr(optimizer, recipe.lr)
    return optimizer


def start_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Begin SGD's momentum at 0, for fp16.

    Fused SGD allocates it in its first step and does not write to it if that step overflows, which
    is usual: the next step would add whatever was in that memory.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        if group["momentum"]:
            for parameter in group["params"]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its learning rate: lr times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


def lr_factor(step: int, *, recipe: Train, steps_per_epoch: int) -> float:
    """Learning rate of a step as a share of the largest, which is that of the last warm-up step.

    Schedules, with t the share of the steps after the warm-up that is done:

    - `poly`: up linearly, down as (1 - t)^power.
    - `cosine`: up linearly, down as half a cosine to 0.
    - `onecycle`: from 1/25 up and down to 1/250000 as half a cosine each; torch's OneCycleLR.

    Args:
        step: 0 for the first step of the first epoch.
    Reference:
        poly: DeepLab v2, arXiv 1606.00915, section 4.1. onecycle: Smith and Topin,
        arXiv 1708.07120, with cosines in place of lines and a constant momentum.
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "onecycle":
        return _onecycle(step, warmup - 1, total - 1)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / (total - warmup)
    if recipe.schedule == "poly":
        return (1 - done) ** recipe.poly_power
    return _half_cosine(1, 0, done)


def _onecycle(step: int, peak: int, last: int) -> float:
    """The peak is a step; as in torch it is step -1, and never taken, if there is no warm-up."""
    low = 1 / 25
    if step > peak:
        return _half_cosine(1, low / 1e4, (step - peak) / (last - peak))
    # A warm-up of a single step, where torch divides by 0, is the peak itself.
    return _half_cosine(low, 1, step / peak) if peak else 1.0


def _half_cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * done)) / 2
