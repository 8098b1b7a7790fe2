"""The training loop: a model and a `Job` in, one `Epoch` at a time out.

Epoch 0 is measured before the first step, so that every curve shows where its model started. The
training losses are over all pixels that counted in the epoch, taken while the weights changed; the
validation losses are of the weights at the epoch's end. What a step does depends on the state
before it and on (seed, epoch, step) alone, dropout included, so a run that goes on from a
checkpoint ends with the bits of one that was never stopped.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segmodels.data.loading import Augmentation, training_batches, whole_images
from segmodels.models.network import place
from segmodels.training import batchnorm, guard, losses
from segmodels.training.checkpoint import Checkpoints
from segmodels.training.job import Job
from segmodels.training.losses import Losses
from segmodels.training.recipe import lr_factor, optimizer, set_lr, start_momentum
from segmodels.training.run import Epoch, Run
from segmodels.training.step import Batch, gradients, sum_of, untouched
from segmodels.training.validation import measure


def epochs(model: nn.Module, job: Job, checkpoints: Checkpoints | None = None) -> Iterator[Epoch]:
    """Train a model in place, yielding before the first epoch and after each.

    Args:
        model: (N, 3, H, W) float -> {"out": logits, optionally "aux": logits}.
        checkpoints: where the run is kept after each epoch and now and then within one. A run that
            was interrupted goes on: its epochs come again, then new ones.
    Raises:
        ValueError: the job cannot be done, a loss is not finite, or memory does not suffice.
    """
    network = _prepared(model, job)
    scaler = torch.amp.GradScaler(job.device.type, enabled=job.precision == "fp16")
    run = Run(model, optimizer(model, job.recipe), scaler)
    if scaler.is_enabled():
        start_momentum(run.updates)
    if checkpoints:
        checkpoints.resume(run)
    if run.sums is not None:
        run.sums = run.sums.to(job.device)
    job.processes.wait()  # before one of them changes the file
    yield from list(run.epochs)
    while len(run.epochs) <= job.recipe.epochs:
        with guard.memory(job.recipe):
            if run.epochs:
                _train(run, network, job, checkpoints)
            else:
                run.sums = _initial_sums(model, job)
            _close(run, job)
        if checkpoints:
            checkpoints.save(run.state(), best=run.best)
        yield run.epochs[-1]


def validate(model: nn.Module, job: Job, split: str = "val") -> tuple[Losses, np.ndarray]:
    """Losses of "out" and confusion (C, C) int64 over all pictures of a split, original size."""
    pictures = whole_images(
        job.root,
        job.pictures(split),
        size=job.recipe.val_size,
        batch_size=job.recipe.batch_size,
        targets=True,
        workers=job.workers,
        share=(job.processes.rank, job.processes.count),
    )
    sums, counts = measure(
        model,
        pictures,
        num_classes=len(job.classes),
        ignore_index=job.ignore_index,
        normalization=job.normalize,
        device=job.device,
        precision=job.precision,
    )
    confusion = job.processes.total(counts)
    return _means(job.processes.total(sums), job), confusion.cpu().numpy()


def _prepared(model: nn.Module, job: Job) -> nn.Module:
    """Bring a model to its device, treat its BatchNorm as asked, and join the other processes.

    Returns:
        what the steps pass their batches through; its parameters are the model's own.
    """
    recipe, processes = job.recipe, job.processes
    parts = processes.count * recipe.accumulate
    if recipe.batch_size % parts:
        raise ValueError(
            f"batch_size = {recipe.batch_size}: expected a multiple of {processes.count} "
            f"processes times accumulate = {recipe.accumulate}"
        )
    if job.steps_per_epoch == 0:
        raise ValueError(
            f"train has {len(job.train_ids)} pictures, fewer than batch_size = {recipe.batch_size}"
        )
    place(model, job.device)
    if recipe.bn == "frozen":
        batchnorm.freeze(model)
    elif processes.count > 1 and batchnorm.layers(model):
        if job.device.type == "cpu":
            raise ValueError(
                f"bn = {recipe.bn} in {processes.count} processes: statistics over processes need "
                "GPUs (SyncBatchNorm); train in one process, or with bn: frozen"
            )
        batchnorm.synchronise(model)
    network = model
    if recipe.compile:  # of the steps alone: crops have one size, whole pictures have many
        network = cast(nn.Module, torch.compile(model, dynamic=False))
    if processes.count > 1:
        network = DistributedDataParallel(network, broadcast_buffers=False)
    return network


def recalibrate(model: nn.Module, job: Job, epoch: int) -> None:
    """Measure BatchNorm's statistics over an epoch's crops, see batchnorm.recalibrate."""
    images = (image for image, _ in _batches(job, epoch))
    see = partial(job.see, model)
    batchnorm.recalibrate(model, images, see, job.processes.total)


def _train(run: Run, network: nn.Module, job: Job, checkpoints: Checkpoints | None) -> None:
    """Do the steps of an epoch that are left."""
    epoch, recipe, steps = len(run.epochs), job.recipe, job.steps(len(run.epochs))
    watch = guard.Watch(epoch, [[job.train_ids[k] for k in step] for step in steps])
    begin = time.perf_counter() - run.seconds
    network.train()
    for batch in _batches(job, epoch, run.step):
        lr = _lr(job, epoch, run.step)
        set_lr(run.updates, lr)
        _seed(job, epoch, run.step)
        run.updates.zero_grad(set_to_none=True)
        sums = gradients(
            network,
            list(zip(*(tensor.chunk(recipe.accumulate) for tensor in batch), strict=True)),
            objective=job.objective,
            see=job.see,
            processes=job.processes,
            scale=run.scaler.scale,
        )
        if recipe.clip_norm:
            run.scaler.unscale_(run.updates)
            nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip_norm)
        run.scaler.step(run.updates)
        run.scaler.update()
        watch.add(run.step, lr, sums)
        run.sums = sums if run.sums is None else run.sums + sums
        run.step, run.seconds = run.step + 1, time.perf_counter() - begin
        if checkpoints and checkpoints.due():
            watch.look()
            checkpoints.save(run.state())
    watch.look()
    run.seconds = time.perf_counter() - begin


def _batches(job: Job, epoch: int, start: int = 0) -> Iterator[Batch]:
    """This process's share of each step's batch, from step `start` on, on the device."""
    recipe = job.recipe
    augmentation = Augmentation(
        crop_size=recipe.crop_size,
        base_size=recipe.base_size,
        scale=recipe.scale,
        flip=recipe.flip,
        ignore_index=job.ignore_index,
        fill=tuple(round(255 * channel) for channel in job.normalize.mean),
    )
    steps = [job.processes.share(step) for step in job.steps(epoch)[start:]]
    loader = training_batches(
        job.root,
        job.train_ids,
        steps,
        augmentation=augmentation,
        seed=job.seed,
        epoch=epoch,
        workers=job.workers,
        decoded=job.decoded,
    )
    for image, target in job.progress(loader, len(steps), f"epoch {epoch}/{recipe.epochs}"):
        yield (
            image.to(job.device, non_blocking=True),
            target.to(job.device, non_blocking=True),
        )


def _lr(job: Job, epoch: int, step: int) -> float:
    done = (epoch - 1) * job.steps_per_epoch + step
    recipe, steps_per_epoch = job.recipe, job.steps_per_epoch
    return recipe.lr * lr_factor(done, recipe=recipe, steps_per_epoch=steps_per_epoch)


def _seed(job: Job, epoch: int, step: int) -> None:
    """Let dropout depend on the step alone, so that no checkpoint has to keep random states."""
    entropy = [job.seed, epoch, step, job.processes.rank]
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


@torch.no_grad()
def _initial_sums(model: nn.Module, job: Job) -> Tensor:
    """What the first epoch's sums would be without any step; the model stays as it was."""
    model.train()
    seen = []
    with untouched(model):
        for step, (image, target) in enumerate(_batches(job, 1)):
            _seed(job, 0, step)
            seen.append(job.objective.sums(job.see(model, image), target).double())
    return job.processes.total(sum_of(seen))


