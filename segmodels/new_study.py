"""`segmodels new`: a study folder for a data set in data/own, with a recipe that suits it.

Sizes, batch and epochs follow from the images; how long a training takes follows from steps that
are measured beforehand. Run in the project's folder.
"""

import argparse
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from segmodels import models
from segmodels.commands import common
from segmodels.config import encoders, params, template
from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset, Model, Train
from segmodels.config.template import Draft
from segmodels.core import files, machine, packed, supervise
from segmodels.data import index, layout
from segmodels.data.doctor.finding import plural
from segmodels.data.sources import importer
from segmodels.models import encoders as weights
from segmodels.training import estimate

LONGEST = 640  # pixels of a long side that is kept
SHRUNK = 512  # long side of larger images
LARGEST_CROP = 256  # pixels; with a batch of 8 it needs 2 GB of memory
BATCH = 8
STEPS = 1500  # of a training: what 8 to 16 epochs of 1,500 images have
EPOCHS = range(10, 101)
FOLDER = re.compile(r"[A-Za-z0-9_-]+")


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "name", type=_name, metavar="NAME", help="of a folder in data/own, see import"
    )
    study = "folder to be made in studies/ (default: NAME)"
    command.add_argument("--study", metavar="STUDY", help=study)
    classes = "in the order of their labels (default: what `segmodels import` noted)"
    command.add_argument("--classes", type=common.names, metavar="A,B,...", help=classes)
    start = "a model of `segmodels models` to train on from (default: ImageNet weights)"
    command.add_argument("--start", metavar="MODEL", help=start)
    minutes = "that the training may take: fewer epochs (default: about 1,500 steps)"
    command.add_argument("--minutes", type=_minutes, metavar="N", help=minutes)


def run(options: argparse.Namespace) -> None:
    """Write the folder and say how long its training will take."""
    study = options.study or re.sub(r"[^A-Za-z0-9_-]+", "_", options.name)
    folder = Path("studies") / study
    _check_places(folder, study)
    data = described(Paths(dataset=options.name).own, options.classes)
    table, _ = index.build(Paths(dataset=options.name).own, data, _progress)
    draft = drafted(study, options.name, data, table)
    if options.start:
        draft = replace(draft, shipped=(options.start, shipped(options.start)))
    draft, minutes = timed(draft, pixels(table, draft.long_side), options.minutes)
    write(draft, folder)
    for line in summary(draft, minutes):
        print(supervise.plain(line))


def _check_places(folder: Path, study: str) -> None:
    if not FOLDER.fullmatch(study):
        raise ValueError(f"--study {study}: expected letters, digits, _ and - only")
    if not Path("dvc.yaml").is_file() or not Path("params.yaml").is_file():
        raise ValueError("dvc.yaml: not here; run it in the project's folder")
    if folder.exists():
        raise ValueError(f"{folder}: is there already: --study names another folder")


def described(own: Path, classes: list[str] | None) -> Dataset:
    """The classes of a data set in data/own.

    Raises:
        ValueError: there is no such folder, or nobody has said which classes it has.
    """
    if not own.is_dir():
        there = sorted(path.name for path in own.parent.glob("*/") if path.is_dir())
        raise ValueError(
            f"{own}: no such folder (there: {', '.join(there) or 'none'}); `segmodels import "
            f"SOURCE --to {own}` makes it"
        )
    note = own / importer.DESCRIPTION
    if classes is None and not note.is_file():
        raise ValueError(f"{note}: missing: --classes A,B,... says what the labels 0, 1, ... are")
    try:
        said = {"classes": classes} if classes else json.loads(note.read_text(encoding="utf-8"))
        return Dataset.model_validate(said)
    except ValueError as error:  # of json and of pydantic
        reason = " ".join(str(error).split())
        raise ValueError(f"{'--classes' if classes else note}: {reason}") from None


def shipped(name: str) -> dict[str, object]:
    """The entry of `models` that is a model which comes along.

    Raises:
        ValueError: there is no such model.
    """
    if name not in packed.names():
        known = ", ".join(packed.names()) or "none"
        raise ValueError(f"--start {name}: expected a model that comes along: {known}")
    card = packed.read_card(packed.FOLDER / f"{name}{packed.SUFFIX}")
    return {"arch": card.arch, **card.arguments, "normalize": card.normalize}


