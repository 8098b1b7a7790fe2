"""What the page is told of a photograph: how it looks, and what each model sees in it.

Answers are for JSON, with files in base64. A photograph is read as `segmodels predict` reads it,
and labelled in one plain pass, as by `--fast`: people wait for it.
The page shows a copy of at most SHOWN pixels a side, with labels of that size; masks and overlays
to keep have the photograph's own size.
"""

import base64
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from segmodels import api
from segmodels.commands import predict
from segmodels.config.schema import BACKGROUND
from segmodels.data import images
from segmodels.data.transforms import resize_image, resize_target, resized_size
from segmodels.inference import photos
from segmodels.inference.predictor import Model, Prediction

SHOWN = 1600  # pixels of the long side
QUALITY = 92  # of the JPEG that is shown
COMPRESSION = 3  # of the PNG of an overlay: of 20 megapixels, seconds in place of ten

Answer = TypeVar("Answer")


class Labelling:
    """Models that label one photograph at a time, all of it in one thread.

    PyTorch's number of threads belongs to the thread that sets it.

    Args:
        named: models by the names that the page has for them; others are loaded by theirs.
        dataset: of params.yaml, on which runs were trained; None: its own.
    """

    def __init__(self, named: dict[str, Model], dataset: str | None) -> None:
        self._named = named
        self._dataset = dataset
        self._placed: dict[str, Model] = {}
        self._thread = ThreadPoolExecutor(1)

    def prepare(self, names: Iterable[str]) -> None:
        """Load models in the background, so that the first photograph need not wait."""
        for name in names:
            self._thread.submit(self._model, name)

    def picture(self, path: Path) -> dict[str, Any]:
        """A photograph as it is shown: size, a JPEG, and notes for people.

        Raises:
            ValueError: it cannot be read.
        """
        return self._alone(lambda: _picture(path))

    def labels(self, path: Path, name: str) -> dict[str, Any]:
        """What a model sees: classes with colours and shares, labels to be shown, and the mask.

        Raises:
            ValueError: the photograph cannot be read, or there is no such model.
        """
        return self._alone(lambda: _labels(photos.read(path), self._model(name)))

    def overlay(self, path: Path, mask: Path, name: str, opacity: float) -> bytes:
        """A PNG of the photograph, tinted by a mask that the model made of it before.

        Raises:
            ValueError: one of both cannot be read, or they do not fit.
        """
        return self._alone(lambda: _overlay(path, mask, self._model(name), opacity))

    def _alone(self, compute: Callable[[], Answer]) -> Answer:
        return self._thread.submit(compute).result()

    def _model(self, name: str) -> Model:
        if name not in self._placed:
            model = self._named.get(name) or api.load(name, dataset=self._dataset)
            predict.place(model)
            self._placed[name] = model
        return self._placed[name]


def _picture(path: Path) -> dict[str, Any]:
    image = photos.read(path)
    count = photos.frames(path)
    content = BytesIO()
    shown = Image.fromarray(resize_image(image, _shown_size(image)))
    shown.save(content, "JPEG", quality=QUALITY)
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "picture": _text(content.getvalue()),
        "notes": [f"{count} frames, the first is used"] if count > 1 else [],
    }


def _labels(image: np.ndarray, model: Model) -> dict[str, Any]:
    begin = time.perf_counter()
    prediction = model.predict(image, fast=True)
    seconds = time.perf_counter() - begin
    shown = resize_target(prediction.labels, _shown_size(image))
    drawings = model.drawings and max(image.shape[:2]) > model.drawings
    return {
        "seconds": seconds,
        "classes": model.classes,
        "colours": model.palette[: len(model.classes)].tolist(),
        "background": model.classes[0] == BACKGROUND,
        "shares": prediction.shares,
        "width": shown.shape[1],
        "height": shown.shape[0],
        "labels": _text(zlib.compress(shown.tobytes())),
        "mask": _text(prediction.png()),
        "notes": [*model.notes, *([predict.of_drawings(model)] if drawings else [])],
    }


def _overlay(path: Path, mask: Path, model: Model, opacity: float) -> bytes:
    image, labels = photos.read(path), images.read_target(mask)
    if labels.shape != image.shape[:2]:
        raise ValueError(f"{mask}: {labels.shape}, expected the photograph's {image.shape[:2]}")
    content = BytesIO()
    drawn = Prediction(labels, model.classes, model.palette, image).overlay(opacity)
    drawn.save(content, "PNG", compress_level=COMPRESSION)
    return content.getvalue()


def _shown_size(image: np.ndarray) -> tuple[int, int]:
    """(height, width) at which an image is shown."""
    height, width = image.shape[:2]
    return resized_size(height, width, min(SHOWN, max(height, width)))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
