"""Check the data set in use and count its labels -> data/<dataset>/{index.csv,statistics.json}."""

from functools import partial
from pathlib import Path

from tqdm import tqdm

from segmodels import params
from segmodels.data import index, layout, tidy
from segmodels.files import write_csv, write_json
from segmodels.process import run


def main() -> None:
    settings = params.load()
    data, root = settings.data, layout.dataset_root(settings.dataset)
    table, statistics = index.build(root, data, partial(tqdm, unit=" images", disable=None))
    tidy.refuse(index.meaning_problems(table, data, settings.dataset), root)
    folder = Path("data") / settings.dataset
    columns = dict(zip(data.classes, layout.label_columns(data.classes), strict=True))
    write_csv(folder / "index.csv", table.rename(columns=columns))
    write_json(folder / "statistics.json", statistics)
    for note in index.notes(root, table, data):
        print(note)


if __name__ == "__main__":
    run(main)
