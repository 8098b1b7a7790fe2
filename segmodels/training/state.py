"""How far a training is, and its form in a checkpoint."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segmodels.evaluation.confusion import iou, mean
from segmodels.training.losses import Values


@dataclass(frozen=True)
class Epoch:
    """What is known at an epoch's end."""

    number: int
    lr: float
    train: Values  # of "out"
    train_objective: float  # with the auxiliary head's share
    val: Values
    confusion: np.ndarray  # (C, C) int64 on val
    holdout: np.ndarray | None  # the same on holdout, if there is such a split
    seconds: float  # of training steps
    total_seconds: float  # with validation

    @property
    def choice(self) -> float:
        """Mean IoU by which the best epoch is chosen: on holdout, or else on val."""
        return mean(iou(self.confusion if self.holdout is None else self.holdout))


@dataclass
class TrainingState:
    """All that decides how a training goes on."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    epochs: list[Epoch] = field(default_factory=list)
    step: int = 0  # steps done after the last of `epochs`
    sums: Tensor | None = None  # (heads, R, C) float64 of these steps
    seconds: float = 0.0  # that they took

    @property
    def best(self) -> bool:
        """Whether the last epoch is the best so far; of equals the first is."""
        *before, last = [epoch.choice for epoch in self.epochs]
        return all(last > other for other in before)

    def close(self, epoch: Epoch) -> None:
        """End an epoch; the next one begins."""
        self.epochs.append(epoch)
        self.step = 0
        self.sums = None
        self.seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, which `torch.load` reads with weights_only=True."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epochs": [_to_dict(epoch) for epoch in self.epochs],
            "step": self.step,
            "sums": self.sums,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what `state` was made of; the model and the optimizer are of the same kind."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._check_optimizer()
        self.scaler.load_state_dict(state["scaler"])
        self.epochs = [_from_dict(values) for values in state["epochs"]]
        self.step = state["step"]
        self.sums = state["sums"]
        self.seconds = state["seconds"]

    def _check_optimizer(self) -> None:
        for parameter, buffers in self.optimizer.state.items():
            for name, value in buffers.items():
                if isinstance(value, Tensor) and value.shape not in ((), parameter.shape):
                    shape = tuple(value.shape)
                    raise ValueError(f"{name} is {shape}, its parameter another shape")


def _to_dict(epoch: Epoch) -> dict[str, Any]:
    """An epoch with tensors in place of arrays."""
    values = {column.name: getattr(epoch, column.name) for column in fields(Epoch)}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            values[name] = torch.from_numpy(value)
    return values


def _from_dict(values: dict[str, Any]) -> Epoch:
    arrays: dict[str, Any] = {}
    for name, value in values.items():
        arrays[name] = value.numpy() if isinstance(value, Tensor) else value
    return Epoch(**arrays)
