"""Check the data set in use and count its labels -> data/<dataset>/{index.csv,statistics.json}."""

from functools import partial

from tqdm import tqdm

from segmodels import params, process
from segmodels.data import index, layout, tidy
from segmodels.files import write_csv, write_json


def main() -> None:
    here = process.study()
    settings = params.load(f"{here}params.yaml")
    data, paths = settings.data, settings.paths
    table, statistics = index.build(paths.tree, data, partial(tqdm, unit=" images", disable=None))
    tidy.refuse(index.meaning_problems(table, data, settings.dataset), paths.tree)
    columns = dict(zip(data.classes, layout.label_columns(data.classes), strict=True))
    write_csv(paths.index, table.rename(columns=columns))
    write_json(paths.statistics, statistics)
    for note in index.notes(paths.tree, table, data):
        print(note)


if __name__ == "__main__":
    process.run(main)
