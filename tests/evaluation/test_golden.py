"""The scores of a committed case: other numbers for the same masks are another `evaluation`."""

import json
from pathlib import Path

import numpy as np
import pytest

from segmodels.data import images, layout
from segmodels.evaluation import score_masks

GOLDEN = Path(__file__).parent / "golden/evaluation.json"
CLASSES, VOID = 4, 255


def case(root):
    """Six targets and predictions without a random number: stripes, discs and void."""
    y, x = np.mgrid[:37, :53]
    ids = []
    for k in range(6):
        target = ((x + 3 * k) // 9 % 3).astype(np.uint8)
        target[(y - 18) ** 2 + (x - 20 - k) ** 2 < (5 + k) ** 2] = 3 - k % 2
        target[(y + k) % 11 == 0] = VOID
        prediction = np.roll(np.where(target == VOID, 0, target), (k % 3, 1), (0, 1))
        ids.append(f"i{k}")
        images.write_target(layout.target_path(root, ids[-1]), target, images.palette())
        images.write_target(
            root / f"masks/{ids[-1]}.png", prediction.astype(np.uint8), images.palette()
        )
    return ids


def test_scores_of_the_committed_case(tmp_path):
    ids = case(tmp_path)
    counts = score_masks.per_image(
        tmp_path / "masks", tmp_path, ids, num_classes=CLASSES, ignore_index=VOID
    )
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden["evaluation"] == score_masks.EVALUATION
    protocol = score_masks.protocol(tmp_path / "masks", tmp_path, counts)
    assert protocol["evaluation"] == score_masks.EVALUATION
    found = score_masks.metrics(counts)
    assert found == pytest.approx(golden["metrics"], rel=1e-12)
    assert counts.confusion.tolist() == golden["confusion"]
