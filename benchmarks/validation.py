"""Validation at the pictures' own size: everything but the forward pass, then with it.

Without the forward pass a network stands in that has its logits ready, in the memory layout that
each side's network would leave them in. The recipe counts confusion; ours is timed at the same
work, and as the training loop calls it, where it measures cross-entropy and Dice too.
"""

from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks import recipe, timing
from segmodels import models
from segmodels.config.schema import Loss, Normalize
from segmodels.data import layout
from segmodels.data.loading import whole_images
from segmodels.models.network import forward, label_map
from segmodels.training.validation import count_pairs, measure, strips

CLASSES = 21
NORMALIZE = Normalize(mean=recipe.MEAN, std=recipe.STD)


class Ready(nn.Module):
    """Logits that cost nothing: the start of one block of numbers, whatever the picture."""

    def __init__(self, batch_size: int, channels_last: bool) -> None:
        super().__init__()
        self.numbers = torch.randn(batch_size * CLASSES * 500 * 500)
        self.channels_last = channels_last

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        n, _, height, width = image.shape
        numbers = self.numbers[: n * CLASSES * height * width]
        if self.channels_last:
            return {"out": numbers.view(n, height, width, CLASSES).permute(0, 3, 1, 2)}
        return {"out": numbers.view(n, CLASSES, height, width)}


def ours(
    model: nn.Module, root: Path, index: pd.DataFrame, *, batch_size: int, precision: str
) -> np.ndarray:
    """Confusion (21, 21) int64, without void."""
    batches = whole_images(root, index, size=None, batch_size=batch_size, targets=True)
    _, confusion = measure(
        model,
        batches,
        num_classes=CLASSES,
        ignore_index=255,
        loss=Loss(cross_entropy=1, dice=0),
        normalization=NORMALIZE,
        device=torch.device("cpu"),
        precision=precision,
    )
    return confusion.numpy()


def ours_counts(
    model: nn.Module, root: Path, index: pd.DataFrame, *, batch_size: int
) -> np.ndarray:
    """The same work as the recipe's: `measure` without its losses."""
    counts = torch.zeros(256, 256, dtype=torch.int64)
    with torch.inference_mode():
        for _, image, target, _ in whole_images(
            root, index, size=None, batch_size=batch_size, targets=True
        ):
            logits = forward(model, image, normalization=NORMALIZE, precision="fp32")["out"]
            for strip, labels in strips(logits, target):
                counts += count_pairs(labels, label_map(strip))
    return counts[:CLASSES, :CLASSES].numpy()


def theirs(model: nn.Module, root: Path, index: pd.DataFrame) -> np.ndarray:
    """Confusion (21, 21) int64, without void."""
    preset = partial(recipe.eval_preset, base=None)
    samples = recipe.Pictures(root, index["image_id"].tolist(), preset)
    batches: DataLoader[tuple[Tensor, Tensor]] = DataLoader(samples, 1, collate_fn=recipe.collate)
    return recipe.evaluate(model, batches, CLASSES).mat.numpy()


def read_index(root: Path, count: int) -> pd.DataFrame:
    """The first val pictures and their sizes."""
    rows = []
    for image_id in layout.read_ids(layout.split_path(root, "val"))[:count]:
        with Image.open(layout.image_path(root, image_id)) as image:
            rows.append((image_id, *image.size))
    return pd.DataFrame(rows, columns=["image_id", "width", "height"])


def networks() -> tuple[nn.Module, nn.Module]:
    """The same FCN-ResNet-50 for the recipe and, channels-last, for ours."""
    plain = models.build("fcn", num_classes=CLASSES, backbone="resnet50")
    return plain, deepcopy(plain).to(memory_format=torch.channels_last)


def main() -> None:
    options = timing.parser(__doc__)
    options.add_argument("--pictures", type=int, default=200)
    options.add_argument("--batch", type=int, default=8, help="of ours; the recipe's is 1")
    options.add_argument("--forward", type=int, default=20, help="pictures with the forward pass")
    given = options.parse_args()
    print(timing.machine(given.threads))
    plain, fast = networks()
    with timing.pictures(given.voc) as root:
        our = partial(ours, root=root, batch_size=given.batch)
        index = read_index(root, given.pictures)
        sides = {
            "recipe": partial(theirs, Ready(1, False), root, index),
            "ours": partial(
                ours_counts, Ready(given.batch, True), root, index, batch_size=given.batch
            ),
            "ours and losses": partial(
                our, Ready(given.batch, True), index=index, precision="fp32"
            ),
        }
        seconds = timing.alternate(sides, given.turns)
        ratios = [("recipe", "ours"), ("recipe", "ours and losses")]
        print(timing.row("validation but the network, ms per picture", seconds, len(index), ratios))

        index = index[: given.forward]
        sides = {
            "recipe": partial(theirs, plain, root, index),
            "ours in fp32": partial(our, fast, index=index, precision="fp32"),
            "ours in bf16": partial(our, fast, index=index, precision="bf16"),
        }
        seconds = timing.alternate(sides, given.turns)
        ratios = [("recipe", "ours in fp32"), ("recipe", "ours in bf16")]
        print(timing.row("validation, ms per picture", seconds, len(index), ratios))


if __name__ == "__main__":
    main()
