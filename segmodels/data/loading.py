"""Samples and batches: from files to uint8 tensors, the same whatever the number of workers."""

import signal
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segmodels.core.files import write_bytes
from segmodels.data import layout, transforms
from segmodels.data.augment import RandomCrop
from segmodels.data.images import read_image, read_target

WholeImages = tuple[list[str], Tensor, Tensor | None, tuple[int, int]]
Reader = Callable[[Path], np.ndarray]


class Loader(DataLoader[Any]):
    """A DataLoader whose failures are one line, of an unreadable image or of a dead worker.

    Torch's own loader would pack an error that a worker raises into the worker's traceback, so here
    a worker returns it (`_result_or_error`) and the consumer raises it. It leaves torch's global
    random state alone.
    """

    def __init__(self, dataset: Dataset[Any], **options: Any) -> None:
        super().__init__(
            dataset,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # for the workers' seeds, which nothing here uses
            collate_fn=_unchanged,
            **options,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            for batch in _without_sigchld_handler(super().__iter__):
                if isinstance(batch, Exception):
                    raise batch
                yield batch
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            first_line = str(error).partition("\n")[0]
            raise OSError(
                f"{first_line}: was it killed for memory? Try fewer workers: SEGMODELS_WORKERS=2, "
                "or 0 for none"
            ) from None


class _Crops(Dataset[Any]):
    """Random crops of a training set; item k of epoch e depends on (seed, e, k) alone."""

    def __init__(
        self,
        root: Path,
        image_ids: list[str],
        *,
        crop: RandomCrop,
        seed: int,
        epoch: int,
        decoded: Path | None,
    ) -> None:
        self.root = root
        self.image_ids = image_ids
        self.crop = crop
        self.seed = seed
        self.epoch = epoch
        self.decoded = decoded

    def __getitems__(self, positions: list[int]) -> tuple[Tensor, Tensor] | Exception:
        """A batch: image (N, 3, crop, crop) uint8 and target (N, crop, crop) uint8."""
        return _result_or_error(lambda: self._batch(positions))

    def _batch(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        images, targets = zip(*map(self._sample, positions), strict=True)
        return _channels_first(images), torch.from_numpy(np.stack(targets))

    def _sample(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """image (crop, crop, 3) and target (crop, crop)."""
        image_path = layout.image_path(self.root, self.image_ids[k])
        target_path = layout.target_path(self.root, self.image_ids[k])
        image = self._read(read_image, image_path)
        target = self._read(read_target, target_path)
        _check_size(image_path, image, target.shape, "its target")
        return self.crop(image, target, np.random.default_rng([self.seed, self.epoch, k]))

    def _read(self, reader: Reader, path: Path) -> np.ndarray:
        """An image or target, from the folder of decoded ones if there is such a folder."""
        return _read_decoded(reader, path, self.decoded) if self.decoded else reader(path)


class _WholeImages(Dataset[Any]):
    """Batches of whole images, each of one original size."""

    def __init__(
        self,
        root: Path,
        batches: list[tuple[list[str], tuple[int, int]]],
        *,
        size: int | None,
        targets: bool,
        as_stored: bool,
    ) -> None:
        self.root = root
        self.batches = batches
        self.size = size
        self.targets = targets
        self.as_stored = as_stored

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, k: int) -> WholeImages | Exception:
        return _result_or_error(lambda: self._batch(*self.batches[k]))

    def _batch(self, ids: list[str], shape: tuple[int, int]) -> WholeImages:
        images = self._read(read_image, layout.image_path, ids, shape)
        if not self.as_stored:
            size = transforms.seen_size(*shape, self.size)
            images = [transforms.resize_image(image, size) for image in images]
        image = _channels_first(images)
        if not self.targets:
            return ids, image, None, shape
        targets = self._read(read_target, layout.target_path, ids, shape)
        return ids, image, torch.from_numpy(np.stack(targets)), shape

    def _read(
        self,
        reader: Reader,
        path_of: Callable[[Path, str], Path],
        ids: list[str],
        shape: tuple[int, int],
    ) -> list[np.ndarray]:
        """Images or targets, each of the size that the index says."""
        arrays = []
        for image_id in ids:
            path = path_of(self.root, image_id)
            array = reader(path)
            _check_size(path, array, shape, "its row of index.csv")
            arrays.append(array)
        return arrays


def epoch_batches(count: int, *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Positions of each step's images; what does not fill a batch waits for another epoch.

    Args:
        count: images of the training set.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count).tolist()
    starts = range(0, count - batch_size + 1, batch_size)
    return [order[start : start + batch_size] for start in starts]


def training_batches(
    root: Path,
    image_ids: list[str],
    batches: list[list[int]],
    *,
    crop: RandomCrop,
    seed: int,
    epoch: int,
    workers: int,
    decoded: Path | None,
) -> Loader:
    """Random crops of some batches; each depends on (seed, epoch, position) alone.

    Args:
        batches: positions in image_ids, from `epoch_batches` or some of them.
        workers: processes that read; 0: this one.
        decoded: folder, of these very images, where they are kept decoded; later epochs read only
            the pixels of a crop from it. None: they are decoded each time.
    Returns:
        a loader of image (N, 3, crop, crop) uint8 and target (N, crop, crop) uint8.
    Raises:
        OSError, ValueError: on iteration, an image cannot be read, or a worker died.
    """
    crops = _Crops(root, image_ids, crop=crop, seed=seed, epoch=epoch, decoded=decoded)
    return Loader(crops, batch_sampler=batches, num_workers=workers)


def whole_images(
    root: Path,
    index: pd.DataFrame,
    *,
    size: int | None,
    batch_size: int,
    targets: bool = False,
    as_stored: bool = False,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Loader:
    """Whole images in batches of one original size, as `transforms.seen_size` says, none padded.

    Args:
        index: rows of index.csv.
        size: long side in pixels to which images are resized; None: as they are, if no side is
            shorter than 32.
        targets: whether targets are read as well.
        as_stored: images are not resized, whatever their sides; `testtime` does that.
        workers: processes that read; 0: this one.
        share: (k, n), every n-th batch from the k-th on: a process's part of the work of n.
    Returns:
        a loader of image ids, image (N, 3, h, w) uint8, target (N, H, W) uint8 or None, and the
        original (H, W).
    Raises:
        OSError, ValueError: on iteration, an image cannot be read, or a worker died.
    """
    first, step = share
    batches = _batches_of_one_size(index, batch_size)[first::step]
    images = _WholeImages(root, batches, size=size, targets=targets, as_stored=as_stored)
    return Loader(images, batch_size=None, num_workers=workers)


def _batches_of_one_size(
    index: pd.DataFrame, batch_size: int
) -> list[tuple[list[str], tuple[int, int]]]:
    """Image ids of each batch and their (height, width), the smallest images first."""
    batches = []
    rows = index.sort_values(["height", "width", "image_id"])
    for _, group in rows.groupby(["height", "width"]):
        shape = (int(group["height"].iloc[0]), int(group["width"].iloc[0]))
        ids = group["image_id"].tolist()
        for start in range(0, len(ids), batch_size):
            batches.append((ids[start : start + batch_size], shape))
    return batches


def _check_size(path: Path, array: np.ndarray, expected: tuple[int, ...], what: str) -> None:
    """Refuse an image of another size than its index or its target has."""
    size = array.shape[:2]
    if size != expected:
        raise ValueError(
            f"{path}: {size[0]} x {size[1]} pixels (height x width), "
            f"{what} has {expected[0]} x {expected[1]}"
        )


def _read_decoded(reader: Reader, path: Path, decoded: Path) -> np.ndarray:
    """The decoded file, mapped into memory; made or, if it is damaged, made again."""
    copy = decoded / path.parent.name / f"{path.stem}.npy"
    try:
        return np.load(copy, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # not there; cut off or not of numpy; empty
        array = reader(path)
    content = BytesIO()
    np.save(content, array)
    write_bytes(copy, content.getvalue())
    return array


def _channels_first(images: Any) -> Tensor:
    """(H, W, 3) arrays -> (N, 3, H, W), the pixels staying where they are: channels-last."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _result_or_error(read: Callable[[], Any]) -> Any:
    """What `read` returns, or the error that it raises for a bad file."""
    try:
        return read()
    except (OSError, ValueError) as error:
        return error


def _unchanged(batch: Any) -> Any:
    return batch


def _without_sigchld_handler(start: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Start workers without torch's handler of SIGCHLD.

    It would raise in whatever line the main thread happens to be; without it the loader finds a
    dead worker when it waits for a batch, within five seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        return start()
    handler = signal.getsignal(signal.SIGCHLD)
    iterator = start()
    signal.signal(signal.SIGCHLD, handler)
    return iterator