def drafted(study: str, dataset: str, data: Dataset, table: pd.DataFrame) -> Draft:
    """A recipe that suits the images.

    Args:
        table: from `index.build`.
    """
    train = table[table["split"] == "train"]
    longest = float(np.median(train[["width", "height"]].max(axis=1)))
    shortest = float(np.median(train[["width", "height"]].min(axis=1)))
    long_side = None if longest <= LONGEST else SHRUNK
    shrunk = shortest * (1 if long_side is None else long_side / longest)
    batch = min(BATCH, len(train))
    if batch < 2:
        raise ValueError(f"data/own/{dataset}: train has {len(train)} images, expected 2 or more")
    epochs = round(STEPS / (len(train) // batch))
    of_test = layout.split_path(Paths(dataset=dataset).own, "test")
    return Draft(
        study=study,
        dataset=dataset,
        classes=data.classes,
        palette=data.palette,
        absent=[name for name in data.classes if not train[name].sum()],
        train=len(train),
        val=len(table) - len(train),
        sizes=sizes(table),
        epochs=min(max(epochs, EPOCHS.start), EPOCHS.stop - 1),
        batch_size=batch,
        crop_size=max(32, min(LARGEST_CROP, int(shrunk) // 32 * 32)),
        long_side=long_side,
        test=len(layout.read_ids(of_test)) if of_test.is_file() else 0,
    )


def sizes(table: pd.DataFrame) -> str:
    """E.g. "480 x 360", or "320 x 240 to 640 x 480" by their pixels."""
    by_pixels = table.assign(pixels=table["width"] * table["height"]).sort_values("pixels")
    ends = [f"{row.width} x {row.height}" for row in by_pixels.iloc[[0, -1]].itertuples()]
    return " to ".join(dict.fromkeys(ends))


def pixels(table: pd.DataFrame, long_side: int | None) -> float:
    """Of an image of val as a model sees it, the mean."""
    val = table[table["split"] != "train"]
    area = val["width"] * val["height"]
    if long_side is None:
        return float(area.mean())
    return float((area * (long_side / val[["width", "height"]].max(axis=1)) ** 2).mean())


def timed(draft: Draft, area: float, most: float | None) -> tuple[Draft, float]:
    """A draft with as many epochs as fit, and the minutes that it takes.

    Args:
        area: pixels of a validation image as a model sees it.
        most: minutes; None: as many as its epochs take.
    """
    recipe = _recipe(draft)
    entry = Model.model_validate(draft.models[draft.first])
    init = entry.train.get("init", recipe.init)
    weights.provide(encoders.start(init, entry.arguments.get("backbone")))
    runtime = machine.start(recipe.precision, recipe.threads, deterministic=False, seed=0)
    step = estimate.step_seconds(entry, recipe, len(draft.classes), runtime)

    def minutes(epochs: int) -> float:
        chosen = recipe.model_copy(update={"epochs": epochs})
        return estimate.model_minutes(chosen, step, (draft.train, draft.val), area)

    epochs = draft.epochs
    while most is not None and epochs > 1 and minutes(epochs) > most:
        epochs -= 1
    return replace(draft, epochs=epochs), minutes(epochs)


def _recipe(draft: Draft) -> Train:
    return Train(
        epochs=draft.epochs,
        batch_size=draft.batch_size,
        crop_size=draft.crop_size,
        base_size=draft.long_side,
        lr=0.0005,
    )


def write(draft: Draft, folder: Path) -> None:
    """Write the folder; it is checked as the pipeline will."""
    files.write_text(folder / "params.yaml", template.params_text(draft))
    files.write_text(folder / "README.md", template.readme_text(draft))
    shutil.copyfile("dvc.yaml", folder / "dvc.yaml")
    (folder / "data/links").mkdir(parents=True)
    shutil.copyfile("data/links/README.md", folder / "data/links/README.md")
    try:
        settings = params.load(folder / "params.yaml")
        for name, entry in settings.models.items():
            models.check_arguments(name, entry.arch, entry.arguments)
    except ValueError:
        shutil.rmtree(folder)
        raise


def summary(draft: Draft, minutes: float) -> list[str]:
    """What was written, how long it takes, and what to do next."""
    size = f"shrunk to {draft.long_side} px" if draft.long_side else "at their own size"
    lines = [
        f"data/own/{draft.dataset}: {draft.train} train and {draft.val} val images of "
        f"{draft.sizes}, {len(draft.classes)} classes",
        f"studies/{draft.study}: {draft.network}; images {size}, "
        f"crops of {draft.crop_size}, {plural(draft.epochs, 'epoch')} of {draft.steps} steps of "
        f"{draft.batch_size}",
        f"about {max(1, round(minutes)):,} min of training, from steps measured just now",
    ]
    if draft.absent:
        lines.append(f"no pixel of {', '.join(draft.absent)} in train: allow_absent names them")
    if draft.test:
        lines.append(f"{plural(draft.test, 'image')} of test.txt for one last score: README.md")
    if draft.epochs < EPOCHS.start:
        lines.append(
            f"fewer than {EPOCHS.start} epochs: scores will be low; more --minutes helps, and so "
            "does a machine that is idle now"
        )
    lines.append(f"next: dvc repro studies/{draft.study}/dvc.yaml")
    return lines


def _progress(work: list[index.Pair]) -> Iterable[index.Pair]:
    return supervise.progress(work, len(work), "read")


def _name(text: str) -> str:
    """A data set's name, also as the folder that `import --to` was given."""
    return text.removeprefix("data/own/").rstrip("/")


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1
    if not 0 < minutes < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: expected minutes above 0, e.g. 10")
    return minutes
