"""How much of what a training changed lies in BatchNorm's statistics?

The weights of one moment are measured with the running statistics of another, so that a change of
mIoU falls into the part that the weights have and the part that the statistics have.
"""

from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn

from segmodels.training import batchnorm
from segmodels.training.loop import recalibrate, validate
from segmodels.training.losses import Values
from segmodels.training.task import Job

MEASURED = "measured over train"


def exchange(
    first: nn.Module, last: nn.Module, job: Job
) -> Iterator[tuple[str, str, Values, np.ndarray]]:
    """Measure both on val, as they are and with other statistics.

    Args:
        first, last: of one shape; when all is measured they are as they were, in eval mode.
        job: the val pictures and how they are seen; statistics are measured with its crops.
    Yields:
        whose weights, whose statistics, losses and confusion (C, C).
    Raises:
        ValueError: there is no BatchNorm with running statistics, or the two differ in shape.
    """
    own = {"first": statistics(first), "last": statistics(last)}
    shapes = [{name: each.shape for name, each in found.items()} for found in own.values()]
    if not shapes[0] or shapes[0] != shapes[1]:
        raise ValueError(
            f"{len(shapes[0])} and {len(shapes[1])} running statistics: expected two models of "
            "one shape with BatchNorm"
        )
    for weights, model in {"first": first, "last": last}.items():
        for origin, values in own.items():
            model.load_state_dict(values, strict=False)
            yield weights, origin, *validate(model, job)
        model.load_state_dict(own[weights], strict=False)
    recalibrate(last, job, job.recipe.epochs)
    yield "last", MEASURED, *validate(last, job)
    last.load_state_dict(own["last"], strict=False)


def statistics(model: nn.Module) -> dict[str, Tensor]:
    """Copies of running means and variances by their names in the state dict."""
    return {
        f"{name}.{kind}": values.clone()
        for name, layer in model.named_modules()
        if layer in batchnorm.layers(model)
        for kind, values in layer.named_buffers(recurse=False)
        if kind.startswith("running_")
    }
