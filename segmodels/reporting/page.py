"""index.html: the whole comparison on one page that needs no network and no server.

Jinja fills web/page.html and escapes every name. The tables are plain HTML, which can be read
without JavaScript. Curves, confusion matrix and gallery are drawn in the browser by web/*.js from
one block of JSON. These scripts and web/page.css are part of the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from segmodels.config.schema import Comparison
from segmodels.reporting import costs, markdown, pareto, summary, tables
from segmodels.reporting.gallery import numbers
from segmodels.reporting.result import MEASURED_ON, PER_MODEL_KEYS, Result
from segmodels.reporting.result_files import read_json
from segmodels.reporting.style import COLOURS, looks

WEB = Path(__file__).with_name("web")
DASHES = ["", "7 4", "2 3"]  # of curves; the next one once every colour has been used
LONGEST = 8  # a list with more members is shown as their number
HELP = {  # heading of a column -> what it is
    "model": "Name in params.yaml; * marks one that is trained otherwise than the others.",
    "mIoU": "Mean IoU over all classes in truth or prediction: VOC's score.",
    "95% interval": "Where the value may lie with other images of the same kind.",
    "mIoU, present": "Mean IoU over the classes in the truth.",
    "boundary mIoU": "Mean IoU in a narrow band inside the objects' borders.",
    "pixel acc": "Share of the pixels that are right.",
    "mean acc": "Mean over the classes of the share of their pixels that are right.",
    "best epoch": (
        "Epoch with the highest mIoU during training: on the holdout, or on val where there is "
        "none. In brackets its mIoU on val."
    ),
    "parameters": "Numbers that training changes, in millions.",
    "models": "The runs that are compared.",
    "mIoU, points": "mIoU of the first model minus that of the second, in points.",
    "excludes 0": "Yes: the interval does not contain 0, so the difference is significant.",
    "over seeds": "The runs that differ in the training seed alone.",
    "seeds": "How many seeds were trained.",
    "mean mIoU": "Mean of their mIoU.",
    "standard deviation, points": "How far the training seed moves mIoU.",
    "GMACs": "Billions of multiply-adds for one image.",
    "parameters, millions": "Numbers that training changes.",
    "latency, ms": "Time to predict one image.",
    "training, s": "Time of the training without validation.",
    "training's peak memory, GB": "Most memory that the training took.",
}


class Cell(NamedTuple):
    """A cell of a sortable table.

    Attributes:
        text: as a person reads it.
        value: what it is sorted by.
        bar: low, middle and high of an interval that is drawn, 0..1.
        share: how dark a cell of a heat map is, 0..1.
        best: whether it is the best of its row.
    """

    text: str
    value: float | str | None
    bar: tuple[float, float, float] | None = None
    share: float | None = None
    best: bool = False


def render(**content: Any) -> str:
    """Fill web/page.html.

    Args:
        content: the names that the template uses; a name it lacks is an error.
    """
    environment = Environment(
        loader=FileSystemLoader(WEB),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(**content)


def report(
    results: Sequence[Result], differences: pd.DataFrame, cost_table: pd.DataFrame, val: str
) -> dict[str, Any]:
    """What the template shows of the models: headings, rows and sentences.

    Args:
        val: name of the list of val's images, on which histories are measured.
    """
    models = [result.model for result in results]
    class_iou = [result.per_class.set_index("class")["iou"] for result in results]
    group_miou = [result.groups.set_index("group")["miou"] for result in results]
    return {
        "help": HELP,
        "head": summary.HEAD[:-1],  # GMACs are among the costs
        "rows": markdown.each_row(summary.table(results), scores_row),
        "floor": tables.floor_name(results),
        "remarks": markdown.remarks(results, val),
        "counted": markdown.counted(results),
        "differences": markdown.each_row(differences, difference_row),
        "differences_head": markdown.DIFFERENCES_HEAD,
        "meaning": markdown.DIFFERENCES_MEANING,
        "seeds_head": markdown.SEEDS_HEAD,
        "seeds": markdown.each_row(tables.over_seeds(results), seeds_row),
        "seeds_meaning": markdown.SEEDS_MEANING,
        "costs_head": ["model", "mIoU", *(column.heading for column in costs.COLUMNS.values())],
        "costs": markdown.each_row(cost_table, costs_row),
        "machines": costs.machines(results, cost_table),
        "heat_head": ["class", *models],
        "heat": heat(class_iou),
        "groups_head": ["group", *models],
        "groups": heat(group_miou),
        "protocol": list(facts(_shared_facts(results[0]))),
        "provenance": {result.model: list(facts(_own_facts(result))) for result in results},
    }


def drawn(
    results: Sequence[Result], comparisons: Mapping[str, Comparison], cost_table: pd.DataFrame
) -> dict[str, Any]:
    """What the scripts draw: looks and curves of models, confusion, cost, the comparisons."""
    column, loss = tables.common_loss(results)
    together = [each.runs for each in comparisons.values()]
    look = looks([result.model for result in results], together)
    models = []
    for i, result in enumerate(results):
        dash = DASHES[i // len(COLOURS) % len(DASHES)]
        models.append(
            {
                "name": result.model,
                "colour": look[result.model]["color"],
                "marker": look[result.model]["marker"],
                "dash": dash,
                "epochs": result.history["epoch"].tolist(),
                "loss": numbers(result.history[f"val_{column}"]),
                "train_loss": numbers(result.history[f"train_{column}"]),
                "miou": numbers(result.history["val_miou"]),
                "confusion": pixels(result),
            }
        )
    return {
        "models": models,
        "loss": loss,
        "floor": float(results[0].floor["miou"]),
        "comparisons": {name: each.runs for name, each in comparisons.items()},
        "costs": [cost_figure(cost_table, column) for column in costs.COLUMNS],
    }


def read_differences(path: str | Path) -> pd.DataFrame:
    """differences.csv of the compare stage; a model may be called 007 or NA.

    Raises:
        ValueError: it is not that table.
    """
    try:
        table = pd.read_csv(path, dtype={"first": str, "second": str}, keep_default_na=False)
        in_range = table[["difference", "low", "high"]].abs() <= 1
        if len(table) and (table["real"].dtype != bool or not in_range.all(axis=None)):
            raise ValueError("expected fractions, and True or False")
    except (LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: {reason}; `dvc repro compare` makes it anew") from None
    return table


def read_statistics(path: str | Path, classes: Sequence[str]) -> dict[str, Any]:
    """statistics.json of the index stage.

    Raises:
        ValueError: it does not count these classes.
    """
    try:
        statistics = read_json(path)
        class_facts(statistics, classes)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise ValueError(f"{path}: {reason}; `dvc repro index` makes it anew") from None
    return statistics


def scores_row(row: pd.Series) -> list[Cell]:
    """One model of `summary.table` without GMACs; its interval is drawn where it has one."""
    shown = [column for column, _ in summary.SHOWN.values()]
    columns = ["model", *shown, "best_epoch", "parameters"]
    texts = summary.printed_row(row)[:-1]
    cells = []
    for column, text in zip(columns, texts, strict=True):
        value = None if pd.isna(row[column]) else row[column]
        bar = None
        if column == "miou_low" and value is not None:
            bar = (row["miou_low"], row["miou"], row["miou_high"])
        cells.append(Cell(text, value, bar))
    return cells


def difference_row(pair: pd.Series) -> list[Cell]:
    """One pair of `tables.differences`, in points of mIoU."""
    name, gain, interval, excludes_zero = markdown.difference_row(pair, minus="−")
    return [
        Cell(name, name),
        Cell(gain, float(pair["difference"])),
        Cell(interval, float(pair["low"])),
        Cell(excludes_zero, int(pair["real"])),
    ]


def seeds_row(row: pd.Series) -> list[Cell]:
    """One row of `tables.over_seeds`."""
    model, runs, seeds, mean, deviation = markdown.seeds_row(row)
    return [
        Cell(model, row["model"]),
        Cell(runs, row["runs"]),
        Cell(seeds, int(row["seeds"])),
        Cell(mean, float(row["mean"])),
        Cell(deviation, float(row["sd"])),
    ]


def costs_row(row: pd.Series) -> list[Cell]:
    """One row of `costs.read`."""
    cells = [
        Cell(row["model"], row["model"]),
        Cell(f"{row['miou']:.1%}", float(row["miou"])),
    ]
    for name, column in costs.COLUMNS.items():
        cells.append(Cell(column.form.format(row[name]), float(row[name])))
    return cells


def cost_figure(cost_table: pd.DataFrame, column: str) -> dict[str, Any]:
    """mIoU against one cost: the points in the order of the models, and those on the front."""
    front = pareto.front(cost_table[column].tolist(), cost_table["miou"].tolist())
    best = cost_table[front].sort_values([column, "miou"])
    return {
        "name": costs.COLUMNS[column].heading,
        "cost": numbers(cost_table[column]),
        "miou": numbers(cost_table["miou"]),
        "miou_low": numbers(cost_table["miou_low"]),
        "miou_high": numbers(cost_table["miou_high"]),
        "front": best.index.tolist(),
    }


def heat(columns: Sequence[pd.Series]) -> list[list[Cell]]:
    """A row for each name of the index: a score of each model, and which is the best."""
    rows = []
    for name, scores in pd.concat(columns, axis=1).iterrows():
        best = scores.max()
        cells = [_heat_cell(score, best) for score in scores]
        rows.append([Cell(str(name), str(name)), *cells])
    return rows


def pixels(result: Result) -> list[list[int]]:
    """(C, C) counts, rows = true class, columns = predicted."""
    return tables.confusion_matrix(result, values="pixels").to_numpy().tolist()


def class_facts(statistics: Mapping[str, Any], classes: Sequence[str]) -> list[list[Cell]]:
    """A row for each class: in how many images of each split it is, and its share of pixels."""
    table = []
    for name in classes:
        row = [Cell(name, name)]
        for split in statistics.values():
            images = split["class_images"][name]
            share = split["class_shares"][name]
            row.append(Cell(f"{images:,}", images))
            row.append(Cell(f"{share:.2%}", share))
        table.append(row)
    return table


def facts(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every value of nested dictionaries; of a long list its length."""
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from facts(value, f"{name}: ")
        elif isinstance(value, list):
            yield name, _list_text(value)
        else:
            yield name, "none" if value is None else str(value)


def _list_text(members: list[Any]) -> str:
    if not members:
        return "none"
    if len(members) > LONGEST:
        return f"{len(members)} entries"
    return ", ".join(str(member) for member in members)


def _shared_facts(result: Result) -> dict[str, Any]:
    """On what all models were measured, and the protocol that they share."""
    shared = {key: result.metrics[key] for key in MEASURED_ON}
    for key, value in result.metrics["protocol"].items():
        if key not in PER_MODEL_KEYS:
            shared[key] = value
    return shared


def _own_facts(result: Result) -> dict[str, Any]:
    """A model's provenance, and what its protocol says of this model alone."""
    own = dict(result.provenance)
    for key, value in result.metrics["protocol"].items():
        if key in PER_MODEL_KEYS:
            own[key] = value
    return own


def _heat_cell(score: float, best: float) -> Cell:
    """A score in percent; nothing where there is none."""
    if pd.isna(score):
        return Cell("", None)
    return Cell(f"{100 * score:.1f}", float(score), share=float(score), best=bool(score == best))
