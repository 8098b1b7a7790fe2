"""`segmodels predict | export | evaluate | check | import | new | bn-probe`: what a person asks.

Run in the project's folder: params.yaml says which data sets and models there are. Results go to
stdout, all else to stderr. Exit status: 0 all done; 1 some or all of it not, with a line for each
reason; 2 a wrong command line.
"""

import argparse
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from segmodels import arguments, importing, new_study
from segmodels.config import params
from segmodels.config.params import Params
from segmodels.core import files, machine, supervise
from segmodels.core.distributed import Processes
from segmodels.core.machine import Runtime
from segmodels.data import images, layout, masks
from segmodels.data.doctor import trees
from segmodels.evaluation import score_masks, scores, submitted
from segmodels.inference import drawing, export, photos
from segmodels.models import trained
from segmodels.models.network import Network
from segmodels.training import probe
from segmodels.training.task import Job

PROBED = ["miou", "miou_present", "pixel_acc", "mean_acc"]
SMALL_SHARE = 0.0005  # of a picture; what is less would be printed as 0.0%


def main(words: list[str] | None = None) -> None:
    """The command `segmodels`; its words are the process's own unless given."""
    options = arguments.parser().parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file may be no text
    supervise.run(lambda: COMMANDS[options.command](options))


def predict(options: argparse.Namespace) -> None:
    """Write mask, overlay and comparison of each photograph, and print the shares of classes."""
    if options.out.resolve() in {path.resolve() for path in options.photos}:
        options.refuse(f"--out {options.out}: expected another folder than that of the pictures")
    settings = _settings(options)
    choices = arguments.choices(options, settings.predict[settings.dataset])
    runtime = machine.start(choices.precision, choices.threads, deterministic=True, seed=0)
    names = list(dict.fromkeys(options.model or [settings.model]))
    networks = [_network(settings, name, options, runtime) for name in names]
    _refuse_other_classes(networks)
    if options.start is None:
        _complain(*_renamed(settings, networks))

    found = photos.find(options.photos, options.out.resolve())
    _complain(*found.problems)
    failed = len(found.problems)
    warned = options.start == "coco"
    work = list(zip(found.files, photos.stems(found.files, names), strict=True))
    for path, stem in supervise.progress(work, len(work), "predict"):
        try:
            image = photos.read(path)
            if (count := photos.frames(path)) > 1:
                _complain(f"{path}: {count} frames, the first is used")
        except ValueError as error:
            _complain(str(error))
            failed += 1
            continue
        warned = warned or _warn_of_drawings(settings, image)
        labelled = {each.name: photos.label_photo(each, image, choices) for each in networks}
        _write(options.out / stem, image, labelled, networks[0])
        for name, labels in labelled.items():
            tqdm.write(f"{supervise.plain(path)}, {name}: {_shares(labels, networks[0].classes)}")
    if failed or found.others:
        others = _not_looked_at(found.others)
        sys.exit(f"error: {failed} not predicted, {len(work)} images in all{others}")


def export_model(options: argparse.Namespace) -> None:
    """Write a model as ONNX."""
    settings = _settings(options)
    model = _network(settings, options.model, options, None)
    if options.start is None:
        _complain(*_renamed(settings, [model]))
    form = export.Form(options.size, options.opset, options.output)
    try:
        difference = export.to_onnx(
            model.module,
            options.onnx,
            normalization=model.normalization,
            classes=model.classes,
            form=form,
        )
    except ValueError as error:
        raise ValueError(f"{model.name}: {error}") from None
    begin = f"{options.onnx}: at {', '.join(form.sizes)}"
    if form.output == "labels":
        print(f"{begin} no more than {difference:.2%} of labels (uint8) differ from PyTorch's")
        return
    kind = {"logits": "logit", "probabilities": "probability"}[form.output]
    print(f"{begin} no {kind} differs from PyTorch's by more than {difference:g}")


def evaluate(options: argparse.Namespace) -> None:
    """Score a folder of label maps, whichever program has made them."""
    settings = _evaluated(options)
    data = settings.data
    image_ids = layout.read_split(options.voc, options.split)
    files = submitted.Folder(options.predictions, options.voc, options.model)
    counts = score_masks.per_image(
        options.predictions,
        options.voc,
        supervise.progress(image_ids, len(image_ids), "evaluate"),
        num_classes=len(data.classes),
        ignore_index=data.void,
        read=submitted.Reader(data, options.read, files),
        undecided=options.undecided,
    )
    _complain(*counts.problems)
    last = f"{len(counts.image_ids)} of {len(image_ids)} images of {options.split}"
    if unused := files.unused():
        last += f"; {unused} files of {options.predictions} were not used"
    if counts.overlap.any():
        wrong, notes = submitted.doubts(counts, data, settings.dataset)
        if wrong:
            raise ValueError(f"{options.voc}: {wrong}")
        _complain(*notes)
        print(submitted.table(counts, data.classes))
    print(last)
    if len(counts.image_ids) < max(1, len(image_ids)):
        sys.exit(1)


def check(options: argparse.Namespace) -> None:
    """Print what is wrong with a labelled data set, and how to fix it."""
    from segmodels.reporting import data_check

    options.voc = trees.find(options.data, _settings(options))
    settings = _evaluated(options)
    diagnosis = data_check.run(options.voc, settings, options.page)
    for line in data_check.lines(diagnosis, settings.dataset):
        print(supervise.plain(line))
    if diagnosis.problems:
        sys.exit(1)


