"""The table of scores: summary.csv, and what summary.md and the page show of it.

A column that is shown is an entry of SHOWN, explained in HELP of page.py and in
docs/learn/how-we-measure.md. Scores are fractions 0..1 in summary.csv, percent in summary.md. The
baseline, all background, is one more model, in the last row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from segmodels.reporting import markdown
from segmodels.reporting.result import LOSS_NAMES, Result
from segmodels.reporting.result_files import BANDS
from segmodels.reporting.tables import floor_name, floor_of, otherwise, rise

# Columns of summary.csv that are keys of metrics.json.
SCORES = ["miou", "miou_present", "fw_iou", "mean_dice", "pixel_acc", "mean_acc"]
INTERVAL = ["miou_low", "miou_high"]  # the ends of the 95% interval of miou
COUNTS = ["classes_counted", "classes_present"]  # over how many classes miou, miou_present average

PERCENT, COUNT = ".1%", ",.0f"  # how a number is printed
SHOWN = {  # heading of summary.md -> column of summary.csv, and how its numbers are printed
    "mIoU": ("miou", PERCENT),
    "95% interval": ("miou_low", PERCENT),
    "mIoU, present": ("miou_present", PERCENT),
    "boundary mIoU": ("boundary_miou", PERCENT),
    "pixel acc": ("pixel_acc", PERCENT),
    "mean acc": ("mean_acc", PERCENT),
}
HEAD = ["model", *SHOWN, "best epoch", "parameters", "GMACs"]


def table(results: Sequence[Result]) -> pd.DataFrame:
    """One row per model, and one for the baseline: scores, last losses, size and start.

    Column `rise` is how much val mIoU gained over the last quarter of the epochs; `otherwise` is
    whether the model's recipe differs from the usual one.
    """
    unusual = otherwise(results)
    rows = []
    for result in results:
        row = _row(result)
        row["otherwise"] = result.model in unusual
        rows.append(row)
    rows.append({"model": floor_name(results), "otherwise": False, **results[0].floor})
    whole_numbers = dict.fromkeys(["best_epoch", "epochs", "parameters", "seed"], "Int64")
    may_be_none = dict.fromkeys([*INTERVAL, *BANDS], "float64")
    return pd.DataFrame(rows).astype(whole_numbers | may_be_none)


def _row(result: Result) -> dict[str, Any]:
    recipe = result.provenance["recipe"]
    row: dict[str, Any] = {"model": result.model}
    for name in [*SCORES, *INTERVAL, *BANDS, *COUNTS, "best_epoch", "best_epoch_miou"]:
        row[name] = result.metrics[name]
    row["rise"] = rise(result.history)
    row["loss"] = result.loss
    row |= _last_losses(result.history)
    row["parameters"] = result.provenance["parameters"]
    row["gflops"] = result.metrics["gflops"]
    row["seed"] = result.metrics["protocol"]["seed"]
    row["start"] = recipe["init"]
    row["epochs"] = recipe["epochs"]
    row["precision"] = result.metrics["protocol"]["precision"]
    return row


def _last_losses(history: pd.DataFrame) -> dict[str, float]:
    """Losses of the last epoch, of train and val in turn, as far as the model has them."""
    last = history.iloc[-1]
    losses = {}
    for name in ("loss", *LOSS_NAMES):
        for column in (f"train_{name}", f"val_{name}"):
            if column in history:
                losses[column] = last[column]
    return losses


def with_class_scores(summary: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """A summary whose mIoU and interval are those of `class_scores`."""
    by_model = scored.set_index("model").loc[summary["model"]]
    miou, low, high = (by_model[name].to_numpy() for name in ("miou", "low", "high"))
    return summary.assign(miou=miou, miou_low=low, miou_high=high)


def metrics(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Of a summary what `dvc metrics show` has a row for: mIoU and pixel accuracy of each model."""
    scores = {}
    for _, row in table[table["model"] != floor_of(table["model"])].iterrows():
        scores[row["model"]] = {"miou": float(row["miou"]), "pixel_acc": float(row["pixel_acc"])}
    return scores


def report(
    summary: pd.DataFrame,
    remarks: Sequence[markdown.Remark],
    differences: pd.DataFrame,
    comparisons: Mapping[str, Sequence[str]],
    seeds: pd.DataFrame,
) -> str:
    """All of summary.md: scores, differences, seeds; tables without rows are left out."""
    parts = [
        printed(summary, remarks),
        markdown.differences_markdown(differences, comparisons),
        markdown.seeds_markdown(seeds),
    ]
    return "\n".join(part for part in parts if part)


def printed(summary: pd.DataFrame, remarks: Sequence[markdown.Remark]) -> str:
    """A summary as a Markdown table in percent, a list of remarks under it."""
    rows = markdown.each_row(summary, printed_row)
    return f"{markdown.table(HEAD, rows)}\n{markdown.listed(remarks)}"


def printed_row(row: pd.Series) -> list[str]:
    """The cells of HEAD for one model of a summary: SHOWN, epochs, millions, GMACs."""
    scores = {}
    for heading, (name, form) in SHOWN.items():
        scores[heading] = "" if pd.isna(row[name]) else f"{row[name]:{form}}"
    if scores["95% interval"]:
        scores["95% interval"] += f" to {row['miou_high']:.1%}"
    name = row["model"]
    if row["otherwise"]:
        name = f"{name} {markdown.MARK}"
    return [name, *scores.values(), *_size_cells(row)]


def _size_cells(row: pd.Series) -> list[str]:
    """Best epoch, parameters and GMACs; the baseline has none of them."""
    if floor_of([row["model"]]):
        return ["", "", ""]
    best_epoch = f"{row['best_epoch']} ({row['best_epoch_miou']:.1%})"
    return [best_epoch, markdown.millions(row["parameters"]), f"{row['gflops']:.2f}"]
