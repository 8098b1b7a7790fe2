"""Scores and differences with intervals over images and over stretches of video, side by side.

Images of a video are not independent, see `segmodels.evaluation.sequences`; the interval over
stretches is the one to believe. Scores are fractions 0..1.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from segmodels.config import origin
from segmodels.evaluation import bootstrap, sequences
from segmodels.evaluation.scores import overlap_miou
from segmodels.reporting.markdown import difference_row, each_row, points, table
from segmodels.reporting.result import Result

BLOCKS = ["low_video", "high_video", "real_video"]  # as low, high, real, over stretches of video
HEAD = ["model", "mIoU", "95% over images", "95% over stretches of video"]
PAIRS_HEAD = ["comparison", "models", "mIoU, points", "95% over images", "excludes 0"]
PAIRS_HEAD += ["95% over stretches of video", "excludes 0"]


def scores(
    results: Sequence[Result], sequence: origin.Sequence
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every run's mIoU, and the difference of every two, with both intervals.

    Returns:
        model, miou, low, high, low_video, high_video, stretches (their number);
        and the columns of `bootstrap.differences` with low_video, high_video, real_video.
    Raises:
        ValueError: an image id has not the form of `sequence`.
    """
    image_ids = results[0].images["image_id"].tolist()
    block = sequences.blocks(image_ids, pattern=sequence.pattern, length=sequence.length)
    over_images = {result.model: result.overlap for result in results}
    over_video = {model: sequences.summed(each, block) for model, each in over_images.items()}
    single = pd.DataFrame(
        {
            "model": list(over_images),
            "miou": [overlap_miou(each.sum(0)) for each in over_images.values()],
        }
    )
    single[["low", "high"]] = _intervals(over_images)
    single[["low_video", "high_video"]] = _intervals(over_video)
    single["stretches"] = int(block.max()) + 1
    pairs = bootstrap.differences(over_images)
    pairs[BLOCKS] = bootstrap.differences(over_video)[["low", "high", "real"]]
    return single, pairs


def markdown(
    single: pd.DataFrame,
    pairs: pd.DataFrame,
    comparisons: Mapping[str, Sequence[str]],
    sequence: origin.Sequence,
) -> str:
    """Both tables of `scores`, the differences of each comparison's runs, in Markdown."""
    rows = []
    for name, runs in comparisons.items():
        for _, pair in pairs.iterrows():
            if pair["first"] in runs and pair["second"] in runs:
                rows.append([name, *difference_row(pair), *_video_cells(pair)])
    meaning = (
        f"Images of one video are not independent. {single['stretches'].iloc[0]} stretches of "
        f"about {sequence.length} frames are drawn, each with all of its images; an interval over "
        "single images is too narrow. Neither covers another drive or another training seed."
    )
    parts = [table(HEAD, each_row(single, _row)), meaning + "\n"]
    if rows:
        parts.append(table(PAIRS_HEAD, rows))
    return "\n".join(parts)


def _intervals(overlaps: Mapping[str, np.ndarray]) -> np.ndarray:
    """(M, 2) ends of the interval of each model's mIoU."""
    return bootstrap.intervals(np.stack(list(overlaps.values())), np.eye(len(overlaps)))


def _row(row: pd.Series) -> list[str]:
    over_images = f"{row['low']:.1%} to {row['high']:.1%}"
    over_video = f"{row['low_video']:.1%} to {row['high_video']:.1%}"
    return [row["model"], f"{row['miou']:.1%}", over_images, over_video]


def _video_cells(pair: pd.Series) -> list[str]:
    interval = f"{points(pair['low_video'])} to {points(pair['high_video'])}"
    return [interval, "yes" if pair["real_video"] else "no"]
