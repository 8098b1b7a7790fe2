"""Findings that the counts of the index show: which classes are where, and in how many images.

The index has a row for each image, see `segmodels.data.index`. What the index stage refuses, and
what `index.notes` says, is not said again. `train` includes the holdout.

    for finding in counts.findings(index, data, "roads"):
        print(finding.text)
"""

import numpy as np
import pandas as pd

from segmodels.config.schema import Dataset
from segmodels.data import splits
from segmodels.data.doctor.finding import Finding, alone, plural
from segmodels.data.masks import first_few

# An IoU is a ratio of sums of pixels, so one large object outweighs many small ones. Where fewer
# images than this hold half of a class's pixels, one more or less of them moves its IoU by points.
FEW_IMAGES = 5
# In 600 random splits of 640 images of VOC 2012 no class of FEW_IMAGES or more differed by more
# than 2.7; CamVid's car and bicyclist differ by 3.4 and 7.4, since its val is one piece of road.
SHARE_FACTOR = 3
# Of the median class's share. Cross-entropy counts pixels: below this a class is easily given up.
RARE_SHARE = 1 / 3
# A border of void takes some percent of a mask (VOC 2012: 5), but leaves the object within it.
VOID_OBJECT = 0.01  # share of void from which it may stand for an object
SEVERAL = 0.05  # of the masks of a list: fewer may well show nothing but a difficult object


def findings(index: pd.DataFrame, data: Dataset, name: str) -> list[Finding]:
    """All that the counts show.

    Args:
        index: one row per image, from `index.build`.
        data: of which data set.
        name: of the data set in params.yaml, for the advice.
    """
    train = index[index["split"].isin(splits.OF_TRAIN)]
    scored = {listed: index[index["split"] == split] for split, listed in data.scored.items()}
    found = list[Finding]()
    found += _in_no_list(index, data)
    for listed, rows in scored.items():
        found += _only_in(listed, train, rows, data, name)
    for listed, rows in ({data.train: train} | scored).items():
        found += _void_for_objects(rows, data, listed, name)
        found += _void_masks(rows, data, listed)
        if not data.generate:
            found += _few_images(rows, data, listed)
    found += _small_share(train, data, name)
    for listed, rows in scored.items():
        found += _other_shares(train, rows, data, listed)
    return found


def images_for_half(pixels: pd.Series) -> int:
    """The smallest number of images that hold half of a class's pixels; 0 if there are none.

    Args:
        pixels: of one class in each image.
    """
    total = pixels.sum()
    if not total:
        return 0
    largest_first = np.sort(pixels.to_numpy())[::-1]
    return int(np.searchsorted(np.cumsum(largest_first), total / 2)) + 1


def _in_no_list(index: pd.DataFrame, data: Dataset) -> list[Finding]:
    """Classes that `allow_absent` lets through; others that are absent the index refuses."""
    nowhere = [class_ for class_ in data.allow_absent if not index[class_].sum()]
    if not nowhere:
        return []
    lists = " or ".join(data.lists.values())
    text = (
        f"no pixel of {first_few(nowhere)} in {lists}, which `allow_absent` lets through: they "
        "are neither learnt nor scored; leave them out of `classes`, unless "
        "other labels shall keep their numbers"
    )
    return [Finding(text)]


def _only_in(
    listed: str, train: pd.DataFrame, rows: pd.DataFrame, data: Dataset, name: str
) -> list[Finding]:
    """Classes that a scored list shows and train does not."""
    found = list[str]()
    suspects = list[str]()
    for class_ in data.classes:
        images = rows.loc[rows[class_] > 0, "image_id"].tolist()
        if images and not train[class_].sum():
            found.append(f"{class_} ({plural(len(images), 'image')})")
            suspects += images
    if not found:
        return []
    text = (
        f"{listed} shows {first_few(found)}, which no mask of {data.train} holds: the IoU can "
        f"only be 0; move images to {data.train}, or make it void by `datasets.{name}.labels`"
    )
    return [Finding(text, alone(suspects))]


