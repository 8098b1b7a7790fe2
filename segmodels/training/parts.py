"""Whether a recipe can train a model: its starting weights, and the parts of a batch.

Weights that a package brings along become a file here, see models/encoders.py.

BatchNorm needs more than one value per channel: a single image has one where a model pools
globally (DeepLab v3) or shrinks a crop to one pixel (FCN-32s, crops of 32). The model is run on
the meta device, so no data and no memory are needed.
"""

import torch

from segmodels import models
from segmodels.config.params import Params
from segmodels.config.schema import Model
from segmodels.models import encoders, pretrained

PUBLISHED = ("imagenet", "coco")  # starts of torchvision's
TOO_FEW = "Expected more than 1 value per channel"  # how torch's error begins


def check(settings: Params, name: str) -> None:
    """Refuse a recipe with which a model cannot do a single step.

    How many processes share the work does not matter: BatchNorm is joined over them, or frozen.

    Args:
        name: a key of `models` or `variants`.
    Raises:
        ValueError: a part of a batch is one image, and BatchNorm sees one value per channel; or
            its starting weights come with a package that is not installed, or nobody has them.
    """
    entry = settings.runs[name]
    recipe = settings.recipe(name)
    encoders.provide(recipe.init)
    if recipe.init in PUBLISHED:
        pretrained.source(arch=entry.arch, arguments=entry.arguments, init=recipe.init)
    batch = recipe.batch_size
    parts = recipe.accumulate
    if batch > parts or recipe.bn == "frozen" or not _too_few(entry, recipe.crop_size):
        return
    fewer = max(number for number in range(1, parts) if batch % number == 0)
    or_less = " or less" if fewer > 1 else ""
    remedy = f"accumulate: {fewer}{or_less}, or bn: frozen"
    if not _too_few(entry, 2 * recipe.crop_size):
        remedy += f", or crop_size: {2 * recipe.crop_size}"
    overridden = entry.train.keys() & {"accumulate", "batch_size"}
    kind = "models" if name in settings.models else "variants"
    section = f"{kind}.{name}.train" if overridden else f"train.{settings.dataset}"
    raise ValueError(
        f"{section}.accumulate = {parts}: batch_size / accumulate = {batch} / {parts} is one image "
        f"at a time, and BatchNorm of model {name} needs more than one value per channel; "
        f"expected {remedy}"
    )


def _too_few(entry: Model, side: int) -> bool:
    """Whether BatchNorm refuses one image of side x side pixels."""
    try:
        with models.weightless(), torch.no_grad():
            model = models.build(entry.arch, num_classes=2, **entry.arguments).train()
            model(torch.empty(1, 3, side, side))
    except Exception as error:  # of any other kind: an arch that does not run on meta
        return TOO_FEW in str(error)
    return False
