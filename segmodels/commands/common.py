"""What several commands share: types of arguments, the study's parameters, lines on stderr."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from segmodels.core import supervise

if TYPE_CHECKING:
    from segmodels.config.params import Params
    from segmodels.config.schema import Dataset


def path(text: str) -> Path:
    """A path of the command line; an empty one, as of a variable that is not set, is refused."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


def names(text: str) -> list[str]:
    """Names with commas between them."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected names, as in cat,dog")
    return found


def add_dataset(command: argparse.ArgumentParser) -> None:
    of_params = "of params.yaml (default: its `dataset`)"
    command.add_argument("--dataset", metavar="NAME", help=of_params)


def settings(options: argparse.Namespace) -> "Params":
    """params.yaml with the data set that the command line asks for."""
    from segmodels.config import params

    found = params.load()
    name = options.dataset or found.dataset
    if name not in found.datasets:
        options.refuse(f"--dataset {name}: expected one of {', '.join(found.datasets)}")
    return found.model_copy(update={"dataset": name})


def evaluated(options: argparse.Namespace) -> "Params":
    """params.yaml with the data set that a VOC tree belongs to, if it lies in data/."""
    found = settings(options)
    if options.dataset:
        return found
    tree = options.voc.resolve()
    for name in found.datasets:
        named = found.model_copy(update={"dataset": name})
        if tree in (named.paths.own.resolve(), named.paths.tree.resolve()):
            return named
    if imported := _imported(tree):
        known = {**found.datasets, tree.name: imported}
        return found.model_copy(update={"datasets": known, "dataset": tree.name})
    complain(
        f"class names are those of {found.dataset}, the `dataset` of params.yaml; "
        "--dataset names another one"
    )
    return found


def _imported(tree: Path) -> "Dataset | None":
    """What `segmodels import` noted of a tree's classes; None: it did not make this tree."""
    from segmodels.config.schema import Dataset
    from segmodels.data.sources.importer import DESCRIPTION

    note = tree / DESCRIPTION
    return Dataset.model_validate_json(note.read_bytes()) if note.is_file() else None


def complain(*lines: str) -> None:
    """Lines on stderr, above the progress bar if there is one."""
    from tqdm import tqdm

    for line in lines:
        tqdm.write(supervise.plain(line), file=sys.stderr)
