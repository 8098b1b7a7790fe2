"""A side of `peers_camvid`: this project, with the recipe of `fpn` in studies/camvid.

Whole epochs, as many as fit into the minutes: the training loop is the one of the stage `train`.
The loop measures its val set after each epoch, which here is one image; the time of that counts.
The warm-up has the share of the epochs that it has in the study.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from benchmarks import peer_common
from benchmarks.peer_common import MEASURED, WARM_UP, Cost, Meter, Result, Task, missed
from segmodels import models
from segmodels.config import params
from segmodels.config.params import Params
from segmodels.config.schema import Train
from segmodels.core import machine, supervise
from segmodels.core.machine import Runtime
from segmodels.data import images, layout
from segmodels.data.loading import whole_images
from segmodels.inference import testtime
from segmodels.models import pretrained
from segmodels.models.matching import BACKBONE
from segmodels.models.network import Network
from segmodels.training import loop
from segmodels.training.task import Job

PARAMS = "studies/camvid/params.yaml"
MODEL = "fpn"


@dataclass
class Watch:
    """Seconds of the steps of an epoch, loading included."""

    seconds: list[float] = field(default_factory=list)

    def progress(self, items: Iterable[object], count: int, what: str) -> Iterator[object]:
        """Pass items on, and note how long each was waited for and worked on."""
        started = time.perf_counter()
        for item in items:
            yield item
            now = time.perf_counter()
            self.seconds.append(now - started)
            started = now


def main() -> None:
    task = peer_common.begin()
    settings = params.load(PARAMS)
    run(task, settings, settings.recipe(MODEL))


def run(task: Task, settings: Params, recipe: Train) -> None:
    """Train, hand in the masks and say what it took."""
    chosen = {"precision": task.precision, "threads": task.threads, "init": task.weights}
    recipe = recipe.model_copy(update=chosen)
    runtime = machine.start(task.precision, task.threads, recipe.deterministic, task.seed)
    runtime = machine.on_cpu(runtime, task.precision)
    model, start, cost = learn(task, settings, recipe, seconds_a_step(task, settings, recipe))
    if missed(task.minutes, cost):
        model, start, cost = learn(task, settings, recipe, cost.seconds / cost.steps)
    peer_common.say(f"predicts {len(task.test)} images")
    predict(task, settings, model, runtime)
    result = Result(
        program=f"segmodels {version('segmodels')}",
        network="FPN, EfficientNet-Lite0",
        start=start,
        batch=recipe.batch_size,
        crop=recipe.crop_size,
        cost=cost,
    )
    result.write(task)


def learn(
    task: Task, settings: Params, recipe: Train, seconds: float
) -> tuple[nn.Module, str, Cost]:
    """Train for as many epochs as fit, at so many seconds a step; see `build`."""
    fitted = fitting(task, recipe, seconds)
    peer_common.say(f"{seconds:.2f} s a step, {fitted.epochs} epochs")
    model, start = build(task, settings, fitted)
    training = job(task, settings, fitted, Watch())
    meter = Meter()
    for _ in loop.epochs(model, training):
        pass
    cost = meter.cost(fitted.epochs * training.steps_per_epoch)
    peer_common.say(f"trained for {cost.seconds / 60:.1f} min")
    return model, start, cost


def build(task: Task, settings: Params, recipe: Train) -> tuple[nn.Module, str]:
    """The model, and which weights it starts from."""
    peer_common.fix_seeds(task.seed)
    entry = settings.models[MODEL]
    model = models.build(entry.arch, num_classes=len(task.classes), **entry.arguments)
    coverage = pretrained.start(model, arch=entry.arch, arguments=entry.arguments, init=recipe.init)
    if recipe.init == "none":
        return model, "random"
    missing = [name for name in coverage["missing"] if name.startswith(BACKBONE)]
    if missing or coverage["wrong_shape"]:
        raise ValueError(f"{recipe.init}: {pretrained.summary(coverage)}")
    loaded = [name for name in coverage["loaded"] if name.startswith(BACKBONE)]
    return model, peer_common.imagenet(len(loaded))


def seconds_a_step(task: Task, settings: Params, recipe: Train) -> float:
    """The mean of MEASURED steps that follow WARM_UP others, of a model that is then forgotten."""
    wanted = WARM_UP + MEASURED
    few = replace(task, train=task.train[: wanted * recipe.batch_size])
    trial = recipe.model_copy(update={"epochs": wanted, "warmup_epochs": 0})
    watch = Watch()
    model, _ = build(few, settings, trial)
    for epoch in loop.epochs(model, job(few, settings, trial, watch)):
        if epoch.number == 0:
            watch.seconds.clear()  # no step, but losses before the first
        if len(watch.seconds) >= wanted:
            break
    return sum(watch.seconds[WARM_UP:wanted]) / MEASURED


def fitting(task: Task, recipe: Train, seconds: float) -> Train:
    """The recipe with as many epochs as fit into the task's minutes, at least one."""
    steps = len(task.train) // recipe.batch_size
    epochs = max(1, int(60 * task.minutes / (seconds * steps)))
    warmup = recipe.warmup_epochs * epochs / recipe.epochs
    return recipe.model_copy(update={"epochs": epochs, "warmup_epochs": warmup})


def job(task: Task, settings: Params, recipe: Train, watch: Watch) -> Job:
    """What the loop trains on: the task's training images, and one of val."""
    learnt = layout.read_index(peer_common.train_index(task.tree), task.classes)
    val = learnt[learnt["split"] == "val"].head(1)
    train = learnt[learnt["image_id"].isin(task.train)]
    return Job(
        root=Path(task.tree),
        index=pd.concat([train, val], ignore_index=True),
        classes=task.classes,
        ignore_index=task.void,
        normalize=settings.normalization(MODEL),
        recipe=recipe,
        seed=task.seed,
        device=torch.device("cpu"),
        precision=task.precision,
        progress=watch.progress,
    )


def predict(task: Task, settings: Params, model: nn.Module, runtime: Runtime) -> None:
    """Hand in the masks, as the stage `predict` makes them."""
    table = layout.read_index(peer_common.test_index(task.tree), task.classes)
    rows = table[table["image_id"].isin(task.test)]
    choices = settings.prediction(MODEL)
    batches = whole_images(
        Path(task.tree), rows, size=None, batch_size=choices.batch_size, as_stored=True
    )
    network = Network(
        MODEL, model, settings.normalization(MODEL), task.classes, images.palette()
    ).on(runtime)
    for image_id, labels in testtime.label_maps(network, batches, choices):
        task.hand_in(image_id, labels.numpy())


if __name__ == "__main__":
    supervise.run(main)
