"""Label maps with what the model is sure of: the largest probability, or all of them.

The labels are those of `testtime.label_maps`, from the same passes. Probabilities are what these
labels are the largest of: the softmax of one pass, the mean of several, or the CRF's marginals.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segmodels.config.schema import Predict
from segmodels.inference import fusion, testtime
from segmodels.inference.testtime import Forward


@dataclass(frozen=True)
class Soft:
    """One image's prediction.

    Attributes:
        labels: (H, W) uint8.
        confidence: (H, W) float32, the largest probability.
        probabilities: (C, H, W) float16 or float32, if they were asked for.
    """

    labels: np.ndarray
    confidence: np.ndarray
    probabilities: np.ndarray | None


@torch.inference_mode()
def predict(
    forward: Forward,
    image: np.ndarray,
    choices: Predict,
    *,
    most: int,
    keep: torch.dtype | None = None,
) -> Soft:
    """Predict one image.

    Args:
        forward: a `Network`.
        image: (H, W, 3) uint8 RGB.
        most: see `testtime.label_maps`.
        keep: type of the probabilities; None: only the largest is kept.
    """
    height, width = image.shape[:2]
    batch = torch.tensor(image).permute(2, 0, 1)[None]
    chosen = testtime.chosen(forward, choices)
    passes = list(testtime.all_passes(chosen, batch, choices, most))
    labels = fusion.labels(passes, (height, width))[0].cpu().numpy()
    classes = passes[0].shape[1]
    confidence = torch.empty(height, width)
    whole = None if keep is None else torch.empty(classes, height, width, dtype=keep)
    rows = max(1, fusion.BAND // (classes * width))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = _band(passes, top, bottom, (height, width), marginals=choices.crf is not None)
        confidence[top:bottom] = band.amax(0)
        if whole is not None:
            whole[:, top:bottom] = band
    return Soft(labels, confidence.numpy(), None if whole is None else whole.numpy())


def _band(
    passes: list[Tensor], top: int, bottom: int, size: tuple[int, int], *, marginals: bool
) -> Tensor:
    """Probabilities (C, bottom - top, W) of some rows."""
    parts = []
    for logits in passes:
        rows = fusion.resized_rows(logits, top, bottom, size)[0]
        parts.append(rows if marginals else rows.softmax(0))
    return torch.stack(parts).mean(0)