def bn_probe(options: argparse.Namespace) -> None:
    """Measure two models on val, each with the BatchNorm statistics of the other too."""
    settings = _settings(options)
    names = {"first": options.first, "last": options.last}
    then = trained.as_trained(settings, options.last)
    recipe = then.recipe(options.last)
    seed = then.model_seed(options.last)
    runtime = machine.start(recipe.precision, recipe.threads, recipe.deterministic, seed)
    first = trained.load(settings, options.first, runtime=runtime).module
    last = trained.load(settings, options.last, runtime=runtime).module
    job = Job.of(then, options.last, runtime, supervise.progress, Processes())
    rows = []
    for weights, origin, losses, confusion in probe.exchange(first, last, job):
        score = scores.summarize(confusion)
        row = {"weights of": names[weights], "statistics": names.get(origin, origin)}
        for name in PROBED:
            row[name] = score[name]
        rows.append(row | losses)
    table = pd.DataFrame(rows).drop(columns="loss")
    if options.csv:
        files.write_csv(options.csv, table)
    print(table.to_string(index=False, float_format="{:.4f}".format))


def _settings(options: argparse.Namespace) -> Params:
    """params.yaml with the data set that the command line asks for."""
    settings = params.load()
    name = options.dataset or settings.dataset
    if name not in settings.datasets:
        options.refuse(f"--dataset {name}: expected one of {', '.join(settings.datasets)}")
    return settings.model_copy(update={"dataset": name})


def _evaluated(options: argparse.Namespace) -> Params:
    """params.yaml with the data set that a VOC tree belongs to, if it lies in data/."""
    settings = _settings(options)
    if options.dataset:
        return settings
    tree = options.voc.resolve()
    for name in settings.datasets:
        named = settings.model_copy(update={"dataset": name})
        if tree in (named.paths.own.resolve(), named.paths.tree.resolve()):
            return named
    _complain(
        f"class names are those of {settings.dataset}, the `dataset` of params.yaml; "
        "--dataset names another one"
    )
    return settings


def _network(
    settings: Params, name: str, options: argparse.Namespace, runtime: Runtime | None
) -> Network:
    """The model that the command line asks for."""
    if name not in settings.runs:
        options.refuse(f"model {name}: expected one of {', '.join(settings.runs)}")
    return trained.load(settings, name, start=options.start, runtime=runtime)


def _refuse_other_classes(networks: list[Network]) -> None:
    """Models side by side share a legend."""
    first, *others = networks
    for other in others:
        if other.classes != first.classes:
            raise ValueError(
                f"{other.name}: trained with other classes than {first.name}: predict with one "
                "model at a time"
            )


def _renamed(settings: Params, networks: list[Network]) -> list[str]:
    """A line for each model whose classes params.yaml calls otherwise than its training did."""
    now = settings.data.classes
    lines = list[str]()
    for each in networks:
        if each.classes != now:
            lines.append(
                f"{each.name}: classes are called as when it was trained; params.yaml has "
                f"{', '.join(now[:10])}"
            )
    return lines


def _warn_of_drawings(settings: Params, image: np.ndarray) -> bool:
    """Warn of a photograph, larger than the drawings trained on; whether there was one."""
    drawings = settings.data.generate
    if drawings is None or max(image.shape[:2]) <= drawings.long_side:
        return False
    _complain(
        f"warning: trained on the drawings of {settings.dataset}: masks of photographs mean "
        "nothing; take --start coco, or weights of another --dataset"
    )
    return True


def _not_looked_at(others: Mapping[str, int]) -> str:
    """What a message says of files that are no images, by suffix; "" where there are none."""
    kinds = [f"{count} {suffix}" for suffix, count in sorted(others.items())]
    return f"; not looked at: {', '.join(kinds)} (no images that can be read)" if kinds else ""


def _write(
    beginning: Path, image: np.ndarray, found: dict[str, np.ndarray], model: Network
) -> None:
    """The files of one picture; all models have the classes and colours of `model`."""
    classes, palette = model.classes, model.palette
    for name, labels in found.items():
        images.write_target(f"{beginning}_{name}_mask.png", labels, palette, masks.note())
        overlay = drawing.overlay(image, labels, palette)
        drawing.save(f"{beginning}_{name}_overlay.png", overlay)
    strip = drawing.comparison(image, found, classes=classes, palette=palette)
    drawing.save(f"{beginning}_comparison.png", strip)


def _shares(labels: np.ndarray, classes: list[str]) -> str:
    """E.g. "background 60.0%, cat 40.0%": the classes that occur, the largest first."""
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    parts = list[str]()
    for label in np.argsort(-shares, kind="stable"):
        share = shares[label]
        if share > 0:
            shown = "<0.1%" if share < SMALL_SHARE else f"{share:.1%}"
            parts.append(f"{classes[label]} {shown}")
    return ", ".join(parts)


def _complain(*lines: str) -> None:
    """Lines on stderr, above the progress bar if there is one."""
    for line in lines:
        tqdm.write(supervise.plain(line), file=sys.stderr)


COMMANDS = {
    "predict": predict,
    "export": export_model,
    "evaluate": evaluate,
    "check": check,
    "bn-probe": bn_probe,
    "import": importing.run,
    "new": new_study.run,
}


if __name__ == "__main__":
    main()
