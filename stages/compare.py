"""All runs of a study -> reports/comparison/: tables, metrics and figures."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from segmodels.config import params
from segmodels.config.schema import Comparison
from segmodels.core import supervise
from segmodels.core.files import write_bytes, write_csv, write_json, write_text
from segmodels.data import splits
from segmodels.reporting import endpoints, figures, markdown, pareto, tables, video
from segmodels.reporting.result import Result, check_comparable, read_result
from segmodels.reporting.style import Look, looks, png


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    out = settings.paths.comparison
    results = [read_result(run, settings.paths.report()) for run in settings.runs]
    otherwise = [name for name, run in settings.runs.items() if run.predict]
    check_comparable(results, otherwise)
    curves = tables.curves(results)
    per_class = tables.per_class(results)
    summary = tables.summary(results)
    write_csv(out / "curves.csv", curves)
    write_csv(out / "per_class.csv", per_class)
    write_tables(settings, results, summary)

    look = looks(list(settings.runs))
    index = splits.all_rows(settings.paths, settings.data)
    groups = settings.data.groups
    caption = markdown.caption(results)
    shown = tables.common_loss(results)
    note = f"{markdown.counted(results)} {caption}"
    drawings = {
        "overview": figures.overview(curves, look, shown, overview_title(settings), caption),
        "cost": pareto.against_cost(summary, look, note=note),
        "dataset": figures.dataset(index, groups, f"Classes of {settings.dataset}"),
    }
    for name, comparison in settings.comparisons.items():
        some = [result for run in comparison.runs for result in results if result.model == run]
        seen = {run: look[run] for run in comparison.runs}
        drawings |= comparison_figures(name, some, curves, per_class, seen, groups)
        if comparison.score_classes:
            drawings[f"{name}_scores"] = scores(name, comparison, some, seen, out)
    for name, figure in drawings.items():
        write_bytes(out / f"{name}.png", png(figure))


def write_tables(settings: params.Params, results: Sequence[Result], summary: pd.DataFrame) -> None:
    """Write the scores of all runs, their differences, and what they are over seeds."""
    out = settings.paths.comparison
    differences = tables.differences(results)
    seeds = tables.over_seeds(results)
    write_csv(out / "groups.csv", tables.groups(results))
    write_csv(out / "summary.csv", summary)
    write_csv(out / "differences.csv", differences)
    if len(seeds):
        write_csv(out / "seeds.csv", seeds)
    for name, scored in tables.metrics(summary).items():  # `dvc metrics show` has a row for each
        write_json(out / "metrics" / f"{name}.json", scored)
    runs = {name: comparison.runs for name, comparison in settings.comparisons.items()}
    caption = f"{markdown.caption(results)} {markdown.counted(results)}"
    text = markdown.report(summary, caption, differences, runs, seeds)
    if settings.data.sequence:
        single, pairs = video.scores(results, settings.data.sequence)
        write_csv(out / "video.csv", single)
        write_csv(out / "video_differences.csv", pairs)
        text += "\n" + video.markdown(single, pairs, runs, settings.data.sequence)
    write_text(out / "summary.md", text)


def comparison_figures(
    name: str,
    some: Sequence[Result],
    curves: pd.DataFrame,
    per_class: pd.DataFrame,
    look: Look,
    groups: figures.Groups,
) -> dict[str, Figure]:
    """The figures of one comparison, by the name of their file."""
    shown, note = tables.common_loss(some), markdown.caption(some)
    matrices = {result.model: tables.confusion_matrix(result) for result in some}
    return {
        f"{name}_loss": figures.loss(curves, look, shown, f"Loss: {name}", note),
        f"{name}_miou": figures.miou(curves, look, f"Validation mIoU: {name}", note),
        f"{name}_per_class": figures.per_class(
            per_class, look, groups, f"IoU of each class: {name}", note
        ),
        f"{name}_confusion": figures.confusions(matrices, f"Confusion: {name}", note),
    }


def scores(
    name: str, comparison: Comparison, some: Sequence[Result], look: Look, out: Path
) -> Figure:
    """Write the tables over `score_classes` of a comparison, and draw their figure."""
    classes = comparison.score_classes or []
    table = tables.class_scores(some, classes)
    pairs = tables.differences(some, classes)
    write_csv(out / f"{name}_scores.csv", table)
    write_csv(out / f"{name}_differences.csv", pairs)
    write_text(out / f"{name}_scores.md", markdown.scores_markdown(name, table, pairs, classes))
    title = comparison.title or f"Scores: {name}"
    return endpoints.figure(table, look, classes, title, markdown.caption(some))


def overview_title(settings: params.Params) -> str:
    made = " (generated images)" if settings.data.generate else ""
    return f"Validation after each epoch: {settings.dataset}{made}"


if __name__ == "__main__":
    supervise.run(main)
