"""Scores against scikit-learn on 100 random pictures, and against counts by hand."""

import numpy as np
import pytest
from sklearn import metrics

from segmodels.evaluation import scores
from segmodels.evaluation.confusion import confusion_matrix

VOID, CLASSES = 255, 21
NAMES = [f"class {label}" for label in range(CLASSES)]
GROUPS = {"low": NAMES[1:8], "high": NAMES[8:21], "one": [NAMES[3]]}


def picture(seed):
    """Labels with void and with absent classes, in truth and prediction, as a model would err."""
    rng = np.random.default_rng(seed)
    present = rng.choice(CLASSES, size=rng.integers(1, CLASSES + 1), replace=False)
    target = rng.choice(np.append(present, VOID), size=(23, 31)).astype(np.uint8)
    guess = rng.choice(CLASSES, size=rng.integers(1, 6))
    wrong = rng.choice(guess, size=target.shape)
    keep = (rng.random(target.shape) < 0.7) & (target != VOID)
    return target, np.where(keep, target, wrong).astype(np.uint8)


def count(target, prediction):
    return confusion_matrix(
        target=target, prediction=prediction, num_classes=CLASSES, ignore_index=VOID
    )


@pytest.mark.parametrize("seed", range(100))
def test_every_score_equals_sklearn(seed):
    target, prediction = picture(seed)
    confusion = count(target, prediction)
    true, predicted = target[target != VOID], prediction[target != VOID]
    either, present = np.union1d(true, predicted), np.unique(true)
    jaccard = metrics.jaccard_score(true, predicted, labels=either, average=None)
    f1 = metrics.f1_score(true, predicted, labels=either, average=None)
    recall = metrics.recall_score(true, predicted, labels=present, average=None)
    shares = np.bincount(true, minlength=CLASSES)[either] / true.size
    assert scores.summarize(confusion) == {
        "miou": pytest.approx(jaccard.mean()),
        "miou_present": pytest.approx(jaccard[np.isin(either, present)].mean()),
        "fw_iou": pytest.approx(shares @ jaccard),
        "mean_dice": pytest.approx(f1.mean()),
        "pixel_acc": pytest.approx(metrics.accuracy_score(true, predicted)),
        "mean_acc": pytest.approx(recall.mean()),
        "classes_counted": len(either),
        "classes_present": len(present),
    }
    table = scores.per_class_table(confusion, scores.overlap(confusion), NAMES)
    for column, expected, labels in (
        ("iou", jaccard, either),
        ("boundary_iou", jaccard, either),
        ("dice", f1, either),
        ("acc", recall, present),
    ):
        found = np.full(CLASSES, np.nan)
        found[labels] = expected
        np.testing.assert_allclose(table[column], found, rtol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_groups_equal_sklearn(seed):
    target, prediction = picture(seed)
    true, predicted = target[target != VOID], prediction[target != VOID]
    table = scores.groups_table(count(target, prediction), NAMES, GROUPS).set_index("group")
    assert table.index.tolist() == list(GROUPS)
    for group, members in GROUPS.items():
        labels = [NAMES.index(name) for name in members]
        either = np.intersect1d(labels, np.union1d(true, predicted))
        present = np.intersect1d(labels, true)
        for column, counted in (("miou", either), ("miou_present", present)):
            expected = np.nan
            if len(counted):
                expected = metrics.jaccard_score(true, predicted, labels=counted, average="macro")
            assert table.loc[group, column] == pytest.approx(expected, nan_ok=True)
        merged = np.nan
        if len(either):
            merged = metrics.jaccard_score(np.isin(true, labels), np.isin(predicted, labels))
        assert table.loc[group, "merged_iou"] == pytest.approx(merged, nan_ok=True)
        assert table.loc[group, "true_pixels"] == np.isin(true, labels).sum()


def test_mistakes_within_a_group_are_right_when_it_is_merged():
    counts = np.array([[5, 0, 0], [1, 2, 3], [0, 4, 1]])  # rows true: background, cat, dog
    table = scores.groups_table(counts, ["background", "cat", "dog"], {"pets": ["cat", "dog"]})
    row = table.iloc[0]
    assert row["merged_iou"] == pytest.approx(10 / 11)
    assert row["miou"] == pytest.approx((2 / 10 + 1 / 8) / 2)


def test_floor_has_the_scores_of_an_empty_prediction():
    target, _ = picture(3)
    pixels = np.bincount(target[target != VOID], minlength=CLASSES)
    floor = scores.floor_confusion(pixels)
    np.testing.assert_array_equal(floor, count(target, np.zeros_like(target)))


def test_overlap_scores_equal_those_of_the_confusion_matrices():
    counts = np.stack([count(*picture(seed)) for seed in range(4)])
    overlap = np.stack([scores.overlap(one) for one in counts])
    for one, of_one in zip(counts, overlap, strict=True):
        found = scores.summarize(one)
        assert scores.overlap_miou(of_one) == pytest.approx(found["miou"], rel=1e-12)
    np.testing.assert_array_equal(overlap.sum(0), scores.overlap(counts.sum(0)))
    assert np.isnan(scores.overlap_miou(np.zeros((3, CLASSES))))


def test_images_are_scored_alone_and_ranked_with_the_empty_one_last():
    counts = np.stack([count(*picture(seed)) for seed in range(3)] + [np.zeros((21, 21), int)])
    overlap = np.stack([scores.overlap(one) for one in counts])
    table = scores.images_table(list("abcd"), overlap, overlap[::-1])
    expected = [scores.summarize(one) for one in counts[:3]]
    assert table["miou"].tolist()[:3] == pytest.approx([one["miou"] for one in expected])
    assert table["pixel_acc"].tolist()[:3] == pytest.approx([one["pixel_acc"] for one in expected])
    assert table["boundary_miou"].tolist()[1:] == pytest.approx(table["miou"].tolist()[2::-1])
    assert table.loc[3, ["miou", "pixel_acc"]].isna().all()
    order = np.argsort([-one["miou"] for one in expected])
    assert [table["rank"][i] for i in order] == [1, 2, 3] and table["rank"][3] == 4


def test_overlap_table_keeps_every_count_and_leaves_out_what_a_picture_lacks():
    counts = [count(*picture(seed)) for seed in range(5)] + [np.zeros((21, 21), int)]
    overlap = np.stack([scores.overlap(one) for one in counts])
    ids = ["e", "d", "007", "NA", "a", "void"]
    table = scores.overlap_table(ids, overlap, NAMES)
    assert table[["true_pixels", "predicted_pixels"]].sum(axis=1).gt(0).all()
    assert len(table) == (overlap.sum(1) > 0).sum() < overlap[:, 0].size
    shuffled = table.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(scores.overlap_of(shuffled, ids, NAMES), overlap)


def test_confused_pairs_are_the_largest_off_the_diagonal():
    counts = np.array([[90, 7, 0], [5, 80, 9], [0, 9, 70]])
    found = scores.confused(scores.confusion_table(counts, ["a", "b", "c"]), most=3)
    pairs = list(zip(found["true"], found["predicted"], found["pixels"], strict=True))
    assert pairs == [("b", "c", 9), ("c", "b", 9), ("a", "b", 7)]
    assert found["fraction"].tolist() == pytest.approx([9 / 94, 9 / 79, 7 / 97])


def test_a_band_without_pixels_has_no_score():
    overlap = np.zeros((2, 3, 4), int)
    assert scores.band_scores({"a": overlap, "b": overlap + 5}) == {"a_miou": None, "b_miou": 1.0}


def test_floor_equals_hand_count():
    # 60 of 100 pixels are background; three other classes are true and never found; the fifth is
    # in neither truth nor prediction.
    assert scores.summarize(scores.floor_confusion(np.array([60, 20, 15, 5, 0]))) == {
        "miou": pytest.approx(0.6 / 4),
        "miou_present": pytest.approx(0.6 / 4),
        "fw_iou": pytest.approx(0.36),
        "mean_dice": pytest.approx(0.75 / 4),
        "pixel_acc": pytest.approx(0.6),
        "mean_acc": pytest.approx(1 / 4),
        "classes_counted": 4,
        "classes_present": 4,
    }


def test_summarize_separates_classes_counted_from_classes_present():
    # Class 2 is predicted (1 pixel) and never true: it pulls miou down, not miou_present.
    counts = np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]])
    found = scores.summarize(counts)
    assert found["miou"] == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert found["miou_present"] == pytest.approx((3 / 4 + 1) / 2)
    assert (found["classes_counted"], found["classes_present"]) == (3, 2)


def test_summarize_of_nothing_is_refused():
    with pytest.raises(ValueError, match="counts no pixel"):
        scores.summarize(np.zeros((3, 3), dtype=np.int64))


def test_confusion_table_keeps_rows_true_and_columns_predicted():
    table = scores.confusion_table(np.array([[6, 2], [0, 0]]), ["a", "b"])
    cells = {(row.true, row.predicted): (row.pixels, row.fraction) for row in table.itertuples()}
    assert cells[("a", "b")] == (2, 0.25)
    assert cells[("b", "a")] == (0, 0.0)  # the truth lacks b: 0, not a division by 0
