"""What each model costs: counted in reports/models/, measured in data/costs/ by the cost stage."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from segmodels.reporting.tables import Result

COLUMNS = {  # what a model costs, in the order of the table: its name and how it is printed
    "gflops": ("GMACs", "{:.2f}"),
    "parameters": ("parameters, millions", "{:.1f}"),
    "latency": ("latency, ms", "{:.1f}"),
    "seconds": ("training, s", "{:.0f}"),
    "memory": ("training's peak memory, GB", "{:.2f}"),
}


def read(results: Sequence[Result], folder: str | Path) -> pd.DataFrame:
    """What was counted and measured of each model.

    Args:
        folder: holds <model>.json of the cost stage.
    Returns:
        model, miou and its interval, the columns of COLUMNS, and machine, picture and passes of the
        latency.
    Raises:
        ValueError: a file is missing.
    """
    return pd.DataFrame([_cost(result, Path(folder)) for result in results])


def machines(results: Sequence[Result], spent: pd.DataFrame) -> list[str]:
    """Where and how times were measured, a sentence for each kind of machine."""
    trained = {result.model: machine(result.provenance) for result in results}
    passes = spent["passes"].min(), spent["passes"].max()
    many = f"{passes[0]} to {passes[1]}" if passes[0] < passes[1] else f"{passes[0]}"
    return [
        *_by_machine(
            dict(zip(spent["model"], spent["machine"], strict=True)),
            f"Latency: median of {many} predictions of one picture of "
            f"{spent['picture'].iloc[0]} pixels, after a warm-up",
        ),
        *_by_machine(trained, "Training without validation"),
    ]


def machine(record: Mapping[str, Any]) -> str:
    """Kind of machine, precision and threads of a record of machine.py, in words."""
    name = record["gpu"] or record["cpu"]
    threads = record["threads"]
    return f"{record['precision']}, {threads} thread{'s' * (threads != 1)}, {name}"


def _cost(result: Result, folder: Path) -> dict[str, Any]:
    path = folder / f"{result.model}.json"
    if not path.is_file():
        raise ValueError(f"{path} is missing: run `dvc repro cost@{result.model}`")
    measured = json.loads(path.read_text(encoding="utf-8"))
    return {
        "model": result.model,
        **{key: result.metrics[key] for key in ("miou", "miou_low", "miou_high", "gflops")},
        "parameters": result.provenance["parameters"] / 1e6,
        "latency": measured["latency_ms"],
        "seconds": measured["training"]["train_seconds"],
        "memory": measured["training"]["peak_memory_bytes"] / 1e9,
        "machine": machine(measured),
        **{key: measured[key] for key in ("picture", "passes")},
    }


def _by_machine(where: Mapping[str, str], what: str) -> list[str]:
    """A sentence for each machine, with its models if there are several."""
    found: dict[str, list[str]] = {}
    for model, name in where.items():
        found.setdefault(name, []).append(model)
    if len(found) == 1:
        return [f"{what}: {name}." for name in found]
    return [f"{what}, {', '.join(models)}: {name}." for name, models in found.items()]
