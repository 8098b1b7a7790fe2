"""Samples and batches: from files to uint8 tensors, the same whatever the number of workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segmodels.data import transforms, voc


@dataclass(frozen=True)
class Augmentation:
    """Arguments of `transforms.random_crop`; `fill` is an RGB value, 0..255."""

    crop_size: int
    base_size: int | None
    scale: tuple[float, float]
    flip: bool
    ignore_index: int
    fill: tuple[int, ...]


class TrainingSamples(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of a training set; item k of epoch e depends on (seed, e, k) alone."""

    def __init__(
        self, root: Path, image_ids: list[str], augmentation: Augmentation, seed: int, epoch: int
    ) -> None:
        self.root, self.image_ids = root, image_ids
        self.augmentation, self.seed, self.epoch = augmentation, seed, epoch

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        """image (3, crop, crop) uint8 and target (crop, crop) uint8."""
        image_id = self.image_ids[k]
        image, target = transforms.random_crop(
            voc.read_image(voc.image_path(self.root, image_id)),
            voc.read_target(voc.target_path(self.root, image_id)),
            rng=np.random.default_rng([self.seed, self.epoch, k]),
            **vars(self.augmentation),
        )
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(target)


def training_batches(
    root: Path,
    image_ids: list[str],
    *,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    epoch: int,
    workers: int,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Shuffled full batches of one epoch; what does not fill a batch waits for another epoch.

    Returns:
        a loader of image (N, 3, crop, crop) uint8 and target (N, crop, crop) uint8.
    """
    samples = TrainingSamples(root, image_ids, augmentation, seed, epoch)
    order = np.random.default_rng([seed, epoch]).permutation(len(image_ids)).tolist()
    return DataLoader(
        samples,
        batch_size,
        sampler=order,
        num_workers=workers,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
    )


def whole_images(
    root: Path, index: pd.DataFrame, *, size: int | None, batch_size: int
) -> Iterator[tuple[list[str], Tensor, tuple[int, int]]]:
    """Whole pictures in batches of one original size, none distorted, none padded.

    Args:
        index: rows of index.csv.
        size: long side in pixels to which pictures are resized; None: as they are.
    Yields:
        image ids, image (N, 3, h, w) uint8, and the original (height, width).
    """
    rows = index.sort_values(["height", "width", "image_id"])
    ids, shapes = rows["image_id"].tolist(), list(zip(rows["height"], rows["width"], strict=True))
    for shape, group in groupby(range(len(ids)), key=shapes.__getitem__):
        positions = list(group)
        resized = transforms.resized_size(*shape, size)
        for start in range(0, len(positions), batch_size):
            batch = [ids[k] for k in positions[start : start + batch_size]]
            images = [
                transforms.resize_image(voc.read_image(voc.image_path(root, i)), resized)
                for i in batch
            ]
            yield batch, torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), shape
