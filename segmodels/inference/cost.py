"""What predicting one image costs: its time, which is measured; models/flops.py counts the rest.

Time is the median over passes, so that one that the system interrupts says nothing. It is that of
the CPU, whatever else the machine has.
"""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from segmodels.config.schema import Predict
from segmodels.core import machine
from segmodels.core.machine import Runtime
from segmodels.data.transforms import seen_size
from segmodels.inference import testtime
from segmodels.models import network
from segmodels.models.flops import gflops
from segmodels.models.network import Network

WARM_UP = 3  # passes before those that are measured
LEAST, MOST = 5, 50  # measured passes
ENOUGH = 1.0  # seconds after which, LEAST aside, no further pass is made


def measure(
    model: Network, image: Tensor, choices: Predict, runtime: Runtime
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Count and time the prediction of one image on the CPU.

    Args:
        model: is on the CPU afterwards.
        image: (1, 3, H, W) uint8, as stored.
        runtime: of the predictions.
    Returns:
        billions of multiply-adds and the size at which the image is seen, which are the same
        everywhere; and milliseconds, which differ from run to run, with what they were measured on.
    """
    runtime = machine.on_cpu(runtime, choices.precision)
    device = torch.device(runtime.device)
    network.place(model.module, device)
    model = replace(model, device=device, precision=runtime.precision)
    height, width = image.shape[-2:]
    height, width = seen_size(height, width, choices.long_side)

    def predict() -> None:
        list(testtime.label_maps(model, [([""], image)], choices))

    counted = {"gflops": gflops(predict), "picture": f"{width} x {height}"}
    milliseconds, passes = latency(predict)
    measured = {"latency_ms": milliseconds, "passes": passes, "picture": counted["picture"]}
    return counted, measured | runtime.record()


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
