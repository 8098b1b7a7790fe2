"""Options of test-time variants."""

import argparse
from typing import Any

OPTIONS = ("scales", "flip", "window", "tile", "crf")  # of `Predict`


def add(command: argparse.ArgumentParser) -> None:
    """The options."""
    variants = command.add_argument_group(
        "test-time variants", "Without them one plain pass, or of a run what params.yaml says."
    )
    fast = "one plain pass"
    variants.add_argument("--fast", action="store_true", help=fast)
    scored = "all that the model's scores were measured with, where that is more than one pass"
    variants.add_argument("--as-scored", action="store_true", help=scored)
    scales = "factors on the long side, e.g. 0.75,1,1.25; probabilities are averaged"
    variants.add_argument("--scales", type=_scales, metavar="S,S,...", help=scales)
    flip = "every pass of the mirrored image too"
    variants.add_argument("--flip", action="store_true", default=None, help=flip)
    window = "a square window that slides over the image, pixels, e.g. 480:320"
    variants.add_argument("--window", type=_window, metavar="SIDE:STRIDE", help=window)
    tile = "overlap-tile of unet_valid, pixels of logits: the same masks in less memory"
    variants.add_argument("--tile", type=int, metavar="N", help=tile)
    crf = "fully connected CRF: the model's own, or values for photographs"
    variants.add_argument("--crf", action="store_true", default=None, help=crf)


def changes(options: argparse.Namespace) -> dict[str, Any]:
    """What is asked for, as `Model.chosen` takes it."""
    asked = {"fast": options.fast, "as_scored": options.as_scored}
    for name in OPTIONS:
        if getattr(options, name) is not None:
            asked[name] = getattr(options, name)
    return asked


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
