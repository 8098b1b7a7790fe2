"""index.html: the whole comparison on one page that needs no network and no server.

Jinja, with every name escaped, fills web/page.html: its tables are plain HTML and can be read
without JavaScript. Curves, confusion matrix and gallery are drawn in the browser from one block of
JSON, by web/*.js, which together with web/page.css is part of the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from segmodels.reporting import costs, pareto, printed, tables
from segmodels.reporting.canvas import COLOURS, looks
from segmodels.reporting.checks import read_json
from segmodels.reporting.gallery import numbers
from segmodels.reporting.tables import Result
from segmodels.sections import Comparison

WEB = Path(__file__).with_name("web")
DASHES = ["", "7 4", "2 3"]  # of curves whose colour and marker were there before
LONGEST = 8  # members of a list that are written out


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
    results: Sequence[Result], differences: pd.DataFrame, spent: pd.DataFrame
) -> dict[str, Any]:
    """What the template shows of the models: head, rows and words, all of them text or numbers."""
    summary = tables.summary(results)
    models = [result.model for result in results]
    return {
        "head": printed.HEAD[:-1],
        "rows": [scores_row(row) for _, row in summary.iterrows()],
        "floor": tables.FLOOR,
        "caption": printed.caption(results),
        "counted": printed.counted(results),
        "differences": [difference_row(row) for _, row in differences.iterrows()],
        "differences_head": printed.DIFFERENCES_HEAD,
        "meaning": printed.DIFFERENCES_MEANING,
        "seeds_head": printed.SEEDS_HEAD,
        "seeds": [seeds_row(row) for _, row in tables.over_seeds(results).iterrows()],
        "seeds_meaning": printed.SEEDS_MEANING,
        "costs_head": ["model", "mIoU", *(name for name, _ in costs.COLUMNS.values())],
        "costs": [costs_row(row) for _, row in spent.iterrows()],
        "machines": costs.machines(results, spent),
        "heat_head": ["class", *models],
        "heat": heat([result.per_class.set_index("class")["iou"] for result in results]),
        "groups_head": ["group", *models],
        "groups": heat([result.groups.set_index("group")["miou"] for result in results]),
        "protocol": list(facts(_common(results[0]))),
        "provenance": {result.model: list(facts(_own(result))) for result in results},
    }


def drawn(
    results: Sequence[Result], comparisons: Mapping[str, Comparison], spent: pd.DataFrame
) -> dict[str, Any]:
    """What the scripts draw: looks and curves of models, confusion, cost, the comparisons."""
    column, loss = tables.common_loss(results)
    look = looks([result.model for result in results])
    models = [
        {
            "name": result.model,
            "colour": look[result.model]["color"],
            "marker": look[result.model]["marker"],
            "dash": DASHES[i // len(COLOURS) % len(DASHES)],
            "epochs": result.history["epoch"].tolist(),
            "loss": numbers(result.history[f"val_{column}"]),
            "train_loss": numbers(result.history[f"train_{column}"]),
            "miou": numbers(result.history["val_miou"]),
            "confusion": pixels(result),
        }
        for i, result in enumerate(results)
    ]
    return {
        **{"models": models, "loss": loss, "floor": float(results[0].floor["miou"])},
        "comparisons": {name: each.runs for name, each in comparisons.items()},
        "costs": [cost_figure(spent, column) for column in costs.COLUMNS],
    }


def read_differences(path: str | Path) -> pd.DataFrame:
    """differences.csv of the plot stage; a model may be called 007 or NA.

    Raises:
        ValueError: it is not that table.
    """
    try:
        table = pd.read_csv(path, dtype={"first": str, "second": str}, keep_default_na=False)
        numbers = table[["difference", "low", "high"]]
        if len(table) and (table["real"].dtype != bool or not (numbers.abs() <= 1).all(axis=None)):
            raise ValueError("expected fractions, and True or False")
    except (LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: {reason}; `dvc repro plot` makes it anew") from None
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
    """One model of `tables.summary` without GMACs; its interval is drawn where it has one."""
    keys = ["model", *printed.SHOWN.values(), "best_epoch", "parameters"]
    values = [None if pd.isna(row[key]) else row[key] for key in keys]
    cells = [Cell(*pair) for pair in zip(printed.printed_row(row), values, strict=False)]
    if not pd.isna(row["miou_low"]):
        at, bar = keys.index("miou_low"), (row["miou_low"], row["miou"], row["miou_high"])
        cells[at] = cells[at]._replace(bar=bar)
    return cells


def difference_row(pair: pd.Series) -> list[Cell]:
    """One pair of `tables.differences`, in points of mIoU."""
    name, gain, interval, excludes = printed.difference_row(pair, minus="−")
    return [
        Cell(name, name),
        Cell(gain, float(pair["difference"])),
        Cell(interval, float(pair["low"])),
        Cell(excludes, int(pair["real"])),
    ]


def seeds_row(row: pd.Series) -> list[Cell]:
    """One row of `tables.over_seeds`."""
    values = [row["model"], row["runs"], int(row["seeds"]), float(row["mean"]), float(row["sd"])]
    return [Cell(*cell) for cell in zip(printed.seeds_row(row), values, strict=True)]


def costs_row(row: pd.Series) -> list[Cell]:
    """One row of `costs.read`."""
    known = [(shape.format(row[key]), float(row[key])) for key, (_, shape) in costs.COLUMNS.items()]
    miou = (f"{row['miou']:.1%}", float(row["miou"]))
    return [Cell(row["model"], row["model"]), Cell(*miou), *(Cell(*cell) for cell in known)]


def cost_figure(spent: pd.DataFrame, column: str) -> dict[str, Any]:
    """mIoU against one cost: the points in the order of the models, and those on the front."""
    front = pareto.front(spent[column].tolist(), spent["miou"].tolist())
    best = spent[front].sort_values([column, "miou"])
    return {
        "name": costs.COLUMNS[column][0],
        "cost": numbers(spent[column]),
        **{key: numbers(spent[key]) for key in ("miou", "miou_low", "miou_high")},
        "front": best.index.tolist(),
    }


def heat(columns: Sequence[pd.Series]) -> list[list[Cell]]:
    """A row for each name of the index: a score of each model, and which is the best."""
    return [
        [Cell(str(name), str(name)), *(_heat_cell(score, row.max()) for score in row)]
        for name, row in pd.concat(columns, axis=1).iterrows()
    ]


def pixels(result: Result) -> list[list[int]]:
    """(C, C) counts, rows = true class, columns = predicted."""
    classes = result.per_class["class"].tolist()
    wide = result.confusion.pivot(index="true", columns="predicted", values="pixels")
    return [[int(count) for count in row] for row in wide.loc[classes, classes].to_numpy()]


def class_facts(statistics: Mapping[str, Any], classes: Sequence[str]) -> list[list[Cell]]:
    """A row for each class: in how many pictures of each split it is, and its share of pixels."""
    table = []
    for name in classes:
        row = [Cell(name, name)]
        for split in statistics.values():
            images, share = split["class_images"][name], split["class_shares"][name]
            row += [Cell(f"{images:,}", images), Cell(f"{share:.2%}", share)]
        table.append(row)
    return table


def facts(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Name and text of every value of nested dictionaries; of a long list its length."""
    for key, value in values.items():
        name = f"{above}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from facts(value, f"{name}: ")
        elif isinstance(value, list):
            short = len(value) <= LONGEST
            yield name, ", ".join(map(str, value)) or "none" if short else f"{len(value)} entries"
        else:
            yield name, "none" if value is None else str(value)


def _common(result: Result) -> dict[str, Any]:
    """The protocol that all models of a table share."""
    protocol = result.metrics["protocol"]
    common = {key: protocol[key] for key in protocol if key not in tables.OWN}
    return {key: result.metrics[key] for key in ("dataset", "split", "images")} | common


def _own(result: Result) -> dict[str, Any]:
    """What one model has for itself: its provenance, and hashes of its weights and masks."""
    protocol = result.metrics["protocol"]
    return result.provenance | {key: protocol[key] for key in protocol if key in tables.OWN}


def _heat_cell(score: float, best: float) -> Cell:
    """A score in percent; nothing where there is none."""
    if pd.isna(score):
        return Cell("", None)
    return Cell(f"{100 * score:.1f}", float(score), share=float(score), best=bool(score == best))
