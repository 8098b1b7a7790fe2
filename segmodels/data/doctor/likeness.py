"""Images of train that are also in val or test: the same file, nearly the same picture, one video.

An image is described by the differences of neighbouring cells of a 16 x 16 grid of its grey
values, as in the hash "dHash" but with the differences themselves and not their signs: the
likeness of two images is the cosine of their descriptions, 1 for the same picture whatever its
size, brightness, contrast and compression.
Reference: N. Krawetz, "Kind of like that", hackerfactor.com, 2013 (dHash).
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from segmodels.config.schema import Dataset
from segmodels.data import images, layout, splits
from segmodels.data.doctor.finding import Finding, plural

GRID = 16  # cells a side: coarse enough for a re-encoded copy, fine enough for two dogs on a lawn
FLAT = 1.0  # grey values: below this mean difference an image has nothing to compare
# A copy in half the size, as JPEG of quality 30 or 30% brighter reaches 0.97, one cropped by 5% on
# each side 0.83. Of 204,480 pairs of photographs the two most alike reach 0.62 (VOC 2012).
ALIKE = 0.8
# Frames of a video are more alike the closer they are: in the median by 0.15 to 0.35 (CamVid), of
# 2,000 random series of 20 photographs one by 0.08 at most (VOC 2012).
VIDEO = 0.1
FRAMES = 10  # images that train and val each have to hold of a video, so that the median is sure
NUMBERED = re.compile(r"(.*?)(\d+)$")
FAR = 9  # distances at which images count as far from each other
SHOWN_FRAMES = 4  # of a video, on a page


@dataclass(frozen=True)
class Looks:
    """What is kept of the images of a data set, in the order of the index.

    Attributes:
        plain: (n, 2 * GRID * GRID) float32, each of length 1, or of 0 if the image is flat.
        mirrored: the same of the images turned left-right.
        digests: SHA-256 of each file.
    """

    plain: np.ndarray
    mirrored: np.ndarray
    digests: list[str]


def look(
    root: Path, image_ids: list[str], watch: Callable[[list[str]], Iterable[str]] = iter
) -> Looks:
    """Look at the images of a tree.

    Args:
        root: VOC tree.
        watch: wraps the work, e.g. in a progress bar.
    """
    plain = list[np.ndarray]()
    mirrored = list[np.ndarray]()
    digests = list[str]()
    for image_id in watch(image_ids):
        path = layout.image_path(root, image_id)
        image = images.read_image(path)
        plain.append(describe(image))
        mirrored.append(describe(image[:, ::-1]))
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return Looks(np.stack(plain), np.stack(mirrored), digests)


def describe(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (2 * GRID * GRID,) float32 of length 1; zeros for a flat image."""
    grey = Image.fromarray(np.ascontiguousarray(image)).convert("L")
    cells = np.asarray(grey.resize((GRID + 1, GRID + 1), Image.Resampling.BOX), dtype=np.float32)
    across = np.diff(cells, axis=1)[:-1]
    down = np.diff(cells, axis=0)[:, :-1]
    differences = np.concatenate([across.ravel(), down.ravel()])
    if np.abs(differences).mean() < FLAT:
        return np.zeros_like(differences)
    return differences / np.linalg.norm(differences)


def findings(index: pd.DataFrame, looks: Looks, data: Dataset) -> list[Finding]:
    """Same files, near-duplicates and videos across train and each list that is scored.

    Args:
        index: one row per image, from `segmodels.data.index`.
        looks: of its images, from `look`.
    """
    found = list[Finding]()
    for split, listed in data.scored.items():
        found += _of_split(index, looks, data, split, listed)
    return found


def _of_split(
    index: pd.DataFrame, looks: Looks, data: Dataset, split: str, listed: str
) -> list[Finding]:
    """What train and one split share, whose list is called `listed`."""
    found = list[Finding]()
    copies = same_files(index, looks, split)
    if copies:
        text = (
            f"{plural(len(copies), 'image')} of {listed}: the same file is in {data.train} under "
            f"another id, {copies[0][1]} as {copies[0][0]} first: its score is memory; take it out "
            "of one of the lists"
        )
        found.append(Finding(text, tuple(copies)))
    pairs = near_duplicates(index, looks, {scored for _, scored in copies}, split)
    if pairs:
        text = (
            f"{plural(len(pairs), 'image')} of {listed}: {data.train} has nearly the same "
            f"image, {pairs[0][1]} and {pairs[0][0]} are closest: its score is partly memory; "
            "take it out of one of the lists"
        )
        found.append(Finding(text, tuple(pairs)))
    return found + _videos(index, looks, data, split, listed)


