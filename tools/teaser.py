"""The README's picture: a cat and an astronaut beside their masks, one panel for each model.

    python -m tools.teaser docs/teaser.png --model animals \\
        --model studies/voc_animals_best/fpn_lite2

The photographs are scikit-image's `chelsea` (CC0) and `astronaut` (NASA, public domain), which lie
inside its package: see NOTICE. Needs `pip install -e '.[docs]'`.
"""

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import segmodels
from segmodels.core import machine, supervise
from segmodels.inference import drawing
from segmodels.inference.predictor import Model

PHOTOGRAPHS = ("chelsea", "astronaut")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.teaser", description=__doc__)
    parser.add_argument("picture", type=Path, help="to be written, .png")
    parser.add_argument("--model", action="append", required=True, help="as of segmodels predict")
    options = parser.parse_args()
    machine.start("fp32", "auto", deterministic=True, seed=0)
    models = [segmodels.load(name) for name in options.model]
    rows = [row(getattr(skimage.data, name)(), models) for name in PHOTOGRAPHS]
    drawing.save(options.picture, below_each_other(rows).quantize(256))  # a third of the bytes


def row(image: np.ndarray, models: list[Model]) -> Image.Image:
    """One photograph, its masks and the classes that occur."""
    found = {model.name: model.predict(image).labels for model in models}
    first = models[0]
    return drawing.comparison(image, found, classes=first.classes, palette=first.palette)


def below_each_other(rows: list[Image.Image]) -> Image.Image:
    """Rows on white, the first on top."""
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), "white")
    top = 0
    for each in rows:
        sheet.paste(each, (0, top))
        top += each.height
    return sheet


if __name__ == "__main__":
    supervise.run(main)
