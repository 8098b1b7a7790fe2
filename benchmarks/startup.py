"""How long a stage takes to start: its imports and those of a model, against `import torch` alone.

Each side is a process of its own, timed as a whole, Python's own start included. The first turn,
which reads the files from the disk, does not count. Building draws random weights too.
"""

import argparse
import statistics
import subprocess
import sys
import time

from benchmarks import timing

BUILD = "import stages.train; from segmodels import models; models.build"
SIDES = {
    "import torch": "import torch",
    "stages.train": "import stages.train",
    "stages.predict": "import stages.predict",
    "train and FCN-ResNet-50": f"{BUILD}('fcn', num_classes=21, backbone='resnet50')",
    "train and U-Net": f"{BUILD}('unet', num_classes=21)",
}


def start(program: str) -> float:
    """Seconds of a new process that runs a program."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - begin


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=5, help="times that each side has its turn")
    options.add_argument("--limit", type=float, default=1.35, help="stages.train / import torch")
    given = options.parse_args()
    print(timing.machine(threads=1))
    spent: dict[str, list[float]] = {name: [] for name in SIDES}
    for turn in range(given.turns + 1):
        for name, program in SIDES.items():
            seconds = start(program)
            if turn:
                spent[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in spent.items()}
    ratios = [(name, "import torch") for name in SIDES if name != "import torch"]
    print(timing.row("start, ms", medians, 1, ratios))
    return int(medians["stages.train"] > given.limit * medians["import torch"])


if __name__ == "__main__":
    sys.exit(main())
