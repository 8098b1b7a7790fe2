"""How far a score could be chance: intervals over pictures, and spread over training seeds.

An interval is the bootstrap's: the split is drawn again from its own pictures, with replacement,
and mIoU computed again from the summed counts. It covers which pictures happen to be in the split.
It does not cover the training: another seed gives another model, for which there is
`across_seeds`. Two models are compared on the same draws, so that a picture that is hard for both
says nothing about their difference. An interval of 95 % is wrong once in twenty times, each of
them: nothing here is corrected for their number.

The draws are studentized (bootstrap-t): each is measured in its own standard error, from the
influence of every picture on mIoU. The middle 95 % of the draws themselves, the percentile
interval, is not used: a class that is in few pictures pulls a draw's mIoU down, and the interval
with it, to the side where the truth is not. tests/test_statistics.py measures how often each
covers the truth.
Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from segmodels.evaluation.scores import overlap_miou

RESAMPLES = 2000
SEED = 0
LEVEL = 0.95


def intervals(
    overlaps: np.ndarray,
    contrasts: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> np.ndarray:
    """Intervals of mIoU, or of differences of it.

    Args:
        overlaps: (M, n, 3, C) int64, for M models pixels right, true and predicted of the same n
            pictures by class.
        contrasts: (K, M), how often each model's mIoU counts: [[1]] asks for the interval of a
            single model, [[-1, 1]] for that of the second minus the first.
    Returns:
        (K, 2) float64, low and high: never beyond what is possible, and all of that where the
        pictures say nothing, as a single one does.
    """
    images = overlaps.shape[1]
    right, true, predicted = np.moveaxis(overlaps.astype(np.float64), 2, 0)  # (M, n, C)
    union = true + predicted - right

    def measure(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        miou, influence = _miou(right, union, times)
        return contrasts @ miou, np.sqrt((contrasts @ influence) ** 2 @ times)

    value, error = measure(np.ones(images))
    generator = np.random.default_rng(seed)
    picks = (generator.integers(images, size=images) for _ in range(resamples))
    draws = [measure(np.bincount(pick, minlength=images).astype(np.float64)) for pick in picks]
    again, own = (np.array(part) for part in zip(*draws, strict=True))  # (resamples, K)
    tails = [(1 + LEVEL) / 2, (1 - LEVEL) / 2]
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw of one picture has no error
        scaled = np.where(again == value, 0, (again - value) / own)
        ends = value - error * np.nanquantile(scaled, tails, axis=0, method="inverted_cdf")
    least, most = contrasts.clip(max=0).sum(1), contrasts.clip(min=0).sum(1)
    unknown = np.isnan(ends).any(axis=0) | (images < 2)
    return np.where(unknown, [least, most], ends.clip(least, most)).T


def differences(overlaps: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """mIoU of the second model minus that of the first, for every two.

    Args:
        overlaps: model -> (n, 3, C) int64, the same pictures in one order.
    Returns:
        first, second, difference, low, high (fractions) and real: the interval excludes 0.
    Raises:
        ValueError: the models were measured on different numbers of pictures.
    """
    numbers = {model: len(overlap) for model, overlap in overlaps.items()}
    if len(set(numbers.values())) > 1:
        raise ValueError(f"pictures of each model: {numbers}; expected the same pictures")
    pairs = list(combinations(overlaps, 2))
    columns = ["first", "second", "difference", "low", "high", "real"]
    if not pairs:
        return pd.DataFrame(columns=columns)
    stacked = np.stack(list(overlaps.values()))
    unit = dict(zip(overlaps, np.eye(len(overlaps)), strict=True))
    contrasts = np.array([unit[second] - unit[first] for first, second in pairs])
    gains = contrasts @ overlap_miou(stacked.sum(1))
    low, high = intervals(stacked, contrasts).T
    real = (low > 0) | (high < 0)
    found = zip(*zip(*pairs, strict=True), gains, low, high, real, strict=True)
    return pd.DataFrame(found, columns=columns)


def across_seeds(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation of mIoU over the training seeds of each model.

    Args:
        runs: model, seed, miou; one row for each run.
    Returns:
        model, seeds (their number), mean, sd (n - 1 in the denominator; NaN for a single seed).
    Raises:
        ValueError: a model has a seed twice, which would make the spread too small.
    """
    twice = runs[runs.duplicated(["model", "seed"])]
    if len(twice):
        model, seed = twice.iloc[0][["model", "seed"]]
        raise ValueError(f"{model} has seed {seed} twice, expected each seed once")
    spread = runs.groupby("model", sort=False)["miou"].agg(seeds="size", mean="mean", sd="std")
    return spread.reset_index()


def _miou(right: np.ndarray, union: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mIoU of each model over pictures that are drawn `times`, and each picture's influence on it.

    The influence is the derivative by `times`; its weighted sum over the pictures is 0.

    Args:
        right, union: (M, n, C) float64, pixels.
        times: (n,) float64.
    Returns:
        (M,) and (M, n) float64.
    """
    whole = times @ union  # (M, C)
    counted = whole > 0
    iou = np.divide(times @ right, whole, out=np.zeros_like(whole), where=counted)
    classes = counted.sum(1, keepdims=True)
    share = np.divide(1, whole * classes, out=np.zeros_like(whole), where=counted)
    miou = np.divide(
        iou.sum(1), classes[:, 0], out=np.full(len(iou), np.nan), where=classes[:, 0] > 0
    )
    influence = right @ share[..., None] - union @ (iou * share)[..., None]
    return miou, influence[..., 0]
