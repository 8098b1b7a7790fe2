"""torchvision's training recipe for segmentation, written out: the other side of each benchmark.

What its scripts do, with its public functions and its scripts' defaults (PIL backend); only what
they print and log is left out.
Source: pytorch/vision, references/segmentation: presets.py, transforms.py, utils.py, train.py.
"""

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as nn_functional
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms as T
from torchvision.transforms import functional as F

from segmodels.data.layout import image_path, target_path

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Pair = tuple[Image.Image, Image.Image]
Sample = tuple[Tensor, Tensor]  # image (3, H, W) float32, target (H, W) int64


class Pictures(torch.utils.data.Dataset[Sample]):
    """torchvision.datasets.VOCSegmentation with a preset."""

    def __init__(self, root: Path, image_ids: list[str], preset: Callable[..., Sample]) -> None:
        self.root, self.image_ids, self.preset = root, image_ids, preset

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, k: int) -> Sample:
        image = Image.open(image_path(self.root, self.image_ids[k])).convert("RGB")
        target = Image.open(target_path(self.root, self.image_ids[k]))
        return self.preset(image, target)


def train_preset(image: Image.Image, target: Image.Image, *, base: int, crop: int) -> Sample:
    """RandomResize(base / 2, 2 base), RandomHorizontalFlip, RandomCrop, and to tensors."""
    image, target = resize(image, target, random.randint(int(0.5 * base), int(2.0 * base)))
    if random.random() < 0.5:
        image, target = F.hflip(image), F.hflip(target)
    image, target = pad_if_smaller(image, crop, 0), pad_if_smaller(target, crop, 255)
    window = T.RandomCrop.get_params(image, (crop, crop))
    return to_tensors(F.crop(image, *window), F.crop(target, *window))


def eval_preset(image: Image.Image, target: Image.Image, *, base: int | None) -> Sample:
    """Resize the short side, of the target too, and to tensors; None: the size stays."""
    return to_tensors(*resize(image, target, base or min(image.size)))


def resize(image: Image.Image, target: Image.Image, short_side: int) -> Pair:
    nearest = T.InterpolationMode.NEAREST
    image = F.resize(image, [short_side], antialias=True)
    return image, F.resize(target, [short_side], interpolation=nearest)


def pad_if_smaller(image: Image.Image, size: int, fill: int) -> Image.Image:
    right, below = (max(0, size - side) for side in image.size)
    return F.pad(image, [0, 0, right, below], fill=fill) if right or below else image


def to_tensors(image: Image.Image, target: Image.Image) -> Sample:
    """PILToTensor, ToDtype(torch.float, scale=True), Normalize."""
    pixels = F.convert_image_dtype(F.pil_to_tensor(image), torch.float)
    labels = torch.as_tensor(np.array(target), dtype=torch.int64)
    return F.normalize(pixels, mean=MEAN, std=STD), labels


def collate(batch: list[Sample]) -> tuple[Tensor, Tensor]:
    images, targets = zip(*batch, strict=True)
    return cat_list(images, 0), cat_list(targets, 255)


def cat_list(images: tuple[Tensor, ...], fill_value: int) -> Tensor:
    max_size = tuple(max(sizes) for sizes in zip(*[image.shape for image in images], strict=True))
    batch = images[0].new(len(images), *max_size).fill_(fill_value)
    for image, place in zip(images, batch, strict=True):
        place[..., : image.shape[-2], : image.shape[-1]].copy_(image)
    return batch


def criterion(logits: dict[str, Tensor], target: Tensor) -> Tensor:
    losses = {
        name: nn_functional.cross_entropy(value, target, ignore_index=255)
        for name, value in logits.items()
    }
    return losses["out"] if len(losses) == 1 else losses["out"] + 0.5 * losses["aux"]


def train_step(
    model: nn.Module, image: Tensor, target: Tensor, optimizer: torch.optim.Optimizer
) -> float:
    """One turn of train_one_epoch, in fp32; the loss is read each time, as there."""
    loss = criterion(model(image), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


class ConfusionMatrix:
    """utils.ConfusionMatrix."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.mat = torch.zeros((num_classes, num_classes), dtype=torch.int64)

    def update(self, target: Tensor, prediction: Tensor) -> None:
        n = self.num_classes
        k = (target >= 0) & (target < n)
        inds = n * target[k].to(torch.int64) + prediction[k]
        self.mat += torch.bincount(inds, minlength=n**2).reshape(n, n)


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], num_classes: int
) -> ConfusionMatrix:
    model.eval()
    confusion = ConfusionMatrix(num_classes)
    for image, target in batches:
        output = model(image)["out"]
        confusion.update(target.flatten(), output.argmax(1).flatten())
    return confusion
