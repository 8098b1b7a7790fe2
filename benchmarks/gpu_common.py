"""What the programs of the GPU benchmark share: where they run, networks, and a short training.

Networks are those of `small_cases`. Zeros among their weights are replaced by random numbers:
logits that start at 0 would agree whatever computed them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.small_cases import CASES, LOSSES
from benchmarks.train_step import CLASSES, NORMALIZE, random_batch, sgd
from segmodels import models
from segmodels.core import machine
from segmodels.core.distributed import Processes
from segmodels.models.network import forward
from segmodels.training.optim import start_momentum
from segmodels.training.step import Objective, gradients


class Failed(Exception):
    """A check's figures are beyond its tolerance."""


@dataclass(frozen=True)
class Place:
    """Where a check runs: on `device`, and small where that is a CPU that stands in for a GPU."""

    device: torch.device
    small: bool

    @property
    def steps(self) -> int:
        return 8 if self.small else 50

    @property
    def crop(self) -> int:
        return 33 if self.small else 65

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        """image (N, 3, crop, crop) uint8, channels-last, and target (N, crop, crop) uint8."""
        return random_batch(2 if self.small else 4, self.crop, seed)


def expect(holds: bool, line: str) -> str:
    """The line, if it holds.

    Raises:
        Failed: with the line, if not.
    """
    if not holds:
        raise Failed(line)
    return line


def build(case: str, seed: int = 0) -> nn.Module:
    """A network of CASES, channels-last, without zeros among its weights."""
    arch, arguments = CASES[case]
    torch.manual_seed(seed)
    model = models.build(arch, num_classes=CLASSES, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return model.to(memory_format=torch.channels_last)


def without_dropout(model: nn.Module) -> nn.Module:
    """The model; CPU and GPU draw other random numbers."""
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return model


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Forbid kernels that vary, as `deterministic: true` does, or allow them."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    machine.forbid_nondeterminism(wanted)
    torch.backends.cudnn.benchmark = not wanted
    try:
        yield
    finally:
        machine.forbid_nondeterminism(before[0])
        torch.backends.cudnn.benchmark = before[1]


@contextmanager
def tf32(wanted: bool) -> Iterator[None]:
    """Let convolutions in float32 round their inputs to 11 bits, PyTorch's default, or not."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def logits(model: nn.Module, image: Tensor, precision: str = "fp32") -> dict[str, Tensor]:
    """As the training loop computes them, or in float64 if the weights are."""
    dtype = next(model.parameters()).dtype

    def compute(normal: Tensor) -> dict[str, Tensor]:
        return model(normal.to(dtype))

    return forward(compute, image, normalization=NORMALIZE, precision=precision)


def train(
    model: nn.Module,
    place: Place,
    *,
    steps: int,
    loss: str = "cross_entropy",
    precision: str = "fp32",
    parts: int = 1,
) -> list[float]:
    """Losses of steps of SGD on four batches in turn; on the model's device, in place."""
    device = next(model.parameters()).device
    batches = [tuple(t.to(device) for t in place.batch(seed)) for seed in range(4)]
    parts_of_loss, weighted = LOSSES[loss]
    weights = torch.linspace(0.5, 2, CLASSES, device=device).double() if weighted else None
    objective = Objective(parts_of_loss, 0.5, weights, CLASSES, 255)
    updates = sgd(model, fused=True)
    start_momentum(updates)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    values = []
    for step in range(steps):
        image, target = batches[step % len(batches)]
        torch.manual_seed(step)
        updates.zero_grad(set_to_none=True)
        sums = gradients(
            model.train(),
            list(zip(image.chunk(parts), target.chunk(parts), strict=True)),
            objective=objective,
            forward=partial(logits, precision=precision),
            processes=Processes(),
            scale=scaler.scale,
        )
        scaler.step(updates)
        scaler.update()
        values.append(objective.value(sums))
    return torch.stack(values).tolist()
