"""The public names of the package: `segmodels.load`, `build` and `evaluate`."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import nn

    from segmodels.inference.predictor import Model

TORCHVISION = "torchvision/"  # in front of one of its models with published weights
PARAMS = "params.yaml"


class UnknownModel(ValueError):
    """No model is called so."""


def load(model: str | Path = "", *, device: str = "auto", dataset: str | None = None) -> "Model":
    """Load a model that labels photographs.

    Args:
        model: one that comes along (`segmodels models` lists them), a file of weights
            (.safetensors), torchvision/<name> for torchvision's published weights, which are
            downloaded once, or a run: its name in params.yaml here, or <folder>/<name> for the
            params.yaml of another folder. None is named: see `default`.
        device: of torch; auto: the GPU if there is one.
        dataset: of params.yaml, on which a run was trained; None: its `dataset`.
    Returns:
        a `Model`, whose `predict` takes photographs.
    Raises:
        UnknownModel: no model is called so.
        ValueError: its weights are missing or damaged.
    Example:
        >>> import segmodels
        >>> model = segmodels.load("torchvision/fcn_resnet50")  # doctest: +SKIP
        >>> model.predict("photo.jpg").shares  # doctest: +SKIP
        {'background': 0.61, 'cat': 0.39}
    """
    from segmodels.core import packed
    from segmodels.inference import from_file

    name = str(model) or default()
    path = packed.find(name)
    if path is not None:
        return from_file.load(path, device)
    if name.startswith(TORCHVISION):
        return _published(name, device)
    return _of_run(Path(name), device, dataset)


def default(dataset: str | None = None) -> str:
    """The model where none is named: `animals` if it comes along, else params.yaml's `model`.

    Args:
        dataset: of params.yaml, whose models are meant.
    Raises:
        UnknownModel: there is neither.
    """
    from segmodels.core import packed

    if packed.find(packed.DEFAULT) and dataset is None:
        return packed.DEFAULT
    if not Path(PARAMS).is_file():
        raise UnknownModel(f"no model: name one; {_expected()}")
    from segmodels.config import params

    return params.load(PARAMS).model


def download_notice(name: str) -> str | None:
    """How large a download of published weights will be, and where it goes; None: there is none."""
    if not name.startswith(TORCHVISION):
        return None
    from segmodels.models import published

    return published.download_notice(_known(name))


def _published(name: str, device: str) -> "Model":
    """torchvision's published weights of one of its models."""
    from segmodels.config.schema import Predict
    from segmodels.inference import predictor
    from segmodels.models import trained

    network = trained.of_torchvision(_known(name))
    return predictor.Model(predictor.placed(network, "auto", device), Predict())


def _known(name: str) -> str:
    """torchvision's own name of one of its models with published weights."""
    from segmodels.models import trained

    names = trained.published_names()
    bare = name.removeprefix(TORCHVISION)
    if bare not in names:
        raise UnknownModel(f"model {name}: torchvision publishes weights of {', '.join(names)}")
    return bare


def _of_run(path: Path, device: str, dataset: str | None) -> "Model":
    """A run of a params.yaml: `path` is its folder and the run's name."""
    from segmodels.config import params
    from segmodels.inference import predictor
    from segmodels.models import trained

    file = path.parent / PARAMS
    if not file.is_file():
        raise UnknownModel(f"model {path}: {_expected()}")
    settings = params.load(file)
    if dataset is not None and dataset not in settings.datasets:
        known = ", ".join(settings.datasets)
        raise UnknownModel(f"--dataset {dataset}: expected one of {known}")
    settings = settings.model_copy(update={"dataset": dataset or settings.dataset})
    if path.name not in settings.runs:
        known = ", ".join([*_packed(), *sorted(settings.runs)])
        raise UnknownModel(
            f"model {path.name}: expected one of {known}; `segmodels models` says what each knows"
        )
    network = trained.load(settings, path.name)
    notes = list[str]()
    if network.classes != settings.data.classes:
        now = ", ".join(settings.data.classes[:10])
        notes.append(
            f"{network.name}: classes are called as when it was trained; params.yaml has {now}"
        )
    choices = settings.prediction(path.name)
    generated = settings.data.generate
    return predictor.Model(
        predictor.placed(network, choices.precision, device),
        choices,
        drawings=generated.long_side if generated else None,
        notes=notes,
    )


def _packed() -> list[str]:
    from segmodels.core import packed

    return packed.names()


def _expected() -> str:
    """Which models there may be."""
    known = ", ".join(_packed()) or "none here"
    return (
        f"expected one that comes along ({known}), a .safetensors file, {TORCHVISION}<name>, or a "
        f"run of {PARAMS}"
    )


