"""Scoring a folder of label maps, whichever program has made them.

Pictures are read one after the other; of each only counts are kept. A file that cannot be scored
is named and left out, so that all that is wrong with a folder is known after one run.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segmodels.data import images, layout
from segmodels.evaluation import boundary, confusion, scores, statistics
from segmodels.files import sha256

EVALUATION = 1  # counts up when the same masks get other scores; tests/test_golden.py guards it
MOST_PROBLEMS = 100  # shown of a folder
MOST_CONFUSED = 20  # pairs of classes


@dataclass(frozen=True)
class Void:
    """The label of no class; `predicted` is how it counts in a prediction: "wrong" or "ignore"."""

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
        if self.problems:
            shown = self.problems[:MOST_PROBLEMS]
            more = [f"and {len(self.problems) - len(shown)} more"] * (
                len(self.problems) > len(shown)
            )
            count = f"{len(self.problems)} pictures cannot be scored:"
            raise ValueError("\n  ".join([count, *shown, *more]))


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
    scored, problems, distances = list[str](), list[str](), list[int]()
    total = np.zeros((num_classes, num_classes), dtype=np.int64)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("all", *boundary.NAMES)}
    for image_id in image_ids:
        path = prediction_path(predictions, image_id)
        try:
            target, prediction = read(layout.target_path(root, image_id), path)
            one = _count(path, target, prediction, Void(ignore_index, undecided), num_classes)
        except ValueError as error:
            problems.append(str(error))
            continue
        for name, overlap in one.overlaps.items():
            found[name].append(overlap)
        total += one.confusion
        scored.append(image_id)
        distances.append(boundary.distance(target.shape))
    arrays = {name: _stacked(overlaps, num_classes) for name, overlaps in found.items()}
    everywhere = arrays.pop("all")
    return Counts(scored, total, everywhere, arrays, np.array(distances, np.int64), problems)


def _stacked(overlaps: list[np.ndarray], num_classes: int) -> np.ndarray:
    """(n, 3, C) int64, also of none."""
    return np.array(overlaps, dtype=np.int64).reshape(-1, 3, num_classes)


def prediction_path(predictions: str | Path, image_id: str) -> Path:
    return Path(predictions) / f"{image_id}.png"


def metrics(counts: Counts) -> dict[str, float | int | None]:
    """Number of pictures and all scores of a folder, fractions 0..1.

    Returns:
        images; those of scores.summarize; miou_low and miou_high, the interval of statistics.py;
        {band}_miou for each of boundary.NAMES, None where a band has no pixel.
    Raises:
        ValueError: no pixel counts.
    """
    summary = scores.summarize(counts.confusion)
    ((low, high),) = statistics.intervals(counts.overlap[None], np.ones((1, 1)))
    return {
        "images": len(counts.image_ids),
        **summary,
        **{"miou_low": float(low), "miou_high": float(high)},
        **scores.band_scores(counts.bands),
    }


def tables(
    counts: Counts, classes: list[str], groups: Mapping[str, Sequence[str]]
) -> dict[str, pd.DataFrame]:
    """All that is known of a folder but its metrics, see the functions of scores.py."""
    ids, at_boundary = counts.image_ids, counts.bands["boundary"]
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
    """With what and how a folder was scored: what has to be equal before scores are compared.

    Returns:
        `evaluation`, which scores the code computes; SHA-256 of the list of image ids, of the
        targets and of the predictions (which alone may differ); widths of the bands in pixels; how
        the interval was drawn.
    """
    ids = counts.image_ids
    narrowest, widest = min(counts.distances, default=0), max(counts.distances, default=0)
    return {
        "evaluation": EVALUATION,
        "ids_sha256": hashlib.sha256("".join(f"{i}\n" for i in ids).encode()).hexdigest(),
        "targets_sha256": digest(layout.target_path(root, i) for i in ids),
        "predictions_sha256": digest(prediction_path(predictions, i) for i in ids),
        "boundary_pixels": [int(narrowest), int(widest)],
        "boundary_share_of_diagonal": boundary.DIAGONAL_SHARE,
        "trimap_pixels": list(boundary.TRIMAP_WIDTHS),
        "bootstrap": {
            "resamples": statistics.RESAMPLES,
            "seed": statistics.SEED,
            "level": statistics.LEVEL,
        },
    }


def digest(paths: Iterable[Path]) -> str:
    """Hex SHA-256 of files in the order given: what `sha256sum FILE... | sha256sum` prints."""
    lines = "".join(f"{sha256(path)}  {path.name}\n" for path in paths)
    return hashlib.sha256(lines.encode()).hexdigest()


@dataclass(frozen=True)
class _One:
    """Counts of one picture, see `Counts`."""

    confusion: np.ndarray
    overlaps: dict[str, np.ndarray]


def _count(
    path: Path,
    target: np.ndarray,
    prediction: np.ndarray,
    void: Void,
    num_classes: int,
) -> _One:
    """Counts of one picture; what is wrong with its prediction names the file."""
    if target.shape != prediction.shape:
        turned = target.shape == prediction.shape[::-1]
        hint = "; is one of them turned, as EXIF says or a program did?" * turned
        sizes = f"target is {target.shape}, prediction is {prediction.shape}"
        raise ValueError(f"{path}: {sizes}{hint}")
    open_ = (prediction == void.label) & (target != void.label)
    if open_.any() and void.predicted is None:
        raise ValueError(
            f"{path}: {int(open_.sum()):,} pixels are predicted as void ({void.label}): "
            "--undecided wrong counts them as wrong, --undecided ignore leaves them out"
        )
    decided = np.where(open_, void.label, target).astype(target.dtype)
    if void.predicted == "ignore":
        target = decided
    kinds: dict[str, Any] = {"num_classes": num_classes, "ignore_index": void.label}
    try:
        one = confusion.confusion_matrix(target=decided, prediction=prediction, **kinds)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    everywhere = scores.overlap(one)
    if void.predicted == "wrong":
        everywhere[1] += np.bincount(target[open_], minlength=256)[:num_classes]
    bands = boundary.overlaps(target=target, prediction=prediction, **kinds)
    return _One(one, {"all": everywhere, **bands})


def _read_both(target: Path, prediction: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two label maps."""
    return _read(target), _read(prediction)


def _read(path: Path) -> np.ndarray:
    """A label map; a file that is none is a ValueError of one line."""
    try:
        return images.read_target(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: missing") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
