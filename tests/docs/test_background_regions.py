"""Classical segmentation in docs/figures: definitions by brute force, scipy as the witness."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from segmodels.config import params
from segmodels.data.sources.miniature.generate import Scene
from tools.background import regions, results

ROOT = Path(__file__).parents[2]
ROWS = results.read(ROOT / results.FILE)
VOID = 255
TYPICAL = [
    "Otsu thresholds",
    "region growing",
    "watershed",
    "split and merge",
    "graph (felzenszwalb)",
]
TOLERANCE = 0.005  # the last bits of a filter differ between machines, and with them some pixels


@pytest.fixture(scope="module")
def classical():
    pytest.importorskip("skimage", reason="needs the extra: pip install -e '.[docs]'")
    from tools.background import classical

    return classical


@pytest.fixture(scope="module")
def scenes(classical):
    return classical.pictures(params.load(ROOT / "params.yaml"))


def close(found):
    """Rows that were computed again are those of the file."""
    written = {row[:4]: row.value for row in ROWS}
    return all(abs(written[row[:4]] - row.value) <= TOLERANCE * max(1, row.value) for row in found)


def quarters(image, spread, top=0, left=0) -> Iterator[tuple[int, int, int, int]]:
    """Blocks (top, left, height, width) of splitting, straight from its definition."""
    height, width = image.shape[:2]
    if height * width == 0:
        return
    if all(np.ptp(image[..., c]) <= spread for c in range(image.shape[2])):
        yield top, left, height, width
        return
    # The middle is that of the picture's coordinates, rounded down.
    down, right = (2 * top + height) // 2 - top, (2 * left + width) // 2 - left
    yield from quarters(image[:down, :right], spread, top, left)
    yield from quarters(image[:down, right:], spread, top, left + right)
    yield from quarters(image[down:, :right], spread, top + down, left)
    yield from quarters(image[down:, right:], spread, top + down, left + right)


def pictures_to_split():
    rng = np.random.default_rng(0)
    noise = rng.random((7, 12, 3))
    steps = np.kron(rng.integers(0, 4, (4, 5, 3)) / 4, np.ones((3, 3, 1)))
    return [noise, steps, ndimage.gaussian_filter(rng.random((17, 23, 3)), (2, 2, 0))]


@pytest.mark.parametrize("spread", [0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("image", pictures_to_split(), ids=["noise", "steps", "smooth"])
def test_splitting_gives_the_quarters_of_its_definition(image, spread):
    blocks_ = regions.split(image, spread)
    expected = np.full(blocks_.shape, -1)
    for number, (top, left, height, width) in enumerate(quarters(image, spread)):
        expected[top : top + height, left : left + width] = number
    pairs = set(zip(blocks_.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(blocks_)) == len(np.unique(expected))


@pytest.mark.parametrize("spread", [0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("image", pictures_to_split(), ids=["noise", "steps", "smooth"])
def test_merged_regions_are_connected_homogeneous_and_as_large_as_they_can_be(image, spread):
    cut = regions.merge(image, regions.split(image, spread), spread)

    def homogeneous(mask):
        return (np.ptp(image[mask], axis=0) <= spread).all()

    for number in np.unique(cut):
        assert homogeneous(cut == number)
        assert ndimage.label(cut == number)[1] == 1
    touching = {
        frozenset(pair)
        for one, other in ((cut[1:], cut[:-1]), (cut[:, 1:], cut[:, :-1]))
        for pair in zip(one[one != other].tolist(), other[one != other].tolist(), strict=True)
    }
    for a, b in touching:
        assert not homogeneous((cut == a) | (cut == b))


def test_flat_colours_are_merged_to_their_connected_areas():
    colours = np.random.default_rng(3).integers(0, 2, (12, 15))
    image = np.repeat(colours[..., None], 3, axis=2).astype(float)
    cut = regions.merge(image, regions.split(image, 0.5), 0.5)
    areas = ndimage.label(colours)[0] + 1000 * ndimage.label(1 - colours)[0]
    pairs = set(zip(cut.ravel().tolist(), areas.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(cut)) == len(np.unique(areas))


def test_oracle_takes_the_commonest_true_class_and_never_void():
    rng = np.random.default_rng(5)
    cut = rng.integers(10, 16, (20, 20))
    target = rng.choice(np.array([0, 1, 2, VOID], dtype=np.uint8), (20, 20))
    target[cut == 12] = VOID
    found = regions.oracle(cut, target, VOID)
    assert (found[cut == 12] == 0).all()
    for number in set(range(10, 16)) - {12}:
        inside = target[(cut == number) & (target != VOID)]
        labels, counts = np.unique(inside, return_counts=True)
        assert (found[cut == number] == labels[counts.argmax()]).all()


def test_squares_are_about_as_many_as_asked_for_and_equal():
    for count in (1, 4, 27, 256):
        cells = np.bincount(regions.squares((64, 80), count).ravel())
        assert abs(len(cells) - count) <= 0.1 * count
        assert cells.max() <= 1.7 * cells.min()


def test_boundary_scores_are_those_of_dilated_masks():
    rng = np.random.default_rng(7)
    found, truth = rng.random((2, 30, 40)) < 0.05
    near = [ndimage.binary_dilation(mask, np.ones((3, 3))) for mask in (found, truth)]
    precision, recall = (found & near[1]).sum() / found.sum(), (truth & near[0]).sum() / truth.sum()
    scores = regions.boundary_scores(regions.boundary_counts(found, truth))
    assert scores == pytest.approx((precision, recall, 2 / (1 / precision + 1 / recall)))
    assert regions.boundary_scores(np.zeros(4)) == (0, 0, 0)


def test_otsu_separates_the_two_sides_best(classical):
    dark_square = np.full((40, 40, 3), 200, dtype=np.uint8)
    dark_square[10:30, 10:30] = np.random.default_rng(0).integers(20, 60, (20, 20, 1))
    values, found = classical.grey(dark_square), classical.levels(dark_square, 2)

    def between(high):
        shares = high.mean(), 1 - high.mean()
        return shares[0] * shares[1] * (values[high].mean() - values[~high].mean()) ** 2

    best = max(between(values > t) for t in np.linspace(values.min(), values.max(), 300)[:-1])
    assert between(found == 1) == pytest.approx(best, rel=0.01)


def test_rule_takes_the_level_away_from_the_rim(classical):
    image = np.full((40, 40, 3), 30, dtype=np.uint8)
    image[10:30, 10:30] = 220
    target = np.full((40, 40), VOID, dtype=np.uint8)
    target[:8], target[13:27, 13:27] = 0, 5
    rows = classical.rule_rows([Scene(image, target, target, ["bottle"])])
    assert [row.value for row in rows] == [1, 1]


@pytest.mark.parametrize("name", TYPICAL)
def test_typical_rows_of_the_results_are_computed_again(classical, scenes, name):
    setting = classical.METHODS[name].typical
    assert close(classical.region_rows(scenes, name, setting, 21))


@pytest.mark.slow
def test_all_rows_of_the_results_are_computed_again(classical, scenes):
    found = classical.rows(scenes, 21)
    assert close(found)
    topics = {row.topic for row in found}
    assert {row[:4] for row in found} == {row[:4] for row in ROWS if row.topic in topics}
