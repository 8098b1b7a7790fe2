import numpy as np
import pytest
from sklearn import metrics

from segmodels.evaluation.confusion import (
    class_accuracy,
    confusion_matrix,
    iou,
    mean,
    pixel_accuracy,
)

VOID = 255
# 2 x 3 pixels, four classes; class 3 is in neither; one pixel of truth 1 is taken for 2.
TARGET = np.array([[0, 0, 1], [1, 2, VOID]], dtype=np.uint8)
PREDICTION = np.array([[0, 1, 1], [2, 2, 0]], dtype=np.uint8)


def count(target, prediction, num_classes=4):
    return confusion_matrix(
        target=target, prediction=prediction, num_classes=num_classes, ignore_index=VOID
    )


def test_confusion_matrix_by_hand_has_truth_in_rows():
    confusion = count(TARGET, PREDICTION)
    expected = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert confusion.tolist() == expected
    assert confusion.dtype == np.int64


def test_scores_by_hand_leave_out_void_and_absent_class():
    confusion = count(TARGET, PREDICTION)
    np.testing.assert_array_equal(iou(confusion), [1 / 2, 1 / 3, 1 / 2, np.nan])
    np.testing.assert_array_equal(class_accuracy(confusion), [1 / 2, 1 / 2, 1, np.nan])
    assert pixel_accuracy(confusion) == 3 / 5
    assert mean(iou(confusion)) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 3)


def test_class_only_predicted_has_iou_zero_and_no_accuracy():
    confusion = count(np.zeros((1, 2), np.uint8), np.array([[0, 3]], np.uint8))
    np.testing.assert_array_equal(iou(confusion), [1 / 2, np.nan, np.nan, 0])
    np.testing.assert_array_equal(class_accuracy(confusion), [1 / 2, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("seed", range(20))
def test_confusion_and_scores_equal_sklearn(seed):
    rng = np.random.default_rng(seed)
    present = rng.choice(21, size=rng.integers(1, 22), replace=False)
    target = rng.choice(np.append(present, VOID), size=(37, 53)).astype(np.uint8)
    prediction = rng.choice(present, size=(37, 53)).astype(np.uint8)
    confusion = count(target, prediction, num_classes=21)
    true, predicted = target[target != VOID], prediction[target != VOID]
    np.testing.assert_array_equal(
        confusion, metrics.confusion_matrix(true, predicted, labels=range(21))
    )
    labels = np.union1d(true, predicted)
    expected = metrics.jaccard_score(true, predicted, labels=labels, average="macro")
    assert mean(iou(confusion)) == pytest.approx(expected)
    assert pixel_accuracy(confusion) == pytest.approx(metrics.accuracy_score(true, predicted))
    recall = metrics.recall_score(true, predicted, labels=np.unique(true), average="macro")
    assert mean(class_accuracy(confusion)) == pytest.approx(recall)


def test_all_void_counts_nothing():
    confusion = count(np.full((4, 4), VOID, np.uint8), np.zeros((4, 4), np.uint8))
    assert confusion.sum() == 0
    assert np.isnan(mean(iou(confusion))) and np.isnan(pixel_accuracy(confusion))


@pytest.mark.parametrize(
    ("target", "prediction", "message"),
    [
        ([[0, 4]], [[0, 0]], r"labels \[4\]: expected 0..3 or void 255"),
        ([[0, 0]], [[0, 200]], r"labels \[200\]"),
        ([[0, 0]], [[0, 255]], r"labels \[255\]"),
        ([[0, 0]], [[0], [0]], r"target is \(1, 2\), prediction is \(2, 1\)"),
        ([[0], [0]], [[0, 0]], r"target is \(2, 1\), prediction is \(1, 2\)"),
    ],
)
def test_bad_labels_and_sizes_are_refused(target, prediction, message):
    with pytest.raises(ValueError, match=message):
        count(np.array(target, np.uint8), np.array(prediction, np.uint8))
