"""params.yaml and the code -> data/code and data/facts: a bad value stops everything at once.

data/code has a digest for each stage and each architecture, see config/code.py. data/facts has
what the stages need to know of params.yaml, with its defaults filled in, in files of their own:
another address of an archive changes nothing but download.json, another name of a class nothing in
train/ and predict/, and a key that is written out with its default nothing at all. DVC would read
params.yaml once for every stage that names its keys, and would not see defaults.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from segmodels import models
from segmodels.config import code, params
from segmodels.core import machine, supervise
from segmodels.core.files import write_json, write_text
from segmodels.data.doctor.finding import plural
from segmodels.data.sources.miniature import generate
from segmodels.training import estimate, parts

LEAST = 4e9  # bytes of memory; training the miniature's largest model takes 2.9
GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # cgroups(7), version 1 and 2


def main() -> None:
    start_seconds = time.process_time()
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    paths = settings.paths
    check_drawn(settings)
    for name, model in settings.models.items():
        models.check_arguments(name, model.arch, model.arguments)
    for notice in settings.left_out:
        print(notice, file=sys.stderr)
    for name in settings.runs:
        parts.check(settings, name)
    if not torch.cuda.is_available() and (line := expected(settings, start_seconds)):
        print(line, flush=True)
    if (memory := memory_bytes()) < LEAST:
        print(
            f"this machine has {memory / 1e9:.1f} GB of memory, {LEAST / 1e9:.0f} are needed: "
            "a training may be killed; lower batch_size in params.yaml"
        )
    write_digests(paths.code)
    write_facts(settings, paths.facts)
    for link in paths.links.glob("*"):
        if not link.exists():  # the file that it led to is gone; DVC would stop at it
            link.unlink()


def check_drawn(settings: params.Params) -> None:
    """Refuse what a drawn data set cannot have, before DVC removes the one that is there."""
    data = settings.data
    if not data.generate:
        return
    if data.labels:
        raise ValueError(
            f"datasets.{settings.dataset}.labels: expected none beside `generate`, which draws "
            "label maps; leave the key out"
        )
    generate.check(data.classes, data.generate.short_side, data.generate.long_side)


def write_digests(folder: Path) -> None:
    """Write what code each stage, and each architecture, depends on."""
    for stage in sorted(Path(__file__).parent.glob("[!_]*.py")):
        files = code.reached(f"stages/{stage.name}")
        write_text(folder / f"{stage.stem}.txt", code.digest(files) + "\n")
    for arch in code.archs():
        files = code.reached(f"segmodels/models/{arch}.py")
        write_text(folder / "models" / f"{arch}.txt", code.digest(files) + "\n")


def write_facts(settings: params.Params, folder: Path) -> None:
    """Write what the stages depend on: of the data, of all runs, and of each by itself."""
    origin = {"archive", "sbd", "generate", "source"}
    compared = {"sequence"}
    later = compared | {"groups", "holdout", "allow_absent", "allow_void"}  # no image or mask
    without = later if settings.data.source else {"source"} | later
    write_json(folder / "download.json", settings.data.model_dump(exclude=without))
    write_json(folder / "dataset.json", settings.data.model_dump(exclude=origin | compared))
    starts = {name: settings.recipe(name).init for name in settings.models}
    write_json(folder / "starts.json", starts)
    drawn = {name: each.model_dump() for name, each in settings.comparisons.items()}
    comparison: dict[str, Any] = {"runs": list(settings.runs), "comparisons": drawn}
    if settings.data.sequence:
        comparison["sequence"] = settings.data.sequence.model_dump()
    write_json(folder / "comparison.json", comparison)
    for name in settings.runs:
        write_json(folder / "train" / f"{name}.json", training_facts(settings, name))
        write_json(folder / "predict" / f"{name}.json", prediction_facts(settings, name))


def network_facts(settings: params.Params, name: str) -> dict[str, Any]:
    """What one run's network is, and what goes into it."""
    run = settings.runs[name]
    normalization = settings.normalization(name).model_dump()
    return {"arch": run.arch, "arguments": run.arguments, "normalize": normalization}


def training_facts(settings: params.Params, name: str) -> dict[str, Any]:
    """Whose weights one run shares, or how it is trained."""
    model = settings.shared_weights(name)
    if model:
        return {"weights_of": model}
    facts = network_facts(settings, name)
    facts["recipe"] = settings.recipe(name).model_dump()
    facts["seed"] = settings.model_seed(name)
    return facts


def prediction_facts(settings: params.Params, name: str) -> dict[str, Any]:
    """How one run's masks are predicted, and what their labels mean."""
    facts = network_facts(settings, name)
    facts["classes"] = len(settings.data.classes)
    facts["void"] = settings.data.void
    facts["palette"] = settings.data.palette
    facts["predict"] = settings.prediction(name).model_dump()
    return facts


def expected(settings: params.Params, start_seconds: float) -> str | None:
    """How long the models to be trained will take on this CPU; None: hardly any time."""
    runs = [name for name in settings.runs if not trained(settings, name)]
    recipe = settings.train[settings.dataset]
    runtime = machine.start(recipe.precision, recipe.threads, deterministic=True, seed=0)
    generated = settings.data.generate
    if generated:
        images = (generated.train, generated.val)
        pixels = generated.short_side * generated.long_side
        what = ""
    else:  # how many there are is not known before the download
        images, pixels, start_seconds = (1000, 0), 0, 0.0
        what = " for every 1,000 training images"
    minutes = estimate.minutes(
        settings, runs, images=images, pixels=pixels, start_seconds=start_seconds
    )
    if minutes is None:
        return None
    precision = runtime.precision
    if precision == "fp32" and machine.has_bf16():
        precision = f"fp32 (asked for by train.{settings.dataset}.precision; this CPU has bf16)"
    return (
        f"{plural(len(runs), 'model')} to train, {precision}, {runtime.threads} threads: about "
        f"{max(1, round(minutes)):,} min{what} for all, measured on this machine just now; "
        "fewer for a target such as `headline`, and where DVC's cache has some"
    )


def trained(settings: params.Params, name: str) -> bool:
    """Whether a run was trained in this folder by today's code and parameters."""
    path = settings.paths.train(name) / "provenance.json"
    run = settings.runs[name]
    files = {"train": "stages/train.py", "arch": f"segmodels/models/{run.arch}.py"}
    wanted = {
        "arch": run.arch,
        "arguments": run.arguments,
        "recipe": settings.recipe(name).model_dump(mode="json"),
        "seed": settings.model_seed(name),
        "code_sha256": {what: code.digest(code.reached(file)) for what, file in files.items()},
    }
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all(record.get(key) == value for key, value in wanted.items())


def memory_bytes() -> float:
    """Memory of the machine, or what the control groups of this process leave of it."""
    limits = [float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))]
    lines = OWN.read_text(encoding="utf-8").splitlines() if OWN.exists() else []
    for _, kinds, path in (line.split(":", 2) for line in lines):
        if kinds and "memory" not in kinds.split(","):
            continue
        root = GROUPS / "memory" if kinds else GROUPS
        file = "memory.limit_in_bytes" if kinds else "memory.max"
        group = root / path.lstrip("/")
        found = [folder / file for folder in (group, *group.parents) if (folder / file).exists()]
        said = [limit.read_text(encoding="utf-8").strip() for limit in found]
        limits += [float(limit) for limit in said if limit != "max"]
    return min(limits)


if __name__ == "__main__":
    supervise.run(main)
