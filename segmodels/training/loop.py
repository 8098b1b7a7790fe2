"""The training loop: a model and a `Job` in, one `Epoch` at a time out.

Epoch 0 is measured before the first step, so that every curve shows where its model started; its
training losses are those of a few batches. Later training losses are over all pixels that counted
in the epoch, taken while the weights changed; the validation losses are of the weights at the
epoch's end. What a step does depends on the state before it and on (seed, epoch, step) alone,
dropout included, so a training that goes on from a checkpoint ends with the bits of one that was
never interrupted.
"""

import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from segmodels.config.schema import Train
from segmodels.data.augment import RandomCrop
from segmodels.data.loading import training_batches, whole_images
from segmodels.training import batchnorm, guard, losses
from segmodels.training.checkpoint import Checkpoints
from segmodels.training.losses import Values
from segmodels.training.optim import build_optimizer, lr_factor, set_lr, start_momentum
from segmodels.training.state import Epoch, TrainingState
from segmodels.training.step import Batch, gradients, sum_of, untouched
from segmodels.training.task import Job
from segmodels.training.validation import measure

START_BATCHES = 4  # on which the training loss of epoch 0 is measured


def epochs(model: nn.Module, job: Job, checkpoints: Checkpoints | None = None) -> Iterator[Epoch]:
    """Train a model in place, yielding before the first epoch and after each.

    Args:
        model: (N, 3, H, W) float -> {"out": logits, optionally "aux": logits}.
        checkpoints: where the training is kept now and then. One that was interrupted goes on: its
            epochs come again, then new ones.
    Raises:
        ValueError: the job cannot be done, a loss is not finite, or memory does not suffice.
    """
    network = _prepared(model, job)
    scaler = torch.amp.GradScaler(job.device.type, enabled=job.precision == "fp16")
    state = TrainingState(model, build_optimizer(model, job.recipe), scaler)
    if scaler.is_enabled():
        start_momentum(state.optimizer)
    if checkpoints:
        checkpoints.resume(state)
    if state.sums is not None:
        state.sums = state.sums.to(job.device)
    job.processes.wait()  # before one of them changes the file
    yield from list(state.epochs)
    while len(state.epochs) <= job.recipe.epochs:
        with guard.memory(job.recipe):
            if state.epochs:
                _train(state, network, job, checkpoints)
            else:
                state.sums = _initial_sums(model, job)
            state.close(_epoch(state, job))
        if checkpoints:
            checkpoints.end_epoch(state)
        yield state.epochs[-1]


def validate(model: nn.Module, job: Job, split: str = "val") -> tuple[Values, np.ndarray]:
    """Losses of "out" and confusion (C, C) int64 over all images of a split, original size."""
    images = whole_images(
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
        images,
        num_classes=len(job.classes),
        ignore_index=job.ignore_index,
        loss=job.recipe.loss,
        normalization=job.normalize,
        device=job.device,
        precision=job.precision,
    )
    confusion = job.processes.total(counts)
    return _values(job.processes.total(sums), job), confusion.cpu().numpy()


def recalibrate(model: nn.Module, job: Job, epoch: int) -> None:
    """Measure BatchNorm's statistics over an epoch's crops, see batchnorm.recalibrate."""
    images = (image for image, _ in _batches(job, epoch))
    forward = partial(job.see, model)
    batchnorm.recalibrate(model, images, forward, job.processes.total)


def _prepared(model: nn.Module, job: Job) -> nn.Module:
    """Bring a model to its device, treat its BatchNorm as asked, and join the other processes.

    Returns:
        what the steps pass their batches through; its parameters are the model's own.
    """
    _check(job)
    model.to(job.device).to(memory_format=torch.channels_last)
    frozen = job.recipe.bn == "frozen"
    if not frozen and job.processes.count > 1 and batchnorm.layers(model):
        _synchronise(model, job)
    network = model
    if job.recipe.compile:  # of the steps alone: crops have one size, whole images have many
        network = cast(nn.Module, torch.compile(model, dynamic=False))
    if job.processes.count > 1:
        network = DistributedDataParallel(network, broadcast_buffers=False)
    return network


def _check(job: Job) -> None:
    """Refuse batches that cannot be shared, or that the images do not fill."""
    recipe = job.recipe
    count = job.processes.count
    if recipe.batch_size % (count * recipe.accumulate):
        raise ValueError(
            f"batch_size = {recipe.batch_size}: expected a multiple of {count} "
            f"processes times accumulate = {recipe.accumulate}"
        )
    if job.steps_per_epoch == 0:
        raise ValueError(
            f"train has {len(job.train_ids)} pictures, fewer than batch_size = {recipe.batch_size}"
        )


def _synchronise(model: nn.Module, job: Job) -> None:
    """Join BatchNorm's statistics over the processes."""
    if job.device.type == "cpu":
        raise ValueError(
            f"bn = {job.recipe.bn} in {job.processes.count} processes: statistics over processes "
            "need GPUs (SyncBatchNorm); train in one process, or with bn: frozen"
        )
    batchnorm.synchronise(model)