def _close(run: Run, job: Job) -> None:
    """Make an epoch of the steps done: their mean losses, and the validation of the weights."""
    begin, number = time.perf_counter() - run.seconds, len(run.epochs)
    assert run.sums is not None
    train, objective = _means(run.sums[0], job), float(job.objective.value(run.sums))
    lr = _lr(job, number, job.steps_per_epoch - 1) if number else 0.0
    if job.recipe.bn == "recalibrate" and number:
        recalibrate(run.model, job, number)
    val, confusion = validate(run.model, job)
    holdout = validate(run.model, job, "holdout")[1] if len(job.pictures("holdout")) else None
    if not np.isfinite([*train, objective, *val]).all():
        raise ValueError(
            f"epoch {number}, lr {lr:g}: train loss {objective}, val loss {val.loss}: not finite; "
            f"{guard.ADVICE}"
        )
    total_seconds = time.perf_counter() - begin
    run.epochs.append(
        Epoch(number, lr, train, objective, val, confusion, holdout, run.seconds, total_seconds)
    )
    run.step, run.sums, run.seconds = 0, None, 0.0


def _means(sums: Tensor, job: Job) -> Losses:
    """Losses of a head's sums (4, C)."""
    loss = losses.objective(sums, job.recipe.loss, job.objective.class_weights)
    parts = losses.cross_entropy(sums), losses.dice(sums)
    return Losses(*torch.stack([loss, *parts]).tolist())
