"""What a training has become so far, and its form in a checkpoint."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segmodels.evaluation.confusion import iou, mean
from segmodels.training.losses import Values


@dataclass(frozen=True)
class Epoch:
    """What is known at an epoch's end; the objective is the loss and the auxiliary head's share."""

    number: int
    lr: float
    train: Values
    train_objective: float
    val: Values
    confusion: np.ndarray  # (C, C) int64 on val
    holdout: np.ndarray | None  # the same on holdout, if there is such a split
    seconds: float  # spent on training steps
    total_seconds: float  # with validation

    @property
    def choice(self) -> float:
        """Mean IoU by which the best epoch is chosen: on holdout, or else on val."""
        return mean(iou(self.confusion if self.holdout is None else self.holdout))


@dataclass
class Run:
    """All that decides how a training goes on."""

    model: nn.Module
    updates: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    epochs: list[Epoch] = field(default_factory=list)
    step: int = 0  # steps done after the last of `epochs`
    sums: Tensor | None = None  # (heads, R, C) float64 of these steps
    seconds: float = 0.0  # spent on them

    @property
    def best(self) -> bool:
        """Whether the last epoch is the best so far; of equals the first is."""
        *before, last = [epoch.choice for epoch in self.epochs]
        return all(last > other for other in before)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values, which `torch.load` reads with weights_only=True."""
        return {
            "model": self.model.state_dict(),
            "updates": self.updates.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epochs": [_plain(epoch) for epoch in self.epochs],
            **{name: getattr(self, name) for name in ("step", "sums", "seconds")},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become what `state` was made of; the model and the optimizer are of the same kind."""
        self.model.load_state_dict(state["model"])
        self.updates.load_state_dict(state["updates"])
        for parameter, kept in self.updates.state.items():
            for name, value in kept.items():
                if isinstance(value, Tensor) and value.shape not in ((), parameter.shape):
                    raise ValueError(f"{name} is {tuple(value.shape)}, its parameter another shape")
        self.scaler.load_state_dict(state["scaler"])
        self.epochs = [_epoch(row) for row in state["epochs"]]
        self.step, self.sums, self.seconds = state["step"], state["sums"], state["seconds"]


def _plain(epoch: Epoch) -> dict[str, Any]:
    row = {column.name: getattr(epoch, column.name) for column in fields(Epoch)}
    for name, value in row.items():
        if isinstance(value, np.ndarray):
            row[name] = torch.from_numpy(value)
    return row


def _epoch(row: dict[str, Any]) -> Epoch:
    values: dict[str, Any] = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in row.items()}
    return Epoch(**values)
