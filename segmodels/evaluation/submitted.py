"""A folder of masks as anybody may hand it in: found by name, read by what it says of itself.

Masks are called <image_id>.png, in another format of masks.py, or as `segmodels predict` calls
them, <image_id>_<model>_mask.png. A palette that gives values other colours than the targets'
palettes do is refused: which of both is meant, a person has to say.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segmodels.data import images, layout, masks, tidy
from segmodels.data.palettes import Colour, Palettes
from segmodels.evaluation.folder import Counts
from segmodels.sections import Dataset

ADVICE = "--read colour or --read index says which of both counts"
WRITTEN = "_mask"  # how the names of `segmodels predict`'s masks end


class Folder:
    """Where the mask of each image lies.

    Args:
        model: of which masks are meant, where `segmodels predict` wrote those of several.
    """

    def __init__(self, predictions: Path, root: Path, model: str | None = None) -> None:
        if predictions.exists() and not predictions.is_dir():
            raise ValueError(f"{predictions}: a file, expected a folder of masks")
        self.predictions, self.root, self.model = predictions, root, model
        self.by_stem = tidy.by_id(predictions, masks.SUFFIXES)
        self.targets = tidy.by_id(root / "SegmentationClass", masks.SUFFIXES)
        self.used: set[Path] = set()

    def target(self, image_id: str) -> Path:
        """The target of an image; where there is none, the path that it should have."""
        return self.targets.get(image_id, [layout.target_path(self.root, image_id)])[0]

    def place(self, image_id: str) -> Path:
        """The mask of an image; where there is none, the path that it should have.

        Raises:
            ValueError: there are several.
        """
        found = self.by_stem.get(image_id) or self._written(image_id)
        if not found:
            return self.predictions / f"{image_id}.png"
        self.used.update(found)
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            advice = "expected one" if image_id in self.by_stem else "--model says whose"
            raise ValueError(f"{self.predictions}: {names} are masks of one image; {advice}")
        return found[0]

    def unused(self) -> int:
        """How many files were not read, in sub-folders too; without hidden ones."""
        drawn = ("_overlay", "_comparison")  # by `segmodels predict`, beside its masks
        inside = [path for path in self.predictions.rglob("*") if not path.is_dir()]
        shown = [path for path in inside if not path.name.startswith(".")]
        return sum(1 for p in shown if p not in self.used and not p.stem.endswith(drawn))

    def _written(self, image_id: str) -> list[Path]:
        """Masks of `segmodels predict`."""
        begin, end = f"{image_id}_", f"{self.model or ''}{WRITTEN}"
        stems = [s for s in self.by_stem if s.startswith(begin) and s.endswith(end)]
        if self.model:
            stems = [stem for stem in stems if stem == begin + end]
        return [path for stem in stems for path in self.by_stem[stem]]


class Reader:
    """Reads target and prediction, and compares what their palettes say.

    Args:
        data: what values and colours mean.
        read: "index" or "colour": what counts in a prediction; None: what both agree on.
        files: where the predictions lie.
    """

    def __init__(self, data: Dataset, read: str | None, files: Folder) -> None:
        self.data, self.files, self.read = data, files, read
        count = len(data.classes)
        self.true: Palettes | None = None
        if data.masks == "auto":
            self.true = Palettes(data.palette, classes=count, strict=False)
        self.found: Palettes | None = None
        if read is None:
            self.found = Palettes(data.palette, classes=count, advice=ADVICE)

    def __call__(self, target: Path, prediction: Path) -> tuple[np.ndarray, np.ndarray]:
        """(H, W) uint8 label maps.

        Args:
            target: where the target's PNG would lie.
            prediction: where the prediction's would; its name is the image id.
        Raises:
            ValueError: one of both cannot be read; names the file.
        """
        image_id = prediction.stem
        truth = _read(self.files.target(image_id), self.data, self.true)
        path = self.files.place(image_id)
        labels = self._prediction(path)
        if self.found is not None:
            self._compare(path, self.found.colours)
        return truth, labels

    def _prediction(self, path: Path) -> np.ndarray:
        """A prediction; where `labels` is given, it may hold labels or values as the targets do."""
        meaning = self._predicted()
        if not self.data.labels or (path.exists() and _is_marked(path)):
            return _read(path, meaning, self.found)
        stored = meaning.model_copy(update={"labels": self.data.labels})
        attempts = list[np.ndarray]()
        refusals = list[ValueError]()
        for each in (meaning, stored):
            try:
                attempts.append(_read(path, each, self.found))
            except ValueError as error:
                refusals.append(error)
        if not attempts:
            raise refusals[0]
        if len(attempts) == 2 and not np.array_equal(attempts[0], attempts[1]):
            raise ValueError(
                f"{path}: its values may be labels, 0 to {len(self.data.classes) - 1}, or values "
                "as in the targets, which `labels` of the data set translates; save it as "
                "`segmodels predict` does, or leave `labels` out of a data set for evaluation"
            )
        return attempts[0]

    def _predicted(self) -> Dataset:
        """What values and colours of a prediction mean; colours count as those of the targets."""
        palette = self.data.palette
        if palette is None and self.read == "colour":
            known = self.true.colours if self.true else {}
            usual = images.palette()[: len(self.data.classes)].tolist()
            palette = [known.get(label, (*colour,)) for label, colour in enumerate(usual)]
        choice = {"masks": self.read or "auto", "labels": None, "palette": palette}
        return self.data.model_copy(update=choice)

    def _compare(self, path: Path, colours: Mapping[int, Colour]) -> None:
        """Refuse a prediction that gives a value the colour that the targets give to another."""
        known = self.true.colours if self.true and self.true.colours else {}
        owner = {colour: value for value, colour in known.items()}
        for value, colour in colours.items():
            if owner.get(colour, value) != value:
                raise ValueError(
                    f"{path}: its palette gives {value} the colour {colour}, which is that of "
                    f"{owner[colour]} in the targets; {ADVICE}"
                )


def doubts(counts: Counts, data: Dataset, name: str) -> tuple[str | None, list[str]]:
    """What speaks against a folder's scores meaning anything: a reason to refuse them, and notes.

    Args:
        name: of the data set, for the advice.
    """
    true = counts.overlap.sum(0)[1]
    lacking = [c for c, count in zip(data.classes, true, strict=True) if not count]
    lacking = [c for c in lacking if c not in data.allow_absent]
    if lacking and (true > 0).sum() == 1:
        only = data.classes[int(np.argmax(true))]
        return (
            f"the targets hold {only} and void alone, so that every mask would be right: is "
            f"{data.void}, which is void, a class? `datasets.{name}.labels` says so, as "
            f"{{0: {data.classes[0]}, {data.void}: {lacking[0]}}}; where it is meant so, "
            f"`allow_absent: [{', '.join(lacking)}]`"
        ), []
    some = ", ".join(lacking[:10]) + ", ..." * (len(lacking) > 10)
    return None, [f"no pixel of {some} in the targets"] if lacking else []


def _is_marked(path: Path) -> bool:
    """Whether a prediction says that its values are labels; what cannot be read does not."""
    try:
        return masks.is_marked(path)
    except (OSError, ValueError):
        return False


def _read(path: Path, data: Dataset, palettes: Palettes | None) -> np.ndarray:
    """A mask; one that cannot be had is a ValueError of one line."""
    try:
        return masks.read(path, data, palettes)
    except FileNotFoundError:
        raise ValueError(f"{path}: missing") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
