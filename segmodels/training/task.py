"""What a model is trained on and how; every function of the loop takes one `Job`."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor, nn

from segmodels.config.params import Params
from segmodels.config.schema import Normalize, Train
from segmodels.core.distributed import Processes
from segmodels.core.machine import Runtime, loader_workers
from segmodels.data import layout
from segmodels.data.loading import epoch_batches
from segmodels.models import network
from segmodels.training import checkpoint, losses
from segmodels.training.step import Objective

Progress = Callable[[Iterable, int, str], Iterable]  # (items, how many, what) -> the same items


@dataclass(frozen=True)
class Job:
    """What a model is trained on and how: pictures, their labels, recipe, seed, and machine."""

    root: Path
    index: pd.DataFrame
    classes: list[str]  # columns of the index
    ignore_index: int
    normalize: Normalize
    recipe: Train
    seed: int
    device: torch.device
    precision: str
    progress: Progress
    workers: int = 0  # processes that load pictures; 0: this one
    processes: Processes = field(default_factory=Processes)

    @classmethod
    def of(
        cls, settings: Params, model: str, machine: Runtime, progress: Progress, group: Processes
    ) -> Self:
        """What params.yaml says of one model, on the data set in use and this machine."""
        return cls(
            root=settings.paths.tree,
            index=layout.read_index(settings.paths.index, settings.data.classes),
            classes=settings.data.classes,
            ignore_index=settings.data.void,
            normalize=settings.normalization(model),
            recipe=settings.recipe(model),
            seed=settings.model_seed(model),
            device=torch.device(machine.device),
            precision=machine.precision,
            progress=progress,
            workers=loader_workers(),
            processes=group,
        )

    def pictures(self, split: str) -> pd.DataFrame:
        """Rows of the index that belong to `train`, `holdout` or `val`."""
        return self.index[self.index["split"] == split]

    @cached_property
    def train_ids(self) -> list[str]:
        return self.pictures("train")["image_id"].tolist()

    @property
    def steps_per_epoch(self) -> int:
        return len(self.train_ids) // self.recipe.batch_size

    def steps(self, epoch: int) -> list[list[int]]:
        """Positions in `train_ids` of the pictures of each step."""
        return epoch_batches(
            len(self.train_ids), batch_size=self.recipe.batch_size, seed=self.seed, epoch=epoch
        )

    @cached_property
    def objective(self) -> Objective:
        weights = None
        if self.recipe.class_weights != "none":
            pixels = self.pictures("train")[self.classes].to_numpy()
            values = losses.CLASS_WEIGHTS[self.recipe.class_weights](pixels)
            weights = torch.from_numpy(values).to(self.device)
        return Objective(
            loss=self.recipe.loss,
            aux_weight=self.recipe.aux_weight,
            class_weights=weights,
            num_classes=len(self.classes),
            ignore_index=self.ignore_index,
        )

    @cached_property
    def pictures_sha256(self) -> str:
        """Of the content of all pictures and targets."""
        folders = (layout.image_path, layout.target_path)
        ids = self.index["image_id"]
        return checkpoint.content(path(self.root, i) for i in ids for path in folders)

    @property
    def decoded(self) -> Path | None:
        """Where decoded pictures are kept for later epochs, if SEGMODELS_DECODED_CACHE is set."""
        wanted = os.environ.get("SEGMODELS_DECODED_CACHE")
        return checkpoint.scratch(f"decoded-{self.pictures_sha256[:16]}") if wanted else None

    def identity(self) -> dict[str, Any]:
        """What decides the result beside model and machine, for provenance.json."""
        return {
            "seed": self.seed,
            "recipe": self.recipe.model_dump(),
            "normalize": self.normalize.model_dump(),
            "void": self.ignore_index,
            "processes": self.processes.count,
            "index_sha256": checkpoint.fingerprint(self._numbered_index().to_dict("tight")),
            "pictures_sha256": self.pictures_sha256,
        }

    def _numbered_index(self) -> pd.DataFrame:
        """The index with labels in place of names, which decide nothing."""
        columns = dict(zip(self.classes, layout.label_columns(self.classes), strict=True))
        return self.index.rename(columns=columns)

    def see(self, model: nn.Module, image: Tensor) -> dict[str, Tensor]:
        """Logits of image (N, 3, H, W) uint8."""
        return network.forward(model, image, normalization=self.normalize, precision=self.precision)
