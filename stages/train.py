"""One run -> data/runs/<dataset>/<run>/train/ and, beside it, cost.json."""

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Module

from segmodels import models
from segmodels.config import code, params
from segmodels.config.paths import Paths
from segmodels.core import distributed, machine, supervise
from segmodels.core.files import copy, write_json
from segmodels.models import pretrained
from segmodels.training import checkpoint, history, logger, loop, parts
from segmodels.training.state import Epoch
from segmodels.training.task import Job


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    name = supervise.argument(settings.runs)
    model = settings.shared_weights(name)
    if model:
        share(settings.paths, model, name)
    else:
        distributed.run("stages.train", sys.argv[1:], partial(train, settings, name))


def share(paths: Paths, model: str, name: str) -> None:
    """Take over all that the training of another run has made."""
    shutil.copytree(paths.train(model), paths.train(name))
    shutil.copyfile(paths.run(model) / "cost.json", paths.run(name) / "cost.json")
    print(f"{name}: weights of {model}", flush=True)


def train(settings: params.Params, name: str, group: distributed.Processes) -> None:
    """Train one run, or go on with its last checkpoint."""
    parts.check(settings, name)
    recipe = settings.recipe(name)
    run = settings.runs[name]
    runtime = machine.start(
        recipe.precision, recipe.threads, recipe.deterministic, settings.model_seed(name)
    )
    print(f"{name}: {runtime.precision}, {runtime.threads} threads, {runtime.cpu}", flush=True)
    model = models.build(run.arch, num_classes=len(settings.data.classes), **run.arguments)
    start = pretrained.start(model, arch=run.arch, arguments=run.arguments, init=recipe.init)
    print(f"start: {pretrained.summary(start)}", flush=True)
    bar = supervise.Bar(name)
    job = Job.of(settings, name, runtime, bar.progress, group)
    identity: dict[str, Any] = {
        "model": name,
        "dataset": settings.dataset,
        "arch": run.arch,
        "arguments": run.arguments,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "start": start,
    }
    identity |= job.identity() | runtime.record()
    identity["code_sha256"] = code_digests(run.arch)
    with checkpoint.hold(identity, settings.checkpoint_minutes, writes=group.first) as kept:
        if kept.begun:
            print("goes on from its checkpoint; its epochs so far come first", flush=True)
        epochs = learn(settings.paths, name, model, job, kept, bar)
        if group.first:
            record = identity | {"classes": settings.data.classes}
            save(settings.paths, name, model.state_dict(), kept.best_path, record)
            cost = history.cost(epochs, job.steps_per_epoch * recipe.batch_size)
            cost["peak_memory_bytes"] = machine.peak_memory_bytes()
            write_json(settings.paths.run(name) / "cost.json", cost)


def learn(
    paths: Paths,
    name: str,
    model: Module,
    job: Job,
    kept: checkpoint.Checkpoints,
    bar: supervise.Bar,
) -> list[Epoch]:
    """Train all epochs; after each its history is on the disk, and on the screen."""
    recipe = job.recipe
    board = logger.board(paths, name) if job.processes.first else None
    passes = 2 if recipe.bn == "recalibrate" else 1  # over the training images, each epoch
    bar.expect((recipe.epochs * passes + 1) * job.steps_per_epoch)
    epochs: list[Epoch] = []
    for epoch in loop.epochs(model, job, kept):
        epochs.append(epoch)
        bar.reach((epoch.number * passes + 1) * job.steps_per_epoch)
        bar.write(history.line(epochs, recipe.epochs))
        if job.processes.first:
            history.save(paths.train(name), epochs, job.classes)
            logger.write(paths, name, history.table(epochs), board)
    bar.close()
    return epochs


def save(
    paths: Paths, name: str, last: dict[str, Tensor], best: Path, record: dict[str, Any]
) -> None:
    """Write the weights of the last epoch, those of the best, and what decided the result.

    Args:
        best: a file that `checkpoint.save_weights` wrote.
    """
    folder = paths.train(name)
    checkpoint.save_weights(last, folder / "weights.pt")
    copy(best, folder / "best.pt")
    write_json(folder / "provenance.json", record)


def code_digests(arch: str) -> dict[str, str]:
    """What code the result depends on, see `segmodels.config.code`."""
    files = {"train": "stages/train.py", "arch": f"segmodels/models/{arch}.py"}
    return {name: code.digest(code.reached(file)) for name, file in files.items()}


if __name__ == "__main__":
    supervise.run(main)
