"""A folder of masks as anybody may submit it: found by name, read by what each file says of itself.

A mask is called <image_id>.png (or has another format of masks.py), or <image_id>_<model>_mask.png
as `segmodels predict` calls it. A mask is refused if its palette gives a value the colour that the
targets give to another value: a person has to say whether value or colour counts.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segmodels.config.schema import Dataset
from segmodels.data import images, layout, masks
from segmodels.data.palettes import Colour, Palettes
from segmodels.data.sources import tidy
from segmodels.evaluation import scores
from segmodels.evaluation.score_masks import Counts, one_line_errors

ADVICE = "--read colour or --read index says which of both counts"
MASK_ENDING = "_mask"  # of the names that `segmodels predict` gives to masks
OTHER_ENDINGS = ("_overlay", "_comparison")  # of its other pictures, which are no masks
MOST_CLASSES = 10  # names that a note lists


class Folder:
    """Where the mask of each image lies.

    Args:
        predictions: the folder of masks.
        root: VOC tree with the targets.
        model: whose masks to take, where `segmodels predict` wrote those of several models.
    """

    def __init__(self, predictions: Path, root: Path, model: str | None = None) -> None:
        if predictions.exists() and not predictions.is_dir():
            raise ValueError(f"{predictions}: a file, expected a folder of masks")
        self.predictions = predictions
        self.root = root
        self.model = model
        self.by_stem = tidy.by_id(predictions, masks.SUFFIXES)
        self.targets = tidy.by_id(root / "SegmentationClass", masks.SUFFIXES)
        self.used: set[Path] = set()

    def target(self, image_id: str) -> Path:
        """The target of an image; where there is none, the path that it should have."""
        if image_id in self.targets:
            return self.targets[image_id][0]
        return layout.target_path(self.root, image_id)

    def place(self, image_id: str) -> Path:
        """The mask of an image; where there is none, the path that it should have.

        Raises:
            ValueError: there are several.
        """
        paths = self.by_stem.get(image_id) or self._predicted(image_id)
        if not paths:
            return self.predictions / f"{image_id}.png"
        self.used.update(paths)
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            advice = "expected one" if image_id in self.by_stem else "--model says whose"
            raise ValueError(f"{self.predictions}: {names} are masks of one image; {advice}")
        return paths[0]

    def unused(self) -> int:
        """How many files were not read, in sub-folders too; without hidden ones."""
        count = 0
        for path in self.predictions.rglob("*"):
            hidden = path.name.startswith(".")
            if path.is_dir() or hidden or path.stem.endswith(OTHER_ENDINGS):
                continue
            if path not in self.used:
                count += 1
        return count

    def _predicted(self, image_id: str) -> list[Path]:
        """The masks that `segmodels predict` made of an image."""
        if self.model:
            return self.by_stem.get(f"{image_id}_{self.model}{MASK_ENDING}", [])
        begin = f"{image_id}_"
        others = tuple(f"{other}_" for other in self.targets if other.startswith(begin))
        paths = []
        for stem in self.by_stem:
            mine = stem.startswith(begin) and not stem.startswith(others)
            if mine and stem.endswith(MASK_ENDING):
                paths += self.by_stem[stem]
        return paths


class Reader:
    """Reads target and prediction, and compares what their palettes say.

    Args:
        data: what values and colours mean.
        read: "index" or "colour": what counts in a prediction; None: both, and they have to agree.
        files: where the predictions lie.
    """

    def __init__(self, data: Dataset, read: str | None, files: Folder) -> None:
        self.data = data
        self.files = files
        self.read = read
        count = len(data.classes)
        self.target_palettes: Palettes | None = None
        if data.masks == "auto":
            self.target_palettes = Palettes(data.palette, classes=count, strict=False)
        self.palettes: Palettes | None = None  # of predictions
        if read is None:
            self.palettes = Palettes(data.palette, classes=count, advice=ADVICE)

    def __call__(self, target: Path, prediction: Path) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) uint8 label maps.

        Args:
            target: where the target's PNG would lie.
            prediction: where the prediction's PNG would lie; its name is the image id.
        Raises:
            ValueError: target or prediction cannot be read; names the file.
        """
        image_id = prediction.stem
        true_labels = _read(self.files.target(image_id), self.data, self.target_palettes)
        path = self.files.place(image_id)
        labels = self._prediction(path)
        if self.palettes is not None:
            self._compare(path, self.palettes.colours)
        return true_labels, labels

    def _prediction(self, path: Path) -> np.ndarray:
        """A prediction.

        In a data set with `labels`, which translates the values of targets, it may hold labels or
        such values. It is refused if it can be read in both ways with different results.
        """
        as_labels = self._meaning()
        if not self.data.labels or (path.exists() and _is_marked(path)):
            return _read(path, as_labels, self.palettes)
        as_values = as_labels.model_copy(update={"labels": self.data.labels})
        attempts: list[np.ndarray] = []
        errors: list[ValueError] = []
        for meaning in (as_labels, as_values):
            try:
                attempts.append(_read(path, meaning, self.palettes))
            except ValueError as error:
                errors.append(error)
        if not attempts:
            raise errors[0]
        if len(attempts) == 2 and not np.array_equal(attempts[0], attempts[1]):
            raise ValueError(
                f"{path}: its values may be labels, 0 to {len(self.data.classes) - 1}, or values "
                "as in the targets, which `labels` of the data set translates; save it as "
                "`segmodels predict` does, or leave `labels` out of a data set for evaluation"
            )
        return attempts[0]

    def _meaning(self) -> Dataset:
        """What values and colours of a prediction mean; colours mean what the targets' do."""
        palette = self.data.palette
        if palette is None and self.read == "colour":
            palette = []
            for label, colour in enumerate(images.palette()[: len(self.data.classes)].tolist()):
                palette.append(self._target_colours().get(label, (*colour,)))
        changes = {"masks": self.read or "auto", "labels": None, "palette": palette}
        return self.data.model_copy(update=changes)

    def _compare(self, path: Path, colours: Mapping[int, Colour]) -> None:
        """Refuse a prediction that gives a value the colour that the targets give to another."""
        value_of = {colour: value for value, colour in self._target_colours().items()}
        for value, colour in colours.items():
            if value_of.get(colour, value) != value:
                raise ValueError(
                    f"{path}: its palette gives {value} the colour {colour}, which is that of "
                    f"{value_of[colour]} in the targets; {ADVICE}"
                )

    def _target_colours(self) -> Mapping[int, Colour]:
        """Value -> colour, as far as the palettes of the targets have been read."""
        return self.target_palettes.colours if self.target_palettes else {}


