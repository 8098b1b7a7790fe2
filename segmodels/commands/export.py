"""`segmodels export`: a model as an ONNX file."""

import argparse

from segmodels.commands import common
from segmodels.commands.predict import loaded
from segmodels.inference import export


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
    common.add_dataset(command)


def run(options: argparse.Namespace) -> None:
    """Write a model as ONNX."""
    model = loaded(options.model, options)
    form = export.Form(options.size, options.opset, options.output)
    try:
        difference = export.to_onnx(
            model.module.cpu(),
            options.onnx,
            normalization=model.network.normalization,
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
