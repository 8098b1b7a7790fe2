"""Three programs on the whole of CamVid, side by side: the same images, minutes and machine.

    python -m benchmarks.peers_camvid --minutes 10

One after the other, each in a process of its own, they train for the same wall-clock time on the
CPU and label the 233 test images at their own size, once:

- ours: FPN on EfficientNet-Lite0 with ImageNet weights, see `peer_ours`;
- segmentation_models.pytorch: its FPN on the same encoder and weights, see `peer_smp`;
- torchvision's reference recipe: LR-ASPP from random weights, see `peer_torchvision`.

Each has its own loss, optimizer, augmentation and batch: what is compared is what a program makes
of its minutes, not one part of it. Nobody validates while it trains, but for one image after each
epoch, without which our loop does not run. The process that trains loads the images too: a CPU is
busy as it is. The masks are scored by this project and by torchmetrics; if the two differ, there is
no table. The machine has to be idle: a line below the table names each side that had to share its
cores.

Protocol: SegNet's split of CamVid at 480 x 360, 367 images to train on, void left out, one
confusion matrix over all test images, the mean over 11 classes.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import peer_common, peer_ours, peer_scores, peer_venv, timing
from benchmarks.peer_common import Result, Task
from segmodels.config import params
from segmodels.config.schema import Dataset
from segmodels.core import supervise
from segmodels.data import layout
from segmodels.models import encoders

INDEX = "dvc repro studies/camvid/dvc.yaml:index"
SIDES = ("ours", "smp", "torchvision")
SCRATCH = Path(".scratch/peers")
SEED = 0
FEWEST = 8  # images of a trial: a batch of ours


def main() -> None:
    given = parser().parse_args()
    settings = params.load(peer_ours.PARAMS)
    tree = given.voc or settings.paths.tree
    check(tree)
    weights = settings.recipe(peer_ours.MODEL).init
    encoders.provide(weights)
    pythons = dict.fromkeys(SIDES, Path(sys.executable))
    if "smp" in given.sides:
        pythons["smp"] = peer_venv.python(given.scratch.resolve() / "venv")
    tasks = []
    for side in given.sides:
        task = assign(given, side, tree, settings.data, weights)
        train(side, task, pythons[side])
        tasks.append(task)
    text = report(tasks)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--minutes", type=minutes, default=10, help="of training, for each side")
    options.add_argument("--voc", type=Path, metavar="DIR", help=f"VOC tree, as `{INDEX}` makes it")
    options.add_argument("--out", type=Path, metavar="FILE", help="to write the table into as well")
    options.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="of all sides"
    )
    options.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES, help="(default: all)")
    batch = "of segmentation_models.pytorch (default: its example's 32, or 8 where memory is short)"
    options.add_argument("--smp-batch", type=count, metavar="N", help=batch)
    trial = "a trial: the first N images of train and of test alone; its scores mean nothing"
    options.add_argument("--images", type=images, metavar="N", help=trial)
    scratch = "folder of the environment and the masks (default: %(default)s)"
    options.add_argument("--scratch", type=Path, metavar="DIR", default=SCRATCH, help=scratch)
    return options


def minutes(text: str) -> float:
    """Of an option: above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: expected minutes above 0, e.g. 10")
    return value


def count(text: str) -> int:
    """Of an option: above 1, which BatchNorm needs."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 2 or more")
    return int(text)


def images(text: str) -> int:
    """Of an option: enough for a batch."""
    if not text.isdecimal() or int(text) < FEWEST:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {FEWEST} or more")
    return int(text)


def check(tree: Path) -> None:
    """Refuse a tree without its images or without its index.

    Raises:
        ValueError: says what makes them.
    """
    index, test = peer_common.train_index(tree), peer_common.test_index(tree)
    for path in (tree / "JPEGImages", tree / "SegmentationClass", index, test):
        if not path.exists():
            raise ValueError(f"{path}: missing: {INDEX}")


def assign(given: argparse.Namespace, side: str, tree: Path, data: Dataset, weights: str) -> Task:
    """What a side has to do.

    Args:
        weights: file of the backbone's ImageNet weights.
    """
    learnt = layout.read_index(peer_common.train_index(tree), data.classes)
    train = learnt["image_id"][learnt["split"] == "train"].tolist()
    test = layout.read_index(peer_common.test_index(tree), data.classes)["image_id"].tolist()
    return Task(
        tree=str(tree),
        train=train[: given.images],
        test=test[: given.images],
        classes=data.classes,
        void=data.void,
        minutes=given.minutes,
        precision=given.precision,
        threads=peer_common.cores(),
        seed=SEED,
        weights=weights,
        folder=str(given.scratch / side),
        smp_batch=given.smp_batch,
    )


def train(side: str, task: Task, python: Path) -> None:
    """Let a side do its task in a process of its own.

    Raises:
        ValueError: it failed; its own error stands above.
    """
    shutil.rmtree(task.folder, ignore_errors=True)  # of an earlier run
    print(f"{side}: {task.minutes:g} minutes of training", file=sys.stderr, flush=True)
    command = [str(python), "-m", f"benchmarks.peer_{side}", str(task.write())]
    environment = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}  # it asks a server otherwise
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        raise ValueError(f"{side}: failed with status {done.returncode}: see the lines above")


def report(tasks: list[Task]) -> str:
    """What the figures belong to, and the table."""
    task = tasks[0]
    rows = []
    for one in tasks:
        rows.append((Result.read(one), peer_scores.score(one)))
    facts = [
        timing.machine(task.threads),
        f"{len(task.train)} training images, {len(task.test)} test images, "
        f"{len(task.classes)} classes",
        f"{task.minutes:g} minutes of training each, {task.precision}, seed {task.seed}",
    ]
    results = [result for result, _ in rows]
    notes = peer_scores.disturbances(results)
    return "\n\n".join(["; ".join(facts), peer_scores.table(rows), *notes])


if __name__ == "__main__":
    supervise.run(main)
