"""What the three sides of `peers_camvid` share: their task, the clock, and how they hand in masks.

Each side is a process of its own that reads a `Task`, trains for its minutes, writes a label map of
every test image, and leaves a `Result`. Its number of steps follows from a measurement, since
learning rates fall over a number of steps that has to be known when the training begins.
"""

import json
import math
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from segmodels.core import supervise
from segmodels.data import images, layout

WARM_UP = 2  # steps that do not count: they allocate memory
MEASURED = 3  # steps that are timed before the training
MISSED = 0.1  # share of the minutes by which a training may end too early or too late

Build = Callable[[], nn.Module]
Steps = Callable[[nn.Module, int], Iterator[float]]  # a model and a number of steps -> their losses


@dataclass(frozen=True)
class Task:
    """What all sides are given alike.

    Attributes:
        tree: VOC tree.
        train: ids of the training images.
        test: ids of the images to be predicted.
        classes: names of labels 0, 1, 2, ...
        void: label of pixels that count nowhere.
        minutes: of wall-clock time for the training, from its first step to its last.
        precision: fp32 or bf16.
        threads: of PyTorch.
        weights: file of the backbone's ImageNet weights under timm's names, or none.
        folder: where this side's masks and its result go.
        smp_batch: images of a step of segmentation_models.pytorch; None: as its example has it.
    """

    tree: str
    train: list[str]
    test: list[str]
    classes: list[str]
    void: int
    minutes: float
    precision: str
    threads: int
    seed: int
    weights: str
    folder: str
    smp_batch: int | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self) -> Path:
        """The file that `read` takes."""
        path = Path(self.folder) / "task.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @property
    def masks(self) -> Path:
        return Path(self.folder) / "masks"

    def image(self, image_id: str) -> Path:
        return layout.image_path(self.tree, image_id)

    def target(self, image_id: str) -> Path:
        return layout.target_path(self.tree, image_id)

    def hand_in(self, image_id: str, labels: np.ndarray) -> None:
        """Write a label map (H, W) uint8."""
        images.write_target(self.masks / f"{image_id}.png", labels, images.palette())


@dataclass(frozen=True)
class Cost:
    """What a training took.

    Attributes:
        seconds: of wall-clock time, from the first step to the last.
        memory: bytes, the largest that the process had in use until then.
        others: share 0..1 of the machine's cores that other programs had meanwhile; None: unknown.
    """

    steps: int
    seconds: float
    memory: int
    others: float | None


class Meter:
    """Measures what is done from its making on."""

    def __init__(self) -> None:
        self.wall = time.perf_counter()
        self.own = time.process_time()
        self.busy = busy_seconds()

    def cost(self, steps: int) -> Cost:
        """What `steps` steps took."""
        seconds = time.perf_counter() - self.wall
        own = time.process_time() - self.own
        busy = busy_seconds()
        others = None
        if busy is not None and self.busy is not None:
            elsewhere = (busy - self.busy - own) / (seconds * (os.cpu_count() or 1))
            others = min(1.0, max(0.0, elsewhere))
        return Cost(steps, seconds, peak_memory(), others)


@dataclass(frozen=True)
class Result:
    """A side's row of the table, but for its scores.

    Attributes:
        program: name and version.
        start: of which weights, in words.
        batch: images of a step.
        crop: side of the square training crops, pixels.
    """

    program: str
    network: str
    start: str
    batch: int
    crop: int
    cost: Cost

    def write(self, task: Task) -> None:
        path = Path(task.folder) / "result.json"
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, task: Task) -> Self:
        path = Path(task.folder) / "result.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        cost = Cost(**values.pop("cost"))
        return cls(**values, cost=cost)


def train_index(tree: str | Path) -> Path:
    """index.csv of a tree, where the stage `index` writes it."""
    return Path(tree).parents[1] / "index.csv"


def test_index(tree: str | Path) -> Path:
    return Path(tree).parents[1] / "test.csv"


