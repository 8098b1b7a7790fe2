"""Scores over the classes of which 200 pictures are enough: a section's frequent.csv and .md."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmodels.evaluation import scores, statistics
from segmodels.files import write_csv, write_text
from segmodels.reporting import printed, tables
from segmodels.reporting.tables import FLOOR, Result

CLASSES = ["background", "cat", "cow", "dog", "horse", "person", "sheep"]
HEAD = ["model", f"mIoU, {len(CLASSES)} classes", "95% interval", "mIoU, present", "pixel acc"]
MINUTES = "minutes"


def write(
    results: Sequence[Result],
    minutes: Mapping[str, float],
    studies: Mapping[str, Sequence[str]],
    untrained: Sequence[str],
    folder: Path,
) -> None:
    """Write the scores, their paired differences within each study, and the spread over seeds.

    Args:
        minutes: model -> how long it trained.
        untrained: classes that no training image shows, see `allow_absent` of params.yaml.
    Raises:
        ValueError: two models were not measured on the same pictures in the same way.
    """
    tables.check_comparable(results)
    rows = [_row(result) | {MINUTES: minutes[result.model]} for result in results]
    floor = scores.overlap(results[0].floor_confusion)[:, places(results[0])]
    rows.append({"model": FLOOR, **results[0].floor, "miou": scores.overlap_miou(floor)})
    columns = ["model", "miou", "low", "high", "miou_present", "pixel_acc", MINUTES]
    table = pd.DataFrame(rows)[columns]
    pairs = statistics.differences({result.model: overlap(result) for result in results})
    write_csv(folder / "frequent.csv", table)
    write_csv(folder / "frequent_differences.csv", pairs)
    spread = tables.over_seeds([replace(result, metrics=_metrics(result)) for result in results])
    shown = printed.table([*HEAD, MINUTES], [_printed(row) for _, row in table.iterrows()])
    text = f"{shown}\n{printed.caption(results)} {_meaning(results[0], untrained)}\n"
    more = [printed.differences_markdown(pairs, studies), printed.seeds_markdown(spread)]
    write_text(
        folder / "frequent.md", "\n".join(filter(None, [text, *more, _single(results, studies)]))
    )


def overlap(result: Result) -> np.ndarray:
    """(n, 3, 7) int64: pixels right, true and predicted of each picture and of these classes."""
    return result.overlap[..., places(result)]


def places(result: Result) -> list[int]:
    """Labels of these classes."""
    classes = result.per_class["class"].tolist()
    return [classes.index(name) for name in CLASSES]


def _metrics(result: Result) -> dict[str, Any]:
    return {**result.metrics, "miou": scores.overlap_miou(overlap(result).sum(0))}


def _row(result: Result) -> dict[str, Any]:
    low, high = statistics.intervals(overlap(result)[None], np.array([[1]]))[0]
    return {"model": result.model, **_metrics(result), "low": low, "high": high}


def _printed(row: pd.Series) -> list[str]:
    known = not np.isnan(row["low"])
    interval = f"{row['low']:.1%} to {row['high']:.1%}" if known else ""
    percent = [f"{row[name]:.1%}" for name in ("miou", "miou_present", "pixel_acc")]
    minutes = f"{row[MINUTES]:.1f}" if known else ""
    return [row["model"], percent[0], interval, *percent[1:], minutes]


def _meaning(result: Result, untrained: Sequence[str]) -> str:
    made = result.provenance
    return (
        f"The {len(CLASSES)} classes: {', '.join(CLASSES)}. {_subset(result, untrained)} Minutes: "
        f"training steps, without validation, {made['cpu']}, {made['threads']} threads, "
        f"PyTorch {made['versions']['torch'].partition('+')[0]}."
    )


def _subset(result: Result, untrained: Sequence[str]) -> str:
    """What the pictures are, and which classes no model can know."""
    true = result.per_class.set_index("class")["true_pixels"]
    scored = [name for name in untrained if true[name] > 0]
    text = (
        f"{result.metrics['dataset']} is an animals subset of VOC 2012: do not compare with VOC "
        "2012 val."
    )
    if not untrained:
        return text
    zero = f"{', '.join(scored)} counts as 0" if scored else "none of them is counted"
    return f"{text} No training image shows {', '.join(untrained)}; in mIoU, present, {zero}."


def _single(results: Sequence[Result], studies: Mapping[str, Sequence[str]]) -> str:
    """On how many pictures by themselves the one model is better, on how many the other."""
    rows = []
    for first, second in combinations(results, 2):
        if not any({first.model, second.model} <= set(models) for models in studies.values()):
            continue
        gain = (
            second.images.set_index("image_id")["miou"] - first.images.set_index("image_id")["miou"]
        )
        counts = [int((gain > 0).sum()), int((gain < 0).sum()), int((gain == 0).sum())]
        rows.append([f"{second.model} - {first.model}", *map(str, counts)])
    head = ["single pictures, by their mIoU", "better on", "worse on", "equal on"]
    return printed.table(head, rows) if rows else ""


def probes(files: Sequence[Path], target: Path) -> None:
    """The tables of `segmodels bn-probe`, together, for people; what stands in two of them once."""
    both = pd.concat(map(pd.read_csv, files)).drop_duplicates(["weights of", "statistics"])
    head = ["weights of", "BatchNorm statistics", "mIoU, present", "pixel acc", "cross-entropy"]
    rows = [
        [
            row["weights of"],
            row["statistics"],
            *(f"{row[name]:.1%}" for name in ("miou_present", "pixel_acc")),
            f"{row['cross_entropy']:.3f}",
        ]
        for _, row in both.iterrows()
    ]
    write_text(target, printed.table(head, rows))


def variants(source: Path, target: Path) -> None:
    """The table of a model's scores in several ways to predict, for people."""
    head = ["long side", "seen at", HEAD[1]]
    rows = [
        [str(row["input_long_side"]), row["test_time"], f"{row['miou']:.1%}"]
        for _, row in pd.read_csv(source).iterrows()
    ]
    write_text(target, printed.table(head, rows))
