"""Rows of docs/learn/background/results.csv: one number each, with what it is of."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from segmodels.core.files import write_text

FOLDER = Path("docs/learn/background")
FILE = FOLDER / "results.csv"


class Row(NamedTuple):
    """A number of the page: shares are fractions 0..1."""

    topic: str
    item: str
    setting: float
    measure: str
    value: float


def write(rows: Iterable[Row], path: Path = FILE) -> None:
    """Write rows with eight digits."""
    lines = [f"{r.topic},{r.item},{r.setting:g},{r.measure},{r.value:.8g}" for r in rows]
    write_text(path, "\n".join([",".join(Row._fields), *lines]) + "\n")


def read(path: Path = FILE) -> list[Row]:
    """Rows as `write` left them."""
    table = pd.read_csv(path, dtype={"setting": float, "value": float}, keep_default_na=False)
    return [Row(*values) for values in table.itertuples(index=False)]
