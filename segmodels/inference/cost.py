"""What predicting one image costs: its time, which is measured; models/flops.py counts the rest.

Time is the median over passes, so that one that the system interrupts says nothing.
"""

from collections.abc import Callable
from time import perf_counter

import numpy as np
import pandas as pd

WARM_UP = 3  # passes before those that are measured
LEAST, MOST = 5, 50  # measured passes
ENOUGH = 2.0  # seconds after which, LEAST aside, no further pass is made


def usual_picture(pictures: pd.DataFrame) -> pd.DataFrame:
    """The first picture of the most frequent size (of equally frequent ones the narrowest).

    Args:
        pictures: rows of index.csv.
    Returns:
        one of the rows.
    """
    sizes = pictures.groupby(["width", "height"]).size()
    width, height = sizes.index[int(sizes.to_numpy().argmax())]
    return pictures[(pictures["width"] == width) & (pictures["height"] == height)].iloc[:1]


def latency(
    predict: Callable[[], object], *, clock: Callable[[], float] = perf_counter
) -> tuple[float, int]:
    """Time of one call, after a warm-up.

    Args:
        clock: gives seconds.
    Returns:
        median in milliseconds, and the number of passes that were measured.
    """
    for _ in range(WARM_UP):
        predict()
    spent = list[float]()
    while len(spent) < LEAST or (len(spent) < MOST and sum(spent) < ENOUGH):
        start = clock()
        predict()
        spent.append(clock() - start)
    return float(np.median(spent)) * 1000, len(spent)
