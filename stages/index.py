"""Check the data set in use and count its labels -> data/<dataset>/{index.csv,statistics.json}."""

from functools import partial
from pathlib import Path

from tqdm import tqdm

from segmodels import params
from segmodels.data import index, tidy, voc
from segmodels.data.doctor import counts, likeness
from segmodels.files import write_csv, write_json
from segmodels.process import run


def main() -> None:
    settings = params.load()
    data, root = settings.data, voc.dataset_root(settings.dataset)
    watch = partial(tqdm, unit=" images", disable=None)
    table, statistics = index.build(root, data, watch)
    tidy.refuse(index.meaning_problems(table, data, settings.dataset), root)
    folder = Path("data") / settings.dataset
    columns = dict(zip(data.classes, voc.label_columns(data.classes), strict=True))
    write_csv(folder / "index.csv", table.rename(columns=columns))
    write_json(folder / "statistics.json", statistics)
    for note in index.notes(root, table, data):
        print(note)
    looks = likeness.look(root, table["image_id"].tolist(), watch)
    findings = likeness.findings(table, looks, data)
    findings += counts.findings(table, data, settings.dataset)
    for finding in findings:
        print(finding.text)
    if findings:
        print(f"`segmodels check {settings.dataset} --page check.html` finds more and shows it")


if __name__ == "__main__":
    run(main)
