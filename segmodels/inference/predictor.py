"""A model with all that it needs to label a photograph, and what it makes of one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor, nn

from segmodels.config.document import shown
from segmodels.config.schema import BACKGROUND, Predict
from segmodels.core import files, machine
from segmodels.core.packed import Card
from segmodels.data import images, masks
from segmodels.inference import crf, drawing, photos, soft
from segmodels.models import network
from segmodels.models.network import Network

SETTINGS = {"split", "weights", "long_side", "batch_size", "precision", "threads"}  # no variants
PLAIN = Predict().model_dump(exclude=SETTINGS)  # one pass


@dataclass(frozen=True)
class Prediction:
    """What a model makes of one photograph.

    Attributes:
        labels: (H, W) uint8, an index into `classes`, at the photograph's own size.
        classes: name of each label.
        palette: (256, 3) uint8, colour of each label.
        image: (H, W, 3) uint8 RGB, the photograph.
        confidence: (H, W) float32, probability of the label; None unless it was asked for.
        probabilities: (C, H, W) float, of every class; None unless they were asked for.
    """

    labels: np.ndarray
    classes: list[str]
    palette: np.ndarray
    image: np.ndarray
    confidence: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    def __repr__(self) -> str:
        height, width = self.labels.shape
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"Prediction({width} x {height} pixels: {shares})"

    @property
    def shares(self) -> dict[str, float]:
        """Share of the photograph of each class that occurs, the largest first.

        Example:
            >>> palette, image = np.zeros((256, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
            >>> labels = np.array([[1, 1], [1, 0]], np.uint8)
            >>> Prediction(labels, ["background", "cat"], palette, image).shares
            {'cat': 0.75, 'background': 0.25}
        """
        counts = np.bincount(self.labels.ravel(), minlength=256) / self.labels.size
        order = np.argsort(-counts[: len(self.classes)], kind="stable")
        return {self.classes[k]: float(counts[k]) for k in order if counts[k] > 0}

    def only(self, names: Sequence[str]) -> "Prediction":
        """The same with every other class as background, or as 255 where there is none.

        Raises:
            ValueError: there is no such class.
        """
        if unknown := [name for name in names if name not in self.classes]:
            raise ValueError(
                f"classes {', '.join(unknown)}: the model knows {', '.join(self.classes)}"
            )
        background = self.classes[0] == BACKGROUND
        table = np.full(256, 0 if background else drawing.NO_CLASS, dtype=np.uint8)
        for name in names:
            table[self.classes.index(name)] = self.classes.index(name)
        return replace(self, labels=table[self.labels])

    def overlay(self, opacity: float = drawing.OPACITY) -> Image.Image:
        """The photograph, tinted by class where it is not background; opacity: of the colours."""
        return drawing.overlay(
            self.image,
            self.labels,
            self.palette,
            opacity=opacity,
            background=self.classes[0] == BACKGROUND,
        )

    def png(self) -> bytes:
        """The label map as a palette PNG, whose values are the labels."""
        mask = Image.fromarray(self.labels)
        mask.putpalette(self.palette.tobytes())
        content = BytesIO()
        mask.save(content, "PNG", pnginfo=masks.note())
        return content.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the label map as a palette PNG, whose values are the labels.

        Raises:
            ValueError: the name does not end in .png.
        """
        if Path(path).suffix.lower() != ".png":
            raise ValueError(f"{path}: expected a name that ends in .png, which alters no label")
        images.write_target(path, self.labels, self.palette, masks.note())

    def save_confidence(self, path: str | Path) -> None:
        """Write the label's probability as a grey PNG: 0 is 0, 255 is 1."""
        if self.confidence is None:
            raise ValueError(f"{path}: no confidence; predict with confidence=True")
        grey = (self.confidence * 255).round().astype(np.uint8)
        drawing.save(path, Image.fromarray(grey))

    def save_probabilities(self, path: str | Path) -> None:
        """Write probabilities (C, H, W) float16 and classes as an NPZ file of numpy."""
        if self.probabilities is None:
            raise ValueError(f"{path}: no probabilities; predict with probabilities=True")
        values = self.probabilities.astype(np.float16, copy=False)
        files.write(path, lambda file: np.savez(file, probabilities=values, classes=self.classes))


class Model:
    """A model that labels photographs; `segmodels.load` makes one.

    Attributes:
        name: of the model.
        choices: how photographs are seen unless `predict` is asked otherwise.
        scored: how they were seen where the model was scored.
        card: what the file of weights says of itself; None: the model is of a run.
        drawings: long side in pixels of the generated images that it was trained on; None: it was
            trained on photographs.
        notes: lines that its user should know.
    """

    def __init__(
        self,
        network: Network,
        choices: Predict,
        card: Card | None = None,
        drawings: int | None = None,
        notes: Sequence[str] = (),
        scored: Predict | None = None,
    ) -> None:
        self.network = network
        self.choices = choices
        self.scored = scored or choices
        self.card = card
        self.drawings = drawings
        self.notes = notes

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def module(self) -> nn.Module:
        """Normalised images (N, 3, H, W) -> {"out": logits (N, C, H, W)}."""
        return self.network.module

    @property
    def classes(self) -> list[str]:
        return self.network.classes

    @property
    def palette(self) -> np.ndarray:
        """(256, 3) uint8, colour of each label."""
        return self.network.palette

    def predict(
        self,
        image: Any,
        *,
        confidence: bool = False,
        probabilities: bool = False,
        half: bool = False,
        **choices: Any,
    ) -> Prediction:
        """Label one photograph.

        Args:
            image: a path, an image of PIL, an array (H, W, 3) or (H, W) uint8, or a tensor
                (3, H, W) uint8, or float in 0..1. RGB.
            confidence: whether the probability of each pixel's label is kept too.
            probabilities: whether those of all classes are; 4 bytes a class and pixel.
            half: whether probabilities are float16, in half the memory.
            choices: long_side, scales, flip, window, tile and crf of
                `segmodels.config.schema.Predict`, in place of the model's own;
                `fast=True` is one plain pass, `as_scored=True` what the scores were measured with.
        Raises:
            ValueError: the image cannot be read, or a choice makes no sense.
        """
        pixels = as_image(image)
        chosen = self.chosen(choices)
        prediction = Prediction(np.empty(0), self.classes, self.palette, pixels)
        if not (confidence or probabilities):
            return replace(prediction, labels=photos.label_photo(self.network, pixels, chosen))
        kind = torch.float16 if half else torch.float32
        keep = kind if probabilities else None
        return self._soft(prediction, chosen, keep)

    def chosen(self, choices: dict[str, Any]) -> Predict:
        """How photographs are seen if `predict` gets these choices.

        Raises:
            ValueError: one of them makes no sense.
        """
        if idle := sorted(choices.keys() & (SETTINGS - {"long_side"})):
            raise ValueError(f"{idle[0]}: of a study's predictions, without effect on a photograph")
        others = {name: value for name, value in choices.items() if name != "as_scored"}
        if others.get("crf") is True and self.scored.crf:
            others["crf"] = self.scored.crf.model_dump()
        return changed(self.scored if choices.get("as_scored") else self.choices, others)

    def _soft(
        self, prediction: Prediction, choices: Predict, keep: torch.dtype | None
    ) -> Prediction:
        found = soft.predict(
            self.network, prediction.image, choices, most=photos.LARGEST, keep=keep
        )
        return replace(
            prediction,
            labels=found.labels,
            confidence=found.confidence,
            probabilities=found.probabilities,
        )


def changed(choices: Predict, changes: dict[str, Any]) -> Predict:
    """How photographs are seen, with some of it chosen otherwise.

    Args:
        changes: of `Predict`; fast: one plain pass; crf=True: the model's, or that for photographs.
    Raises:
        ValueError: one line with the name of the choice.
    """
    values = choices.model_dump()
    if changes.get("fast"):
        values |= PLAIN
    values |= {name: value for name, value in changes.items() if name != "fast"}
    if values["crf"] is True:
        values["crf"] = (choices.crf or crf.PHOTOGRAPHS).model_dump()
    try:
        return Predict.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        message = problem["msg"].removeprefix("Value error, ")
        if problem["loc"]:
            found = shown(problem["input"])
            message = f"{problem['loc'][0]}: {message}, found {found}"
        raise ValueError(message) from None


def as_image(image: Any) -> np.ndarray:
    """(H, W, 3) uint8 RGB of whatever `Model.predict` takes."""
    if isinstance(image, str | Path):
        return photos.read(Path(image))
    if isinstance(image, Image.Image):
        return images.as_shown(image)
    if isinstance(image, Tensor):
        if image.ndim != 3 or len(image) != 3:
            raise ValueError(f"a tensor {tuple(image.shape)}: expected (3, H, W)")
        if image.is_floating_point():
            if not (image.min() >= 0 and image.max() <= 1):
                raise ValueError("a float tensor beyond 0..1: expected RGB in 0..1, not normalised")
            image = (image * 255).round()
        image = image.to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    if not isinstance(image, np.ndarray):
        what = type(image).__name__
        raise ValueError(f"{what}: expected a path, an image of PIL, an array or a tensor")
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"an array {image.shape} {image.dtype}: expected (H, W, 3) uint8")
    if image.ndim == 2:
        image = np.stack([image] * 3, -1)
    if image.shape[2] != 3:
        raise ValueError(f"an array {image.shape}: expected (H, W, 3), RGB")
    return np.ascontiguousarray(image)  # torch takes no view that is turned, as RGB of OpenCV's BGR


def placed(found: Network, precision: str, device: str = "auto") -> Network:
    """A network on a device, `auto` being the GPU if there is one, and in a precision.

    Neither the number of threads nor a seed is touched, which are the caller's.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        bf16 = machine._cpu_has_bf16() if device == "cpu" else machine.has_bf16()
        precision = "bf16" if bf16 else "fp16" if device != "cpu" else "fp32"
    network.place(found.module, torch.device(device))
    return replace(found, device=torch.device(device), precision=precision)
