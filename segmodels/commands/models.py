"""`segmodels models`: which models there are, and which classes each knows."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from segmodels.commands.common import complain
from segmodels.core import packed, supervise

if TYPE_CHECKING:
    from segmodels.config.params import Params

VOC = "the 20 classes of PASCAL VOC"


def add(command: argparse.ArgumentParser) -> None:
    """The command has no options of its own."""


def run(options: argparse.Namespace) -> None:
    """Print a paragraph for each kind of model."""
    print("come along, work offline:")
    for name in packed.names():
        card = packed.read_card(packed.FOLDER / f"{name}{packed.SUFFIX}")
        print(f"  {name:24} {', '.join(card.scored)}")
        others = [label for label in card.classes if label not in card.scored]
        if others:
            print(f"  {'':24} has labels for, but was not measured on: {', '.join(others)}")
    if not packed.names():
        print("  none")
    from segmodels.models.published import MEGABYTES  # slow to import

    print(f"published by torchvision, downloaded once: {VOC}")
    for name, megabytes in MEGABYTES.items():
        print(f"  torchvision/{name:24} {megabytes} MB")
    if Path("params.yaml").is_file():
        _print_runs()
        for file in sorted(Path("studies").glob("*/params.yaml")):
            _print_study(file)


def _print_runs() -> None:
    """The runs of params.yaml here that have been trained."""
    from segmodels.config import params

    settings = params.load()
    print(f"trained here, runs of params.yaml on {settings.dataset}:")
    for name in trained(settings):
        print(f"  {supervise.plain(name):24} {', '.join(settings.data.classes)}")
    if not trained(settings):
        print("  none yet: `dvc repro` trains them")


def _print_study(file: Path) -> None:
    """The runs of a study that have been trained here, as `predict --model` takes them."""
    from segmodels.config import params

    study = file.parent.as_posix()
    try:
        settings = params.load(file)
    except ValueError as error:  # another study's file, in the way of no model
        complain(f"{study}: its runs are not listed: {error}")
        return
    runs = trained(settings)
    if runs:
        print(f"trained here, runs of {study} on {settings.dataset}:")
    for name in runs:
        print(f"  {supervise.plain(f'{study}/{name}'):24} {', '.join(settings.data.classes)}")


def trained(settings: "Params") -> list[str]:
    """Its runs that have been trained."""
    return [name for name in settings.runs if settings.paths.train(name).is_dir()]
