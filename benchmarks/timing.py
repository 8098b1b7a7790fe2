"""What the benchmarks share: pictures to run on, sides that take turns, and a row of a table."""

import argparse
import ctypes
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import PIL
import torch
import torchvision

from segmodels.core.machine import reuse_memory, start
from segmodels.data.sources import archive

VARIABLE = "SEGMODELS_VOC_ARCHIVE"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options of every benchmark."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--voc", type=Path, help=f"VOC tree; else {VARIABLE} is unpacked")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--turns", type=int, default=5, help="times that each side has its turn")
    return options


@contextmanager
def pictures(given: Path | None) -> Iterator[Path]:
    """Root of a VOC tree: the given one, or the archive's, unpacked for as long as it is used."""
    if given is not None:
        yield given
        return
    if VARIABLE not in os.environ:
        raise SystemExit(f"error: give --voc DIR or set {VARIABLE}=/path/to/VOCtrainval.tar")
    with tempfile.TemporaryDirectory() as folder:
        archive.unpack(Path(os.environ[VARIABLE]), Path(folder))
        yield Path(folder)


def alternate(sides: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of each side; the sides take turns.

    Each turn begins with a run that does not count. Ours reuse memory as the stages do, which is
    part of their speed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            reuse_memory() if name.startswith("ours") else _memory_as_usual()
            side()
            begin = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _memory_as_usual() -> None:
    """Undo `reuse_memory`: the thresholds at which glibc arrives by itself with large tensors.

    A training step of the recipe took the same time, to 2%, so and in a process of its own.
    """
    if platform.libc_ver()[0] == "glibc":
        c_library = ctypes.CDLL(None)
        for option, value in ((-4, 65536), (-3, 32 << 20), (-1, 64 << 20)):  # mallopt(3)
            c_library.mallopt(option, value)


def row(what: str, seconds: dict[str, float], per: int, ratios: list[tuple[str, str]]) -> str:
    """A Markdown row: milliseconds of each side, and the ratio of the first to the second each."""
    times = ", ".join(f"{name} {1e3 * value / per:.1f}" for name, value in seconds.items())
    quotients = (f"{a} / {b} = {seconds[a] / seconds[b]:.2f}" for a, b in ratios)
    return f"| {what} | {times} | {', '.join(quotients)} |"


def machine(threads: int) -> str:
    """What the figures belong to."""
    cpu = start(precision="fp32", threads=threads, deterministic=False, seed=0).cpu
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    return f"{cpu}; {threads} threads; {versions}, Pillow {PIL.__version__}"
