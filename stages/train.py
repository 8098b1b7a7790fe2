"""One model -> data/runs/<dataset>/<model>/train/ and, beside it, cost.json."""

from pathlib import Path

from segmodels import code, models, params, process
from segmodels.core import machine
from segmodels.files import write_json
from segmodels.models import pretrained
from segmodels.training import checkpoint, history, loop, parts, processes
from segmodels.training.job import Job


def train(name: str, group: processes.Processes) -> None:
    settings = params.load()
    parts.check(settings, name)
    data, recipe, entry = settings.data, settings.recipe(name), settings.models[name]
    seed = settings.model_seed(name)
    runtime = machine.start(recipe.precision, recipe.threads, recipe.deterministic, seed)
    print(f"{name}: {runtime.precision}, {runtime.threads} threads, {runtime.cpu}", flush=True)
    model = models.build(entry.arch, num_classes=len(data.classes), **entry.arguments)
    start = pretrained.start(model, arch=entry.arch, arguments=entry.arguments, init=recipe.init)
    print(f"start: {pretrained.summary(start)}", flush=True)
    bar = process.Bar(name)
    job = Job.of(settings, name, runtime, bar.progress, group)
    passes = 2 if recipe.bn == "recalibrate" else 1  # over the training images, each epoch
    bar.expect((recipe.epochs * passes + 1) * job.steps_per_epoch)
    identity = {
        **{"model": name, "dataset": settings.dataset, "arch": entry.arch},
        **{"arguments": entry.arguments, "parameters": sum(p.numel() for p in model.parameters())},
        **{"start": start, **job.identity(), **runtime.record()},
        "code_sha256": code_digests(entry.arch),
    }
    with checkpoint.hold(identity, settings.checkpoint_minutes, writes=group.first) as kept:
        run, epochs = Path("data/runs", settings.dataset, name), []
        for epoch in loop.epochs(model, job, kept):
            epochs.append(epoch)
            bar.reach((epoch.number * passes + 1) * job.steps_per_epoch)
            bar.write(history.line(epochs, recipe.epochs))
            if group.first:
                history.save(run / "train", epochs, data.classes)
        bar.close()
        if group.first:
            checkpoint.save_weights(model.state_dict(), run / "train/weights.pt")
            checkpoint.save_weights(kept.best_weights(), run / "train/best.pt")
            write_json(run / "train/provenance.json", {**identity, "classes": data.classes})
            cost = history.cost(epochs, job.steps_per_epoch * recipe.batch_size)
            write_json(run / "cost.json", cost | {"peak_memory_bytes": machine.peak_memory_bytes()})


def code_digests(arch: str) -> dict[str, str]:
    """What code the result depends on, see `segmodels.code`."""
    files = {"train": "stages/train.py", "arch": f"segmodels/models/{arch}.py"}
    return {name: code.digest(code.reached(file)) for name, file in files.items()}


def main() -> None:
    processes.run("stages.train", process.argument(params.load().models), train)


if __name__ == "__main__":
    process.run(main)
