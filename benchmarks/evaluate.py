"""Evaluation on one core: seconds and memory of a folder of 1,449 masks, and of confusion alone.

Confusion takes turns with the usual count, a boolean mask of the pixels that are not void, then
bincount of true * C + predicted: torchvision's on tensors of int64, which is what its recipe has,
and the same in numpy on our bytes. A picture at a time, as a folder is scored, and in batches.

    OMP_NUM_THREADS=1 python -m benchmarks.evaluate --voc DIR [--predictions DIR]

Without --predictions the masks are the targets, moved by 8 pixels.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segmodels.data.images import palette, read_target, write_target
from segmodels.data.layout import read_ids, split_path, target_path
from segmodels.evaluation import score_masks
from segmodels.evaluation.confusion import confusion_matrix

CLASSES, VOID = 21, 255


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--voc", type=Path, required=True, help="VOC tree")
    options.add_argument("--predictions", type=Path, help="folder of masks of its val split")
    options.add_argument("--images", type=int, default=1449)
    options.add_argument("--turns", type=int, default=5)
    given = options.parse_args()
    torch.set_num_threads(1)
    ids = read_ids(split_path(given.voc, "val"))
    with tempfile.TemporaryDirectory() as scratch:
        masks = given.predictions or moved_targets(given.voc, ids, Path(scratch))
        print("| evaluation, one core | figures |\n|---|---|")
        for images in (given.images // 10, given.images):
            print(folder_row(given.voc, masks, list(islice(cycle(ids), images))))
        pairs = [read(given.voc, masks, image_id) for image_id in ids]
    print(confusion_row("picture by picture", pairs, given.turns))
    print(confusion_row("batches of 16 x 513 x 513", batches(pairs[:64]), given.turns))


def folder_row(root: Path, masks: Path, ids: list[str]) -> str:
    """Seconds to score masks with all boundary scores, and what that adds to the largest memory."""
    before, begin = peak_mib(), time.perf_counter()
    counts = score_masks.per_image(masks, root, ids, num_classes=CLASSES, ignore_index=VOID)
    seconds = time.perf_counter() - begin
    counts.check_complete()
    return (
        f"| {len(ids):,} masks, boundaries too | {seconds:.1f} s, {peak_mib() - before:.0f} MiB |"
    )


def peak_mib() -> float:
    """The largest memory of this process so far, MiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def confusion_row(what: str, pairs: list[tuple[np.ndarray, np.ndarray]], turns: int) -> str:
    """Median milliseconds of each count of the same pixels, and its ratio to ours; all agree."""
    tensors = [tuple(torch.from_numpy(labels).long() for labels in pair) for pair in pairs]
    sides: dict[str, tuple[Callable[..., Any], list[Any]]] = {
        "torchvision": (torchvision_update, tensors),
        "numpy": (masked_bincount, pairs),
        "ours": (ours, pairs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, (count, inputs) in sides.items():
            begin = time.perf_counter()
            sums = [np.asarray(count(*labels)) for labels in inputs]
            seconds[name].append(time.perf_counter() - begin)
            assert np.array_equal(np.sum(sums, 0), np.sum([ours(*labels) for labels in pairs], 0))
    medians = {name: statistics.median(values) / len(pairs) for name, values in seconds.items()}
    times = ", ".join(
        f"{name} {1e3 * value:.2f} ms (x {value / medians['ours']:.1f})"
        for name, value in medians.items()
    )
    return f"| confusion, {what} | {times} |"


def torchvision_update(target: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
    """ConfusionMatrix.update of torchvision's references/segmentation/utils.py."""
    k = (target >= 0) & (target < CLASSES)
    inds = CLASSES * target[k].to(torch.int64) + prediction[k]
    return torch.bincount(inds, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def ours(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return confusion_matrix(
        target=target, prediction=prediction, num_classes=CLASSES, ignore_index=VOID
    )


def masked_bincount(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The same in numpy."""
    valid = (target >= 0) & (target < CLASSES)
    pairs = CLASSES * target[valid].astype(int) + prediction[valid]
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def moved_targets(root: Path, ids: list[str], masks: Path) -> Path:
    """Predictions that are right but for their place: the folder."""
    for image_id in ids:
        target = read_target(target_path(root, image_id))
        labels = np.where(target == VOID, 0, np.roll(target, 8, axis=1))
        labels[labels == VOID] = 0
        write_target(masks / f"{image_id}.png", labels, palette())
    return masks


def read(root: Path, masks: Path, image_id: str) -> tuple[np.ndarray, np.ndarray]:
    target = read_target(target_path(root, image_id))
    return target, read_target(masks / f"{image_id}.png")


def batches(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures in fields of 513 x 513, void around the targets, 16 of them in each batch."""
    found = []
    for start in range(0, len(pairs) // 16 * 16, 16):
        target = np.full((16, 513, 513), VOID, dtype=np.uint8)
        prediction = np.zeros_like(target)
        for field, (true, predicted) in enumerate(pairs[start : start + 16]):
            target[field, : true.shape[0], : true.shape[1]] = true
            prediction[field, : true.shape[0], : true.shape[1]] = predicted
        found.append((target, prediction))
    return found


if __name__ == "__main__":
    main()
