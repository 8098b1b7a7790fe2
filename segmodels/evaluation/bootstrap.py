"""How far a score could be chance: intervals over pictures, and spread over training seeds.

An interval is the bootstrap's: the split is drawn again from its own pictures, with replacement,
and mIoU computed again from the summed counts. It covers which pictures happen to be in the split.
It does not cover the training: another seed gives another model, for which there is
`across_seeds`. Two models are compared on the same draws, so that a picture that is hard for both
says nothing about their difference. One in twenty intervals of 95 % misses the truth: nothing here
is corrected for the number of intervals.

The draws are studentized (bootstrap-t): each is measured in its own standard error, from the
influence of every picture on mIoU. The middle 95 % of the draws themselves, the percentile
interval, is not used: a class that is in few pictures pulls a draw's mIoU down, and the interval
with it, to the side where the truth is not. test_bootstrap.py measures how often each
covers the truth.
Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5.
"""

from collections.abc import Callable, Mapping
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
        """Each contrast and its standard error, (K,) both, on pictures that are drawn `times`."""
        miou, influence = _miou(right, union, times)
        return contrasts @ miou, np.sqrt((contrasts @ influence) ** 2 @ times)

    value, error = measure(np.ones(images))
    draws, draw_errors = _draw(measure, images, resamples, seed)
    tails = [(1 + LEVEL) / 2, (1 - LEVEL) / 2]
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw of one picture has no error
        scaled = np.where(draws == value, 0, (draws - value) / draw_errors)
        ends = value - error * np.nanquantile(scaled, tails, axis=0, method="inverted_cdf")
    least = contrasts.clip(max=0).sum(1)
    most = contrasts.clip(min=0).sum(1)
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
    if len(overlaps) < 2:
        return pd.DataFrame(columns=["first", "second", "difference", "low", "high", "real"])
    models = list(overlaps)
    pairs = list(combinations(models, 2))
    contrasts = np.zeros((len(pairs), len(models)))
    for row, (first, second) in zip(contrasts, pairs, strict=True):
        row[models.index(first)] = -1
        row[models.index(second)] = 1
    stacked = np.stack(list(overlaps.values()))  # (M, n, 3, C)
    low, high = intervals(stacked, contrasts).T
    return pd.DataFrame(
        {
            "first": [first for first, _ in pairs],
            "second": [second for _, second in pairs],
            "difference": contrasts @ overlap_miou(stacked.sum(1)),
            "low": low,
            "high": high,
            "real": (low > 0) | (high < 0),
        }
    )


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


def _draw(
    measure: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    images: int,
    resamples: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """What `measure` gives for pictures drawn with replacement, (resamples, K) float64 each."""
    values = []
    errors = []
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        picks = generator.integers(images, size=images)
        times = np.bincount(picks, minlength=images).astype(np.float64)
        value, error = measure(times)
        values.append(value)
        errors.append(error)
    return np.array(values), np.array(errors)


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
    no_score = np.full(len(iou), np.nan)
    miou = np.divide(iou.sum(1), classes[:, 0], out=no_score, where=classes[:, 0] > 0)
    influence = right @ share[..., None] - union @ (iou * share)[..., None]
    return miou, influence[..., 0]
