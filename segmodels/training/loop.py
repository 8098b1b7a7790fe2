"""The training loop: a model, a recipe and two lists of pictures in, one `Epoch` at a time out.

Epoch 0 is measured before the first step, so that every curve shows where its model started. The
training losses are over all pixels that counted in the epoch, taken while the weights changed; the
validation losses are of the weights at the epoch's end.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from segmodels.data import voc
from segmodels.data.loading import Augmentation, training_batches, whole_images
from segmodels.evaluation.confusion import confusion_matrix
from segmodels.params import Normalize, Train
from segmodels.prediction.inference import autocast, label_map, normalize, predict_logits
from segmodels.training import losses
from segmodels.training.losses import Losses
from segmodels.training.recipe import lr_factor, optimizer

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

    def pictures(self, split: str) -> pd.DataFrame:
        """Rows of the index that belong to `train` or `val`."""
        return self.index[self.index["split"] == split]

    @property
    def steps_per_epoch(self) -> int:
        return len(self.pictures("train")) // self.recipe.batch_size

    @cached_property
    def class_weights(self) -> Tensor | None:
        """(C,) float64 on the device, of the whole training pictures; None: all are 1."""
        if self.recipe.class_weights == "none":
            return None
        pixels = self.pictures("train")[self.classes].to_numpy()
        return torch.from_numpy(losses.median_frequency(pixels)).to(self.device)


@dataclass(frozen=True)
class Epoch:
    """What is known at an epoch's end; the objective is the loss and the auxiliary head's share."""

    number: int
    lr: float
    train: Losses
    train_objective: float
    val: Losses
    confusion: np.ndarray  # (C, C) int64 on val
    seconds: float  # spent on training steps


def epochs(model: nn.Module, job: Job) -> Iterator[Epoch]:
    """Train a model in place, yielding before the first epoch and after each.

    Args:
        model: (N, 3, H, W) float -> {"out": logits, optionally "aux": logits}.
    Raises:
        ValueError: fewer pictures than a batch, or a loss that is not finite.
    """
    if job.steps_per_epoch == 0:
        pictures, batch_size = len(job.pictures("train")), job.recipe.batch_size
        raise ValueError(f"train has {pictures} pictures, fewer than batch_size = {batch_size}")
    model.to(job.device).to(memory_format=torch.channels_last)
    updates = optimizer(model.parameters(), job.recipe)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        updates,
        lambda step: lr_factor(step, recipe=job.recipe, steps_per_epoch=job.steps_per_epoch),
    )
    yield _measured(model, job, 0, 0.0, _initial_sums(model, job))
    for number in range(1, job.recipe.epochs + 1):
        model.train()
        begin = time.perf_counter()
        total = torch.zeros((), device=job.device)
        for batch in _batches(job, number):
            sums = _sums(model, batch, job)
            updates.zero_grad(set_to_none=True)
            _objective(sums, job).backward()
            updates.step()
            total = total + sums.detach().double()
            lr = float(schedule.get_last_lr()[0])
            schedule.step()
        yield _measured(model, job, number, lr, total, begin)


def validate(model: nn.Module, job: Job) -> tuple[Losses, np.ndarray]:
    """Losses of "out" and confusion (C, C) int64 over all val pictures, at the original sizes."""
    pictures = whole_images(
        job.root, job.pictures("val"), size=job.recipe.val_size, batch_size=job.recipe.batch_size
    )
    sums = torch.zeros((), device=job.device)
    confusion = np.zeros((len(job.classes), len(job.classes)), dtype=np.int64)
    for image_id, logits in predict_logits(
        model, pictures, normalization=job.normalize, device=job.device, precision=job.precision
    ):
        target = voc.read_target(voc.target_path(job.root, image_id))
        on_device = torch.from_numpy(target).to(job.device)
        sums = sums + _class_sums(logits[None], on_device[None], job).double()
        confusion += confusion_matrix(
            target=target,
            prediction=label_map(logits).cpu().numpy(),
            num_classes=len(job.classes),
            ignore_index=job.ignore_index,
        )
    return _means(sums, job), confusion


def _batches(job: Job, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised image (N, 3, crop, crop) and target (N, crop, crop) uint8 on the device."""
    augmentation = Augmentation(
        crop_size=job.recipe.crop_size,
        base_size=job.recipe.base_size,
        scale=job.recipe.scale,
        flip=job.recipe.flip,
        ignore_index=job.ignore_index,
        fill=tuple(round(255 * channel) for channel in job.normalize.mean),
    )
    loader = training_batches(
        job.root,
        job.pictures("train")["image_id"].tolist(),
        augmentation=augmentation,
        batch_size=job.recipe.batch_size,
        seed=job.seed,
        epoch=epoch,
        workers=8 if job.device.type == "cuda" else 0,
    )
    for image, target in job.progress(loader, len(loader), f"epoch {epoch}/{job.recipe.epochs}"):
        yield normalize(image.to(job.device), job.normalize), target.to(job.device)


def _sums(model: nn.Module, batch: tuple[Tensor, Tensor], job: Job) -> Tensor:
    """(heads, 4, C) class sums of "out" and, if the model has it, of "aux"."""
    image, target = batch
    with autocast(job.device, job.precision):
        logits = model(image)
    heads = [logits[name] for name in ("out", "aux") if name in logits]
    return torch.stack([_class_sums(head, target, job) for head in heads])


def _class_sums(logits: Tensor, target: Tensor, job: Job) -> Tensor:
    learn_dice = job.recipe.loss.dice > 0
    return losses.class_sums(logits, target, ignore_index=job.ignore_index, learn_dice=learn_dice)


def _objective(sums: Tensor, job: Job) -> Tensor:
    """What a step minimises: the loss of "out" and, weighted, that of "aux"."""
    values = [losses.objective(head, job.recipe.loss, job.class_weights) for head in sums]
    return values[0] + job.recipe.aux_weight * values[1] if len(values) > 1 else values[0]


def _means(sums: Tensor, job: Job) -> Losses:
    """Losses of a head's sums (4, C)."""
    loss = losses.objective(sums, job.recipe.loss, job.class_weights)
    parts = losses.cross_entropy(sums), losses.dice(sums)
    return Losses(*torch.stack([loss, *parts]).tolist())


def _initial_sums(model: nn.Module, job: Job) -> Tensor:
    """What the first epoch's sums would be without any step; the model stays as it was."""
    saved = [buffer.clone() for buffer in model.buffers()]
    model.train()
    with torch.no_grad():
        sums = [_sums(model, batch, job).double() for batch in _batches(job, 1)]
        for buffer, value in zip(model.buffers(), saved, strict=True):
            buffer.copy_(value)
    return torch.stack(sums).sum(0)


def _measured(
    model: nn.Module, job: Job, number: int, lr: float, sums: Tensor, begin: float | None = None
) -> Epoch:
    """Close an epoch: its mean losses, and the validation of the weights as they are now."""
    train, objective = _means(sums[0], job), float(_objective(sums, job))
    # The figures had to wait for the device, so the time is that of all steps.
    seconds = 0.0 if begin is None else time.perf_counter() - begin
    val, confusion = validate(model, job)
    if not np.isfinite([*train, objective, *val]).all():
        raise ValueError(
            f"epoch {number}, lr {lr:g}: train loss {objective}, val loss {val.loss}: not finite; "
            "try a smaller lr, a longer warmup_epochs or precision: fp32"
        )
    return Epoch(number, lr, train, objective, val, confusion, seconds)
