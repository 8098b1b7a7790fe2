"""Arguments of the command `segmodels`: what there is, and which values it takes."""

import argparse
from pathlib import Path

from pydantic import ValidationError

from segmodels import importing, new_study
from segmodels.config.params import shown
from segmodels.config.schema import Predict
from segmodels.inference import crf, export

PLAIN = {"scales": [1], "flip": False, "window": None, "tile": None, "crf": None}  # one pass


def parser() -> argparse.ArgumentParser:
    """Of all commands; of what it makes, `refuse(line)` ends the program with status 2."""
    whole = argparse.ArgumentParser(prog="segmodels", description="Use what was trained.")
    commands = whole.add_subparsers(
        required=True,
        dest="command",
        metavar="predict | export | evaluate | check | import | new | bn-probe",
    )
    _add_predict(commands.add_parser("predict", help="label maps of photographs"))
    _add_export(commands.add_parser("export", help="a model as an ONNX file"))
    _add_evaluate(commands.add_parser("evaluate", help="scores of a folder of VOC-style masks"))
    _add_check(commands.add_parser("check", help="what is wrong with a labelled data set"))
    _add_bn_probe(
        commands.add_parser("bn-probe", help="two models with each other's BatchNorm statistics")
    )
    for command in commands.choices.values():
        dataset = "of params.yaml (default: its `dataset`)"
        command.add_argument("--dataset", metavar="NAME", help=dataset)
        command.set_defaults(refuse=command.error)
    importing.add(commands.add_parser("import", help="a labelled data set becomes one of your own"))
    new_study.add(commands.add_parser("new", help="a study folder for a data set of your own"))
    return whole


def choices(options: argparse.Namespace, committed: Predict) -> Predict:
    """What `predict.<dataset>` says, with what the command line asks for in its place.

    Ends with status 2 if that makes no sense.
    """
    chosen = committed.model_dump()
    if options.fast:
        chosen |= PLAIN
    if options.scales:
        chosen["scales"] = options.scales
    if options.flip:
        chosen["flip"] = True
    if options.window:
        chosen["window"] = options.window
    if options.tile is not None:
        chosen["tile"] = options.tile
    if options.crf:
        chosen["crf"] = (committed.crf or crf.PHOTOGRAPHS).model_dump()
    try:
        return Predict.model_validate(chosen)
    except ValidationError as error:
        return options.refuse(_line(error))


def _line(error: ValidationError) -> str:
    """The first problem, by the name of its option."""
    problem = error.errors()[0]
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    return f"--{problem['loc'][0]}: {message}, found {shown(problem['input'])}"


def _add_predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("photos", nargs="+", type=_path, metavar="PHOTO", help="file or folder")
    model = "of params.yaml (default: its `model`); several times: compared side by side"
    command.add_argument("--model", action="append", metavar="NAME", help=model)
    out = "for the results (default: predicted)"
    command.add_argument("--out", type=_path, default=Path("predicted"), metavar="DIR", help=out)
    _add_start(command)
    variants = command.add_argument_group(
        "test-time variants", "Without them, what predict.<dataset> of params.yaml says."
    )
    fast = "one plain pass, whatever params.yaml says"
    variants.add_argument("--fast", action="store_true", help=fast)
    scales = "factors on the long side, e.g. 0.75,1,1.25; probabilities are averaged"
    variants.add_argument("--scales", type=_scales, metavar="S,S,...", help=scales)
    flip = "every pass of the mirrored image too"
    variants.add_argument("--flip", action="store_true", help=flip)
    window = "a square window that slides over the image, pixels, e.g. 480:320"
    variants.add_argument("--window", type=_window, metavar="SIDE:STRIDE", help=window)
    tile = "overlap-tile of unet_valid, pixels of logits: the same masks in less memory"
    variants.add_argument("--tile", type=int, metavar="N", help=tile)
    crf = "fully connected CRF: predict.<dataset>.crf, or values for photographs"
    variants.add_argument("--crf", action="store_true", help=crf)


def _add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="NAME", help="of params.yaml")
    command.add_argument("--onnx", type=_path, required=True, metavar="FILE", help="to be written")
    size = "fixed height and width, e.g. 384x512 (default: any)"
    command.add_argument("--size", type=_size, metavar="HxW", help=size)
    opsets = f"{export.OPSETS[0]} to {export.OPSETS[-1]}"
    opset = f"of ONNX, {opsets} (default: torch's choice)"
    command.add_argument("--opset", type=_opset, metavar="N", help=opset)
    output = "default: logits; labels are uint8, (N, H, W)"
    command.add_argument("--output", choices=export.OUTPUTS, default="logits", help=output)
    _add_start(command)


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


def _add_check(command: argparse.ArgumentParser) -> None:
    data = "a data set of params.yaml, or a folder in VOC layout"
    command.add_argument("data", metavar="NAME", help=data)
    page = "an HTML page with the suspects, random samples and training crops"
    command.add_argument("--page", type=_path, metavar="FILE", help=page)


def _add_bn_probe(command: argparse.ArgumentParser) -> None:
    command.add_argument("first", metavar="FIRST", help="model of params.yaml")
    command.add_argument("last", metavar="LAST", help="of the same shape, e.g. trained on from it")
    command.add_argument("--csv", type=_path, metavar="FILE", help="for the table")


def _add_start(command: argparse.ArgumentParser) -> None:
    start = "torchvision's published weights instead of a training"
    command.add_argument("--start", choices=["coco"], help=start)


def _path(text: str) -> Path:
    """A path of the command line; an empty one, as of a variable that is not set, is refused."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


def _scales(text: str) -> list[float]:
    """Numbers of --scales."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected numbers above 0, e.g. 0.75,1,1.25"
        ) from None


def _window(text: str) -> dict[str, int]:
    """Side and stride of --window."""
    side, _, stride = text.partition(":")
    try:
        return {"side": int(side), "stride": int(stride)}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected SIDE:STRIDE in pixels, e.g. 480:320"
        ) from None


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