def _void_for_objects(rows: pd.DataFrame, data: Dataset, split: str, name: str) -> list[Finding]:
    """Masks of 0 and void alone; where all are so, the index refuses them with the remedy."""
    objects = rows[data.classes[1:]].sum(axis=1)
    blank = rows[(objects == 0) & (rows[data.classes[0]] > 0) & (rows["void_share"] >= VOID_OBJECT)]
    if not SEVERAL * len(rows) <= len(blank) < len(rows):
        return []
    text = (
        f"{len(blank)} of {len(rows)} masks of {split} hold 0 and {data.void} (void) alone, while "
        f"others hold {first_few(data.classes[1:])}: if {data.void} is the object there, store its "
        f"label, since `datasets.{name}.labels` holds for all masks"
    )
    return [Finding(text, alone(blank["image_id"].tolist()))]


def _void_masks(rows: pd.DataFrame, data: Dataset, split: str) -> list[Finding]:
    """Single masks that are void; where the list as a whole is, the index refuses it."""
    size = rows["width"] * rows["height"]
    whole = (rows["void_share"] * size).sum() / max(1, size.sum())
    empty = rows[rows["void_share"] >= data.allow_void]
    if empty.empty or whole >= data.allow_void:
        return []
    text = (
        f"{len(empty)} of {len(rows)} masks of {split} are void to {data.allow_void:.0%} or more: "
        f"they say next to nothing; label them or take them out of {split}.txt"
    )
    return [Finding(text, alone(empty["image_id"].tolist()))]


def _few_images(rows: pd.DataFrame, data: Dataset, split: str) -> list[Finding]:
    ids = rows["image_id"].tolist()
    shown = list[str]()
    largest = list[str]()
    for class_ in data.classes:
        pixels = rows[class_]
        half = images_for_half(pixels)
        if 0 < half < FEW_IMAGES:
            shown.append(f"{class_} ({half} of {(pixels > 0).sum()})")
            largest.append(ids[int(pixels.to_numpy().argmax())])
    if not shown:
        return []
    text = (
        f"{split}: few images hold half of the pixels of {', '.join(shown)}: what is learnt or "
        "scored of these classes is those images; label more of them, or compare models over the "
        "other classes"
    )
    return [Finding(text, alone(list(dict.fromkeys(largest))))]


def _shares(rows: pd.DataFrame, data: Dataset) -> pd.Series:
    """Share of each class in all labelled pixels."""
    pixels = rows[data.classes].sum()
    return pixels / max(1, pixels.sum())


def _small_share(train: pd.DataFrame, data: Dataset, name: str) -> list[Finding]:
    """Rare classes, those aside that few images show anyway."""
    shares = _shares(train, data)
    median = shares[shares > 0].median()
    few = [class_ for class_ in data.classes if images_for_half(train[class_]) < FEW_IMAGES]
    shares = shares.drop(few)
    rare = shares[shares < RARE_SHARE * median].sort_values()
    if rare.empty:
        return []
    shown = ", ".join(f"{class_} ({share:.2%})" for class_, share in rare.items())
    text = (
        f"{data.train}: rare are {shown} of all labelled pixels, the median class has "
        f"{median:.1%}: cross-entropy hardly notices them, mIoU counts them in full; "
        f"`class_weights: median_frequency` in `train.{name}`, or a Dice loss"
    )
    return [Finding(text)]


def _other_shares(
    train: pd.DataFrame, rows: pd.DataFrame, data: Dataset, listed: str
) -> list[Finding]:
    """Classes that enough images show, so that it is no chance."""
    shares = pd.DataFrame({"train": _shares(train, data), listed: _shares(rows, data)})
    enough = list[str]()
    for class_ in data.classes:
        fewest = min(images_for_half(train[class_]), images_for_half(rows[class_]))
        if fewest >= FEW_IMAGES:
            enough.append(class_)
    shares = shares.loc[enough]
    ratio = shares[listed] / shares["train"]
    other = shares[(ratio > SHARE_FACTOR) | (ratio < 1 / SHARE_FACTOR)]
    if other.empty:
        return []
    shown = list[str]()
    for name, row in other.iterrows():
        shown.append(f"{name} ({row['train']:.2%} against {row[listed]:.2%})")
    text = (
        f"{data.train} and {listed} show different things, by their shares of pixels: "
        f"{', '.join(shown)}; draw both at random from one pool (of videos whole ones), "
        "or say that it is meant so"
    )
    return [Finding(text)]
