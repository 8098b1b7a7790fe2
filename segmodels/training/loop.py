"""The training loop: a model, a recipe and two lists of pictures in, one `Epoch` at a time out.

Epoch 0 is measured before the first step, so that every curve shows where its model started. The
training loss is the mean over all pixels that counted in the epoch, taken while the weights
changed; the validation loss is of the weights at the epoch's end.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
from segmodels.training.losses import cross_entropy_sum
from segmodels.training.recipe import lr_factor, optimizer

Progress = Callable[[Iterable, int, str], Iterable]  # (items, how many, what) -> the same items


@dataclass(frozen=True)
class Job:
    """What a model is trained on and how: pictures, their labels, recipe, seed, and machine."""

    root: Path
    index: pd.DataFrame
    num_classes: int
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


@dataclass(frozen=True)
class Epoch:
    """What is known at an epoch's end; losses in nats per pixel, confusion (C, C) int64 on val."""

    number: int
    lr: float
    train_loss: float
    train_objective: float
    val_loss: float
    confusion: np.ndarray
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
    yield _measured(model, job, 0, 0.0, _initial_losses(model, job), seconds=0.0)
    for number in range(1, job.recipe.epochs + 1):
        model.train()
        begin = time.perf_counter()
        sums = torch.zeros(3, dtype=torch.float64, device=job.device)
        for batch in _batches(job, number):
            losses = _losses(model, batch, job)
            out, aux, count = losses
            updates.zero_grad(set_to_none=True)
            ((out + job.recipe.aux_weight * aux) / count.clamp(min=1)).backward()
            updates.step()
            sums += losses.detach()
            lr = float(schedule.get_last_lr()[0])
            schedule.step()
        sums = sums.cpu()  # waits for the device, so the time is that of all steps
        yield _measured(model, job, number, lr, sums, seconds=time.perf_counter() - begin)


def validate(model: nn.Module, job: Job) -> tuple[float, np.ndarray]:
    """Mean cross-entropy in nats per pixel and confusion (C, C) int64, at the original sizes."""
    pictures = whole_images(
        job.root, job.pictures("val"), size=job.recipe.val_size, batch_size=job.recipe.batch_size
    )
    sums = torch.zeros(2, dtype=torch.float64, device=job.device)
    confusion = np.zeros((job.num_classes, job.num_classes), dtype=np.int64)
    for image_id, logits in predict_logits(
        model, pictures, normalization=job.normalize, device=job.device, precision=job.precision
    ):
        target = voc.read_target(voc.target_path(job.root, image_id))
        on_device = torch.from_numpy(target).to(job.device)
        sums += torch.stack(
            cross_entropy_sum(logits[None], on_device[None], ignore_index=job.ignore_index)
        )
        confusion += confusion_matrix(
            target=target,
            prediction=label_map(logits).cpu().numpy(),
            num_classes=job.num_classes,
            ignore_index=job.ignore_index,
        )
    return float(sums[0] / sums[1]), confusion


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


def _losses(model: nn.Module, batch: tuple[Tensor, Tensor], job: Job) -> Tensor:
    """Summed cross-entropy of "out", that of "aux" (0 without one), and the number of pixels."""
    image, target = batch
    with autocast(job.device, job.precision):
        logits = model(image)
    out, count = cross_entropy_sum(logits["out"], target, ignore_index=job.ignore_index)
    aux = torch.zeros_like(out)
    if "aux" in logits:
        aux, _ = cross_entropy_sum(logits["aux"], target, ignore_index=job.ignore_index)
    return torch.stack([out, aux, count])


def _initial_losses(model: nn.Module, job: Job) -> Tensor:
    """What the first epoch's losses would be without any step; the model stays as it was."""
    saved = [buffer.clone() for buffer in model.buffers()]
    model.train()
    with torch.no_grad():
        sums = [_losses(model, batch, job).double() for batch in _batches(job, 1)]
        for buffer, value in zip(model.buffers(), saved, strict=True):
            buffer.copy_(value)
    return torch.stack(sums).sum(0)


def _measured(
    model: nn.Module, job: Job, number: int, lr: float, sums: Tensor, *, seconds: float
) -> Epoch:
    """Close an epoch: its mean losses, and the validation of the weights as they are now."""
    train_loss, aux_loss = (sums[:2] / sums[2]).tolist()
    val_loss, confusion = validate(model, job)
    objective = train_loss + job.recipe.aux_weight * aux_loss
    if not np.isfinite([objective, val_loss]).all():
        raise ValueError(
            f"epoch {number}, lr {lr:g}: train loss {objective}, val loss {val_loss}: not finite; "
            "try a smaller lr, a longer warmup_epochs or precision: fp32"
        )
    return Epoch(number, lr, train_loss, objective, val_loss, confusion, seconds)
