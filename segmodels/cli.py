"""`segmodels predict | export | evaluate | bn-probe | import`: what a person asks of it.

Run in the project's folder: params.yaml says which data sets and models there are. Results go to
stdout, all else to stderr. Exit status: 0 all done; 1 some or all of it not, with a line for each
reason; 2 a wrong command line.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from segmodels import files, importing, params, process, trained
from segmodels.data import masks, voc
from segmodels.evaluation import folder, scores, submitted
from segmodels.params import Params
from segmodels.prediction import drawing, export, photos, runtime, testtime
from segmodels.trained import Network
from segmodels.training import probe
from segmodels.training.job import Job
from segmodels.training.processes import Processes

PROBED = ["miou", "miou_present", "pixel_acc", "mean_acc"]
SMALL_SHARE = 0.0005  # of a picture; what is less would be printed as 0.0%


def main(arguments: list[str] | None = None) -> None:
    """The command `segmodels`; arguments are the process's own unless given."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the name of a file may be no text
    process.run(lambda: options.command(options))


def predict(options: argparse.Namespace) -> None:
    """Write mask, overlay and comparison of each photograph, and print the shares of classes."""
    if options.out.resolve() in {path.resolve() for path in options.photos}:
        options.refuse(f"--out {options.out}: expected another folder than that of the pictures")
    settings = _settings(options)
    names = list(dict.fromkeys(options.model or [settings.model]))
    networks = [_network(settings, name, options) for name in names]
    choices = settings.predict[settings.dataset]
    machine = runtime.start(choices.precision, choices.threads, deterministic=True, seed=0)
    if options.start is None:
        _complain(*_renamed(settings, networks))
    for network in networks:
        network.module.to(machine.device).to(memory_format=torch.channels_last)

    found = photos.find(options.photos, options.out.resolve())
    _complain(*found.problems)
    failed, warned = len(found.problems), options.start == "coco"
    work = list(zip(found.files, photos.stems(found.files, names), strict=True))
    for path, stem in process.progress(work, len(work), "predict"):
        try:
            image = photos.read(path)
            if (count := photos.frames(path)) > 1:
                _complain(f"{path}: {count} frames, the first is used")
        except ValueError as error:
            _complain(str(error))
            failed += 1
            continue
        warned = warned or _warn_of_drawings(settings, image)
        labelled = _labelled(image, networks, choices.long_side, machine)
        _write(options.out / stem, image, labelled, networks[0])
        for name, labels in labelled.items():
            tqdm.write(f"{_one_line(path)}, {name}: {_shares(labels, networks[0].classes)}")
    if failed or found.others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.others.items()))
        others = f"; not looked at: {kinds} (no images that can be read)" * bool(kinds)
        sys.exit(f"error: {failed} not predicted, {len(work)} images in all{others}")


