"""Samples and batches: from files to uint8 tensors, the same whatever the number of workers."""

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segmodels.data import transforms, voc
from segmodels.files import write_bytes

WholeImages = tuple[list[str], Tensor, Tensor | None, tuple[int, int]]


@dataclass(frozen=True)
class Augmentation:
    """Arguments of `transforms.random_crop`; `fill` is an RGB value, 0..255."""

    crop_size: int
    base_size: int | None
    scale: tuple[float, float]
    flip: bool
    ignore_index: int
    fill: tuple[int, ...]


class Loader(DataLoader[Any]):
    """A DataLoader whose failures are a line: an unreadable picture's own, a dead worker's advice.

    Torch's own loader would pack an error that a worker raises into the worker's traceback, so here
    a worker returns it (`_returned`) and the consumer raises it. It leaves torch's global random
    state alone.
    """

    def __init__(self, dataset: Dataset[Any], **options: Any) -> None:
        super().__init__(
            dataset,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # for the workers' seeds, which nothing here uses
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
            raise OSError(
                f"{str(error).partition(chr(10))[0]}: was it killed for memory? Try fewer workers: "
                "SEGMODELS_WORKERS=2, or 0 for none"
            ) from None


class _Crops(Dataset[Any]):
    """Random crops of a training set; item k of epoch e depends on (seed, e, k) alone."""

    def __init__(
        self,
        root: Path,
        image_ids: list[str],
        *,
        augmentation: Augmentation,
        seed: int,
        epoch: int,
        decoded: Path | None,
    ) -> None:
        self.root, self.image_ids, self.decoded = root, image_ids, decoded
        self.augmentation, self.seed, self.epoch = augmentation, seed, epoch

    def __getitems__(self, positions: list[int]) -> tuple[Tensor, Tensor] | Exception:
        """A batch: image (N, 3, crop, crop) uint8 and target (N, crop, crop) uint8."""
        return _returned(lambda: self._batch(positions))

    def _batch(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        images, targets = zip(*map(self._sample, positions), strict=True)
        return _channels_first(images), torch.from_numpy(np.stack(targets))

    def _sample(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """image (crop, crop, 3) and target (crop, crop)."""
        image_path = voc.image_path(self.root, self.image_ids[k])
        target_path = voc.target_path(self.root, self.image_ids[k])
        image = _read(voc.read_image, image_path, self.decoded)
        target = _read(voc.read_target, target_path, self.decoded)
        _check_size(image_path, image, target.shape, "its target")
        return transforms.random_crop(
            image,
            target,
            rng=np.random.default_rng([self.seed, self.epoch, k]),
            **vars(self.augmentation),
        )


class _WholeImages(Dataset[Any]):
    """Batches of whole pictures, each of one original size."""

    def __init__(
        self,
        root: Path,
        batches: list[tuple[list[str], tuple[int, int]]],
        *,
        size: int | None,
        targets: bool,
        as_stored: bool,
    ) -> None:
        self.root, self.batches, self.size, self.targets = root, batches, size, targets
        self.as_stored = as_stored

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, k: int) -> WholeImages | Exception:
        return _returned(lambda: self._batch(*self.batches[k]))

    def _batch(self, ids: list[str], shape: tuple[int, int]) -> WholeImages:
        images = self._read(voc.read_image, voc.image_path, ids, shape)
        if not self.as_stored:
            seen = transforms.seen_size(*shape, self.size)
            images = [transforms.resize_image(image, seen) for image in images]
        image = _channels_first(images)
        if not self.targets:
            return ids, image, None, shape
        targets = self._read(voc.read_target, voc.target_path, ids, shape)
        return ids, image, torch.from_numpy(np.stack(targets)), shape

    def _read(
        self,
        reader: Callable[[Path], np.ndarray],
        place: Callable[[Path, str], Path],
        ids: list[str],
        shape: tuple[int, int],
    ) -> list[np.ndarray]:
        """Pictures or targets, each of the size that the index says."""
        paths = [place(self.root, image_id) for image_id in ids]
        arrays = [reader(path) for path in paths]
        for path, array in zip(paths, arrays, strict=True):
            _check_size(path, array, shape, "its row of index.csv")
        return arrays


def epoch_batches(count: int, *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Positions of each step's pictures; what does not fill a batch waits for another epoch.

    Args:
        count: pictures of the training set.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count).tolist()
    starts = range(0, count - batch_size + 1, batch_size)
    return [order[start : start + batch_size] for start in starts]


def training_batches(
    root: Path,
    image_ids: list[str],
    batches: list[list[int]],
    *,
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    workers: int,
    decoded: Path | None,
) -> Loader:
    """Random crops of the given batches; each depends on (seed, epoch, position) alone.

    Args:
        batches: positions in image_ids, from `epoch_batches` or some of them.
        workers: processes that read; 0: this one.
        decoded: folder, of these very pictures, where they are kept decoded; later epochs read
            only the pixels of a crop from it. None: they are decoded each time.
    Returns:
        a loader of image (N, 3, crop, crop) uint8 and target (N, crop, crop) uint8.
    Raises:
        OSError, ValueError: on iteration, a picture cannot be read, or a worker died.
    """
    crops = _Crops(
        root, image_ids, augmentation=augmentation, seed=seed, epoch=epoch, decoded=decoded
    )
    return Loader(crops, batch_sampler=batches, num_workers=workers, collate_fn=_as_it_is)


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
    """Whole pictures in batches of one original size, as `transforms.seen_size` says, none padded.

    Args:
        index: rows of index.csv.
        size: long side in pixels to which pictures are resized; None: as they are, if no side is
            shorter than 32.
        targets: whether targets are read as well.
        as_stored: pictures are not resized, whatever their sides; `testtime` does that.
        workers: processes that read; 0: this one.
        share: (k, n), every n-th batch from the k-th on: a process's part of the work of n.
    Returns:
        a loader of image ids, image (N, 3, h, w) uint8, target (N, H, W) uint8 or None, and the
        original (H, W).
    Raises:
        OSError, ValueError: on iteration, a picture cannot be read, or a worker died.
    """
    rows = index.sort_values(["height", "width", "image_id"])
    shapes = zip(rows["height"].tolist(), rows["width"].tolist(), strict=True)
    batches = []
    for shape, group in groupby(zip(rows["image_id"], shapes, strict=True), key=lambda row: row[1]):
        ids = [image_id for image_id, _ in group]
        batches += [(ids[k : k + batch_size], shape) for k in range(0, len(ids), batch_size)]
    pictures = _WholeImages(
        root, batches[share[0] :: share[1]], size=size, targets=targets, as_stored=as_stored
    )
    return Loader(pictures, batch_size=None, num_workers=workers, collate_fn=_as_it_is)


def _read(
    reader: Callable[[Path], np.ndarray], path: Path, decoded: Path | None = None
) -> np.ndarray:
    """A picture or target, from the folder of decoded ones if there is such a folder."""
    return reader(path) if decoded is None else _kept(reader, path, decoded)


def _check_size(path: Path, array: np.ndarray, expected: tuple[int, ...], what: str) -> None:
    """Refuse a picture of another size than its index or its target has."""
    if array.shape[:2] != expected:
        found, wanted = (" x ".join(map(str, size)) for size in (array.shape[:2], expected))
        raise ValueError(f"{path}: {found} pixels (height x width), {what} has {wanted}")


def _kept(reader: Callable[[Path], np.ndarray], path: Path, decoded: Path) -> np.ndarray:
    """The decoded file, mapped into memory; made or, if it is damaged, made again."""
    kept = decoded / path.parent.name / f"{path.stem}.npy"
    try:
        return np.load(kept, mmap_mode="r")
    except (OSError, ValueError, EOFError):  # not there; cut off or not of numpy; empty
        array = reader(path)
    content = BytesIO()
    np.save(content, array)
    write_bytes(kept, content.getvalue())
    return array


def _channels_first(images: Any) -> Tensor:
    """(H, W, 3) arrays -> (N, 3, H, W), the pixels staying where they are: channels-last."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _returned(read: Callable[[], Any]) -> Any:
    """What `read` returns, or the error that it raises for a bad file."""
    try:
        return read()
    except (OSError, ValueError) as error:
        return error


def _as_it_is(batch: Any) -> Any:
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