def doubts(counts: Counts, data: Dataset, name: str) -> tuple[str | None, list[str]]:
    """Why a folder's scores may mean nothing.

    Args:
        name: of the data set, for the advice.
    Returns:
        a reason to refuse the scores or None, and notes for who reads them.
    """
    _, true_pixels, _ = counts.overlap.sum(0)
    absent = []
    for class_name, pixels in zip(data.classes, true_pixels, strict=True):
        if pixels == 0 and class_name not in data.allow_absent:
            absent.append(class_name)
    if not absent:
        return None, []
    if (true_pixels > 0).sum() == 1:
        only = data.classes[int(np.argmax(true_pixels))]
        refusal = (
            f"the targets hold {only} and void alone, so that every mask would be right: is "
            f"{data.void}, which is void, a class? `datasets.{name}.labels` says so, as "
            f"{{0: {data.classes[0]}, {data.void}: {absent[0]}}}; where it is meant so, "
            f"`allow_absent: [{', '.join(absent)}]`"
        )
        return refusal, []
    names = ", ".join(absent[:MOST_CLASSES])
    if len(absent) > MOST_CLASSES:
        names += ", ..."
    return None, [f"no pixel of {names} in the targets"]


def table(counts: Counts, classes: list[str]) -> str:
    """Scores for people: a line for each class, then those over all."""
    overlap = counts.overlap.sum(0)
    summary = scores.of_overlap(overlap)
    width = max(map(len, classes))
    lines = [f"{'class':<{width}}     IoU  accuracy  true pixels"]
    each = zip(
        classes,
        scores.overlap_iou(overlap),
        scores.overlap_accuracy(overlap),
        overlap[1],
        strict=True,
    )
    for name, iou, accuracy, pixels in each:
        lines.append(f"{name:<{width}} {_percent(iou):>7} {_percent(accuracy):>9} {pixels:>12,}")
    overall = {
        f"mIoU over the {summary['classes_counted']} classes in truth or prediction": "miou",
        f"mIoU over the {summary['classes_present']} classes in the truth": "miou_present",
        "frequency-weighted IoU": "fw_iou",
        "pixel accuracy": "pixel_acc",
        "mean class accuracy": "mean_acc",
    }
    for name, key in overall.items():
        lines.append(f"{name}: {summary[key]:.4%}")
    return "\n".join(lines)


def _is_marked(path: Path) -> bool:
    """Whether a prediction says that its values are labels; what cannot be read does not."""
    try:
        return masks.is_marked(path)
    except (OSError, ValueError):
        return False


def _read(path: Path, data: Dataset, palettes: Palettes | None) -> np.ndarray:
    with one_line_errors(path):
        return masks.read(path, data, palettes)


def _percent(score: float) -> str:
    """A fraction for people; "-" where there is none."""
    return "-" if np.isnan(score) else f"{score:.2%}"
