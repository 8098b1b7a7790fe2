"""Every architecture, small, and every loss: what the checks that hold for all of them go through.

Both are taken from where they are defined, so that a new one is checked without being named here.
"""

import inspect
from typing import Any

from segmodels import models
from segmodels.config.schema import Loss
from segmodels.training import losses

Case = tuple[str, dict[str, Any]]  # arch and arguments of its builder

RESNET18 = {"backbone": "resnet18"}
SMALLER = RESNET18 | {"width": 8}  # arguments that most builders take
OTHERWISE: dict[str, dict[str, Any]] = {  # archs that refuse these, or show more with others
    "deeplabv3_cascade": {"backbone": "resnet50", "last_block": 5},
    "deeplabv3plus": RESNET18 | {"aux": True},
    "fcn_skip": RESNET18 | {"stride": 8},
    "segnet": {"width": 8},
    "unet_valid": {"width": 8, "batch_norm": True},
}
VARIANTS: dict[str, Case] = {
    "fcn_mobilenet": ("fcn", {"backbone": "mobilenet_v3_large"}),
    "fcn_skip_transposed": ("fcn_skip", RESNET18 | {"stride": 8, "upsampling": "transposed"}),
    "fpn_detail": ("fpn", RESNET18 | {"detail_channels": 16}),
    "segnet_bilinear": ("segnet", {"width": 8, "upsampling": "bilinear"}),
    "segnet_transposed": ("segnet", {"width": 8, "upsampling": "transposed"}),
}


def small(arch: str) -> dict[str, Any]:
    """Arguments that make an arch small."""
    takes = inspect.signature(models.builder(arch)).parameters
    found = {key: value for key, value in SMALLER.items() if key in takes}
    return OTHERWISE.get(arch, found)


def alone(name: str) -> Loss:
    """One of the losses, with weight 1."""
    return Loss.model_validate({"cross_entropy": 0, "dice": 0, name: 1})


CASES: dict[str, Case] = {arch: (arch, small(arch)) for arch in models.available()} | VARIANTS
TOGETHER = Loss.model_validate(dict.fromkeys(losses.LOSSES, 1))
LOSSES = {name: (alone(name), False) for name in losses.LOSSES} | {  # and whether classes weigh
    "weighted cross_entropy": (alone("cross_entropy"), True),
    "together": (TOGETHER, True),
}
