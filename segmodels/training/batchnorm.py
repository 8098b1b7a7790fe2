"""BatchNorm's running statistics: keep them as they are, or measure them again.

A layer normalises with the statistics of its batch while it trains and with running averages of
them afterwards. The averages are noisy where batches are small, and they lag behind weights that
still move. This module knows no model: a layer is any nn.BatchNorm1d, 2d or 3d, nn.SyncBatchNorm,
or a subclass such as timm's BatchNormAct2d.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Synchronised(nn.SyncBatchNorm):
    """What a layer contains (timm: dropout, activation) comes behind the normalisation."""

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        for part in self.children():
            x = part(x)
        return x


def layers(model: nn.Module) -> list[_BatchNorm]:
    """Every BatchNorm layer of a model, the model itself included, each once."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def freeze(model: nn.Module) -> None:
    """Normalise with the running statistics, and do not update them, until the next model.train().

    Scale and shift go on learning, and what a layer contains (timm: activation, dropout) stays in
    its mode. Layers with random weights have 0 and 1 as their statistics and so would never
    normalise: freeze the part that was trained before.

    Args:
        model: changed in place: each layer alone is in evaluation.
    Example:
        model.train()
        batchnorm.freeze(model.backbone)
    """
    for layer in layers(model):
        layer.training = False


def synchronise(model: nn.Module) -> None:
    """Take the statistics of a batch over all processes; keys of the state dict stay the same.

    Args:
        model: changed in place. nn.SyncBatchNorm.convert_sync_batchnorm would lose what a layer
            contains, such as the activation of timm's BatchNormAct2d.
    """
    for layer in layers(model):
        if not isinstance(layer, nn.SyncBatchNorm):
            layer.__class__ = _Synchronised
            layer.process_group = None  # type: ignore[assignment]  # all processes


def recalibrate(
    model: nn.Module,
    batches: Iterable[Tensor],
    forward: Callable[[Tensor], object],
    combine: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> None:
    """Replace the running statistics by those of all pixels of all batches ("precise BN").

    Each layer normalises with its batch's statistics while it is measured, since those of the
    layers before it are not yet known. All else runs as in inference: dropout is off, because a
    layer behind it will meet values without its extra variance, and no random number is drawn.
    Layers with momentum=None or track_running_stats=False work as in inference and stay as they
    are, as does a layer that the forward pass does not reach. Nothing else of the model changes.
    Without a layer to measure, `batches` is not read.

    Args:
        model: changed in place.
        batches: images, (N, 3, H, W) each, N may differ; N >= 2 if the model pools globally.
        forward: passes one batch through `model`, not through a compiled copy, which has no hooks.
        combine: sums a float64 tensor, () or (C,), over all processes, in place or not; called
            as often and in the same order in each. By default there is one process.
    Raises:
        ValueError: no batch reached a layer.
    Reference:
        Wu and Johnson, arXiv 2105.07576, section 3. Batches of different size count by pixels.
    """
    measured = [_Moments(layer) for layer in layers(model) if _has_averages(layer)]
    with torch.no_grad():
        with _normalising_by_batch(model, measured):
            for batch in batches if measured else []:
                forward(batch)
        reached = [moments.write(combine) for moments in measured]
    if measured and not any(reached):
        raise ValueError("no batch reached a BatchNorm layer: expected at least one batch")


class _Moments:
    """Count, mean and sum of squared deviations of the pixels that a layer has seen, in float64."""

    def __init__(self, layer: _BatchNorm) -> None:
        averages = dict(layer.named_buffers(recurse=False))
        self.layer = layer
        self.running_mean, self.running_var = averages["running_mean"], averages["running_var"]
        self.mean = torch.zeros_like(self.running_mean, dtype=torch.float64)  # (C,)
        self.squares = torch.zeros_like(self.mean)  # (C,)
        self.count = self.mean.new_zeros(())

    def measure(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        """A hook: join what enters the layer, (N, C, ...), to what it has seen.

        Reference:
            Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
            variances", 1979.
        """
        (x,) = inputs
        pixels = [0, *range(2, x.dim())]
        var, mean = torch.var_mean(x.double(), dim=pixels, correction=0)
        count = x.numel() // x.shape[1]
        share = count / (self.count + count)
        step = mean - self.mean
        self.squares += count * var + step.square() * self.count * share
        self.mean += step * share
        self.count += count

    def write(self, combine: Callable[[Tensor], Tensor]) -> bool:
        """Give the layer the statistics of all processes; False if none has seen a pixel."""
        count = combine(self.count.clone())
        mean = combine(self.count * self.mean) / count
        squares = combine(self.squares + self.count * (self.mean - mean).square())
        if count == 0:
            return False
        self.running_mean.copy_(mean)
        self.running_var.copy_(squares / (count - 1))
        return True


@contextmanager
def _normalising_by_batch(model: nn.Module, measured: list[_Moments]) -> Iterator[None]:
    """Inference, save that the measured layers normalise with their batch's statistics."""
    flags = [(module, module.training) for module in model.modules()]
    hooks = [each.layer.register_forward_pre_hook(each.measure) for each in measured]
    try:
        model.eval()
        for each in measured:
            each.layer.training, each.layer.track_running_stats = True, False
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for each in measured:
            each.layer.track_running_stats = True
        for module, training in flags:
            module.training = training


def _has_averages(layer: _BatchNorm) -> bool:
    return layer.track_running_stats and layer.momentum is not None
