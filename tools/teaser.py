"""The README's picture: a cat and an astronaut, and what a model that comes along sees in them.

    python -m tools.teaser docs/teaser.png

The photographs are scikit-image's `chelsea` (CC0) and `astronaut` (NASA, public domain), which lie
inside its package: see NOTICE. Needs `pip install -e '.[docs]'`.
"""

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import segmodels
from segmodels.config.schema import BACKGROUND
from segmodels.core import machine, supervise
from segmodels.inference import drawing
from segmodels.inference.predictor import Model

PHOTOGRAPHS = ("chelsea", "astronaut")
HEIGHT = 300  # pixels of each


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.teaser", description=__doc__)
    parser.add_argument("picture", type=Path, help="to be written, .png")
    parser.add_argument("--model", default="animals", help="as of segmodels predict")
    options = parser.parse_args()
    machine.start("fp32", "auto", deterministic=True, seed=0)
    model = segmodels.load(options.model, device="cpu")
    sheets = [sheet(getattr(skimage.data, name)(), model) for name in PHOTOGRAPHS]
    drawing.save(options.picture, beside_each_other(sheets).quantize(256))  # a third of the bytes


def sheet(image: np.ndarray, model: Model) -> Image.Image:
    """A photograph, the overlay that `segmodels predict` writes, and the classes that occur."""
    found = model.predict(image)
    panels = {"photograph": Image.fromarray(image), model.name: found.overlay()}
    size = (round(HEIGHT * image.shape[1] / image.shape[0]), HEIGHT)
    small = {name: panel.resize(size, Image.Resampling.BOX) for name, panel in panels.items()}
    present = {int(label): model.classes[label] for label in np.unique(found.labels)}
    names = {label: name for label, name in present.items() if name != BACKGROUND}
    return drawing.sheet(small, names, model.palette)


def beside_each_other(sheets: list[Image.Image]) -> Image.Image:
    """Sheets on white, from left to right."""
    row = Image.new("RGB", (sum(each.width for each in sheets), sheets[0].height), "white")
    left = 0
    for each in sheets:
        row.paste(each, (left, 0))
        left += each.width
    return row


if __name__ == "__main__":
    supervise.run(main)
