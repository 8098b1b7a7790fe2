"""One model -> data/runs/<dataset>/<model>/train/ and, beside it, cost.json."""

import sys
import time
from pathlib import Path

import torch

from segmodels import models, params, process
from segmodels.data import voc
from segmodels.files import write_csv, write_json
from segmodels.prediction import runtime
from segmodels.training import history, loop, weights
from segmodels.training.checkpoint import save_weights


def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    data, recipe, entry = settings.data, settings.recipe(name), settings.models[name]
    run = Path("data/runs") / settings.dataset / name
    machine = runtime.start(precision=recipe.precision, threads=recipe.threads, seed=settings.seed)
    print(f"{name}: {machine.precision}, {machine.threads} threads, {machine.cpu}", flush=True)
    model = models.build(entry.arch, num_classes=len(data.classes), **entry.arguments)
    start = weights.start(model, arch=entry.arch, arguments=entry.arguments, init=recipe.init)
    print(f"start: {weights.summary(start)}", flush=True)
    job = loop.Job(
        root=voc.dataset_root(settings.dataset),
        index=voc.read_index(settings.dataset),
        classes=data.classes,
        ignore_index=data.void,
        normalize=settings.normalization(name),
        recipe=recipe,
        seed=settings.seed,
        device=torch.device(machine.device),
        precision=machine.precision,
        progress=process.progress,
    )
    begin, epochs = time.perf_counter(), list[loop.Epoch]()
    for epoch in loop.epochs(model, job):
        epochs.append(epoch)
        write_csv(run / "train/history.csv", history.table(epochs))
        per_class = history.per_class_table(epochs, data.classes)
        write_csv(run / "train/per_class_history.csv", per_class)
        print(history.line(epoch, recipe.epochs, time.perf_counter() - begin), flush=True)
    save_weights(model, run / "train/weights.pt")

    provenance = {
        **{"model": name, "dataset": settings.dataset, "arch": entry.arch},
        **{"arguments": entry.arguments, "parameters": sum(p.numel() for p in model.parameters())},
        **{"seed": settings.seed, "recipe": recipe.model_dump(), "start": start},
        **machine.record(),
    }
    write_json(run / "train/provenance.json", provenance)
    cost = history.cost(epochs, job.steps_per_epoch * recipe.batch_size)
    write_json(run / "cost.json", {**cost, "peak_memory_bytes": runtime.peak_memory_bytes()})


if __name__ == "__main__":
    process.run(main)
