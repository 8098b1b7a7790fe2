"""The scores of `peers_camvid`: each folder of masks by this project and by torchmetrics, a table.

Both sum one confusion matrix over all images, leave void out, and take the mean over the classes
in truth or prediction. Each reads the files by itself. They have to agree.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchmetrics.classification import MulticlassJaccardIndex

from benchmarks.peer_common import Result, Task
from segmodels.evaluation import score_masks

TOLERANCE = 1e-6  # of two mIoU; torchmetrics divides in float32
MOST_OTHERS = 0.05  # share of the cores that other programs may have
HEADINGS = ["program", "network", "start", "steps x batch, crop", "minutes", "peak memory, GB"]
HEADINGS += ["mIoU", "95% interval", "pixel acc.", "mIoU by torchmetrics"]
NUMBERS = HEADINGS[4:]  # columns that are aligned to the right


@dataclass(frozen=True)
class Scores:
    """Fractions 0..1 of all test images.

    Attributes:
        low, high: the ends of the 95% interval of miou.
        witness: miou as torchmetrics has it.
    """

    miou: float
    low: float
    high: float
    pixel_acc: float
    witness: float


def score(task: Task) -> Scores:
    """Score a side's masks.

    Raises:
        ValueError: a mask is missing or malformed, or the two programs differ.
    """
    counts = score_masks.per_image(
        task.masks,
        task.tree,
        task.test,
        num_classes=len(task.classes),
        ignore_index=task.void,
    )
    counts.check_complete()
    metrics = score_masks.metrics(counts)
    scores = Scores(
        miou=float(metrics["miou"] or 0),
        low=float(metrics["miou_low"] or 0),
        high=float(metrics["miou_high"] or 0),
        pixel_acc=float(metrics["pixel_acc"] or 0),
        witness=by_torchmetrics(task),
    )
    check_agreement(task.folder, scores)
    return scores


def by_torchmetrics(task: Task) -> float:
    """mIoU of a side's masks."""
    jaccard = MulticlassJaccardIndex(
        num_classes=len(task.classes), average="macro", ignore_index=task.void
    )
    for image_id in task.test:
        prediction = labels(task.masks / f"{image_id}.png")
        jaccard.update(prediction, labels(task.target(image_id)))
    return float(jaccard.compute())


def labels(path: Path) -> torch.Tensor:
    """The values (1, H, W) that a palette PNG stores."""
    return torch.from_numpy(np.array(Image.open(path)).astype(np.int64))[None]


def check_agreement(folder: str, scores: Scores) -> None:
    """Stop if torchmetrics has another mIoU.

    Raises:
        ValueError: it has.
    """
    if abs(scores.miou - scores.witness) > TOLERANCE:
        raise ValueError(
            f"{folder}: mIoU is {scores.miou:.8f} by this project and {scores.witness:.8f} by "
            f"torchmetrics, expected a difference of at most {TOLERANCE:g}: one of them is wrong"
        )


def table(rows: Iterable[tuple[Result, Scores]]) -> str:
    """A Markdown table, a row for each side."""
    rules = ["---:" if heading in NUMBERS else "---" for heading in HEADINGS]
    lines = [line(HEADINGS), f"|{'|'.join(rules)}|"]
    for result, scores in rows:
        lines.append(line(cells(result, scores)))
    return "\n".join(lines)


def cells(result: Result, scores: Scores) -> list[str]:
    """A side's row."""
    cost = result.cost
    return [
        result.program,
        result.network,
        result.start,
        f"{cost.steps} x {result.batch}, {result.crop}",
        f"{cost.seconds / 60:.1f}",
        f"{cost.memory / 1e9:.1f}",
        f"{scores.miou:.2%}",
        f"{scores.low:.2%} to {scores.high:.2%}",
        f"{scores.pixel_acc:.2%}",
        f"{scores.witness:.2%}",
    ]


def disturbances(results: Iterable[Result]) -> list[str]:
    """A line for each side that shared its cores with other programs."""
    lines = []
    for result in results:
        others = result.cost.others
        if others is not None and others > MOST_OTHERS:
            lines.append(
                f"Other programs had {others:.0%} of the cores while {result.program} trained: "
                "do not compare its score."
            )
    return lines


def line(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"
