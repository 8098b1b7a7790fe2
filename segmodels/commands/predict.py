"""`segmodels predict`: photographs in, masks, overlays and shares of classes out."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.commands import common, variants
from segmodels.commands.common import complain
from segmodels.core import supervise

if TYPE_CHECKING:
    import numpy as np

    from segmodels.inference.predictor import Model, Prediction

PIPE = Path("-")
STDIN = ".segmodels-stdin"  # name of the file that holds what comes in
SHOWN = 0.0005  # share of an image; what is less would be printed as 0.0%


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    photo = "file, folder, or - for the standard input"
    command.add_argument("photos", nargs="+", type=common.path, metavar="PHOTO", help=photo)
    model = (
        "see `segmodels models`; a .safetensors file, torchvision/NAME or a run of params.yaml "
        "(default: animals, or the `model` of params.yaml); several times: side by side"
    )
    command.add_argument("--model", action="append", metavar="MODEL", help=model)
    out = "folder for the results (default: predicted); -: the mask goes to the standard output"
    command.add_argument(
        "--out", type=common.path, default=Path("predicted"), metavar="DIR", help=out
    )
    classes = "show these alone, as cat,dog"
    command.add_argument("--classes", type=common.names, metavar="A,B,...", help=classes)
    confidence = "write the probability of each pixel's label too, as a grey PNG"
    command.add_argument("--confidence", action="store_true", help=confidence)
    probabilities = "write the probabilities of all classes too, as an NPZ file"
    command.add_argument("--probabilities", action="store_true", help=probabilities)
    lines = "one line of JSON for each photograph and model"
    command.add_argument("--json", action="store_true", help=lines)
    common.add_dataset(command)
    variants.add(command)


def run(options: argparse.Namespace) -> None:
    """Write mask, overlay and comparison of each photograph, and print the shares of classes."""
    from segmodels.inference import photos

    out = os.path.realpath(options.out)
    same = out in map(os.path.realpath, options.photos)
    if same and options.out != PIPE:
        options.refuse(f"--out {options.out}: expected another folder than that of the pictures")
    if options.out == PIPE and (len(options.photos) > 1 or len(options.model or []) > 1):
        options.refuse("--out -: expected one photograph and one model")
    if options.out.is_file():
        options.refuse(f"--out {options.out}: a file, expected a folder")
    models = _models(options)
    with _piped(options.photos) as paths:
        found = photos.find(paths, Path(out))
        complain(*found.problems)
        stems = photos.stems(found.files, [model.name for model in models])
        work = list(zip(found.files, stems, strict=True))
        failed = len(found.problems)
        for path, stem in supervise.progress(work, len(work), "predict"):
            image = _read(path)
            if image is None:
                failed += 1
                continue
            warn_of_drawings(models, image)
            _predict(models, image, options, path, stem)
    if failed or found.others:
        others = _not_looked_at(found.others)
        if not work:
            sys.exit(f"error: nothing to predict{others}")
        sys.exit(f"error: {failed} not predicted, {len(work)} images in all{others}")


def _models(options: argparse.Namespace) -> "list[Model]":
    """The models that are asked for, seeing photographs as is asked for."""
    changes = variants.changes(options)
    models: list[Model] = []
    for name in dict.fromkeys(options.model or [""]):
        model = loaded(name, options)
        try:
            model.choices = model.chosen(changes)
        except ValueError as error:
            options.refuse(f"--{error}" if ":" in str(error) else str(error))
        place(model)
        models.append(model)
    _refuse_mixtures(models)
    if unknown := set(options.classes or []) - set(models[0].classes):
        options.refuse(
            f"--classes {', '.join(sorted(unknown))}: {models[0].name} knows "
            f"{', '.join(models[0].classes)}"
        )
    return models


def place(model: "Model") -> None:
    """Bring a model where it computes, for the thread that calls; sets threads and seed."""
    from segmodels.core import machine

    precision, threads = model.choices.precision, model.choices.threads
    runtime = machine.start(precision, threads, deterministic=True, seed=0)
    model.network = model.network.on(runtime)


def loaded(name: str, options: argparse.Namespace) -> "Model":
    """A model by what the command line calls it, "" the default; notes on it go to stderr."""
    from segmodels import api

    try:
        name = name or api.default(options.dataset)
        if notice := api.download_notice(name):
            complain(notice)
        model = api.load(name, dataset=options.dataset)
    except api.UnknownModel as error:
        options.refuse(str(error))
    complain(*model.notes)
    return model


def _refuse_mixtures(models: "list[Model]") -> None:
    """Models side by side share a legend, and their files differ by name."""
    first, *others = models
    for k, other in enumerate(others, 1):
        if other.classes != first.classes:
            raise ValueError(
                f"{other.name}: trained with other classes than {first.name}: predict with one "
                "model at a time, or see both in `segmodels demo`"
            )
        if other.name in [model.name for model in models[:k]]:
            raise ValueError(f"{other.name}: two models have this name: predict with one of them")


@contextlib.contextmanager
def _piped(paths: list[Path]) -> Iterator[list[Path]]:
    """The same paths, - replaced by a file with what comes in."""
    if PIPE not in paths:
        yield paths
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, STDIN)
        file.write_bytes(sys.stdin.buffer.read())
        yield [file if path == PIPE else path for path in paths]


def _read(path: Path) -> "np.ndarray | None":
    """A photograph, or a line on stderr."""
    from segmodels.inference import photos

    try:
        image = photos.read(path)
        if (count := photos.frames(path)) > 1:
            complain(f"{path}: {count} frames, the first is used")
    except ValueError as error:
        line = str(error)
        complain(f"-{line.removeprefix(str(path))}" if path.name == STDIN else line)
        return None
    return image


def warn_of_drawings(models: "list[Model]", image: "np.ndarray") -> None:
    """Warn once of a photograph, larger than the drawings that a model was trained on."""
    for model in models:
        if model.drawings and max(image.shape[:2]) > model.drawings:
            complain(of_drawings(model))
            model.drawings = None


def of_drawings(model: "Model") -> str:
    """The warning for a model that has never seen a photograph."""
    return (
        f"warning: {model.name} was trained on generated images: masks of photographs mean "
        "nothing; take a model of `segmodels models`"
    )


def _predict(
    models: "list[Model]",
    image: "np.ndarray",
    options: argparse.Namespace,
    path: Path,
    stem: str,
) -> None:
    """Predict one photograph with every model, write the files and print the lines."""
    found: dict[str, Prediction] = {}
    for model in models:
        prediction = model.predict(
            image,
            confidence=options.confidence,
            probabilities=options.probabilities,
            half=True,
        )
        found[model.name] = prediction.only(options.classes) if options.classes else prediction
    if options.out == PIPE:
        sys.stdout.buffer.write(found[models[0].name].png())
        sys.stdout.buffer.flush()
        _tell(path, found, {}, options, sys.stderr)
        return
    files = {name: _write(options.out / f"{stem}_{name}", each) for name, each in found.items()}
    strip = _write_strip(options.out / f"{stem}_comparison.png", image, found)
    for name in files:
        files[name].append(strip)
    _tell(path, found, files, options, sys.stdout)


def _write(beginning: Path, prediction: "Prediction") -> list[Path]:
    """The files of one photograph and one model."""
    from segmodels.inference import drawing

    mask = Path(f"{beginning}_mask.png")
    prediction.save(mask)
    overlay = Path(f"{beginning}_overlay.png")
    drawing.save(overlay, prediction.overlay())
    files = [mask, overlay]
    if prediction.confidence is not None:
        files.append(Path(f"{beginning}_confidence.png"))
        prediction.save_confidence(files[-1])
    if prediction.probabilities is not None:
        files.append(Path(f"{beginning}_probabilities.npz"))
        prediction.save_probabilities(files[-1])
    return files


def _write_strip(path: Path, image: "np.ndarray", found: "Mapping[str, Prediction]") -> Path:
    """Photograph and masks side by side."""
    from segmodels.inference import drawing

    labels = {name: prediction.labels for name, prediction in found.items()}
    first = next(iter(found.values()))
    sheet = drawing.comparison(image, labels, classes=first.classes, palette=first.palette)
    drawing.save(path, sheet)
    return path


def _tell(
    path: Path,
    found: "Mapping[str, Prediction]",
    files: Mapping[str, list[Path]],
    options: argparse.Namespace,
    stream: Any,
) -> None:
    """A line for each model, and one with the files."""
    from tqdm import tqdm

    shown = "-" if path.name == STDIN else str(path)
    for name, prediction in found.items():
        if options.json:
            height, width = prediction.labels.shape
            record = {"image": shown, "model": name, "width": width, "height": height}
            record |= {"shares": prediction.shares, "files": list(map(str, files.get(name, [])))}
            tqdm.write(json.dumps(record, ensure_ascii=False), file=stream)
        else:
            line = f"{supervise.plain(shown)}, {name}: {_shares(prediction.shares)}"
            tqdm.write(line, file=stream)
    written = dict.fromkeys(str(file) for each in files.values() for file in each)
    if written and not options.json:
        tqdm.write(f"  written: {supervise.plain(', '.join(written))}", file=stream)


def _shares(shares: Mapping[str, float]) -> str:
    """E.g. "background 60.0%, cat 40.0%"."""
    parts = []
    for name, share in shares.items():
        parts.append(f"{name} " + ("<0.1%" if share < SHOWN else f"{share:.1%}"))
    return ", ".join(parts)


def _not_looked_at(others: Mapping[str, int]) -> str:
    """What a message says of files that are no images, by suffix; "" where there are none."""
    kinds = [f"{count} {suffix}" for suffix, count in sorted(others.items())]
    return f"; not looked at: {', '.join(kinds)} (no images that can be read)" if kinds else ""
