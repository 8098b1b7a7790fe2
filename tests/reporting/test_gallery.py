import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.made_up_page import MODELS, VAL, prediction, target
from PIL import Image
from sklearn.metrics import jaccard_score

from segmodels.config.paths import Paths
from segmodels.data import images
from segmodels.reporting import gallery
from segmodels.reporting.result import Result

PREDICTIONS = Path("data/predictions/miniature")


@pytest.fixture(scope="module")
def pictures(made_up_project, made_up_results):
    root = made_up_project / Paths(dataset="miniature").tree
    return gallery.pictures(VAL, made_up_results, root, made_up_project / PREDICTIONS)


def decoded(uri):
    """Pixels of a data URI, as its file stores them."""
    head, _, content = uri.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    with Image.open(BytesIO(base64.b64decode(content))) as image:
        return np.array(image)


def test_labels_of_every_mask_are_those_of_its_file(pictures):
    for k, picture in enumerate(pictures):
        truth, *masks = map(decoded, picture["labels"])
        np.testing.assert_array_equal(truth, target(k)[0])
        for worse, mask in enumerate(masks):
            np.testing.assert_array_equal(mask, prediction(k, worse))


def test_scores_of_a_picture_are_scikit_learns(pictures):
    for k, picture in enumerate(pictures):
        true = target(k)[0]
        counts = true != 255
        for worse in range(len(MODELS)):
            found = prediction(k, worse)
            scores = jaccard_score(true[counts], found[counts], average=None)  # of those that occur
            labels = np.union1d(true[counts], found[counts])
            seen = dict(zip(labels, scores, strict=True))
            assert picture["miou"][worse] == pytest.approx(np.mean(scores), abs=1e-6)
            for label, iou in picture["iou"].items():
                assert iou[worse] == pytest.approx(seen[label], abs=1e-6)
        assert picture["iou"].keys() == set(np.unique(true[counts]))


def test_a_large_mask_is_shrunk_and_gets_no_label_it_lacks():
    labels = np.zeros((500, 1000), np.uint8)
    labels[100:200, 500:700] = 9
    shrunk = decoded(gallery.png_uri(labels))
    assert shrunk.shape == (200, 400)
    down, across = np.nonzero(shrunk == 9)
    assert (down.min(), down.max() + 1, across.min(), across.max() + 1) == (40, 80, 200, 280)
    assert set(np.unique(shrunk)) == {0, 9}


def test_a_photograph_is_shrunk_by_averaging():
    left, right = np.full((300, 400, 3), 200, np.uint8), np.full((300, 400, 3), 40, np.uint8)
    shrunk = decoded(gallery.jpeg_uri(np.hstack([left, right]))).astype(int)
    assert shrunk.shape == (150, 400, 3)
    assert abs(shrunk[:, :190] - 200).max() < 4 and abs(shrunk[:, 210:] - 40).max() < 4  # JPEG


def test_a_small_split_is_shown_whole_and_in_its_order():
    miou = pd.Series([0.3, np.nan, 0.1], index=["c", "a", "b"])
    assert gallery.sample(miou, most=3, worst=1) == ["c", "a", "b"]


def test_of_a_large_split_the_worst_and_every_so_manyth_are_shown():
    scores = np.random.default_rng(0).permutation(1449) / 1449
    scores[7] = np.nan
    miou = pd.Series(scores, index=[f"{k:04d}" for k in range(1449)])
    chosen = gallery.sample(miou, most=120, worst=30)
    assert len(set(chosen)) == 120
    assert chosen[:30] == sorted(miou.dropna().index, key=miou.get)[:30]
    gaps = np.diff([int(name) for name in chosen[30:]])
    assert (chosen[30], chosen[-1]) == ("0000", "1448") and 14 <= gaps.min() <= gaps.max() <= 21


