"""`segmodels export`: a model as an ONNX file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segmodels.commands import common
from segmodels.commands.predict import loaded, of_drawings
from segmodels.inference import export, int8, photos

if TYPE_CHECKING:
    from segmodels.inference.predictor import Model


def add(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    model = "as for `segmodels predict`"
    command.add_argument("model", metavar="MODEL", help=model)
    command.add_argument(
        "--onnx", type=common.path, required=True, metavar="FILE", help="to be written"
    )
    size = "fixed height and width, e.g. 384x512 (default: any)"
    command.add_argument("--size", type=_size, metavar="HxW", help=size)
    opsets = f"{export.OPSETS[0]} to {export.OPSETS[-1]}"
    opset = f"of ONNX, {opsets} (default: torch's choice)"
    command.add_argument("--opset", type=_opset, metavar="N", help=opset)
    output = "default: logits; labels are uint8, (N, H, W)"
    command.add_argument("--output", choices=export.OUTPUTS, default="logits", help=output)
    integers = "8-bit integers: smaller and faster, and not the same masks"
    command.add_argument("--int8", action="store_true", help=integers)
    calibrate = (
        f"photographs for --int8, {int8.FEWEST} or more, like those that the file will see "
        "(default: the training images of a run)"
    )
    command.add_argument("--calibrate", type=common.path, metavar="DIR", help=calibrate)
    common.add_dataset(command)


def run(options: argparse.Namespace) -> None:
    """Write a model as ONNX."""
    if options.calibrate and not options.int8:
        options.refuse(f"--calibrate {options.calibrate}: expected together with --int8")
    if options.onnx.is_dir():
        options.refuse(f"--onnx {options.onnx}: a folder, expected a file")
    model = loaded(options.model, options)
    if model.drawings:
        common.complain(of_drawings(model))
    photographs = _photographs(model, options) if options.int8 else []
    form = export.Form(options.size, options.opset, options.output)
    long_side = model.choices.long_side or photos.LARGEST
    module = model.module.cpu()
    keywords = dict[str, Any](
        normalization=model.network.normalization,
        classes=model.classes,
        form=form,
        facts={"model": model.name, "long_side": str(long_side)},
    )
    try:
        if options.int8:
            share = int8.to_int8(module, options.onnx, photographs, long_side=long_side, **keywords)
            line = f"{share:.1%} of labels are PyTorch's, on photographs kept from the calibration"
        else:
            line = _differing(form, export.to_onnx(module, options.onnx, **keywords))
    except ValueError as error:
        raise ValueError(f"{model.name}: {error}") from None
    print(f"{options.onnx}: {line}")


def _differing(form: export.Form, difference: float) -> str:
    """What is said of a file in float32."""
    sizes = ", ".join(form.sizes)
    if form.output == "labels":
        return f"at {sizes} no more than {difference:.2%} of labels (uint8) differ from PyTorch's"
    kind = {"logits": "logit", "probabilities": "probability"}[form.output]
    return f"at {sizes} no {kind} differs from PyTorch's by more than {difference:g}"


def _photographs(model: "Model", options: argparse.Namespace) -> list[Path]:
    """Those of --calibrate, or the images that a run was trained on."""
    if options.calibrate:
        if not options.calibrate.is_dir():
            options.refuse(f"--calibrate {options.calibrate}: no such folder")
        found = photos.find([options.calibrate])
        if len(found.files) < int8.FEWEST:
            options.refuse(
                f"--calibrate {options.calibrate}: {len(found.files)} photographs, expected "
                f"{int8.FEWEST} or more"
            )
        return found.files
    images = _training_images(model, options)
    if len(images) < int8.FEWEST:
        options.refuse(
            f"--int8: {model.name} has {len(images)} training images here: expected --calibrate "
            f"DIR with {int8.FEWEST} photographs or more, like those that the file will see"
        )
    return images


def _training_images(model: "Model", options: argparse.Namespace) -> list[Path]:
    """Those of a run's data set that are here; none of a file of weights."""
    from segmodels import api
    from segmodels.config import params
    from segmodels.data import layout

    run = Path(options.model)
    file = run.parent / api.PARAMS
    if model.card or options.model.startswith(api.TORCHVISION) or not file.is_file():
        return []
    settings = params.load(file)
    dataset = options.dataset or settings.dataset
    settings = settings.model_copy(update={"dataset": dataset})
    if not settings.paths.index.is_file():
        return []
    index = layout.read_index(settings.paths.index, settings.data.classes)
    image_ids = index.loc[index["split"] == "train", "image_id"]
    files = [layout.image_path(settings.paths.tree, image_id) for image_id in image_ids]
    return [file for file in files if file.is_file()]


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
