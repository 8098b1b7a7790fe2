"""What `segmodels check` does: examine a data set, say it in lines, draw a contact sheet."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from segmodels.config.params import Params
from segmodels.data import splits
from segmodels.data.doctor import trees
from segmodels.data.doctor.examine import Diagnosis, examine
from segmodels.data.doctor.finding import plural


def run(root: Path, settings: Params, page: Path | None) -> Diagnosis:
    """Examine a tree; nothing of it is changed.

    Args:
        root: VOC tree, whose masks may have any form that `masks.read` reads.
        settings: its `dataset` is that of the tree.
        page: of the contact sheet to be written; None: none.
    Raises:
        ValueError: the folder has no VOC layout.
    """
    recipe = settings.train.get(settings.dataset)
    base_size = recipe.base_size if recipe else None
    watch = partial(tqdm, unit=" images", disable=None, leave=False)
    with trees.linked(root) as tree:
        diagnosis = examine(tree, settings.data, settings.dataset, base_size, watch)
        if page:
            from segmodels.reporting import contact_sheet  # torch, which nothing else here needs

            contact_sheet.write(page, tree, diagnosis, settings)
    return diagnosis


def lines(diagnosis: Diagnosis, name: str) -> Iterator[str]:
    """The diagnosis as a person reads it: problems, findings, and how many of each.

    Args:
        name: of the data set.
    """
    for problem in diagnosis.problems:
        yield f"problem: {problem}"
    for finding in diagnosis.findings:
        yield f"finding: {finding.text}"
    problems = plural(len(diagnosis.problems), "problem")
    found = f"{problems}, {plural(len(diagnosis.findings), 'finding')}"
    if diagnosis.index is None:
        yield f"{name}: {found}; most is looked at only once the problems are gone"
        return
    split = diagnosis.index["split"]
    train = int(split.isin(splits.OF_TRAIN).sum())
    val = int((split == "val").sum())
    test = int((split == "test").sum())
    images = f"{train:,} training and {val:,} validation images"
    if test:
        images = f"{train:,} training, {val:,} validation and {test:,} test images"
    yield f"{name}, {images}: {found}"