def same_files(index: pd.DataFrame, looks: Looks, split: str = "val") -> list[tuple[str, str]]:
    """Ids in train and in a split whose files have the same bytes."""
    rows = list(zip(index["image_id"], index["split"], looks.digests, strict=True))
    of_train: dict[str, str] = {}
    for image_id, member_of, digest in rows:
        if member_of in splits.OF_TRAIN:
            of_train.setdefault(digest, image_id)
    return [
        (of_train[digest], image_id)
        for image_id, member_of, digest in rows
        if member_of == split and digest in of_train
    ]


def near_duplicates(
    index: pd.DataFrame, looks: Looks, known: Set[str] = frozenset(), split: str = "val"
) -> list[tuple[str, str]]:
    """For each image of a split that train nearly has, also mirrored, both ids; closest first.

    Args:
        known: ids of the split that are left out.
    """
    is_scored = (index["split"] == split).to_numpy()
    in_train = index["split"].isin(splits.OF_TRAIN).to_numpy()
    ids = index["image_id"].to_numpy()
    train_ids = ids[in_train]
    of_train = np.concatenate([looks.plain[in_train], looks.mirrored[in_train]])
    found = list[tuple[float, str, str]]()
    for image_id, plain in zip(ids[is_scored], looks.plain[is_scored], strict=True):
        if image_id in known:
            continue
        likeness = of_train @ plain
        best = int(likeness.argmax())
        if likeness[best] >= ALIKE:
            found.append((float(likeness[best]), train_ids[best % len(train_ids)], image_id))
    found.sort(key=lambda pair: -pair[0])
    return [(train_id, scored) for _, train_id, scored in found]


def _videos(
    index: pd.DataFrame, looks: Looks, data: Dataset, split: str, listed: str
) -> list[Finding]:
    """Videos of which both train and a split hold frames."""
    index = index[index["split"].isin([*splits.OF_TRAIN, split])]
    parts = index["image_id"].str.extract(NUMBERED)
    found = list[Finding]()
    for name, rows in index.groupby(parts[0]):
        order = parts.loc[rows.index, 1].map(int).sort_values().index
        frames = index.loc[order]
        is_scored = frames["split"] == split
        fewest = min(is_scored.sum(), (~is_scored).sum())
        if fewest < FRAMES or closeness(looks.plain[order]) < VIDEO:
            continue
        whole = is_scored.sum() == (index["split"] == split).sum()
        only = f", and {listed} has no other images" if whole else ""
        text = (
            f"{plural(int(is_scored.sum()), 'image')} of {listed} and {int((~is_scored).sum()):,} "
            f"of {data.train} called {name}* are frames of one video{only}: {listed} measures "
            "memory of its scenes; give each video to one list as a whole"
        )
        found.append(Finding(text, _frames(frames, looks, split)))
    return found


def closeness(frames: np.ndarray) -> float:
    """By how much neighbours are more alike than images far from each other, in the median.

    Args:
        frames: (n, d) descriptions in the order of their numbers.
    """
    count = len(frames)
    neighbours = (frames[1:] * frames[:-1]).sum(axis=1)
    steps = np.linspace(count / 4, 3 * count / 4, FAR).round().astype(int)
    distant = [(frames * np.roll(frames, step, axis=0)).sum(axis=1) for step in steps]
    return float(np.median(neighbours) - np.median(distant))


def _frames(frames: pd.DataFrame, looks: Looks, split: str) -> tuple[tuple[str, ...], ...]:
    """Some frames of a split, each with the frame of train that is most like it."""
    scored = frames[frames["split"] == split]
    of_train = frames[frames["split"] != split]
    found = list[tuple[str, ...]]()
    for k in np.linspace(0, len(scored) - 1, SHOWN_FRAMES).round().astype(int).tolist():
        likeness = looks.plain[of_train.index] @ looks.plain[scored.index[k]]
        found.append(
            (of_train["image_id"].iloc[int(likeness.argmax())], scored["image_id"].iloc[k])
        )
    return tuple(found)