def test_mean_miou_goes_by_picture_and_not_by_row(made_up_results):
    other = Result(**{**vars(made_up_results[1]), "images": made_up_results[1].images.iloc[::-1]})
    mean = gallery.mean_miou([made_up_results[0], other])
    each = [
        dict(zip(r.images["image_id"], r.images["miou"], strict=True)) for r in made_up_results[:2]
    ]
    assert mean.to_dict() == {k: pytest.approx((each[0][k] + each[1][k]) / 2) for k in VAL}


def test_pictures_never_exceed_the_budget_and_keep_the_splits_order(
    made_up_project, made_up_results
):
    root, masks = made_up_project / Paths(dataset="miniature").tree, made_up_project / PREDICTIONS
    wanted = [VAL[3], VAL[0], VAL[2]]  # the most wanted first
    whole = gallery.pictures(wanted, made_up_results, root, masks)
    assert [entry["id"] for entry in whole] == [VAL[0], VAL[2], VAL[3]]

    def size(entries):
        return sum(len(uri) for entry in entries for uri in [entry["image"], *entry["labels"]])

    kept = gallery.pictures(wanted, made_up_results, root, masks, budget=size(whole) - 1)
    assert [entry["id"] for entry in kept] == [VAL[0], VAL[3]] and size(kept) < size(whole)


def test_views_show_classes_objects_and_both():
    labels, objects = target(0)
    colours = gallery.mask_colours(None, 255)
    views = gallery.views(labels, objects, colours)
    first, second = (objects == 1), (objects == 2)
    names = {
        name: [{tuple(map(int, c)) for c in view[part]} for part in (objects == 0, first, second)]
        for name, view in views.items()
    }
    aeroplane = (128, 0, 0)
    assert names["semantic"] == [{(0, 0, 0)}, {aeroplane}, {aeroplane}]  # objects look the same
    assert names["instance"] == [{(255, 255, 255)}, {(128, 0, 0)}, {(0, 128, 0)}]
    stuff, one, other = names["panoptic"]
    assert stuff == {(0, 0, 0)} and one == {aeroplane}
    assert other == {(211, 166, 166)}  # 128 + 0.65 * (255 - 128), 0 + 0.65 * 255
    for view in views.values():
        assert {tuple(map(int, c)) for c in view[labels == 255]} == {(224, 224, 192)}


def test_an_object_has_the_class_of_most_of_its_pixels():
    objects = np.array([[0, 1, 1, 1, 255, 2]], np.uint8)
    labels = np.array([[7, 3, 3, 9, 255, 9]], np.uint8)
    assert gallery.object_classes(labels, objects) == {1: 3, 2: 9}


def test_exemplar_has_most_objects_of_one_class_and_may_be_missing(tmp_path):
    def write(image_id, labels, objects):
        for folder, values in (("SegmentationClass", labels), ("SegmentationObject", objects)):
            path = tmp_path / folder / f"{image_id}.png"
            images.write_target(path, np.array([values], np.uint8), images.palette())

    write("three classes", [1, 2, 3, 0], [1, 2, 3, 0])
    write("two sheep", [5, 5, 0, 0], [1, 2, 0, 0])
    write("two cats", [6, 6, 0, 0], [1, 2, 0, 0])
    ids = ["three classes", "two sheep", "two cats"]
    found = gallery.exemplar(tmp_path, ids)
    assert found["labels"].tolist() == [[5, 5, 0, 0]] and found["objects"].tolist() == [
        [1, 2, 0, 0]
    ]
    assert gallery.exemplar(tmp_path, ["elsewhere"]) == {}


def test_mask_colours_are_the_data_sets_own_and_void_is_that_of_voc():
    colours = gallery.mask_colours([(1, 2, 3), (4, 5, 6)], 2)
    assert colours[:3].tolist() == [[1, 2, 3], [4, 5, 6], [224, 224, 192]]


def test_a_diverged_loss_is_a_gap_and_not_broken_json():
    assert gallery.numbers([0.123456789, np.nan, np.inf]) == [0.123457, None, None]
