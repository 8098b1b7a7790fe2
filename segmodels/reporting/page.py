"""index.html: the whole comparison on one page that needs no network and no server.

Jinja, with every name escaped, fills web/page.html: its tables are plain HTML and can be read
without JavaScript. Curves, confusion matrix and gallery are drawn in the browser from one block of
JSON, by web/*.js, which together with web/page.css is part of the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from segmodels.evaluation.statistics import MEANING
from segmodels.reporting import tables
from segmodels.reporting.canvas import COLOURS, looks
from segmodels.reporting.gallery import numbers
from segmodels.reporting.tables import Result

WEB = Path(__file__).with_name("web")
DASHES = ["", "7 4", "2 3"]  # of curves whose colour and marker were there before
LONGEST = 8  # members of a list that are written out
Cell = tuple[str, float | str | None]  # as a person reads it, and what it is sorted by


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


def report(results: Sequence[Result], differences: pd.DataFrame) -> dict[str, Any]:
    """What the template shows of the models: head, rows and words, all of them text or numbers."""
    summary = tables.summary(results)
    return {
        "head": tables.HEAD,
        "rows": [scores_row(row) for _, row in summary.iterrows()],
        "caption": tables.caption(results),
        "differences": [difference_row(row) for _, row in differences.iterrows()],
        "meaning": MEANING,
        "heat": heat(results),
        "models": [result.model for result in results],
        "protocol": list(facts(_common(results[0]))),
        "provenance": {result.model: list(facts(_own(result))) for result in results},
    }


def drawn(results: Sequence[Result], studies: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the scripts draw: looks and curves of each model, confusion matrices, the studies."""
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
        "studies": {study: list(names) for study, names in studies.items()},
    }


def read_differences(path: str | Path) -> pd.DataFrame:
    """differences.csv of the plot stage; a model may be called 007 or NA."""
    return pd.read_csv(path, dtype={"first": str, "second": str}, keep_default_na=False)


def scores_row(row: pd.Series) -> dict[str, Any]:
    """One model of `tables.summary`: its cells and, where it has one, its interval."""
    keys = ["model", *tables.SHOWN.values(), "best_epoch", "parameters"]
    values = [None if pd.isna(row[key]) else row[key] for key in keys]
    low, high = (None if pd.isna(row[key]) else float(row[key]) for key in tables.INTERVAL)
    cells = list(zip(tables.printed_row(row), values, strict=True))
    return {"cells": cells, "low": low, "high": high, "miou": float(row["miou"])}


def difference_row(pair: pd.Series) -> list[Cell]:
    """One pair of `tables.differences`, in points of mIoU."""
    gain, low, high = (f"{100 * pair[name]:+.2f}" for name in ("difference", "low", "high"))
    real = bool(pair["real"])
    name = f"{pair['second']} − {pair['first']}"
    return [
        (name, name),
        (gain, float(pair["difference"])),
        (f"{low} to {high}", float(pair["low"])),
        ("yes" if real else "no", int(real)),
    ]


def heat(results: Sequence[Result]) -> list[dict[str, Any]]:
    """IoU of each class (rows) by each model, None where there is none, and the best of them."""
    wide = pd.concat([result.per_class.set_index("class")["iou"] for result in results], axis=1)
    return [
        {"class": name, "iou": numbers(row), "best": numbers([row.max()])[0]}
        for name, row in wide.iterrows()
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
        row: list[Cell] = [(name, name)]
        for split in statistics.values():
            images, share = split["class_images"][name], split["class_shares"][name]
            row += [(f"{images:,}", images), (f"{share:.2%}", share)]
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
