"""Blocks of video: their limits by hand, intervals beside a loop, coverage on dependent frames."""

from pathlib import Path

import numpy as np
import pytest

from segmodels.data.sources import camvid
from segmodels.evaluation import bootstrap, scores, sequences

PATTERN = r"(.+_f?)([0-9]+)"
CAMVID = "data/splits/camvid"


def test_blocks_of_a_case_by_hand():
    # 0..9 is one block of about 10, a gap, 40..41 another; the other video has a span of 3.
    ids = ["a_041", "b_7", "a_000", "a_009", "a_040", "b_9", "a_005"]
    block = sequences.blocks(ids, pattern=PATTERN, length=10)
    assert block.tolist() == [1, 2, 0, 0, 1, 2, 0]


def test_blocks_are_contiguous_and_equally_long():
    rng = np.random.default_rng(0)
    numbers = np.sort(rng.choice(5000, 400, replace=False))
    ids = [f"v_{number}" for number in numbers]
    block = sequences.blocks(ids, pattern=PATTERN, length=300)
    assert (np.diff(block) >= 0).all() and set(block) == set(range(17))
    begins = numbers[np.flatnonzero(np.diff(block, prepend=-1))]
    assert (np.diff(begins) > 250).all() and (np.diff(begins) < 350).all()
    shuffled = rng.permutation(400)
    again = sequences.blocks([ids[k] for k in shuffled], pattern=PATTERN, length=300)
    assert np.array_equal(again, block[shuffled])


def test_camvids_test_has_23_blocks_of_ten_seconds():
    lists = camvid.split_lists(camvid.read_manifest(_folder() / camvid.MANIFEST), _folder())
    block = sequences.blocks(lists["test"], pattern=PATTERN, length=300)
    sizes = np.bincount(block)
    drives = [image_id.partition("_")[0] for image_id in lists["test"]]
    of_drive = {drive: set(block[np.array(drives) == drive]) for drive in set(drives)}
    assert {drive: len(found) for drive, found in of_drive.items()} == {"Seq05VD": 17, "0001TP": 6}
    assert not set.intersection(*of_drive.values())
    assert (sizes >= 10).all() and (sizes <= 11).all()


def _folder():
    return Path(__file__).parents[2] / CAMVID


def test_an_id_of_another_form_is_named():
    with pytest.raises(ValueError, match=r"image id 2007_x: expected the form of sequence.pattern"):
        sequences.blocks(["a_1", "2007_x"], pattern=PATTERN, length=5)


def test_sums_are_those_of_a_loop():
    rng = np.random.default_rng(1)
    overlap = rng.integers(0, 100, (9, 3, 4))
    block = np.array([2, 0, 1, 1, 2, 0, 0, 2, 1])
    expected = [sum(overlap[k] for k in range(9) if block[k] == b) for b in range(3)]
    assert np.array_equal(sequences.summed(overlap, block), np.array(expected))


def test_an_interval_draws_whole_blocks():
    """Beside bootstrap-t written out: blocks repeated image by image, influence by differences."""
    rng = np.random.default_rng(2)
    true = rng.integers(50, 200, (12, 3))
    right = (true * rng.uniform(0.4, 0.9, true.shape)).astype(int)
    overlap = np.stack([right, true, right[:, [1, 0, 2]] // 3 + right], axis=1)
    block = np.repeat(np.arange(4), 3)
    members = [overlap[block == b].astype(float) for b in range(4)]

    def measure(pick):
        def value(weights):
            total = sum(w * members[b].sum(0) for w, b in zip(weights, pick, strict=True))
            return scores.overlap_miou(total)

        ones, step = np.ones(4), 1e-4
        slopes = [(value(ones + step * e) - value(ones - step * e)) / 2 / step for e in np.eye(4)]
        return value(ones), np.sqrt(np.sum(np.square(slopes)))

    generator = np.random.default_rng(3)
    value, error = measure(np.arange(4))
    drawn = [measure(generator.integers(4, size=4)) for _ in range(200)]
    scaled = sorted(0 if again == value else (again - value) / own for again, own in drawn if own)
    found = bootstrap.intervals(
        sequences.summed(overlap, block)[None], np.ones((1, 1)), resamples=200, seed=3
    )[0]
    count = len(scaled)
    high_tail = scaled[int(np.ceil(0.975 * count)) - 1]
    low_tail = scaled[int(np.ceil(0.025 * count)) - 1]
    expected = (max(0, value - error * high_tail), min(1, value - error * low_tail))
    assert found == pytest.approx(expected, abs=1e-5)


def dependent_split(rng, videos=2, frames=120, memory=0.63):
    """Overlaps of videos whose difficulty wanders: neighbours correlate as CamVid's, 1 s apart."""
    skill = np.zeros((videos, frames))
    skill[:, 0] = rng.normal(size=videos)
    for k in range(1, frames):
        fresh = rng.normal(size=videos) * np.sqrt(1 - memory**2)
        skill[:, k] = memory * skill[:, k - 1] + fresh
    share = 1 / (1 + np.exp(-1 - skill.ravel()))[:, None]
    true = np.full((videos * frames, 2), 1000)
    right = (true * share).astype(int)
    return np.stack([right, true, right + (true - right)[:, ::-1]], axis=1)


def test_blocks_cover_the_truth_of_dependent_frames_where_single_images_do_not():
    truth = scores.overlap_miou(dependent_split(np.random.default_rng(99), frames=100_000).sum(0))
    ids = [f"{video}_{30 * frame}" for video in "ab" for frame in range(120)]
    block = sequences.blocks(ids, pattern=PATTERN, length=300)
    assert block.max() == 23
    rng = np.random.default_rng(5)
    hits = np.zeros(2)
    for seed in range(150):
        overlap = dependent_split(rng)
        for k, units in enumerate((overlap, sequences.summed(overlap, block))):
            low, high = bootstrap.intervals(units[None], np.ones((1, 1)), resamples=200, seed=seed)[
                0
            ]
            hits[k] += low <= truth <= high
    images, blocks = hits / 150
    assert images < 0.8  # 0.70 in 300 simulations
    assert blocks >= 0.86  # 0.93 in 300 simulations, less three standard errors
