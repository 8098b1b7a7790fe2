"""The splits of a data set that is indexed: train, holdout, val and test.

The test set has an index of its own, test.csv, beside index.csv: what trains reads index.csv alone,
so that it never sees an image of test, and another test set trains nothing again. test.csv has
index.csv's form, and its images are called val there, the split that is scored.
"""

import pandas as pd

from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset
from segmodels.data import layout

OF_TRAIN = ("train", "holdout")  # the splits that images of the list `train` belong to
TEST = "test"


def rows(paths: Paths, data: Dataset, split: str) -> pd.DataFrame:
    """The images of one split, see `layout.read_index`.

    Raises:
        ValueError: an index is no table of these classes, or its numbers contradict each other.
    """
    index = _test(paths, data) if split == TEST else layout.read_index(paths.index, data.classes)
    return index[index["split"] == split]


def all_rows(paths: Paths, data: Dataset) -> pd.DataFrame:
    """The images of all splits, those of test at the end."""
    index = layout.read_index(paths.index, data.classes)
    if data.test is None:
        return index
    return pd.concat([index, _test(paths, data)], ignore_index=True)


def divided(index: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What index.csv and test.csv hold, of all images."""
    is_test = index["split"] == TEST
    return index[~is_test], index[is_test].assign(split="val")


def _test(paths: Paths, data: Dataset) -> pd.DataFrame:
    return layout.read_index(paths.test, data.classes).assign(split=TEST)
