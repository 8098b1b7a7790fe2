"""Training steps a second on a GPU: ours beside torchvision's recipe, with the loader in use.

A step is timed twice, with a batch that stays on the device and with batches from the loader; the
share of the time that the loader makes it wait is 1 - first / second. Both sides load with as many
processes, and first take what these had prefetched.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks import recipe
from benchmarks.gpu_common import Place, deterministic
from benchmarks.train_step import CLASSES, our_step, sgd
from segmodels import models
from segmodels.core import machine
from segmodels.data.augment import RandomCrop
from segmodels.data.loading import training_batches
from segmodels.models import layers

BASE = 520  # of torchvision's recipe: the short side before random scaling
WARM_UP, STEPS, SECONDS = 3, 20, 4.0  # steps before; steps that are timed, and the time for them
PREFETCHED = 2  # batches that each loading process has ready
COMPILING = 90.0  # seconds that a compiled network is expected to take, until one has
OTHERS = 15.0  # the same of a network that is not compiled
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "FCN-ResNet-50": ("fcn", {"backbone": "resnet50"}),
    "DeepLab v3, ResNet-50": ("deeplabv3", {"backbone": "resnet50"}),
    "U-Net": ("unet", {}),
}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {"U-Net, width 8": ("unet", {"width": 8})}


@dataclass(frozen=True)
class Way:
    """A way to train: ours or torchvision's, and how."""

    name: str
    ours: bool
    precision: str = "fp32"
    deterministic: bool = True
    compiled: bool = False


FIRST = (
    Way("torchvision, fp32", ours=False, deterministic=False),
    Way("ours, fp32", ours=True),
    Way("ours, bf16", ours=True, precision="bf16"),
)
COMPILED = (Way("ours, bf16, compile: true", ours=True, precision="bf16", compiled=True),)
LAST = (
    Way("torchvision, 16 bits", ours=False, precision="amp", deterministic=False),
    Way("ours, bf16, deterministic: false", ours=True, precision="bf16", deterministic=False),
)


@dataclass(frozen=True)
class Row:
    """A way to train a network, at a batch size."""

    network: str
    batch: int
    way: Way

    @property
    def name(self) -> str:
        return f"{self.network}, batch {self.batch}, {self.way.name}"


def rows(place: Place) -> list[Row]:
    """All that is timed, the most wanted first."""
    networks, batches = (SMALL, (2,)) if place.small else (NETWORKS, (16, 8))
    return [
        Row(network, batch, way)
        for ways in (FIRST, COMPILED, LAST)
        for batch in batches
        for network in networks
        for way in ways
    ]


def timed(place: Place, row: Row, root: Path, image_ids: list[str]) -> str:
    """A row of the table; it says so if memory does not suffice."""
    try:
        with deterministic(row.way.deterministic):
            bare, loaded, peak = _measured(place, row, root, image_ids)
    except torch.OutOfMemoryError:
        return f"| {row.network} | {row.batch} | {row.way.name} | out of memory | | | |"
    finally:
        torch.compiler.reset()
        if place.device.type == "cuda":
            torch.cuda.empty_cache()
    waiting = max(0.0, 1 - bare / loaded)
    return (
        f"| {row.network} | {row.batch} | {row.way.name} | {1 / loaded:.2f} "
        f"| {row.batch / loaded:.1f} | {peak / 2**30:.2f} | {waiting:.0%} |"
    )


def _measured(place: Place, row: Row, root: Path, image_ids: list[str]) -> tuple[float, float, int]:
    """Seconds of a step without and with the loader, and the largest memory in bytes."""
    if place.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step = ours(place, row) if row.way.ours else theirs(place, row)
    workers = 1 if place.small else machine.loader_workers()
    skipped = WARM_UP + PREFETCHED * workers
    steps = 2 if place.small else STEPS
    load = our_batches if row.way.ours else their_batches
    batches = iter(load(place, row, root, image_ids, skipped + steps, workers))
    image, target = (tensor.to(place.device) for tensor in next(batches))
    for _ in range(WARM_UP):
        step(image, target)
    bare = seconds_a_step(place, step, repeat((image, target), steps))
    for _ in range(skipped - 1):
        step(*next(batches))
    return bare, seconds_a_step(place, step, batches), machine.peak_memory_bytes()


def seconds_a_step(place: Place, step: Callable[..., Any], batches: Any) -> float:
    """Mean over the batches, as far as the time reaches."""
    synchronise(place)
    begin, done = perf_counter(), 0
    for image, target in batches:
        step(image.to(place.device, non_blocking=True), target.to(place.device, non_blocking=True))
        done += 1
        if perf_counter() - begin > SECONDS:
            break
    synchronise(place)
    return (perf_counter() - begin) / done


