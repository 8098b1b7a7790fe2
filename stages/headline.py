"""One model's results -> reports/headline/, fixed paths that `dvc plots diff` can compare."""

from pathlib import Path

from segmodels.files import write_csv, write_json
from segmodels.process import argument, run
from segmodels.reporting import tables

MODELS, OUT = Path("reports/models"), Path("reports/headline")
SHOWN = ("model", "dataset", "split", "miou", "miou_low", "miou_high", "pixel_acc")  # on a screen


def main() -> None:
    models = sorted(path.name for path in MODELS.glob("*") if path.is_dir())
    result = tables.read_result(argument(models, str(MODELS)))
    floor = result.floor["miou"]
    shown = {name: result.metrics[name] for name in SHOWN}
    write_json(OUT / "metrics.json", {**shown, "floor_miou": floor})
    write_csv(OUT / "history.csv", result.history.assign(floor_miou=floor))
    write_csv(OUT / "per_class.csv", result.per_class)
    write_csv(OUT / "confusion.csv", result.confusion)


if __name__ == "__main__":
    run(main)
