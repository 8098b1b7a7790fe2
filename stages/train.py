"""One run -> data/runs/<dataset>/<run>/train/ and, beside it, cost.json."""

import shutil
import sys
from functools import partial

from segmodels import code, models, params, process
from segmodels.config.paths import Paths
from segmodels.files import write_json
from segmodels.prediction import runtime
from segmodels.training import checkpoint, history, loop, parts, processes, weights
from segmodels.training.job import Job


def main() -> None:
    here = process.study()
    settings = params.load(f"{here}params.yaml")
    name = process.argument(settings.runs)
    model = settings.shared_weights(name)
    if model:
        share(settings.paths, model, name)
    else:
        processes.run("stages.train", sys.argv[1:], partial(train, settings, name))


def share(paths: Paths, model: str, name: str) -> None:
    """Take over all that the training of another run has made."""
    shutil.copytree(paths.train(model), paths.train(name))
    shutil.copyfile(paths.run(model) / "cost.json", paths.run(name) / "cost.json")
    print(f"{name}: weights of {model}", flush=True)


def train(settings: params.Params, name: str, group: processes.Processes) -> None:
    parts.check(settings, name)
    paths = settings.paths
    data, recipe, entry = settings.data, settings.recipe(name), settings.runs[name]
    seed = settings.model_seed(name)
    machine = runtime.start(recipe.precision, recipe.threads, recipe.deterministic, seed)
    print(f"{name}: {machine.precision}, {machine.threads} threads, {machine.cpu}", flush=True)
    model = models.build(entry.arch, num_classes=len(data.classes), **entry.arguments)
    start = weights.start(model, arch=entry.arch, arguments=entry.arguments, init=recipe.init)
    print(f"start: {weights.summary(start)}", flush=True)
    bar = process.Bar(name)
    job = Job.of(settings, name, machine, bar.progress, group)
    passes = 2 if recipe.bn == "recalibrate" else 1  # over the training images, each epoch
    bar.expect((recipe.epochs * passes + 1) * job.steps_per_epoch)
    identity = {
        **{"model": name, "dataset": settings.dataset, "arch": entry.arch},
        **{"arguments": entry.arguments, "parameters": sum(p.numel() for p in model.parameters())},
        **{"start": start, **job.identity(), **machine.record()},
        "code_sha256": code_digests(entry.arch),
    }
    with checkpoint.hold(identity, settings.checkpoint_minutes, writes=group.first) as kept:
        run_dir, epochs = paths.train(name), []
        for epoch in loop.epochs(model, job, kept):
            epochs.append(epoch)
            bar.reach((epoch.number * passes + 1) * job.steps_per_epoch)
            bar.write(history.line(epochs, recipe.epochs))
            if group.first:
                history.save(run_dir, epochs, data.classes)
        bar.close()
        if group.first:
            checkpoint.save_weights(model.state_dict(), run_dir / "weights.pt")
            checkpoint.save_weights(kept.best_weights(), run_dir / "best.pt")
            write_json(run_dir / "provenance.json", {**identity, "classes": data.classes})
            cost = history.cost(epochs, job.steps_per_epoch * recipe.batch_size)
            cost["peak_memory_bytes"] = runtime.peak_memory_bytes()
            write_json(paths.run(name) / "cost.json", cost)


def code_digests(arch: str) -> dict[str, str]:
    """What code the result depends on, see `segmodels.code`."""
    files = {"train": "stages/train.py", "arch": f"segmodels/models/{arch}.py"}
    return {name: code.digest(code.reached(file)) for name, file in files.items()}


if __name__ == "__main__":
    process.run(main)
