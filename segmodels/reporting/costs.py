"""What each model costs: counted in reports/models/, measured in data/costs/ by `predict`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from segmodels.reporting.markdown import one_image
from segmodels.reporting.result import Result


class Column(NamedTuple):
    """How one cost is shown: its heading, and the format of its numbers."""

    heading: str
    form: str


COLUMNS = {  # of `read`, in the order of the table
    "gflops": Column("GMACs", "{:.2f}"),
    "parameters": Column("parameters, millions", "{:.1f}"),
    "latency": Column("latency, ms", "{:.1f}"),
    "seconds": Column("training, s", "{:.0f}"),
    "memory": Column("training's peak memory, GB", "{:.2f}"),
}


def read(results: Sequence[Result], folder: str | Path) -> pd.DataFrame:
    """What was counted and measured of each model.

    Args:
        folder: holds <model>.json of the stage `predict`.
    Returns:
        model, miou and its interval, the columns of COLUMNS, and machine, picture and passes of the
        latency.
    Raises:
        ValueError: a file is missing.
    """
    return pd.DataFrame([_cost(result, Path(folder)) for result in results])


def machines(results: Sequence[Result], cost_table: pd.DataFrame) -> list[str]:
    """Where and how times were measured, a sentence for each kind of machine."""
    fewest = cost_table["passes"].min()
    most = cost_table["passes"].max()
    passes = f"{fewest} to {most}" if fewest < most else f"{fewest}"
    sizes = dict(zip(cost_table["model"], cost_table["picture"], strict=True))
    latency = f"Latency: median of {passes} predictions of {one_image(sizes)}, after a warm-up"
    predicted_on = dict(zip(cost_table["model"], cost_table["machine"], strict=True))
    trained_on = {result.model: machine(result.provenance) for result in results}
    return [
        *_by_machine(predicted_on, latency),
        *_by_machine(trained_on, "Training without validation"),
    ]


def machine(record: Mapping[str, Any]) -> str:
    """Kind of machine, precision and threads of a record of machine.py, in words."""
    name = record["gpu"] or record["cpu"]
    threads = "1 thread" if record["threads"] == 1 else f"{record['threads']} threads"
    return f"{record['precision']}, {threads}, {name}"


def _cost(result: Result, folder: Path) -> dict[str, Any]:
    path = folder / f"{result.model}.json"
    if not path.is_file():
        raise ValueError(f"{path} is missing: run `dvc repro predict@{result.model}`")
    measured = json.loads(path.read_text(encoding="utf-8"))
    return {
        "model": result.model,
        "miou": result.metrics["miou"],
        "miou_low": result.metrics["miou_low"],
        "miou_high": result.metrics["miou_high"],
        "gflops": result.metrics["gflops"],
        "parameters": result.provenance["parameters"] / 1e6,
        "latency": measured["latency_ms"],
        "seconds": measured["training"]["train_seconds"],
        "memory": measured["training"]["peak_memory_bytes"] / 1e9,
        "machine": machine(measured),
        "picture": measured["picture"],
        "passes": measured["passes"],
    }


def _by_machine(machine_of: Mapping[str, str], quantity: str) -> list[str]:
    """A sentence for each machine, with its models if there are several machines."""
    models_of: dict[str, list[str]] = {}
    for model, name in machine_of.items():
        models_of.setdefault(name, []).append(model)
    if len(models_of) == 1:
        (name,) = models_of
        return [f"{quantity}: {name}."]
    return [f"{quantity}, {', '.join(models)}: {name}." for name, models in models_of.items()]