def imagenet(tensors: int) -> str:
    """How a start is called that has the file's value in every tensor of its backbone."""
    return f"ImageNet, all {tensors} backbone tensors"


def begin() -> Task:
    """The task of this process, which dies with its parent; the command line names its file."""
    supervise.begin()
    task = Task.read(Path(sys.argv[1]))
    torch.set_num_threads(task.threads)
    return task


def train(task: Task, build: Build, steps: Steps) -> tuple[nn.Module, Cost]:
    """Train a model for as many steps as fit into the task's minutes.

    Both are called twice, the first time for the measurement: the training begins anew. One that
    misses its minutes by more than MISSED, since its first steps were slower or faster than the
    others, is done once more at the pace that it had.

    Args:
        build: makes the model; the seeds are set before.
        steps: trains it by one step each time that a loss is asked for.
    Raises:
        ValueError: a loss is not finite.
    """
    fix_seeds(task.seed)
    seconds = seconds_a_step(steps(build(), WARM_UP + MEASURED))
    model, cost = _train(task, build, steps, seconds)
    if missed(task.minutes, cost):
        model, cost = _train(task, build, steps, cost.seconds / cost.steps)
    say(f"predicts {len(task.test)} images")
    return model, cost


def _train(task: Task, build: Build, steps: Steps, seconds: float) -> tuple[nn.Module, Cost]:
    """Train a model for as many steps of so many seconds as fit."""
    count = number_of_steps(task.minutes, seconds)
    say(f"{seconds:.2f} s a step, {count} steps")
    fix_seeds(task.seed)
    model = build()
    meter = Meter()
    for number, loss in enumerate(steps(model, count), start=1):
        check_finite(number, loss)
    cost = meter.cost(count)
    say(f"trained for {cost.seconds / 60:.1f} min")
    return model, cost


def missed(minutes: float, cost: Cost) -> bool:
    """Whether a training had other minutes than it should, and other steps would fit better."""
    fitting = number_of_steps(minutes, cost.seconds / cost.steps)
    return abs(cost.seconds / 60 - minutes) > MISSED * minutes and fitting != cost.steps


def seconds_a_step(steps: Iterator[object]) -> float:
    """The mean of MEASURED steps that follow WARM_UP others."""
    for _ in range(WARM_UP):
        next(steps)
    started = time.perf_counter()
    for _ in range(MEASURED):
        next(steps)
    return (time.perf_counter() - started) / MEASURED


def number_of_steps(minutes: float, seconds: float) -> int:
    """How many steps of so many seconds a budget has, at least one."""
    return max(1, round(60 * minutes / seconds))


def check_finite(number: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise ValueError(f"step {number}: the loss is {loss}, expected a finite one")


def fix_seeds(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def autocast(task: Task) -> torch.autocast:
    """The context in which a step computes in the task's precision."""
    return torch.autocast("cpu", torch.bfloat16, enabled=task.precision == "bf16")


def endless(batches: Iterable[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch after another."""
    while True:
        yield from batches


@torch.inference_mode()
def label_map(task: Task, model: nn.Module, image: Tensor) -> np.ndarray:
    """The most likely label of each pixel.

    Args:
        model: in eval mode; gives logits (1, C, H, W), or a dict in which "out" has them.
        image: (3, H, W) float32, normalised.
    Returns:
        (H, W) uint8.
    """
    with autocast(task):
        output = model(image[None])
    logits = output["out"] if isinstance(output, dict) else output
    return logits[0].argmax(0).to(torch.uint8).numpy()


def peak_memory() -> int:
    """Bytes, the largest that this process has had in use (Linux counts KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def busy_seconds() -> float | None:
    """CPU seconds of all programs since the machine was started; None where Linux does not say.

    Reference:
        proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal.
    """
    path = Path("/proc/stat")
    if not path.exists():
        return None
    ticks = [int(word) for word in path.read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = ticks[3:5]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def say(line: str) -> None:
    """Tell how far it is, beside the table."""
    print(f"  {line}", file=sys.stderr, flush=True)
