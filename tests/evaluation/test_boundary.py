"""Bands along boundaries against distances between all pairs of pixels, and scipy's erosion."""

import numpy as np
import pytest
from scipy import ndimage

from segmodels.evaluation import boundary

VOID, CLASSES = 255, 4


def picture(seed, shape=(24, 33)):
    """Rectangles of all classes and of void, and a prediction that is shifted and has specks."""
    rng = np.random.default_rng(seed)
    target = np.zeros(shape, np.uint8)
    for label in rng.choice([0, 1, 2, 3, VOID], size=9):
        top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        target[top : top + rng.integers(2, 14), left : left + rng.integers(2, 14)] = label
    prediction = np.roll(target, rng.integers(-2, 3, 2), axis=(0, 1))
    specks = rng.random(shape) < 0.03
    wrong = rng.integers(0, CLASSES, shape)
    return target, np.where(specks | (prediction == VOID), wrong, prediction).astype(np.uint8)


def overlaps(target, prediction):
    return boundary.overlaps(
        target=target, prediction=prediction, num_classes=CLASSES, ignore_index=VOID
    )


def distances(shape):
    """(H W, H W): Chebyshev distance of every pixel to every other one."""
    places = np.indices(shape).reshape(2, -1)
    return np.abs(places[:, :, None] - places[:, None]).max(0)


def near_another_label(labels, width):
    """Pixels that have another label within `width`, by all pairs."""
    flat = labels.ravel()
    differs = (flat[:, None] != flat) & (distances(labels.shape) <= width)
    return differs.any(1).reshape(labels.shape)


def class_pixels(*areas):
    return [np.bincount(area, minlength=256)[:CLASSES] for area in areas]


@pytest.mark.parametrize("seed", range(12))
def test_trimap_equals_all_distances(seed):
    target, prediction = picture(seed)
    found = overlaps(target, prediction)
    for width in boundary.TRIMAP_WIDTHS:
        near = near_another_label(target, width) & (target != VOID)
        true, predicted = target[near], prediction[near]
        expected = class_pixels(true[true == predicted], true, predicted)
        np.testing.assert_array_equal(found[f"trimap_{width}px"], expected)


@pytest.mark.parametrize("width", [1, 2, 3, 12, 40])
@pytest.mark.parametrize("border", [{"mode": "edge"}, {"constant_values": VOID}])
def test_mixed_pixels_are_those_of_scipys_filters(width, border):
    target, _ = picture(width)
    padded = np.pad(target, width, **border)
    size = 2 * width + 1
    expected = ndimage.minimum_filter(padded, size) != ndimage.maximum_filter(padded, size)
    inner = expected[width:-width, width:-width]
    assert inner.any()
    np.testing.assert_array_equal(boundary._mixed(padded, width), inner)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_boundary_overlap_equals_all_distances(monkeypatch, seed, width):
    monkeypatch.setattr(boundary, "distance", lambda shape: width)
    target, prediction = picture(seed)
    prediction_there = np.where(target == VOID, VOID, prediction)
    bands = []
    for labels in (target, prediction_there):
        framed = np.pad(labels, width, constant_values=VOID)
        bands.append(near_another_label(framed, width)[width:-width, width:-width])
    true, predicted = target[bands[0]], prediction_there[bands[1]]
    right = target[bands[0] & bands[1] & (target == prediction_there)]
    expected = class_pixels(right, true, predicted)
    np.testing.assert_array_equal(overlaps(target, prediction)["boundary"], expected)


@pytest.mark.parametrize("seed", range(6))
def test_boundary_overlap_equals_the_erosion_of_each_class(seed):
    """As the paper's code has it: a mask less its erosion, the picture's frame outside."""
    target, prediction = picture(seed, shape=(120, 160))
    depth = round(0.02 * 200)  # the diagonal of 120 x 160
    found = overlaps(target, prediction)["boundary"]
    for label in range(CLASSES):
        masks = [target == label, (prediction == label) & (target != VOID)]
        square = np.ones((3, 3))
        inner = [ndimage.binary_erosion(mask, square, iterations=depth) for mask in masks]
        true, predicted = (m & ~e for m, e in zip(masks, inner, strict=True))
        assert found[:, label].tolist() == [(true & predicted).sum(), true.sum(), predicted.sum()]


@pytest.mark.parametrize(
    ("shape", "pixels"), [((375, 500), 12), ((500, 375), 12), ((64, 80), 2), ((5, 5), 1)]
)
def test_distance_is_2_percent_of_the_diagonal(shape, pixels):
    assert boundary.distance(shape) == pixels


def test_square_by_hand():
    # A 4 x 4 square of class 1 in 8 x 8: its band of 1 pixel has 12 pixels, the background's has
    # the picture's frame (28) and what touches the square (20); none of these is both.
    target = np.zeros((8, 8), np.uint8)
    target[2:6, 2:6] = 1
    found = overlaps(target, np.zeros_like(target))
    assert found["boundary"].tolist() == [[28, 0, 0, 0], [48, 12, 0, 0], [28, 0, 0, 0]]
    assert found["trimap_1px"].tolist() == [[20, 0, 0, 0], [20, 12, 0, 0], [32, 0, 0, 0]]


def test_what_is_said_in_void_changes_nothing():
    target, prediction = picture(1)
    changed = np.where(target == VOID, 3, prediction).astype(np.uint8)
    assert (changed != prediction).any()
    before, after = overlaps(target, prediction), overlaps(target, changed)
    for name in boundary.NAMES:
        np.testing.assert_array_equal(before[name], after[name])


def test_a_perfect_prediction_is_all_right_whatever_it_says_in_void():
    target, _ = picture(2)
    for name, (right, true, predicted) in overlaps(
        target, np.where(target == VOID, 1, target)
    ).items():
        assert right.sum() > 0, name
        np.testing.assert_array_equal(right, true)
        np.testing.assert_array_equal(right, predicted)


def test_wide_band_is_the_whole_picture_and_one_class_has_no_trimap():
    plain = np.zeros((12, 12), np.uint8)
    spot = plain.copy()
    spot[0, 0] = 1
    assert overlaps(spot, plain)["trimap_20px"][1].tolist() == [143, 1, 0, 0]
    assert overlaps(plain, plain)["trimap_20px"].sum() == 0
