"""The gradients of one step, whether its batch comes whole, in parts, or over many processes.

The objective is a function of sums over all pixels of the batch (`losses.class_sums`). Its gradient
is the slope of that function at the sums of the WHOLE batch, times the gradient of a part's sums,
added up over the parts. That is exact; a mean of the parts' losses would give the pixels of a part
with much void more weight. The slope must be known before the first part is learned from. For
losses that are linear in their sums, as cross-entropy, it follows from the targets alone. For
others, as Dice, it takes the probabilities, so that several parts pass the model twice.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segmodels.config.schema import Loss
from segmodels.core.distributed import Processes
from segmodels.training import losses

Batch = tuple[Tensor, Tensor]  # image (N, 3, H, W) uint8 and target (N, H, W) uint8
Forward = Callable[[nn.Module, Tensor], dict[str, Tensor]]
HEADS = ("out", "aux")


@dataclass(frozen=True)
class Objective:
    """What a step minimises: the losses of "out" and, times a weight, those of "aux"."""

    loss: Loss
    aux_weight: float
    class_weights: Tensor | None  # (C,) float64 on the device; None: all are 1
    num_classes: int
    ignore_index: int

    def sums(self, logits: dict[str, Tensor], target: Tensor) -> Tensor:
        """(heads, R, C) class sums of "out" and, if there is one, of "aux"."""
        sums = []
        for name in HEADS:
            if name in logits:
                head = losses.class_sums(
                    logits[name], target, self.loss, ignore_index=self.ignore_index
                )
                sums.append(head)
        return torch.stack(sums)

    def true_pixels(self, target: Tensor) -> Tensor:
        """(R, C) float64 class sums of a target alone: all but the last row, "true", are 0."""
        rows = len(losses.quantities(self.loss))
        sums = target.new_zeros(rows, self.num_classes, dtype=torch.float64)
        sums[-1] = torch.bincount(target.flatten(), minlength=256)[: self.num_classes]
        return sums

    def value(self, sums: Tensor) -> Tensor:
        """The objective at sums (heads, R, C)."""
        value = losses.objective(sums[0], self.loss, self.class_weights)
        for aux in sums[1:]:
            value = value + self.aux_weight * losses.objective(aux, self.loss, self.class_weights)
        return value

    def slope(self, sums: Tensor) -> Tensor:
        """Derivative of the objective, (heads, R, C)."""
        with torch.enable_grad():
            at = sums.detach().requires_grad_()
            return torch.autograd.grad(self.value(at), at)[0]


def gradients(
    model: nn.Module,
    parts: list[Batch],
    *,
    objective: Objective,
    forward: Forward,
    processes: Processes,
    scale: Callable[[Tensor], Tensor],
) -> Tensor:
    """Add the gradient of the objective of a batch to the parameters'.

    Args:
        parts: the batch, or this process's share of it, in pieces.
        forward: (model, image uint8) -> logits.
        scale: enlarges a loss for fp16.
    Returns:
        (heads, R, C) float64, the sums of the whole batch.
    """
    whole = None
    if len(parts) > 1:
        whole = processes.total(_sums_for_slope(model, parts, objective, forward))
    total = torch.zeros((), device=parts[0][0].device)
    for k, (image, target) in enumerate(parts):
        last = k + 1 == len(parts)
        with nullcontext() if last else _without_exchange(model):
            sums = objective.sums(forward(model, image), target)  # (heads, R, C)
            total = total + sums.detach().double()
            at = processes.total(total) if whole is None else whole
            # DistributedDataParallel takes the mean over the processes where we need the sum.
            slope = processes.count * objective.slope(at.expand_as(sums))
            scale((sums * slope.to(sums.dtype)).sum()).backward()
    return at if whole is None else processes.total(total)


@torch.no_grad()
def _sums_for_slope(
    model: nn.Module, parts: list[Batch], objective: Objective, forward: Forward
) -> Tensor:
    """Sums over all parts, as far as the slope of the objective depends on them."""
    if losses.linear(objective.loss):
        return sum_of(objective.true_pixels(target) for _, target in parts)
    sums = []
    with torch.random.fork_rng(), untouched(model):  # learned from with the same dropout later
        for image, target in parts:
            sums.append(objective.sums(forward(model, image), target).double())
    return sum_of(sums)


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Bring a model's buffers, such as BatchNorm's statistics, back afterwards."""
    saved = [buffer.clone() for buffer in model.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in zip(model.buffers(), saved, strict=True):
            buffer.copy_(value)


def sum_of(tensors: Iterable[Tensor]) -> Tensor:
    """Sum of tensors of one shape."""
    return torch.stack(list(tensors)).sum(0)


def _without_exchange(model: nn.Module) -> AbstractContextManager[None]:
    """Keep the gradients in this process, until the last part."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()