def synchronise(place: Place) -> None:
    if place.device.type == "cuda":
        torch.cuda.synchronize()


def network(place: Place, row: Row) -> nn.Module:
    torch.manual_seed(0)
    arch, arguments = (SMALL if place.small else NETWORKS)[row.network]
    return models.build(arch, num_classes=CLASSES, **arguments).train().to(place.device)


def ours(place: Place, row: Row) -> Callable[[Tensor, Tensor], object]:
    """What the training loop does with a batch."""
    model = network(place, row).to(memory_format=torch.channels_last)
    updates = sgd(model, fused=True)
    passed: Any = model
    if row.way.compiled:
        backend = "eager" if place.small else "inductor"
        passed = torch.compile(model, dynamic=False, backend=backend)
    return partial(our_step, passed, optimizer=updates, precision=row.way.precision)


def theirs(place: Place, row: Row) -> Callable[[Tensor, Tensor], object]:
    """What torchvision's train.py does with a batch, with --amp or without."""
    model = network(place, row)
    updates = sgd(model, fused=False)
    if row.way.precision == "fp32":
        return partial(recipe.train_step, model, optimizer=updates)
    scaler = torch.amp.GradScaler(place.device.type)

    def step(image: Tensor, target: Tensor) -> float:
        with torch.autocast(place.device.type):
            loss = recipe.criterion(model(image), target)
        updates.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(updates)
        scaler.update()
        return loss.item()

    return step


def our_batches(
    place: Place, row: Row, root: Path, image_ids: list[str], count: int, workers: int
) -> Any:
    """The training loop's loader; a picture comes again where there are not enough."""
    crop = 64 if place.small else 480
    random_crop = RandomCrop(crop, round(BASE * 4 / 3), (0.5, 2.0), True, 255, (124, 116, 104))
    return training_batches(
        root,
        image_ids,
        positions(len(image_ids), row.batch, count),
        crop=random_crop,
        seed=0,
        epoch=1,
        workers=workers,
        decoded=None,
    )


def their_batches(
    place: Place, row: Row, root: Path, image_ids: list[str], count: int, workers: int
) -> Any:
    """The loader of torchvision's train.py, which pins no memory."""
    preset = partial(recipe.train_preset, base=BASE, crop=64 if place.small else 480)
    return DataLoader(
        recipe.Pictures(root, image_ids, preset),
        batch_sampler=positions(len(image_ids), row.batch, count),
        collate_fn=recipe.collate,
        num_workers=workers,
    )


def positions(pictures: int, batch: int, count: int) -> list[list[int]]:
    """Of `count` batches, the pictures in turn."""
    turns = chain.from_iterable(repeat(range(pictures)))
    return [list(islice(turns, batch)) for _ in range(count)]


def resizing(place: Place) -> list[str]:
    """Rows: milliseconds of a resize and its gradient, in three ways."""
    shapes = ((2, 5, 8, 32),) if place.small else ((16, 21, 60, 480), (16, 64, 120, 240))
    return [_resized(place, *shape) for shape in shapes]


def _resized(place: Place, n: int, channels: int, source: int, target: int) -> str:
    size = (target, target)
    slow = torch._decomp.decompositions._upsample_linear_vec
    with deterministic(False):  # torch's own kernel may vary
        times = [
            _milliseconds(place, way, (n, channels, source, source), size)
            for way in (
                lambda x: layers.resize_by_products(x, size),
                lambda x: slow(x, size, False, None),
                lambda x: nn.functional.interpolate(x, size=size, mode="bilinear"),
            )
        ]
    numbers = " | ".join(f"{value:.2f}" for value in times)
    return f"| {n} x {channels} x {source} x {source} to {target} x {target} | {numbers} |"


def _milliseconds(
    place: Place, way: Callable[[Tensor], Tensor], shape: tuple[int, ...], size: tuple[int, int]
) -> float:
    """Of a forward and a backward pass, channels-last, after one that does not count."""
    x = torch.randn(shape, device=place.device).contiguous(memory_format=torch.channels_last)
    slope = torch.randn(*shape[:2], *size, device=place.device)
    times = 2 if place.small else 10
    for turn in range(times + 1):
        if turn == 1:
            synchronise(place)
            begin = perf_counter()
        torch.autograd.grad(way(x.requires_grad_()), x, slope)
    synchronise(place)
    return 1e3 * (perf_counter() - begin) / times
