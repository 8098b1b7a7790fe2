"""Check the data set in use and count its labels -> data/<dataset>/{index,test}.csv and statistics.

test.csv is the index of the test set; without one it has a heading alone.
"""

import shlex
from functools import partial

from tqdm import tqdm

from segmodels.config import params
from segmodels.core import supervise
from segmodels.core.files import write_csv, write_json
from segmodels.data import index, layout, splits
from segmodels.data.doctor import counts, likeness
from segmodels.data.sources import tidy


def main() -> None:
    here = supervise.study()
    settings = params.load(f"{here}params.yaml")
    data, paths = settings.data, settings.paths
    watch = partial(tqdm, unit=" images", disable=None)
    table, statistics = index.build(paths.tree, data, watch)
    tidy.refuse(index.meaning_problems(table, data, settings.dataset), paths.tree)
    columns = dict(zip(data.classes, layout.label_columns(data.classes), strict=True))
    learnt, test = splits.divided(table.rename(columns=columns))
    write_csv(paths.index, learnt)
    write_csv(paths.test, test)
    write_json(paths.statistics, statistics)
    for note in index.notes(paths.tree, table, data):
        print(note)
    looks = likeness.look(paths.tree, table["image_id"].tolist(), watch)
    findings = likeness.findings(table, looks, data)
    findings += counts.findings(table, data, settings.dataset)
    for finding in findings:
        print(finding.text)
    if findings:
        name = shlex.quote(settings.dataset)
        print(f"`segmodels check {name} --page check.html` finds more and shows it")


if __name__ == "__main__":
    supervise.run(main)
