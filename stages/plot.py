"""All models of params.yaml -> reports/comparison/: tables, metrics and figures."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from segmodels import params
from segmodels.data import layout
from segmodels.files import write_bytes, write_csv, write_json, write_text
from segmodels.process import run
from segmodels.reporting import figures, pareto, printed, tables
from segmodels.reporting.canvas import Look, looks, png

OUT = Path("reports/comparison")


def main() -> None:
    settings = params.load()
    groups = settings.data.groups
    results = [tables.read_result(model) for model in settings.models]
    tables.check_comparable(results)
    curves, per_class = tables.curves(results), tables.per_class(results)
    summary, caption = tables.summary(results), printed.caption(results)
    differences, seeds = tables.differences(results), tables.over_seeds(results)
    written = {
        **{"curves": curves, "per_class": per_class, "groups": tables.groups(results)},
        **{"summary": summary, "differences": differences},
        **({"seeds": seeds} if len(seeds) else {}),
    }
    for file, table in written.items():
        write_csv(OUT / f"{file}.csv", table)
    studies, counted = settings.studies, printed.counted(results)
    text = printed.report(summary, f"{caption} {counted}", differences, studies, seeds)
    write_text(OUT / "summary.md", text)
    write_json(OUT / "metrics.json", tables.metrics(summary))

    look = looks(list(settings.models))
    index = layout.read_index(settings.dataset, settings.data.classes)
    drawings = {
        "overview": figures.overview(
            curves, look, tables.common_loss(results), overview_title(settings), caption
        ),
        "cost": pareto.against_cost(summary, look, note=f"{counted} {caption}"),
        "dataset": figures.dataset(index, groups, f"Classes of {settings.dataset}"),
    }
    for study, models in studies.items():
        some = [result for model in models for result in results if result.model == model]
        seen = {model: look[model] for model in models}
        drawings |= study_figures(study, some, curves, per_class, seen, groups)
    for name, figure in drawings.items():
        write_bytes(OUT / f"{name}.png", png(figure))


def study_figures(
    study: str,
    some: Sequence[tables.Result],
    curves: pd.DataFrame,
    per_class: pd.DataFrame,
    look: Look,
    groups: figures.Groups,
) -> dict[str, Figure]:
    """The figures of one study, by the name of their file."""
    shown, note = tables.common_loss(some), printed.caption(some)
    matrices = {result.model: tables.confusion_matrix(result) for result in some}
    return {
        f"{study}_loss": figures.loss(curves, look, shown, f"Loss: {study}", note),
        f"{study}_miou": figures.miou(curves, look, f"Validation mIoU: {study}", note),
        f"{study}_per_class": figures.per_class(
            per_class, look, groups, f"IoU of each class: {study}", note
        ),
        f"{study}_confusion": figures.confusions(matrices, f"Confusion: {study}", note),
    }


def overview_title(settings: params.Params) -> str:
    made = " (generated images)" if settings.data.generate else ""
    return f"Validation after each epoch: {settings.dataset}{made}"


if __name__ == "__main__":
    run(main)
