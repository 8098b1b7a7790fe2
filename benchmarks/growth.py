"""Does a training grow with its data set? Peak memory and time a picture from 100 to 3,000.

The pictures are the miniature's, drawn at the size of VOC's; each training is an epoch in a process
of its own, with the loader, the loop, checkpoints and a fixed val set of 20 pictures.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

from benchmarks import timing
from segmodels import models
from segmodels.config import params
from segmodels.core import machine
from segmodels.data import index
from segmodels.data.sources.miniature import generate
from segmodels.training import checkpoint, loop
from segmodels.training.task import Job

COUNTS, VAL = (100, 300, 1000, 3000), 20
RECIPE = {"epochs": 1, "crop_size": 96, "warmup_epochs": 0, "precision": "fp32"}


def train(root: Path, count: int, threads: int) -> None:
    """One epoch of FCN-32s on the first pictures; prints milliseconds a picture and peak MiB."""
    settings = params.load()
    data = settings.datasets["miniature"]
    rows = pd.read_csv(root / "index.csv", dtype={"image_id": str})
    chosen = pd.concat([rows[rows["split"] == "train"][:count], rows[rows["split"] == "val"]])
    machine.start("fp32", threads, deterministic=True, seed=0)
    job = Job(
        root=root,
        index=chosen,
        classes=data.classes,
        ignore_index=data.void,
        normalize=settings.normalize,
        recipe=settings.train["miniature"].model_copy(update=RECIPE),
        seed=0,
        device=torch.device("cpu"),
        precision="fp32",
        progress=lambda items, _count, _what: items,
    )
    model = models.build("fcn_skip", num_classes=len(data.classes), backbone="resnet18", stride=32)
    with checkpoint.hold({"growth": count}, 10, writes=True) as kept:
        *_, epoch = loop.epochs(model, job, kept)
    pictures = job.steps_per_epoch * job.recipe.batch_size
    print(1e3 * epoch.seconds / pictures, machine.peak_memory_bytes() / 2**20)


def main() -> None:
    options = timing.parser(__doc__)
    options.add_argument("--root", type=Path, help="(for the processes that this one starts)")
    options.add_argument("--count", type=int)
    given = options.parse_args()
    if given.root:
        return train(given.root, given.count, given.threads)
    print(timing.machine(given.threads))
    data = params.load().datasets["miniature"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate.generate(
            root,
            train=COUNTS[-1],
            val=VAL,
            short_side=375,
            long_side=500,
            classes=data.classes,
            seed=0,
        )
        table, _ = index.build(root, data.model_copy(update={"train": "train", "val": "val"}))
        table.to_csv(root / "index.csv", index=False)
        print("| pictures | ms a picture | peak MiB |\n|---:|---:|---:|")
        for count in COUNTS:
            command = [sys.executable, "-m", "benchmarks.growth", "--root", folder]
            command += ["--count", str(count), "--threads", str(given.threads)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            milliseconds, peak = map(float, done.stdout.split())
            print(f"| {count:,} | {milliseconds:.1f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
