import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from segmodels.data.augment import RandomCrop
from segmodels.data.transforms import resize_image, resized_size

VOID = 255
FILL = (124, 116, 104)
CROPS = "be31e219b3b1cb23bb84f47be08703e974c1740db937dbf0e7a509461b0c2f83"


def crop(image, target, seed, **changes):
    standard = RandomCrop(64, None, (0.5, 2.0), True, VOID, FILL)
    random_crop = dataclasses.replace(standard, **changes)
    return random_crop(image, target, np.random.default_rng(seed))


def coordinates(height, width):
    """An image of its own coordinates, and a target that marks the halves of the picture."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 0 * x], -1).astype(np.uint8)
    return image, (10 * (x >= width // 2) + (y >= height // 2)).astype(np.uint8)


@pytest.mark.parametrize("seed", range(25))
def test_image_and_target_stay_aligned(seed):
    image, target = coordinates(90, 120)
    cropped, labels = crop(image, target, seed)
    seen = labels != VOID
    right, low = cropped[..., 0].astype(int), cropped[..., 1].astype(int)
    # A pixel may be off by one source pixel (2.1 and 2.9 grey levels) at the border of the halves.
    assert ((labels >= 10) == (right >= 127))[seen & (abs(right - 127) > 5)].all()
    assert ((labels % 10 == 1) == (low >= 127))[seen & (abs(low - 127) > 5)].all()


@pytest.mark.parametrize("seed", range(25))
def test_padding_is_void_and_no_label_is_invented(seed):
    image, target = np.full((40, 30, 3), 9, np.uint8), np.full((40, 30), 7, np.uint8)
    target[10:20, 10:20] = 3
    cropped, labels = crop(image, target, seed, size=100)
    assert set(np.unique(labels)) <= {3, 7, VOID}
    assert (cropped[labels == VOID] == FILL).all()
    assert (cropped[labels != VOID] == 9).all()
    assert VOID in labels


@pytest.mark.parametrize("size", [(43, 60), (97, 131), (150, 200), (48, 131)])
def test_resized_image_is_that_of_pil(size):
    image = np.random.default_rng(0).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    theirs = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    difference = resize_image(image, size).astype(int) - np.asarray(theirs)
    assert abs(difference).max() <= 1  # both round in fixed point, with weights of other widths


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.4, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_crop_is_the_resized_crop_of_torchvision(seed, scale):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (150, 190, 3), dtype=np.uint8)
    target = rng.integers(0, 21, (150, 190), dtype=np.uint8)
    cropped, labels = crop(image, target, seed, flip=False, scale=(scale, scale))
    height, width = round(150 * scale), round(190 * scale)
    replay = np.random.default_rng(seed)
    replay.uniform(scale, scale)
    offsets = [replay.integers(0, side - 64 + 1) for side in (height, width)]
    # The window in pixels of the picture: rounded, so at most half a pixel off on each side.
    window = [round(offset / scale) for offset in offsets] + [round(64 / scale)] * 2
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    expected = v2.functional.resized_crop(pixels, *window, [64, 64], antialias=True)
    np.testing.assert_array_equal(cropped, expected.permute(1, 2, 0).numpy())
    nearest = v2.InterpolationMode.NEAREST_EXACT
    expected = v2.functional.resized_crop(
        torch.from_numpy(target)[None], *window, [64, 64], interpolation=nearest
    )
    np.testing.assert_array_equal(labels, expected[0].numpy())


def test_flip_mirrors_both_about_half_the_time():
    image, target = coordinates(64, 64)
    flipped = 0
    for seed in range(200):
        cropped, labels = crop(image, target, seed, scale=(1.0, 1.0))
        mirrored = cropped[0, 0, 0] > cropped[0, -1, 0]
        flipped += mirrored
        expected = target[:, ::-1] if mirrored else target
        np.testing.assert_array_equal(labels, expected)
    assert 70 <= flipped <= 130  # 200 fair coins leave this range once in 10^5


def test_every_position_of_the_crop_is_reached():
    image, target = coordinates(66, 66)
    corners = {
        tuple(crop(image, target, seed, scale=(1, 1), flip=False)[0][0, 0, :2].tolist())
        for seed in range(200)
    }
    steps = {0, 3, 7}  # grey levels of the first three columns: 0, 255 // 65, 510 // 65
    assert corners == {(x, y) for x in steps for y in steps}


def test_same_seed_same_bits_other_seed_other_bits():
    image, target = coordinates(90, 120)
    first, again, other = (crop(image, target, seed)[0] for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_colour_jitter_is_that_of_torchvision_and_leaves_the_rest_alone():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    target = rng.integers(0, 21, (90, 120), dtype=np.uint8)
    for seed in range(10):
        plain, labels = crop(image, target, seed, size=150)
        changed, same = crop(image, target, seed, size=150, color_jitter=0.4)
        np.testing.assert_array_equal(same, labels)
        padding = labels == VOID
        np.testing.assert_array_equal(changed[padding], plain[padding])
        replay = np.random.default_rng(seed)
        replay.uniform(0.5, 2.0)
        height, width = (
            round(side * np.random.default_rng(seed).uniform(0.5, 2)) for side in (90, 120)
        )
        for side in (height, width):
            replay.integers(*sorted((0, side - 150)), endpoint=True)
        mirrored = replay.random() < 0.5
        rows, columns = np.nonzero(~padding)
        box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        seen = plain[box][:, ::-1] if mirrored else plain[box]
        expected = torch.from_numpy(seen.copy()).permute(2, 0, 1)
        for adjust in ("brightness", "contrast", "saturation"):
            factor = replay.uniform(0.6, 1.4)
            expected = getattr(v2.functional, f"adjust_{adjust}")(expected, factor)
        found = changed[box][:, ::-1] if mirrored else changed[box]
        difference = found.astype(int) - expected.permute(1, 2, 0).numpy()
        assert abs(difference).max() <= 4  # each of the three rounds, and the next one multiplies
        assert abs(difference).mean() < 1


def test_base_size_sets_the_long_side():
    assert resized_size(375, 500, 384) == (288, 384)
    assert resized_size(500, 375, 384) == (384, 288)
    assert resized_size(375, 500, None) == (375, 500)
    assert resized_size(1, 1000, 32) == (1, 32)
    image = np.zeros((100, 200, 3), np.uint8)
    _, labels = crop(image, np.zeros((100, 200), np.uint8), 0, base_size=100, scale=(1, 1))
    assert (labels != VOID).sum() == 50 * 64


def test_inputs_are_not_written_to():
    image, target = coordinates(90, 120)
    kept = image.copy(), target.copy()
    crop(image, target, 1)
    resize_image(image, (30, 40))
    assert np.array_equal(image, kept[0]) and np.array_equal(target, kept[1])


def test_crops_are_those_of_earlier_results():
    """Results that were trained with them are trained with the same crops.

    Scaled targets are whole numbers on every machine; images are, where nothing is resized.
    """
    image, target = coordinates(90, 120)
    digest = hashlib.sha256()
    for seed in range(20):
        for changes in ({}, {"base_size": 80}, {"flip": False}, {"size": 150}):
            digest.update(crop(image, target, seed, **changes)[1].tobytes())
        digest.update(crop(image, target, seed, scale=(1, 1))[0].tobytes())
    assert digest.hexdigest() == CROPS
