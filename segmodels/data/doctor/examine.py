"""Everything that can be seen of a labelled data set before anything is trained on it.

    with trees.linked(root) as tree:
        diagnosis = examine.examine(tree, data, "roads", base_size=None)

First come the eyes of the pipeline itself, `tidy` and `index`: what they refuse is a problem. What
they let through is looked at for what spoils a training or its scores without an error.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from segmodels.config.schema import Dataset
from segmodels.data import index, layout
from segmodels.data.doctor import counts, likeness, objects, rims, turned
from segmodels.data.doctor.finding import Finding
from segmodels.data.sources import tidy

Watch = Callable[[list[Any]], Iterable[Any]]
SAYS_SO = "resized with interpolation"  # as `masks.advice` does


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a data set.

    Attributes:
        problems: a line for each thing that the pipeline refuses.
        findings: what else a person should know.
        index: one row per image, from `index.build`; None where it refuses the data set.
    """

    problems: list[str]
    findings: list[Finding] = field(default_factory=list)
    index: pd.DataFrame | None = None


def examine(
    root: Path, data: Dataset, name: str, base_size: int | None, watch: Watch = iter
) -> Diagnosis:
    """Examine a VOC tree, which is brought into the usual form in place.

    Args:
        root: from `trees.linked`.
        data: what its labels mean.
        name: of the data set in params.yaml, for the advice.
        base_size: long side in pixels to which training resizes images; None: as they are.
        watch: wraps each pass over the images, e.g. in a progress bar.
    """
    try:
        tidy.tidy(root, data, watch)
        table, _ = index.build(root, data, watch)
    except ValueError as error:
        lines = str(error).splitlines()
        problems = [line.strip() for line in lines[1:] or lines]  # without how many there are
        return Diagnosis(problems, _explained(root, data, name, problems))
    image_ids = table["image_id"].tolist()
    found = [Finding(note) for note in index.notes(root, table, data)]
    found += turned.findings(root, image_ids, watch)
    found += rims.findings(root, image_ids, data, watch)
    found += likeness.findings(table, likeness.look(root, image_ids, watch), data)
    found += counts.findings(table, data, name)
    found += objects.findings(root, table, data, name, base_size, watch)
    return Diagnosis(index.meaning_problems(table, data, name), found, table)


def _explained(root: Path, data: Dataset, name: str, problems: list[str]) -> list[Finding]:
    """Why masks may have been refused, where their problem does not say it already."""
    image_ids = list[str]()
    for name_of_list in dict.fromkeys(data.lists.values()):
        try:
            image_ids += layout.read_ids(layout.split_path(root, name_of_list))
        except (OSError, ValueError):  # one of the problems
            continue
    said = {Path(line.partition(":")[0]).stem for line in problems if SAYS_SO in line}
    silent = [i for i in image_ids if layout.is_name(i) and i not in said]
    found = rims.findings(root, silent, data)
    return found + rims.colour_findings(root, silent, data, name)
