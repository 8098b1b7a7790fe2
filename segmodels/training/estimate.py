"""An estimate of how long a comparison will train on this machine.

The work is counted: multiply-adds of every model, on the meta device, for the images that training
and validation show it. The speed is measured: FCN-ResNet-50 trains for two seconds, on batches and
crops that are no larger than the recipe's and fit into any laptop's memory. Models differ in how
well they use a CPU: the estimate is good to about a third.
"""

import time
from collections.abc import Collection

import torch
from torch import nn

from segmodels import models
from segmodels.config.params import Params
from segmodels.config.schema import Model, Train
from segmodels.core.machine import Runtime
from segmodels.models.flops import gflops

SECONDS = 2.0  # of the measurement
FEWEST = 3  # steps that are measured: the fastest counts, others may wait for another program
MOST_IMAGES = 8  # of its batch
MOST_PIXELS = 64  # of its side
SMALL = 1000.0  # billions of multiply-adds: a minute on a slow CPU; not worth a measurement
BACKWARD = 2  # passes that the gradient costs, in forward passes
SLOWER = 1.4  # of the measured steps: optimizer, checkpoints; 1.4 on an EPYC, 1.8 on a Xeon
STARTS = 6  # processes a model: its three stages, and as long again for what DVC does around them


def minutes(
    settings: Params,
    runs: Collection[str],
    *,
    images: tuple[int, int],
    pixels: int,
    start_seconds: float,
) -> float | None:
    """Minutes to train, predict and score some runs on a CPU.

    Args:
        runs: their names.
        images: of train and of val.
        pixels: of an image of val.
        start_seconds: what a process takes to start.
    Returns:
        None: less than a minute, or a model does not compute on the meta device.
    """
    train, val = images
    total = 0.0
    for name in runs:
        entry = settings.runs[name]
        recipe = settings.recipe(name)
        epochs = 0 if settings.shared_weights(name) else recipe.epochs
        crops: float = epochs * train * (1 + BACKWARD)
        passes = epochs + 2  # before the first step, each epoch, predict
        crops += passes * val * pixels / recipe.crop_size**2
        try:
            total += crops * work(entry, recipe.crop_size)
        except (NotImplementedError, RuntimeError):  # somebody's own arch that reads a value
            return None
    if total < SMALL:
        return None
    starts = STARTS * len(runs) * start_seconds
    return (SLOWER * total / speed(settings.train[settings.dataset]) + starts) / 60


def work(entry: Model, side: int) -> float:
    """Billions of multiply-adds of a forward pass of one image of side x side pixels."""
    with models.weightless():
        model = models.build(entry.arch, num_classes=21, **entry.arguments).eval()
        image = torch.empty(1, 3, side, side)
    with torch.inference_mode():
        return gflops(lambda: model(image))


def speed(recipe: Train) -> float:
    """Billions of multiply-adds a second in training steps on this CPU."""
    probe = Model(arch="fcn", backbone="resnet50")  # type: ignore[call-arg]
    model = models.build(probe.arch, num_classes=21, **probe.arguments)
    model.to(memory_format=torch.channels_last).train()
    batch = min(MOST_IMAGES, recipe.batch_size)
    side = min(MOST_PIXELS, recipe.crop_size)
    image = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    _step(model, image)  # the first allocates memory
    seconds = list[float]()  # of each step
    while sum(seconds) < SECONDS:
        begin = time.perf_counter()
        _step(model, image)
        seconds.append(time.perf_counter() - begin)
    # The fastest: other programs only ever make a step slower.
    return (1 + BACKWARD) * batch * work(probe, side) / min(seconds)


def _step(model: nn.Module, image: torch.Tensor) -> None:
    model.zero_grad(set_to_none=True)
    model(image)["out"].square().mean().backward()


def step_seconds(entry: Model, recipe: Train, num_classes: int, runtime: Runtime) -> float:
    """Seconds of a training step of one model, at the recipe's batch and crop, on this machine.

    Args:
        runtime: from `machine.start`; a GPU is waited for.
    """
    model = models.build(entry.arch, num_classes=num_classes, **entry.arguments)
    device = torch.device(runtime.device)
    model.to(device).to(memory_format=torch.channels_last).train()
    shape = (recipe.batch_size, 3, recipe.crop_size, recipe.crop_size)
    image = torch.randn(shape, device=device).contiguous(memory_format=torch.channels_last)
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(runtime.precision)
    seconds = list[float]()
    while len(seconds) <= FEWEST or sum(seconds[1:]) < SECONDS:  # the first allocates memory
        begin = time.perf_counter()
        with torch.autocast(runtime.device, kind, enabled=kind is not None):
            _step(model, image)
        if runtime.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def model_minutes(recipe: Train, step: float, images: tuple[int, int], pixels: float) -> float:
    """Minutes to train one model and to predict the images of val, without what processes take.

    Args:
        step: seconds, from `step_seconds`.
        images: of train and of val.
        pixels: of an image as it is validated and predicted.
    """
    train, val = images
    steps = recipe.epochs * (train // recipe.batch_size)
    crop = step / ((1 + BACKWARD) * recipe.batch_size)  # seconds of a forward pass
    validation = (recipe.epochs + 2) * val * crop * pixels / recipe.crop_size**2
    return (steps * step + validation + train * crop) / 60
