"""One run's results -> reports/headline/, fixed paths that `dvc plots diff` can compare."""

from segmodels.config.paths import Paths
from segmodels.core import supervise
from segmodels.core.files import write_csv, write_json
from segmodels.reporting.result import read_result

SHOWN = ("model", "dataset", "split", "miou", "miou_low", "miou_high", "pixel_acc")  # on a screen


def main() -> None:
    paths = Paths(supervise.study())
    runs = sorted(path.name for path in paths.report().glob("*") if path.is_dir())
    result = read_result(supervise.argument(runs, str(paths.report())), paths.report())
    floor = result.floor["miou"]
    shown = {name: result.metrics[name] for name in SHOWN}
    shown["floor_miou"] = floor
    write_json(paths.headline / "metrics.json", shown)
    write_csv(paths.headline / "history.csv", result.history.assign(floor_miou=floor))
    write_csv(paths.headline / "per_class.csv", result.per_class)
    write_csv(paths.headline / "confusion.csv", result.confusion)


if __name__ == "__main__":
    supervise.run(main)