def export_model(options: argparse.Namespace) -> None:
    """Write a model as ONNX."""
    settings = _settings(options)
    network = _network(settings, options.model, options)
    if options.start is None:
        _complain(*_renamed(settings, [network]))
    form = export.Form(options.size, options.opset, options.output)
    try:
        difference = export.to_onnx(
            network.module,
            options.onnx,
            normalization=network.normalization,
            classes=network.classes,
            form=form,
        )
    except ValueError as error:
        raise ValueError(f"{network.name}: {error}") from None
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
    image_ids = voc.read_split(options.voc, options.split)
    files = submitted.Folder(options.predictions, options.voc, options.model)
    counts = folder.per_image(
        options.predictions,
        options.voc,
        process.progress(image_ids, len(image_ids), "evaluate"),
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
        print(_table(counts, data.classes))
    print(last)
    if len(counts.image_ids) < max(1, len(image_ids)):
        sys.exit(1)


def bn_probe(options: argparse.Namespace) -> None:
    """Measure two models on val, each with the BatchNorm statistics of the other too."""
    settings = _settings(options)
    names = {"first": options.first, "last": options.last}
    models = {key: trained.load(settings, name, start=None).module for key, name in names.items()}
    settings = trained.as_trained(settings, options.last)
    recipe, seed = settings.recipe(options.last), settings.model_seed(options.last)
    machine = runtime.start(recipe.precision, recipe.threads, recipe.deterministic, seed)
    for model in models.values():
        model.to(machine.device).to(memory_format=torch.channels_last)
    job = Job.of(settings, options.last, machine, process.progress, Processes())
    rows = []
    for weights, origin, losses, confusion in probe.exchange(**models, job=job):
        score = scores.summarize(confusion)
        shown = {"weights of": names[weights], "statistics": names.get(origin, origin)}
        rows.append(shown | {name: score[name] for name in PROBED} | losses._asdict())
    table = pd.DataFrame(rows).drop(columns="loss")
    if options.csv:
        files.write_csv(options.csv, table)
    print(table.to_string(index=False, float_format="{:.4f}".format))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segmodels", description="Use what was trained.")
    commands = parser.add_subparsers(
        required=True, metavar="predict | export | evaluate | bn-probe | import"
    )

    command = commands.add_parser("predict", help="label maps of photographs")
    command.add_argument("photos", nargs="+", type=_path, metavar="PHOTO", help="file or folder")
    model = "of params.yaml (default: its `model`); several times: compared side by side"
    command.add_argument("--model", action="append", metavar="NAME", help=model)
    out = "for the results (default: predicted)"
    command.add_argument("--out", type=_path, default=Path("predicted"), metavar="DIR", help=out)
    _add_dataset(command)
    _add_start(command)
    command.set_defaults(command=predict, refuse=command.error)

    command = commands.add_parser("export", help="a model as an ONNX file")
    command.add_argument("model", metavar="NAME", help="of params.yaml")
    _add_form(command)
    _add_dataset(command)
    _add_start(command)
    command.set_defaults(command=export_model, refuse=command.error)

    command = commands.add_parser(
        "bn-probe", help="two models with each other's BatchNorm statistics"
    )
    command.add_argument("first", metavar="FIRST", help="model of params.yaml")
    command.add_argument("last", metavar="LAST", help="of the same shape, e.g. trained on from it")
    command.add_argument("--csv", type=_path, metavar="FILE", help="for the table")
    _add_dataset(command)
    command.set_defaults(command=bn_probe, refuse=command.error)

    _add_evaluate(commands.add_parser("evaluate", help="scores of a folder of VOC-style masks"))
    importing.add(commands.add_parser("import", help="a labelled data set becomes one of your own"))
    return parser


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    masks, tree = "with <image_id>.png, palette or grey", "a VOC tree: .../VOCdevkit/VOC2012"
    command.add_argument("--predictions", type=_path, required=True, metavar="DIR", help=masks)
    command.add_argument("--voc", type=_path, required=True, metavar="DIR", help=tree)
    split = "a list of ImageSets/Segmentation (default: val)"
    command.add_argument("--split", default="val", metavar="NAME", help=split)
    model = "whose masks of `segmodels predict` are meant, where there are several models'"
    command.add_argument("--model", metavar="NAME", help=model)
    read = "what counts in a prediction with a palette (default: what both agree on)"
    command.add_argument("--read", choices=["index", "colour"], help=read)
    undecided = "how void in a prediction counts (default: it is refused)"
    command.add_argument("--undecided", choices=["wrong", "ignore"], help=undecided)
    _add_dataset(command)
    command.set_defaults(command=evaluate, refuse=command.error)


def _add_form(command: argparse.ArgumentParser) -> None:
    """What file to write."""
    command.add_argument("--onnx", type=_path, required=True, metavar="FILE", help="to be written")
    size = "fixed height and width, e.g. 384x512 (default: any)"
    command.add_argument("--size", type=_size, metavar="HxW", help=size)
    opsets = f"{export.OPSETS[0]} to {export.OPSETS[-1]}"
    opset = f"of ONNX, {opsets} (default: torch's choice)"
    command.add_argument("--opset", type=_opset, metavar="N", help=opset)
    output = "default: logits; labels are uint8, (N, H, W)"
    command.add_argument("--output", choices=export.OUTPUTS, default="logits", help=output)


def _path(text: str) -> Path:
    """A path of the command line; an empty one, as of a variable that is not set, is refused."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


def _add_dataset(command: argparse.ArgumentParser) -> None:
    dataset = "of params.yaml (default: its `dataset`)"
    command.add_argument("--dataset", metavar="NAME", help=dataset)


def _add_start(command: argparse.ArgumentParser) -> None:
    start = "torchvision's published weights instead of a training"
    command.add_argument("--start", choices=["coco"], help=start)


def _size(text: str) -> tuple[int, int]:
    """Height and width of --size."""
    sides = text.lower().split("x")
    if len(sides) == 2 and all(side.isdecimal() and len(side) < 6 for side in sides):
        height, width = map(int, sides)
        if height in export.SIDES and width in export.SIDES:
            return height, width
    smallest, largest = export.SIDES[0], export.SIDES[-1]
    raise argparse.ArgumentTypeError(
        f"{text!r}: expected HxW, height and width of {smallest} to {largest} pixels, e.g. 384x512"
    )


def _opset(text: str) -> int:
    """Number of --opset."""
    if text.isdecimal() and len(text) < 6 and int(text) in export.OPSETS:
        return int(text)
    first, last = export.OPSETS[0], export.OPSETS[-1]
    raise argparse.ArgumentTypeError(f"{text!r}: expected a number from {first} to {last}")


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
        own = Path("data/own", name).resolve()
        if tree in (own, voc.dataset_root(name).resolve()):
            return settings.model_copy(update={"dataset": name})
    _complain(
        f"class names are those of {settings.dataset}, the `dataset` of params.yaml; "
        "--dataset names another one"
    )
    return settings


def _network(settings: Params, name: str, options: argparse.Namespace) -> Network:
    """The model that the command line asks for."""
    known = dict(settings.every_model)
    if name not in known:
        options.refuse(f"model {name}: expected one of {', '.join(known)}")
    return trained.load(settings, name, start=options.start)


def _renamed(settings: Params, networks: list[Network]) -> list[str]:
    """A line for each model whose classes params.yaml calls otherwise than its training did."""
    now = settings.data.classes
    return [
        f"{network.name}: classes are called as when it was trained; params.yaml has "
        f"{', '.join(now[:10])}"
        for network in networks
        if network.classes != now
    ]


def _labelled(
    image: np.ndarray, networks: list[Network], size: int | None, machine: runtime.Runtime
) -> dict[str, np.ndarray]:
    """Label map of each model."""
    return {
        network.name: photos.label_photo(
            testtime.network(
                network.module,
                normalization=network.normalization,
                device=torch.device(machine.device),
                precision=machine.precision,
                tile=None,
            ),
            image,
            size,
        )
        for network in networks
    }


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


def _write(
    beginning: Path, image: np.ndarray, found: dict[str, np.ndarray], network: Network
) -> None:
    """The files of one picture; all models have the classes and colours of `network`."""
    classes, palette = network.classes, network.palette
    for name, labels in found.items():
        voc.write_target(f"{beginning}_{name}_mask.png", labels, palette, masks.note())
        overlay = drawing.overlay(image, labels, palette)
        drawing.save(f"{beginning}_{name}_overlay.png", overlay)
    strip = drawing.comparison(image, found, classes=classes, palette=palette)
    drawing.save(f"{beginning}_comparison.png", strip)


def _shares(labels: np.ndarray, classes: list[str]) -> str:
    """E.g. "background 60.0%, cat 40.0%": the classes that occur, the largest first."""
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    order = [label for label in np.argsort(-shares, kind="stable") if shares[label] > 0]
    shown = ["<0.1%" if shares[k] < SMALL_SHARE else f"{shares[k]:.1%}" for k in order]
    return ", ".join(f"{classes[k]} {share}" for k, share in zip(order, shown, strict=True))


def _table(counts: folder.Counts, classes: list[str]) -> str:
    """Scores for people: of each class, then over all."""
    overlap = counts.overlap.sum(0)
    summary = scores.of_overlap(overlap)
    width = max(map(len, classes))
    lines = [f"{'class':<{width}}     IoU  accuracy  true pixels"]
    each = zip(
        classes,
        scores.overlap_iou(overlap),
        scores.overlap_accuracy(overlap),
        overlap[1],
        strict=True,
    )
    for name, iou, accuracy, pixels in each:
        lines.append(f"{name:<{width}} {_percent(iou):>7} {_percent(accuracy):>9} {pixels:>12,}")
    overall = {
        f"mIoU over the {summary['classes_counted']} classes in truth or prediction": "miou",
        f"mIoU over the {summary['classes_present']} classes in the truth": "miou_present",
        "frequency-weighted IoU": "fw_iou",
        "pixel accuracy": "pixel_acc",
        "mean class accuracy": "mean_acc",
    }
    lines += [f"{name}: {summary[key]:.4%}" for name, key in overall.items()]
    return "\n".join(lines)


def _percent(score: float) -> str:
    """A fraction for people; "-" where there is none."""
    return "-" if np.isnan(score) else f"{score:.2%}"


def _complain(*lines: str) -> None:
    """Lines on stderr, above the progress bar if there is one."""
    for line in lines:
        tqdm.write(_one_line(line), file=sys.stderr)


def _one_line(text: object) -> str:
    """Without line breaks and control characters, which the name of a file may have."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


if __name__ == "__main__":
    main()
