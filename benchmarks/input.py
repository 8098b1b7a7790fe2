"""Training input: from files to a batch, in one process, ours against torchvision's recipe.

Both scale a 4:3 picture's short side to 260..1040 pixels and cut 480 x 480. Ours ends with bytes,
which the device normalises (part of the training step), the recipe with normalised floats. The
third side only decodes the same files with PIL.
"""

import random
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks import recipe, timing
from segmodels.data import layout
from segmodels.data.augment import RandomCrop
from segmodels.data.loading import epoch_batches, training_batches

BASE, CROP, BATCH = 520, 480, 8
RANDOM_CROP = RandomCrop(
    size=CROP,
    base_size=round(BASE * 4 / 3),
    scale=(0.5, 2.0),
    flip=True,
    ignore_index=255,
    fill=(124, 116, 104),
)


def ours(root: Path, image_ids: list[str]) -> None:
    batches = epoch_batches(len(image_ids), batch_size=BATCH, seed=0, epoch=1)
    for _ in training_batches(
        root,
        image_ids,
        batches,
        crop=RANDOM_CROP,
        seed=0,
        epoch=1,
        workers=0,
        decoded=None,
    ):
        pass


def theirs(root: Path, image_ids: list[str]) -> None:
    random.seed(0), torch.manual_seed(0)
    preset = partial(recipe.train_preset, base=BASE, crop=CROP)
    samples = recipe.Pictures(root, image_ids, preset)
    for _ in DataLoader(
        samples, BATCH, shuffle=True, drop_last=True, collate_fn=recipe.collate, num_workers=0
    ):
        pass


def decoding(root: Path, image_ids: list[str]) -> None:
    for image_id in image_ids:
        Image.open(layout.image_path(root, image_id)).load()
        Image.open(layout.target_path(root, image_id)).load()


def main() -> None:
    options = timing.parser(__doc__)
    options.add_argument("--pictures", type=int, default=200)
    given = options.parse_args()
    print(timing.machine(given.threads))
    with timing.pictures(given.voc) as root:
        image_ids = layout.read_ids(layout.split_path(root, "train"))
        image_ids = image_ids[: min(given.pictures, len(image_ids)) // BATCH * BATCH]
        sides = {"recipe": theirs, "decoding": decoding, "ours": ours}
        run = {name: partial(side, root, image_ids) for name, side in sides.items()}
        seconds = timing.alternate(run, given.turns)
    ratios = [("recipe", "ours"), ("ours", "decoding")]
    print(timing.row("input, ms per picture", seconds, len(image_ids), ratios))


if __name__ == "__main__":
    main()
