"""Scoring a folder of label maps, whichever program made them.

Pictures are read one after the other, and only their counts stay in memory. A file that cannot be
scored is named and left out, so that one run tells everything that is wrong with a folder.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmodels.core.files import sha256
from segmodels.data import images, layout
from segmodels.evaluation import bootstrap, boundary, confusion, scores

EVALUATION = (
    1  # counts up when the same masks get other scores; tests/evaluation/test_golden.py guards it
)
MOST_PROBLEMS = 100  # lines about pictures that cannot be scored
MOST_CONFUSED = 20  # pairs of classes in confused.csv


@dataclass(frozen=True)
class Void:
    """The label of no class.

    Attributes:
        label: its number.
        predicted: how it counts in a prediction, "wrong" or "ignore"; None: it is refused.
    """

    label: int
    predicted: str | None = None


@dataclass(frozen=True)
class Counts:
    """Pixels of a folder's predictions, void left out.

    Attributes:
        image_ids: the n pictures that were scored.
        confusion: (C, C) int64, their sum; rows are true classes.
        overlap: (n, 3, C) int64, pixels right, true and predicted of each picture and class.
        bands: for each of boundary.NAMES the same of the pixels along boundaries.
        distances: (n,) int64, the width in pixels of each picture's band for boundary IoU.
        problems: a line for each picture that was not scored, with the file and the reason.
    """

    image_ids: list[str]
    confusion: np.ndarray
    overlap: np.ndarray
    bands: dict[str, np.ndarray]
    distances: np.ndarray
    problems: list[str]

    def check_complete(self) -> None:
        """Refuse a folder of which not every picture was scored.

        Raises:
            ValueError: a line for each problem.
        """
        if not self.problems:
            return
        lines = [f"{len(self.problems)} pictures cannot be scored:"]
        lines += self.problems[:MOST_PROBLEMS]
        if len(self.problems) > MOST_PROBLEMS:
            lines.append(f"and {len(self.problems) - MOST_PROBLEMS} more")
        raise ValueError("\n  ".join(lines))


def per_image(
    predictions: str | Path,
    root: str | Path,
    image_ids: Iterable[str],
    *,
    num_classes: int,
    ignore_index: int,
    read: Callable[[Path, Path], tuple[np.ndarray, np.ndarray]] | None = None,
    undecided: str | None = None,
) -> Counts:
    """Count a folder of predictions, picture by picture.

    Args:
        predictions: holds <image_id>.png, a label map of the picture's size, palette or greyscale.
        root: VOC tree with the targets.
        read: gives target and prediction of two such paths; None: both are label maps.
        undecided: how a predicted void counts: "wrong", "ignore" (as if the target were void), or
            None: its picture is not scored.
    """
    read = read or _read_both
    void = Void(ignore_index, undecided)
    collected = _Collected(num_classes)
    for image_id in image_ids:
        path = prediction_path(predictions, image_id)
        try:
            target, prediction = read(layout.target_path(root, image_id), path)
            image = _count(path, target, prediction, void, num_classes)
        except ValueError as error:
            collected.problems.append(str(error))
        else:
            collected.add(image_id, image)
    return collected.counts()


def prediction_path(predictions: str | Path, image_id: str) -> Path:
    return Path(predictions) / f"{image_id}.png"


def metrics(counts: Counts) -> dict[str, float | int | None]:
    """Number of pictures and all scores of a folder, fractions 0..1.

    Returns:
        images; those of scores.summarize; miou_low and miou_high, the interval of bootstrap.py;
        {band}_miou for each of boundary.NAMES, None where a band has no pixel.
    Raises:
        ValueError: no pixel counts.
    """
    metrics: dict[str, float | int | None] = {"images": len(counts.image_ids)}
    metrics |= scores.summarize(counts.confusion)
    ((low, high),) = bootstrap.intervals(counts.overlap[None], np.ones((1, 1)))
    metrics["miou_low"] = float(low)
    metrics["miou_high"] = float(high)
    metrics |= scores.band_scores(counts.bands)
    return metrics


def tables(
    counts: Counts, classes: list[str], groups: Mapping[str, Sequence[str]]
) -> dict[str, pd.DataFrame]:
    """Every table of a folder by the name of its file, see the functions of scores.py."""
    ids = counts.image_ids
    at_boundary = counts.bands["boundary"]
    confusions = scores.confusion_table(counts.confusion, classes)
    return {
        "per_class": scores.per_class_table(counts.confusion, at_boundary.sum(0), classes),
        "groups": scores.groups_table(counts.confusion, classes, groups),
        "confusion": confusions,
        "confused": scores.confused(confusions, MOST_CONFUSED),
        "images": scores.images_table(ids, counts.overlap, at_boundary),
        "image_classes": scores.overlap_table(ids, counts.overlap, classes),
    }


def protocol(predictions: str | Path, root: str | Path, counts: Counts) -> dict[str, Any]:
    """What has to be equal, the predictions aside, before the scores of two folders are compared.

    Returns:
        evaluation: the version of the scores that the code computes.
        SHA-256 of the list of image ids, of the targets and of the predictions; widths of the bands
        in pixels; how the interval was drawn.
    """
    ids = counts.image_ids
    narrowest = min(counts.distances, default=0)
    widest = max(counts.distances, default=0)
    return {
        "evaluation": EVALUATION,
        "ids_sha256": hashlib.sha256("".join(f"{i}\n" for i in ids).encode()).hexdigest(),
        "targets_sha256": digest(layout.target_path(root, i) for i in ids),
        "predictions_sha256": digest(prediction_path(predictions, i) for i in ids),
        "boundary_pixels": [int(narrowest), int(widest)],
        "boundary_share_of_diagonal": boundary.DIAGONAL_SHARE,
        "trimap_pixels": list(boundary.TRIMAP_WIDTHS),
        "bootstrap": {
            "resamples": bootstrap.RESAMPLES,
            "seed": bootstrap.SEED,
            "level": bootstrap.LEVEL,
        },
    }


def digest(paths: Iterable[Path]) -> str:
    """Hex SHA-256 of files in their order: what `sha256sum FILE... | sha256sum` prints."""
    lines = "".join(f"{sha256(path)}  {path.name}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True)
class _ImageCounts:
    """Counts of one picture, see `Counts`."""

    confusion: np.ndarray  # (C, C)
    overlap: np.ndarray  # (3, C)
    bands: dict[str, np.ndarray]  # (3, C) each
    distance: int


class _Collected:
    """The counts of the pictures so far."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.image_ids: list[str] = []
        self.confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
        self.overlaps: list[np.ndarray] = []
        self.bands: dict[str, list[np.ndarray]] = {name: [] for name in boundary.NAMES}
        self.distances: list[int] = []
        self.problems: list[str] = []

    def add(self, image_id: str, image: _ImageCounts) -> None:
        self.image_ids.append(image_id)
        self.confusion += image.confusion
        self.overlaps.append(image.overlap)
        self.distances.append(image.distance)
        for name in boundary.NAMES:
            self.bands[name].append(image.bands[name])

    def counts(self) -> Counts:
        return Counts(
            image_ids=self.image_ids,
            confusion=self.confusion,
            overlap=self._stacked(self.overlaps),
            bands={name: self._stacked(self.bands[name]) for name in boundary.NAMES},
            distances=np.array(self.distances, np.int64),
            problems=self.problems,
        )

    def _stacked(self, overlaps: list[np.ndarray]) -> np.ndarray:
        """(n, 3, C) int64; n may be 0."""
        return np.array(overlaps, dtype=np.int64).reshape(-1, 3, self.num_classes)