def build(arch: str, *, num_classes: int, **arguments: Any) -> "nn.Module":
    """Build a model with random weights, to be trained by any program.

    Args:
        arch: fcn, unet, segnet, deeplabv3, deeplabv3plus, fpn, ...: a file of segmodels/models.
        num_classes: channels of the logits, background included.
        arguments: of the architecture, such as backbone, output_stride.
    Returns:
        a module that maps images (N, 3, H, W), H and W >= 32, to {"out": logits
        (N, num_classes, H, W)}, and for some "aux" too.
    Raises:
        ValueError: there is no such architecture, or it refuses an argument.
    Example:
        >>> import segmodels, torch
        >>> model = segmodels.build("fcn", num_classes=5, backbone="resnet18").eval()
        >>> tuple(model(torch.zeros(1, 3, 64, 80))["out"].shape)
        (1, 5, 64, 80)
    """
    from segmodels import models

    models.check_arguments(arch, arch, arguments)
    return models.build(arch, num_classes=num_classes, **arguments)


@dataclass(frozen=True)
class Scores:
    """What `evaluate` returns; fractions 0..1.

    Attributes:
        miou: mean IoU over the classes in truth or prediction, as VOC counts.
        miou_present: the same over the classes in the truth.
        pixel_acc: share of the pixels with the right class.
        mean_acc: mean over the true classes of the share that is found.
        iou: (C,) of each class; NaN for one in neither truth nor prediction.
        confusion: (C, C) pixels, rows = true class, columns = predicted.
        images: how many.
    """

    miou: float
    miou_present: float
    pixel_acc: float
    mean_acc: float
    iou: np.ndarray
    confusion: np.ndarray
    images: int


def evaluate(
    *,
    predictions: Iterable[Any],
    targets: Iterable[Any],
    num_classes: int,
    ignore_index: int = 255,
) -> Scores:
    """Score label maps against their targets, all pixels of all images together, as VOC does.

    Args:
        predictions: label maps (H, W) of integers 0..num_classes-1: arrays, tensors, or paths of
            PNGs; or one (N, H, W).
        targets: likewise, in the same order; ignore_index marks pixels that do not count.
        num_classes: background included.
        ignore_index: num_classes..255; no class, so that predicting it is an error.
    Raises:
        ValueError: sizes or numbers differ, a label is out of range, or no pixel counts.
    Example:
        >>> import numpy as np, segmodels
        >>> target = np.array([[0, 1, 255], [0, 1, 1]])
        >>> prediction = np.array([[0, 1, 1], [0, 0, 1]])
        >>> scores = segmodels.evaluate(predictions=[prediction], targets=[target], num_classes=2)
        >>> scores.iou.tolist(), scores.pixel_acc
        ([0.6666666666666666, 0.6666666666666666], 0.8)
    """
    from segmodels.evaluation import scores
    from segmodels.evaluation.confusion import confusion_matrix, iou

    if not num_classes <= ignore_index <= 255:
        raise ValueError(f"ignore_index = {ignore_index}: expected {num_classes}..255")
    total = np.zeros((num_classes, num_classes), np.int64)
    count = 0
    for count, (prediction, target) in enumerate(_pairs(predictions, targets), start=1):
        try:
            total += confusion_matrix(
                target=_label_map(target),
                prediction=_label_map(prediction),
                num_classes=num_classes,
                ignore_index=ignore_index,
            )
        except ValueError as error:
            raise ValueError(f"image {count - 1}: {error}") from None
    summary = scores.summarize(total)
    return Scores(
        miou=summary["miou"],
        miou_present=summary["miou_present"],
        pixel_acc=summary["pixel_acc"],
        mean_acc=summary["mean_acc"],
        iou=iou(total),
        confusion=total,
        images=count,
    )


def _pairs(predictions: Iterable[Any], targets: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Each prediction with its target; a ValueError where one has no partner."""
    nothing = object()
    for prediction, target in itertools.zip_longest(predictions, targets, fillvalue=nothing):
        if prediction is nothing or target is nothing:
            raise ValueError("expected as many predictions as targets")
        yield prediction, target


def _label_map(given: Any) -> np.ndarray:
    """(H, W) uint8 of an array, a tensor, or the path of a PNG."""
    if isinstance(given, str | Path):
        from segmodels.data import images

        return images.read_target(given)
    labels = np.asarray(given)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"{labels.shape} {labels.dtype}: expected (H, W) integers")
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ValueError(f"labels {labels.min()}..{labels.max()}: expected 0..255")
    return labels.astype(np.uint8)
