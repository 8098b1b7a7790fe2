"""Optimizer and learning-rate schedule of a training section of params.yaml."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from segmodels.params import Train


def optimizer(parameters: Iterable[nn.Parameter], recipe: Train) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, whose beta1 is the momentum."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    return torch.optim.AdamW(
        parameters,
        lr=recipe.lr,
        betas=(recipe.momentum, 0.999),
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def lr_factor(step: int, *, recipe: Train, steps_per_epoch: int) -> float:
    """Learning rate of a step as a share of the largest.

    Warm-up rises linearly and reaches 1 with its last step; after it, `poly` falls as
    (1 - t)^power (DeepLab v2, section 4.1) and `onecycle` as half a cosine (arXiv 1708.07120, with
    the cosine of its usual implementations), t being the share of the remaining steps that is done.

    Args:
        step: 0 for the first step of the first epoch.
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / (recipe.epochs * steps_per_epoch - warmup)
    if recipe.schedule == "poly":
        return (1 - done) ** recipe.poly_power
    return (1 + math.cos(math.pi * done)) / 2
