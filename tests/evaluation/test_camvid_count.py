"""Scores of CamVid's form beside independent counts: numpy over all pixels, and torchmetrics.

The protocol is that of SegNet's compute_test_results.m: one confusion over all images, pixels of
void left out, mean over the 11 classes.
"""

import numpy as np
import pytest
import torch
from torchmetrics.functional import classification

from segmodels.data import images, layout
from segmodels.evaluation import score_masks

CLASSES, VOID = 11, 255
IDS = [f"0001TP_{8550 + 30 * k:06d}" for k in range(5)]


@pytest.fixture
def masks(tmp_path):
    """A tree's targets and a folder of predictions that are right in about half of the pixels."""
    rng = np.random.default_rng(0)
    for image_id in IDS:
        target = rng.choice(CLASSES, (36, 48), p=rng.dirichlet(np.ones(CLASSES))).astype(np.uint8)
        prediction = np.where(rng.random(target.shape) < 0.5, target, rng.integers(0, CLASSES))
        target[:4, :9] = VOID
        for path, labels in (
            (layout.target_path(tmp_path, image_id), target),
            (tmp_path / f"{image_id}.png", prediction.astype(np.uint8)),
        ):
            path.parent.mkdir(exist_ok=True)
            images.write_target(path, labels, images.palette())
    return tmp_path


@pytest.fixture
def scored(masks):
    counts = score_masks.per_image(masks, masks, IDS, num_classes=CLASSES, ignore_index=VOID)
    return counts, score_masks.metrics(counts)


@pytest.fixture
def pixels(masks):
    """True and predicted labels of all pixels, void included."""
    true = [images.read_target(layout.target_path(masks, i)).ravel() for i in IDS]
    predicted = [images.read_target(masks / f"{i}.png").ravel() for i in IDS]
    return np.concatenate(true), np.concatenate(predicted)


def test_scores_equal_a_count_of_all_pixels(scored, pixels):
    true, predicted = pixels
    kept = true != VOID
    true, predicted = true[kept], predicted[kept]
    ious = []
    accuracies = []
    for label in range(CLASSES):
        both = np.sum((true == label) & (predicted == label))
        either = np.sum((true == label) | (predicted == label))
        ious.append(both / either)
        accuracies.append(both / np.sum(true == label))
    _, metrics = scored
    assert metrics["miou"] == pytest.approx(np.mean(ious), abs=1e-6)
    assert metrics["pixel_acc"] == pytest.approx(np.mean(true == predicted), abs=1e-6)
    assert metrics["mean_acc"] == pytest.approx(np.mean(accuracies), abs=1e-6)


def test_scores_equal_torchmetrics(scored, pixels):
    true, predicted = (torch.from_numpy(values).long() for values in pixels)
    given = {"num_classes": CLASSES, "ignore_index": VOID}
    counts, metrics = scored
    each = classification.multiclass_jaccard_index(predicted, true, average="none", **given)
    overlap = counts.overlap.sum(0)
    ours = overlap[0] / (overlap[1] + overlap[2] - overlap[0])
    np.testing.assert_allclose(each.numpy(), ours, atol=1e-6)
    assert metrics["miou"] == pytest.approx(float(each.double().mean()), abs=1e-6)
    accuracy = classification.multiclass_accuracy(predicted, true, average="micro", **given)
    assert metrics["pixel_acc"] == pytest.approx(float(accuracy), abs=1e-6)
