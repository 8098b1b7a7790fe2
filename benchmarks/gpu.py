"""Everything that a GPU has to show: checks, then steps a second, within eight minutes on one card.

    python -m benchmarks.gpu [--voc DIR]
    python -m benchmarks.gpu --cpu-smoke      # the same code, small, without a GPU: a minute

A line for each check, with its figures and tolerance, then tables. Ends with status 1 if a check
fails. Rows for which there is no time left are named; `--only speed` and `--only compiled` give
them more. Without --voc and without an archive in SEGMODELS_VOC_ARCHIVE pictures are drawn.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import torch

from benchmarks import gpu_checks, gpu_runs, gpu_speed, timing
from benchmarks.gpu_common import Failed, Place
from segmodels.config import params
from segmodels.core.machine import loader_workers, start
from segmodels.data import layout
from segmodels.data.sources.miniature import generate

MINUTES = 7.0  # after which no row is begun
PARTS = ("checks", "speed", "compiled")
PICTURES = 48  # that are drawn
TABLE = """
| network | batch | way | steps/s | images/s | peak GiB | waits for the loader |
|---|---:|---|---:|---:|---:|---:|"""
RESIZING = """
| resize and its gradient, ms | by matrix products | torch's deterministic one | torch's default |
|---|---:|---:|---:|"""


class Clock:
    """The time of the whole program."""

    def __init__(self, minutes: float) -> None:
        self.begin, self.limit = monotonic(), 60 * minutes

    @property
    def passed(self) -> float:
        return monotonic() - self.begin

    def reaches(self, seconds: float) -> bool:
        return self.passed + seconds <= self.limit


def check(name: str, run: Callable[[], str]) -> bool:
    """Print a check's line; whether it holds."""
    try:
        print(f"ok      {name}: {run()}", flush=True)
    except (Failed, AssertionError, RuntimeError, ValueError, OSError) as error:
        kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
        print(f"FAILED  {name}: {kind}{str(error).partition(chr(10))[0]}", flush=True)
        return False
    return True


def run_checks(place: Place) -> list[str]:
    """Names of those that fail."""
    everything = chain(gpu_checks.cases(place), gpu_runs.cases(place))
    return [name for name, run in everything if not check(name, run)]


def run_rows(
    place: Place, rows: list[gpu_speed.Row], clock: Clock, root: Path, image_ids: list[str]
) -> tuple[list[str], list[str]]:
    """Print the table; names of the rows that fail and of those there is no time for."""
    print(TABLE, flush=True)
    expected = {True: gpu_speed.COMPILING, False: gpu_speed.OTHERS}
    failed, left = [], []
    for row in rows:
        if not clock.reaches(0 if place.small else expected[row.way.compiled]):
            left.append(row.name)
            continue
        begin = clock.passed
        try:
            print(gpu_speed.timed(place, row, root, image_ids), flush=True)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            print(f"| {row.network} | {row.batch} | {row.way.name} | failed: {reason} | | | |")
            failed.append(row.name)
        expected[row.way.compiled] = max(expected[row.way.compiled], clock.passed - begin)
    return failed, left


@contextmanager
def pictures(given: Path | None, place: Place) -> Iterator[tuple[Path, list[str]]]:
    """A VOC tree and the ids of its train pictures: the given one, an archive's, or drawn."""
    if given is not None or (timing.VARIABLE in os.environ and not place.small):
        with timing.pictures(given) as root:
            yield root, layout.read_ids(layout.split_path(root, "train"))
        return
    with TemporaryDirectory() as folder:
        root = Path(folder)
        short, long, count = (48, 64, 8) if place.small else (375, 500, PICTURES)
        classes = params.load().datasets["miniature"].classes
        generate.generate(
            root, train=count, val=1, short_side=short, long_side=long, classes=classes, seed=0
        )
        yield root, layout.read_ids(layout.split_path(root, "train"))


def machine() -> str:
    """What the figures belong to."""
    found = start("fp32", "auto", deterministic=True, seed=0)
    parts = [found.gpu or "no GPU", found.cpu, f"{found.threads} threads"]
    parts.append(f"torch {torch.__version__}")
    if found.gpu:
        parts.append(f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
        parts.append(f"{loader_workers()} loading processes")
        parts.append("fp32 with TF32 convolutions, PyTorch's default")
    return "; ".join(parts)


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cpu-smoke", action="store_true", help="small, on the CPU")
    options.add_argument("--only", choices=PARTS, help="a part in place of all")
    options.add_argument("--voc", type=Path, help="VOC tree")
    options.add_argument(
        "--minutes", type=float, default=MINUTES, help="when no row is begun any more"
    )
    return options.parse_args()


def main() -> None:
    given = arguments()
    clock = Clock(given.minutes)
    if not given.cpu_smoke and not torch.cuda.is_available():
        sys.exit("error: no CUDA device; --cpu-smoke runs the same code, small, on the CPU")
    place = Place(torch.device("cpu" if given.cpu_smoke else "cuda"), given.cpu_smoke)
    print(machine(), flush=True)
    failed = run_checks(place) if given.only in (None, "checks") else []
    if given.only != "checks":
        rows = gpu_speed.rows(place)
        if given.only:
            rows = [row for row in rows if row.way.compiled == (given.only == "compiled")]
        print(RESIZING, *gpu_speed.resizing(place), sep="\n", flush=True)
        with pictures(given.voc, place) as (root, image_ids):
            broken, left = run_rows(place, rows, clock, root, image_ids)
        failed += broken
        if left:
            print(f"\nNo time for {len(left)} rows:", *left, sep="\n- ")
    print(f"\n{clock.passed:.0f} s; failed: {', '.join(failed) or 'none'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