def _train(
    state: TrainingState, network: nn.Module, job: Job, checkpoints: Checkpoints | None
) -> None:
    """Do the steps of an epoch that are left."""
    epoch = len(state.epochs)
    watch = guard.Watch(epoch, _image_ids(job, epoch))
    begin = time.perf_counter() - state.seconds
    _learn(network, job.recipe)
    for batch in _batches(job, epoch, state.step):
        lr = _lr(job, epoch, state.step)
        set_lr(state.optimizer, lr)
        _seed(job, epoch, state.step)
        sums = _step(state, network, job, batch)
        watch.add(state.step, lr, sums)
        state.sums = sums if state.sums is None else state.sums + sums
        state.step += 1
        state.seconds = time.perf_counter() - begin
        if checkpoints and checkpoints.due():
            watch.look()
            checkpoints.save(state.state_dict())
    watch.look()
    state.seconds = time.perf_counter() - begin


def _image_ids(job: Job, epoch: int) -> list[list[str]]:
    """Of each step of an epoch."""
    image_ids = []
    for positions in job.steps(epoch):
        image_ids.append([job.train_ids[k] for k in positions])
    return image_ids


def _step(state: TrainingState, network: nn.Module, job: Job, batch: Batch) -> Tensor:
    """Learn from a batch; its class sums."""
    image, target = batch
    parts = job.recipe.accumulate
    state.optimizer.zero_grad(set_to_none=True)
    sums = gradients(
        network,
        list(zip(image.chunk(parts), target.chunk(parts), strict=True)),
        objective=job.objective,
        forward=job.see,
        processes=job.processes,
        scale=state.scaler.scale,
    )
    if job.recipe.clip_norm:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.model.parameters(), job.recipe.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    return sums


def _batches(job: Job, epoch: int, start: int = 0) -> Iterator[Batch]:
    """This process's share of each step's batch, from step `start` on, on the device."""
    steps = [job.processes.share(step) for step in job.steps(epoch)[start:]]
    loader = training_batches(
        job.root,
        job.train_ids,
        steps,
        crop=RandomCrop.of(job.recipe, job.normalize, job.ignore_index),
        seed=job.seed,
        epoch=epoch,
        workers=job.workers,
        decoded=job.decoded,
    )
    for image, target in job.progress(loader, len(steps), f"epoch {epoch}/{job.recipe.epochs}"):
        yield (
            image.to(job.device, non_blocking=True),
            target.to(job.device, non_blocking=True),
        )


def _learn(network: nn.Module, recipe: Train) -> None:
    """Training mode, but for BatchNorm's statistics if they are frozen."""
    network.train()
    if recipe.bn == "frozen":
        batchnorm.freeze(network)


def _lr(job: Job, epoch: int, step: int) -> float:
    """The learning rate of a step, from 0, of an epoch, from 1."""
    steps_before = (epoch - 1) * job.steps_per_epoch + step
    factor = lr_factor(steps_before, recipe=job.recipe, steps_per_epoch=job.steps_per_epoch)
    return job.recipe.lr * factor


def _seed(job: Job, epoch: int, step: int) -> None:
    """Let dropout depend on the step alone, so that no checkpoint has to keep random states."""
    entropy = [job.seed, epoch, step, job.processes.rank]
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


@torch.no_grad()
def _initial_sums(model: nn.Module, job: Job) -> Tensor:
    """Sums over the first epoch's first START_BATCHES batches; the model stays as it was."""
    _learn(model, job.recipe)
    sums = []
    with untouched(model):
        for step, (image, target) in enumerate(islice(_batches(job, 1), START_BATCHES)):
            _seed(job, 0, step)
            sums.append(job.objective.sums(job.see(model, image), target).double())
    return job.processes.total(sum_of(sums))


def _epoch(state: TrainingState, job: Job) -> Epoch:
    """Mean losses of the steps done, and the validation of the weights.

    Raises:
        ValueError: a loss is not finite.
    """
    begin = time.perf_counter() - state.seconds
    number = len(state.epochs)
    assert state.sums is not None
    train = _values(state.sums[0], job)
    objective = float(job.objective.value(state.sums))
    lr = _lr(job, number, job.steps_per_epoch - 1) if number else 0.0
    if job.recipe.bn == "recalibrate" and number:
        recalibrate(state.model, job, number)
    val, confusion = validate(state.model, job)
    holdout = None
    if len(job.pictures("holdout")):
        _, holdout = validate(state.model, job, "holdout")
    if not np.isfinite([*train.values(), objective, *val.values()]).all():
        raise ValueError(
            f"epoch {number}, lr {lr:g}: train loss {objective}, val loss {val['loss']}: "
            f"not finite; {guard.ADVICE}"
        )
    return Epoch(
        number=number,
        lr=lr,
        train=train,
        train_objective=objective,
        val=val,
        confusion=confusion,
        holdout=holdout,
        seconds=state.seconds,
        total_seconds=time.perf_counter() - begin,
    )


def _values(sums: Tensor, job: Job) -> Values:
    """Losses of a head's sums (R, C)."""
    return losses.values(sums, job.recipe.loss, job.objective.class_weights)
