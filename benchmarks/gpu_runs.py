"""Checks of whole trainings on a GPU, from files to weights, which run small on a CPU too.

The data set is drawn: a few small pictures. As a program this trains on it until it is killed:

    python -m benchmarks.gpu_runs FOLDER DEVICE PRECISION BATCHES CASE
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from benchmarks.gpu_common import Failed, Place, build, deterministic, expect, tf32, without_dropout
from segmodels.config import params
from segmodels.data import index, layout
from segmodels.data.augment import RandomCrop
from segmodels.data.loading import training_batches, whole_images
from segmodels.data.sources.miniature import generate
from segmodels.training import loop
from segmodels.training.checkpoint import Checkpoints
from segmodels.training.task import Job, Progress

ROOT = Path(__file__).resolve().parents[1]
TRAIN, VAL, BATCH = 12, 5, 4
RECIPE = {"epochs": 2, "batch_size": BATCH, "crop_size": 48, "warmup_epochs": 0, "lr": 1e-3}
KILLED_AFTER = 3 + 3 + 2  # batches: those of epoch 0 and 1, and two steps of epoch 2
VALIDATION = 1e-4  # of the losses
COUNTED = 1e-3  # share of the pixels whose two largest logits nearly agree
COMPILED = 1e-3  # of the losses: the compiler adds up in another order
RUN = tuple[list[tuple[Any, ...]], dict[str, Tensor]]  # what each epoch measured, and weights


def drawn(root: Path) -> Path:
    """The pictures, in root / "pictures"; drawn if they are not there."""
    pictures = root / "pictures"
    if not pictures.exists():
        classes = params.load(ROOT / "params.yaml").datasets["miniature"].classes
        generate.generate(
            pictures, train=TRAIN, val=VAL, short_side=48, long_side=64, classes=classes, seed=0
        )
    return pictures


def small_job(root: Path, device: torch.device, precision: str = "fp32", **changes: Any) -> Job:
    """A training of two epochs of three steps."""
    settings = params.load(ROOT / "params.yaml")
    data = settings.datasets["miniature"]
    table, _ = index.build(drawn(root), data)
    return Job(
        root=drawn(root),
        index=table,
        classes=data.classes,
        ignore_index=data.void,
        normalize=settings.normalize,
        recipe=settings.train["miniature"].model_copy(update=RECIPE | changes),
        seed=0,
        device=device,
        precision=precision,
        progress=lambda items, count, what: items,
    )


def finish(job: Job, model: nn.Module, kept: Path | None = None) -> RUN:
    """Train to the end, from what is kept in a folder or from the start."""
    checkpoints = None
    if kept is not None:
        kept.mkdir(exist_ok=True)
        checkpoints = Checkpoints(kept, 0, True)
    with deterministic(True):
        epochs = list(loop.epochs(model, job, checkpoints))
    measured = [
        (*each.train.values(), *each.val.values(), each.confusion.tolist()) for each in epochs
    ]
    return measured, model.state_dict()


def killing(batches: int) -> Progress:
    """A progress function that ends this process as a lack of memory does, after some batches."""
    left = [batches]

    def watch(items: Any, count: int, what: str) -> Any:
        for item in items:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            yield item

    return watch


def resumes(place: Place, precision: str) -> str:
    """A training that is killed within an epoch goes on to the bits of one that was not."""
    case = "unet_valid" if place.small else "fcn"  # with dropout and BatchNorm
    with TemporaryDirectory() as folder:
        root = Path(folder)
        job = small_job(root, place.device, precision)
        command = [sys.executable, "-m", "benchmarks.gpu_runs", folder, str(place.device)]
        command += [precision, str(KILLED_AFTER), case]
        child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        whole, weights = finish(job, build(case))
        _, problem = child.communicate()
        if child.returncode != -signal.SIGKILL:
            raise Failed(f"the process to be killed ended with {problem[-300:]}")
        state = Checkpoints(root / "killed", 0, True).load() or {"epochs": [], "step": 0}
        expect(state["step"] > 0, f"the checkpoint is of step {state['step']}: not in an epoch")
        # Other weights: all that the run has comes from the checkpoint.
        resumed, again = finish(job, build(case, seed=1), root / "killed")
    differing = [name for name in weights if not torch.equal(weights[name], again[name])]
    return expect(
        resumed == whole and not differing,
        f"killed in step {state['step'] + 1} of epoch {len(state['epochs'])}; "
        f"{len(differing)} of {len(weights)} tensors differ, "
        f"measured the {'same' if resumed == whole else f'other {resumed} and {whole}'}",
    )


def validation_agrees(place: Place) -> str:
    """Losses and confusion on the device and on the CPU."""
    with TemporaryDirectory() as folder, tf32(False), deterministic(True):
        model = build("fcn")
        found, counts = loop.validate(
            deepcopy(model).to(place.device), small_job(Path(folder), place.device)
        )
        cpu = small_job(Path(folder), torch.device("cpu"))
        expected, exact = loop.validate(model, cpu)
    worst = max(abs(a - b) / b for a, b in zip(found.values(), expected.values(), strict=True))
    other = abs(counts - exact).sum() / exact.sum() / 2
    return expect(
        worst <= VALIDATION and other <= COUNTED,
        f"losses differ by {worst:.1e} (at most {VALIDATION:g}), {other:.1e} of the pixels have "
        f"another class (at most {COUNTED:g})",
    )


def loader_hands_over(place: Place) -> str:
    """Batches of workers: pinned for a GPU, channels-last there too; a bad file is its own line."""
    with TemporaryDirectory() as folder:
        job = small_job(Path(folder), place.device)
        crop = RandomCrop(48, None, (0.5, 2), True, job.ignore_index, (0, 0, 0))
        crops = partial(
            training_batches,
            job.root,
            job.train_ids,
            job.steps(1),
            crop=crop,
            seed=0,
            epoch=1,
            decoded=None,
        )
        for (image, target), (plain, labels) in zip(
            crops(workers=2), crops(workers=0), strict=True
        ):
            pinned = image.is_pinned() and target.is_pinned()
            moved = image.to(place.device, non_blocking=True)
            expect(pinned == torch.cuda.is_available(), f"pinned: {pinned}")
            expect(moved.is_contiguous(memory_format=torch.channels_last), str(moved.stride()))
            expect(torch.equal(moved.cpu(), plain) and torch.equal(target, labels), "other pixels")
        val = job.pictures("val")
        for ids, image, targets, _ in whole_images(
            job.root, val, size=None, batch_size=2, targets=False, workers=1
        ):
            expect(targets is None and len(ids) == len(image), f"{ids}: {targets}")
        broken = layout.image_path(job.root, job.train_ids[job.steps(1)[0][0]])
        broken.write_bytes(b"no picture")
        try:
            list(crops(workers=2))
        except (OSError, ValueError) as error:
            expect(str(broken) in str(error), f"a broken picture is answered with {error}")
        else:
            raise Failed("a broken picture is not noticed")
    return f"pinned: {pinned}, channels-last, a broken picture names its file"


def compiled_agrees(place: Place) -> str:
    """Trainings with `compile: true` and without."""
    compiler = torch.compile
    if place.small:  # the code is traced and its gradient too, but nothing is generated
        compiler = partial(torch.compile, backend="aot_eager")
    model = without_dropout(build("fcn"))
    losses = []
    with TemporaryDirectory() as folder, patch.object(torch, "compile", compiler):
        for wanted in (False, True):
            job = small_job(Path(folder), place.device, compile=wanted, epochs=1)
            epochs, _ = finish(job, deepcopy(model))
            losses.append([epoch[0] for epoch in epochs])
    torch.compiler.reset()
    plain, compiled = losses
    worst = max(abs(a - b) / a for a, b in zip(plain, compiled, strict=True))
    return expect(
        worst <= COMPILED and compiled[-1] < compiled[0],
        f"losses from {compiled[0]:.3f} to {compiled[-1]:.3f}, largest difference {worst:.1e} "
        f"(at most {COMPILED:g})",
    )


def cases(place: Place) -> Iterator[tuple[str, Callable[[], str]]]:
    """Every check of this file, by what it says."""
    for precision in ("fp32",) if place.small else ("fp32", "bf16", "fp16"):  # slow on most CPUs
        yield f"resume after a kill in {precision}", partial(resumes, place, precision)
    yield "validation agrees with the CPU", partial(validation_agrees, place)
    yield "the loader's batches", partial(loader_hands_over, place)
    yield "compiled steps agree", partial(compiled_agrees, place)


def main() -> None:
    folder, device, precision, batches, case = sys.argv[1:]
    job = small_job(Path(folder), torch.device(device), precision)
    object.__setattr__(job, "progress", killing(int(batches)))
    finish(job, build(case), Path(folder) / "killed")


if __name__ == "__main__":
    main()
