"""The CRF: seconds for a photograph's size on one thread, and its error on small pictures.

    python -m benchmarks.crf [photograph ...]

Without photographs, scenes of the miniature are drawn at 500 x 375. The logits are noise, smooth
and strong, of 21 classes. Error: mean absolute difference between the marginals of the lattice
and those of exact kernels, on 24 x 24 pixels from the middle of each picture.
"""

import sys
import time
from itertools import islice
from statistics import mean, median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from segmodels.data.images import read_image
from segmodels.data.sources.miniature import generate
from segmodels.data.sources.miniature.objects import LOOKS
from segmodels.inference import crf

WIDTH, HEIGHT, CLASSES, SIDE, PICTURES = 500, 375, 21, 24, 4
SETTINGS = {  # DeepLab v2's for VOC, and those of Krähenbühl's code, which has wider kernels
    "voc": (10, 1, 3, 67, 3, 4),
    "wide": (10, 3, 3, 80, 13, 10),
}
NAMES = (
    "iterations",
    "position_sigma",
    "position_weight",
    "bilateral_sigma_xy",
    "bilateral_sigma_rgb",
    "bilateral_weight",
)


def pictures(files: list[str]) -> list[Tensor]:
    """(3, 375, 500) uint8 each."""
    if files:
        arrays = [read_image(file) for file in files]
    else:
        scenes = generate.draw(["background", *LOOKS], HEIGHT, WIDTH, seed=(0, 0))
        arrays = [scene.image for scene in islice(scenes, PICTURES)]
    resized = [np.asarray(Image.fromarray(array).resize((WIDTH, HEIGHT))) for array in arrays]
    return [torch.from_numpy(array.copy()).permute(2, 0, 1) for array in resized]


def logits(height: int, width: int) -> Tensor:
    """(21, H, W), the same every time."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, CLASSES, height // 8, width // 8, generator=generator) * 3
    return F.interpolate(coarse, size=(height, width), mode="bicubic")[0]


def seconds(image: Tensor, settings: dict[str, Any]) -> float:
    start = time.perf_counter()
    crf.refine(logits(HEIGHT, WIDTH), image, **settings)
    return time.perf_counter() - start


def error(image: Tensor, settings: dict[str, Any]) -> float:
    top, left = (HEIGHT - SIDE) // 2, (WIDTH - SIDE) // 2
    middle, scores = image[:, top : top + SIDE, left : left + SIDE], logits(SIDE, SIDE)
    fast = crf.refine(scores, middle, **settings)
    with patch.object(crf, "lattice", crf.exact):
        return float((fast - crf.refine(scores, middle, **settings)).abs().mean())


def main() -> None:
    torch.set_num_threads(1)
    images = pictures(sys.argv[1:])
    seconds(images[0], dict(zip(NAMES, SETTINGS["wide"], strict=True)))  # warm up
    print("| settings | median s | slowest s | mean error | largest error |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, values in SETTINGS.items():
        settings: dict[str, Any] = dict(zip(NAMES, values, strict=True))
        times = [seconds(image, settings) for image in images]
        errors = [error(image, settings) for image in images]
        print(
            f"| {name} {values} | {median(times):.2f} | {max(times):.2f} "
            f"| {mean(errors):.4f} | {max(errors):.4f} |"
        )


if __name__ == "__main__":
    main()
