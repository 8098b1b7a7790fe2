"""A side of `peers_camvid`: torchvision's reference recipe, as `recipe` writes it out.

SGD with momentum, a rate that falls as (1 - t)^0.9, random sizes, flips and crops; the script's
defaults, but for sizes that suit images of 480 x 360: base 360 and crops of 320 in place of 520 and
480. The network is torchvision's smallest. Its ImageNet weights come from a server alone, so that
it starts from random ones here; no score of it says what it reaches with them.
Source: pytorch/vision, references/segmentation/train.py.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models.segmentation import lraspp_mobilenet_v3_large
from torchvision.transforms import functional as F

from benchmarks import peer_common, recipe
from benchmarks.peer_common import Result, Task
from segmodels.core import supervise

BASE = 360  # pixels, the short side before it is scaled by 0.5 to 2
CROP = 320  # pixels
BATCH = 8
LR, MOMENTUM, WEIGHT_DECAY, POWER = 0.01, 0.9, 1e-4, 0.9


def main() -> None:
    run(peer_common.begin())


def run(task: Task) -> None:
    """Train, hand in the masks and say what it took."""
    model, cost = peer_common.train(task, partial(build, task), partial(steps, task))
    model.eval()
    for image_id in task.test:
        labels = peer_common.label_map(task, model, read(task, image_id))
        task.hand_in(image_id, labels)
    result = Result(
        program=f"torchvision {torchvision.__version__}, reference recipe",
        network="LR-ASPP, MobileNetV3-Large",
        start="random (ImageNet weights need a download)",
        batch=batch_size(task),
        crop=CROP,
        cost=cost,
    )
    result.write(task)


def build(task: Task) -> nn.Module:
    classes = len(task.classes)
    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes)


def batch_size(task: Task) -> int:
    return min(BATCH, len(task.train))


def steps(task: Task, model: nn.Module, count: int) -> Iterator[float]:
    """Train for `count` steps, yielding the loss of each."""
    model.train()
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learnt, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=count, power=POWER)
    batches = peer_common.endless(loader(task))
    for _ in range(count):
        image, target = next(batches)
        with peer_common.autocast(task):
            loss = recipe.train_step(model, image, target, optimizer)
        schedule.step()
        yield loss


def loader(task: Task) -> "torch.utils.data.DataLoader[recipe.Sample]":
    preset = partial(recipe.train_preset, base=BASE, crop=CROP)
    return torch.utils.data.DataLoader(
        recipe.Pictures(Path(task.tree), task.train, preset),
        batch_size=batch_size(task),
        shuffle=True,
        drop_last=True,
        collate_fn=recipe.collate,
    )


def read(task: Task, image_id: str) -> Tensor:
    """A test image at its own size, (3, H, W) float32, as the recipe normalises it."""
    image = np.array(Image.open(task.image(image_id)).convert("RGB"))
    pixels = F.convert_image_dtype(torch.from_numpy(image).permute(2, 0, 1), torch.float)
    return F.normalize(pixels, mean=recipe.MEAN, std=recipe.STD)


if __name__ == "__main__":
    supervise.run(main)
