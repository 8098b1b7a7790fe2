"""Check the data set in use and count its labels -> data/<dataset>/{index.csv,statistics.json}."""

from functools import partial
from pathlib import Path

from tqdm import tqdm

from segmodels import params
from segmodels.data import index, voc
from segmodels.files import write_csv, write_json
from segmodels.process import run


def main() -> None:
    settings = params.load()
    data = settings.data
    table, statistics = index.build(
        voc.dataset_root(settings.dataset),
        splits={"train": data.train, "val": data.val},
        classes=data.classes,
        void=data.void,
        groups=data.groups,
        holdout=data.holdout,
        watch=partial(tqdm, unit=" pictures", disable=None),
    )
    folder = Path("data") / settings.dataset
    write_csv(folder / "index.csv", table)
    write_json(folder / "statistics.json", statistics)


if __name__ == "__main__":
    run(main)