def _count(
    path: Path,
    target: np.ndarray,
    prediction: np.ndarray,
    void: Void,
    num_classes: int,
) -> _ImageCounts:
    """Counts of one picture; what is wrong with its prediction names the file."""
    _check_size(path, target, prediction)
    undecided = (prediction == void.label) & (target != void.label)
    if undecided.any() and void.predicted is None:
        raise ValueError(
            f"{path}: {int(undecided.sum()):,} pixels are predicted as void ({void.label}): "
            "--undecided wrong counts them as wrong, --undecided ignore leaves them out"
        )
    decided = np.where(undecided, void.label, target).astype(target.dtype)
    if void.predicted == "ignore":
        target = decided
    labels: dict[str, Any] = {"num_classes": num_classes, "ignore_index": void.label}
    try:
        matrix = confusion.confusion_matrix(target=decided, prediction=prediction, **labels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    overlap = scores.overlap(matrix)
    if void.predicted == "wrong":
        _, true_pixels, _ = overlap
        true_pixels += np.bincount(target[undecided], minlength=256)[:num_classes]
    bands = boundary.overlaps(target=target, prediction=prediction, **labels)
    return _ImageCounts(matrix, overlap, bands, boundary.distance(target.shape))


def _check_size(path: Path, target: np.ndarray, prediction: np.ndarray) -> None:
    if target.shape == prediction.shape:
        return
    hint = ""
    if target.shape == prediction.shape[::-1]:
        hint = "; is one of them turned, as EXIF says or a program did?"
    sizes = f"target is {target.shape}, prediction is {prediction.shape}"
    raise ValueError(f"{path}: {sizes}{hint}")


@contextmanager
def one_line_errors(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file into a ValueError of one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise ValueError(f"{path}: missing") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _read_both(target: Path, prediction: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two label maps."""
    return _read(target), _read(prediction)


def _read(path: Path) -> np.ndarray:
    with one_line_errors(path):
        return images.read_target(path)
