"""Our test scores on CamVid beside published ones, as Markdown tables: all, and by class.

    python -m tools.published studies/camvid_best/ studies/camvid/

Published rows come from studies/camvid/published.yaml, ours from reports/models/ of the studies
that are named: runs that were scored on the 233 images of test. Ours are bold, sorted in.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from segmodels.config import document, encoders, params
from segmodels.core import supervise
from segmodels.reporting.markdown import table
from segmodels.reporting.result import Result, read_result

PUBLISHED = Path("studies/camvid/published.yaml")
IMAGES = 233
HEAD = ["model", "mIoU", "pixel acc", "95% interval", "train", "start", "source"]


@dataclass(frozen=True)
class Row:
    """One result; scores are percent, None where the source has none."""

    model: str
    miou: float
    pixel_acc: float | None
    interval: str
    train: str
    start: str
    source: str
    classes: list[float] | None
    notes: list[str]
    ours: bool = False


def main() -> None:
    if not sys.argv[1:]:
        raise ValueError("no study was named, as in: python -m tools.published studies/camvid/")
    rows, notes = published(PUBLISHED)
    names = list[str]()
    for folder in sys.argv[1:]:
        settings = params.load(Path(folder) / "params.yaml")
        names = settings.data.classes
        rows += our_rows(settings)
    print(report(rows, notes, names))


def published(path: Path) -> tuple[list[Row], dict[str, str]]:
    """The rows of a file of published results, and what their footnotes say.

    Raises:
        ValueError: a row lacks a key, or names a footnote that is not there.
    """
    values = document.read(path)
    rows = list[Row]()
    for entry in values["results"]:
        missing = {"model", "miou", "train", "starts", "source"} - set(entry)
        unknown = set(entry.get("notes", [])) - set(values["notes"])
        if missing or unknown:
            raise ValueError(
                f"{path}: {entry.get('model')}: lacks {sorted(missing)}, unknown notes "
                f"{sorted(unknown)}"
            )
        rows.append(_published_row(entry))
    return rows, values["notes"]


def _published_row(entry: dict[str, Any]) -> Row:
    return Row(
        model=entry["model"],
        miou=entry["miou"],
        pixel_acc=entry.get("global"),
        interval="",
        train=str(entry["train"]),
        start=entry["starts"],
        source=entry["source"],
        classes=entry.get("classes"),
        notes=entry.get("notes", []),
    )


def our_rows(settings: params.Params) -> list[Row]:
    """The runs of a study that were scored on the whole of test."""
    reports = settings.paths.report()
    rows = list[Row]()
    for name in settings.runs:
        if not (reports / name / "metrics.json").is_file():
            continue
        result = read_result(name, reports)
        if result.metrics["split"] == settings.data.test and result.metrics["images"] == IMAGES:
            rows.append(_our_row(result, settings))
    return rows


def _our_row(result: Result, settings: params.Params) -> Row:
    metrics = result.metrics
    return Row(
        model=result.model,
        miou=100 * metrics["miou"],
        pixel_acc=100 * metrics["pixel_acc"],
        interval=f"{100 * metrics['miou_low']:.1f} to {100 * metrics['miou_high']:.1f}",
        train=settings.data.train,
        start=encoders.named(metrics["protocol"]["init"]),
        source=f"{settings.here or './'}, {metrics['protocol']['test_time']}",
        classes=(100 * result.per_class["iou"]).tolist(),
        notes=[],
        ours=True,
    )


def report(rows: list[Row], notes: dict[str, str], names: list[str]) -> str:
    """Both tables, the highest mIoU first, with the footnotes under them."""
    ordered = sorted(rows, key=lambda row: -row.miou)
    all_rows = [_cells(row) for row in ordered]
    by_class = [_class_cells(row) for row in ordered if row.classes]
    used = set[str]().union(*(row.notes for row in rows))
    footnotes = [f"[{key}] {text}" for key, text in notes.items() if key in used]
    parts = [
        table(HEAD, all_rows),
        "\n".join(f"- {line}" for line in footnotes) + "\n",
        table(["model", "mIoU", *names], by_class),
    ]
    return "\n".join(parts)


def _name(row: Row) -> str:
    marks = "".join(f" [{note}]" for note in row.notes)
    return f"**{row.model}**" if row.ours else f"{row.model}{marks}"


def _cells(row: Row) -> list[str]:
    accuracy = "" if row.pixel_acc is None else f"{row.pixel_acc:.1f}"
    return [
        _name(row), f"{row.miou:.1f}", accuracy, row.interval, row.train, row.start, row.source
    ]  # fmt: skip


def _class_cells(row: Row) -> list[str]:
    scores = ["" if pd.isna(score) else f"{score:.1f}" for score in row.classes or []]
    return [_name(row), f"{row.miou:.1f}", *scores]


if __name__ == "__main__":
    supervise.run(main)
