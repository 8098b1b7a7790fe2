"""All runs of a study -> reports/comparison/: tables, metrics and figures."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from segmodels.config import params
from segmodels.core import supervise
from segmodels.core.files import write_bytes, write_csv, write_json, write_text
from segmodels.data import splits
from segmodels.reporting import (
    endpoints,
    figures,
    findings,
    markdown,
    pareto,
    summary,
    tables,
    video,
)
from segmodels.reporting.result import Result, check_comparable, read_result
from segmodels.reporting.result_files import read_csv
from segmodels.reporting.style import Look, looks, png


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    out = settings.paths.comparison
    results = [read_result(run, settings.paths.report()) for run in settings.runs]
    otherwise = [name for name, run in settings.runs.items() if run.predict]
    check_comparable(results, otherwise)
    curves = tables.curves(results, settings.data.val)
    per_class = tables.per_class(results)
    table = summary.table(results)
    write_csv(out / "curves.csv", curves)
    write_csv(out / "per_class.csv", per_class)
    write_tables(settings, results, table)

    look = looks(list(settings.runs), [each.runs for each in settings.comparisons.values()])
    index = splits.all_rows(settings.paths, settings.data)
    drawings = study_figures(settings, results, table, look)
    pixels = index[index["split"] == "train"][settings.data.classes].sum().rename("train")
    title = f"{shown_dataset(settings)}: {findings.dataset(pixels)}"
    drawings["dataset"] = figures.dataset(index, settings.data.groups, title, settings.data.lists)
    for name, comparison in settings.comparisons.items():
        some = [result for run in comparison.runs for result in results if result.model == run]
        seen = {run: look[run] for run in comparison.runs}
        drawings[f"{name}_curves"] = curves_figure(settings, name, some, curves, seen)
        drawings |= class_figures(settings, name, some, per_class, seen)
        if comparison.score_classes:
            drawings[f"{name}_scores"] = scores(settings, name, some, seen)
    for name, figure in drawings.items():
        write_bytes(out / f"{name}.png", png(figure))


def write_tables(settings: params.Params, results: Sequence[Result], table: pd.DataFrame) -> None:
    """Write the scores of all runs, their differences, and what they are over seeds."""
    out = settings.paths.comparison
    differences = tables.differences(results)
    seeds = tables.over_seeds(results)
    write_csv(out / "groups.csv", tables.groups(results))
    write_csv(out / "summary.csv", table)
    write_csv(out / "differences.csv", differences)
    if len(seeds):
        write_csv(out / "seeds.csv", seeds)
    for name, scored in summary.metrics(table).items():  # `dvc metrics show` has a row for each
        write_json(out / "metrics" / f"{name}.json", scored)
    runs = {name: comparison.runs for name, comparison in settings.comparisons.items()}
    remarks = markdown.remarks(results, settings.data.val) + [
        markdown.Remark(markdown.counted(results))
    ]
    text = summary.report(table, remarks, differences, runs, seeds)
    if settings.data.sequence:
        single, pairs = video.scores(results, settings.data.sequence)
        write_csv(out / "video.csv", single)
        write_csv(out / "video_differences.csv", pairs)
        text += "\n" + video.markdown(single, pairs, runs, settings.data.sequence)
    write_text(out / "summary.md", text)


def study_figures(
    settings: params.Params, results: Sequence[Result], table: pd.DataFrame, look: Look
) -> dict[str, Figure]:
    """The scores of all runs, and the scores of each network against what it costs.

    Of several runs of one network the cost shows the first; of one network alone there is no such
    figure. Where all comparisons take the mean over the same classes, the cost does so too, and
    each comparison has its own figure of scores.
    """
    note = markdown.measured(results)
    is_video = settings.data.sequence is not None
    costs = f"{markdown.counted(results)} {note}"
    networks = {run: look[run] for run in tables.networks(results)}
    classes = common_classes(settings)
    scored, quantity = table, "mIoU (%)"
    drawings = dict[str, Figure]()
    if classes:
        scored = summary.with_class_scores(table, tables.class_scores(results, classes))
        quantity = f"mIoU over {len(classes)} classes (%)"
    else:
        intervals = table.rename(columns={"miou_low": "low", "miou_high": "high"})
        title = scores_title(settings, table, look)
        drawings["scores"] = endpoints.figure(
            intervals, look, settings.data.classes, title, note, video=is_video
        )
    if len(networks) > 1:
        title = f"{shown_dataset(settings)}: {findings.cost(scored, networks)}"
        drawings["cost"] = pareto.against_cost(
            scored, networks, title, costs, quantity, video=is_video
        )
    return drawings


def scores_title(settings: params.Params, table: pd.DataFrame, look: Look) -> str:
    """What a comparison of all runs found, or which run scores lowest and which highest."""
    for comparison in settings.comparisons.values():
        is_of_all = set(comparison.runs) == set(look) and not comparison.score_classes
        if comparison.title and is_of_all:
            return comparison.title
    return f"{shown_dataset(settings)}: {findings.scores(table, look)}"


def common_classes(settings: params.Params) -> list[str] | None:
    """The classes over which every comparison takes the mean; None if they differ or are all."""
    chosen = [comparison.score_classes for comparison in settings.comparisons.values()]
    first = chosen[0] if chosen else None
    return first if all(classes == first for classes in chosen) else None


def curves_figure(
    settings: params.Params,
    name: str,
    some: Sequence[Result],
    curves: pd.DataFrame,
    look: Look,
) -> Figure:
    """Loss and mIoU of a comparison after each epoch, over the classes of its scores."""
    classes = settings.comparisons[name].score_classes
    quantity = "val mIoU"
    if classes:
        histories = {}
        for result in some:
            folder = settings.paths.report(result.model)
            history = read_csv(folder / "per_class_history.csv")
            histories[result.model] = history[history["class"].isin(classes)]
        scored = tables.class_scores(some, classes)
        curves = tables.class_curves(curves, histories, scored)
        quantity = f"val mIoU over {len(classes)} classes"
    same = tables.same_curves(some)
    distinct = {run: look[run] for run in same}
    title = f"{name}, {shown_dataset(settings)}: {findings.curves(curves, distinct, quantity)}"
    notes = [markdown.of_curves(some, settings.data.val)]
    for first, others in same.items():
        if others:
            notes.append(f"The same curves as {first}: {', '.join(others)}.")
    note = " ".join(notes)
    loss = tables.common_loss(some)
    return figures.curves(curves, distinct, loss, title, note, f"{quantity} (%)")


def class_figures(
    settings: params.Params,
    name: str,
    some: Sequence[Result],
    per_class: pd.DataFrame,
    look: Look,
) -> dict[str, Figure]:
    """IoU by class and confusion of one comparison, by the name of their file.

    All classes are drawn; the titles speak of those that the comparison's scores are over.
    """
    classes = settings.comparisons[name].score_classes or settings.data.classes
    matrices = {result.model: tables.confusion_matrix(result) for result in some}
    note = markdown.measured(some)
    where = f"{name}, {shown_dataset(settings)}"
    hard = f"{where}: {findings.per_class(per_class, look, classes)}"
    confused = f"{where}: {findings.confusions(matrices, classes)}"
    return {
        f"{name}_per_class": figures.per_class(per_class, look, settings.data.groups, hard, note),
        f"{name}_confusion": figures.confusions(matrices, confused, note),
    }


def scores(settings: params.Params, name: str, some: Sequence[Result], look: Look) -> Figure:
    """Write the tables over `score_classes` of a comparison, and draw their figure."""
    comparison = settings.comparisons[name]
    out = settings.paths.comparison
    classes = comparison.score_classes or []
    table = tables.class_scores(some, classes)
    pairs = tables.differences(some, classes)
    write_csv(out / f"{name}_scores.csv", table)
    write_csv(out / f"{name}_differences.csv", pairs)
    write_text(out / f"{name}_scores.md", markdown.scores_markdown(name, table, pairs, classes))
    title = comparison.title or f"Scores: {name}"
    note = markdown.measured(some)
    is_video = settings.data.sequence is not None
    return endpoints.figure(table, look, classes, title, note, video=is_video)


def shown_dataset(settings: params.Params) -> str:
    """The data set as titles name it."""
    made = " (generated images)" if settings.data.generate else ""
    return f"{settings.dataset}{made}"


if __name__ == "__main__":
    supervise.run(main)
