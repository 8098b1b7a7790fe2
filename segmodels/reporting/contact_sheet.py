"""One page of images for `segmodels check`: suspects, random samples, and what a network sees.

Every image is drawn with its mask over it. The page is one file that needs no network.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from segmodels.config.params import Params
from segmodels.config.schema import Dataset
from segmodels.core.files import write_text
from segmodels.data import images, layout
from segmodels.data.augment import RandomCrop
from segmodels.data.doctor.examine import Diagnosis
from segmodels.data.doctor.finding import Group
from segmodels.inference import drawing
from segmodels.reporting.gallery import has_background, jpeg_uri, mask_colours

WEB = Path(__file__).with_name("web")
SUSPECTS = 6  # groups of images shown of a finding
SAMPLES = 12  # images drawn at random, and as many crops
AROUND = {"size", "ignore_index", "fill"}  # of a RandomCrop: not how it changes an image
LEAST_SHARE = 0.005  # of an image, from which a class stands in its caption


class Picture(NamedTuple):
    """An image on the page; both texts are plain."""

    uri: str
    caption: str
    alt: str


def write(path: Path, root: Path, diagnosis: Diagnosis, settings: Params) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        root: VOC tree that was examined.
        settings: with the data set in use, how it is trained on, and the seed of what is drawn.
    """
    sheet = _Sheet(root, settings.data, diagnosis.index)
    findings = [
        {"text": finding.text, "groups": sheet.groups(finding.suspects)}
        for finding in diagnosis.findings
    ]
    rng = np.random.default_rng(settings.seed)
    recipe = settings.train.get(settings.dataset)
    samples = list[Picture]()
    crops = list[Picture]()
    steps = ""
    if diagnosis.index is not None:
        ids = diagnosis.index["image_id"]
        train_ids = ids[diagnosis.index["split"] == "train"].tolist()
        samples = [sheet.overlay(image_id) for image_id in _drawn(rng, ids.tolist())]
        if recipe:
            random_crop = RandomCrop.of(recipe, settings.normalize, settings.data.void)
            steps = _described(random_crop)
            crops = [sheet.crop(i, random_crop, rng) for i in _drawn(rng, train_ids)]
    html = _render(
        title=settings.dataset,
        problems=diagnosis.problems,
        findings=findings,
        samples=samples,
        crops=crops,
        seed=settings.seed,
        steps=steps,
        legend=sheet.legend(),
    )
    write_text(path, html)


def _described(random_crop: RandomCrop) -> str:
    """Every step of an augmentation by its key of `train`, and the crop's size."""
    steps = list[str]()
    for field in fields(random_crop):
        value = getattr(random_crop, field.name)
        if field.name in AROUND:
            continue
        if isinstance(value, tuple):
            value = " to ".join(map(str, value))
        steps.append(f"{field.name} {value}")
    return f"{', '.join(steps)}; a crop of {random_crop.size} px"


def _drawn(rng: np.random.Generator, image_ids: Sequence[str]) -> list[str]:
    """Some ids at random, in their order."""
    count = min(SAMPLES, len(image_ids))
    chosen = rng.permutation(len(image_ids))[:count].tolist()
    return [image_ids[k] for k in sorted(chosen)]


def _render(**content: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(WEB),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("contact_sheet.html").render(**content)


class _Sheet:
    """Draws the images of a tree."""

    def __init__(self, root: Path, data: Dataset, index: pd.DataFrame | None) -> None:
        self.root = root
        self.data = data
        self.splits: dict[str, str] = {}
        if index is not None:
            self.splits = dict(zip(index["image_id"], index["split"], strict=True))
        self.colours = mask_colours(data.palette, data.void)

    def groups(self, suspects: Sequence[Group]) -> list[list[Picture]]:
        """The first suspects; files that cannot be drawn are left out."""
        return [
            [self.overlay(image_id) for image_id in group if self._readable(image_id)]
            for group in suspects[:SUSPECTS]
        ]

    def overlay(self, image_id: str) -> Picture:
        """A whole image under its mask."""
        return self._picture(*self._read(image_id), image_id, "image")

    def crop(self, image_id: str, random_crop: RandomCrop, rng: np.random.Generator) -> Picture:
        """A random crop under its mask, as training draws it."""
        image, labels = random_crop(*self._read(image_id), rng)
        return self._picture(image, labels, image_id, "crop")

    def legend(self) -> list[tuple[str, str]]:
        """Colour, as CSS writes it, and name of every class and of void."""
        names = dict(enumerate(self.data.classes))
        names[self.data.void] = "void"
        return [
            ("#" + bytes(self.colours[label].tolist()).hex(), name) for label, name in names.items()
        ]

    def _picture(self, image: np.ndarray, labels: np.ndarray, image_id: str, kind: str) -> Picture:
        background = has_background(self.data.classes)
        drawn = np.asarray(drawing.overlay(image, labels, self.colours, background=background))
        shares = ", ".join(self._shares(labels)) or "nothing"
        height, width = labels.shape
        name = layout.printable(image_id)
        split = f" ({self.splits[image_id]})" if image_id in self.splits else ""
        caption = f"{name}{split}: {shares}"
        alt = f"{kind} {name}{split}, {width} x {height} pixels, its mask over it: {shares}"
        return Picture(jpeg_uri(drawn), caption, alt)

    def _shares(self, labels: np.ndarray) -> list[str]:
        """E.g. "cat 40%", the largest class first, tiny ones left out."""
        shares = np.bincount(labels.ravel(), minlength=256) / labels.size
        names = dict(enumerate(self.data.classes))
        names[self.data.void] = "void"
        order = np.argsort(-shares, kind="stable").tolist()
        return [
            f"{names.get(label, label)} {shares[label]:.0%}"
            for label in order
            if shares[label] >= LEAST_SHARE
        ]

    def _read(self, image_id: str) -> tuple[np.ndarray, np.ndarray]:
        image = images.read_image(layout.image_path(self.root, image_id))
        labels = images.read_target(layout.target_path(self.root, image_id))
        return image, labels

    def _readable(self, image_id: str) -> bool:
        """Whether a pair can be drawn: suspects of a refused data set may be anything."""
        try:
            image, labels = self._read(image_id)
        except (OSError, ValueError):
            return False
        return image.shape[:2] == labels.shape
