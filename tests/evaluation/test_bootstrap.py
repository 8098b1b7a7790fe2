"""Intervals against simulated splits, of which the truth is known, and against slow formulas."""

import numpy as np
import pandas as pd
import pytest

from segmodels.evaluation import bootstrap, scores

SINGLE, PAIR = np.ones((1, 1)), np.array([[-1.0, 1.0]])


def pictures(rng, images, classes, occurs):
    """True pixels (images, classes): background, and other classes of lognormal area."""
    present = rng.random((images, classes)) < occurs
    area = np.where(present, rng.lognormal(6, 0.8, (images, classes)), 0).astype(int)
    area[:, 0] += 3000
    return area


def answer(rng, true, skill=4.0):
    """Overlap (images, 3, classes) of a model that misses a share of every object.

    Of what it misses in a picture it calls 7 in 10 pixels background and the others one class.
    """
    right = (true * rng.beta(skill, 1.3, true.shape)).astype(int)
    missed = (true - right).sum(1)
    predicted = right.copy()
    predicted[:, 0] += missed * 7 // 10
    predicted[np.arange(len(true)), rng.integers(1, true.shape[1], len(true))] += missed * 3 // 10
    return np.stack([right, true, predicted], axis=1)


def split(rng, images, classes=6, occurs=0.25):
    return answer(rng, pictures(rng, images, classes, occurs))


def percentile(overlap, resamples, seed):
    """The middle 95 % of the draws: the interval that is not used."""
    rng, images = np.random.default_rng(seed), len(overlap)
    picks = rng.integers(images, size=(resamples, images))
    return np.quantile(scores.overlap_miou(overlap[picks].sum(1)), [0.025, 0.975])


def coverage(interval, simulations, images, **population):
    """Share of simulated splits whose interval contains the mIoU of very many pictures."""
    true = scores.overlap_miou(split(np.random.default_rng(99), 300_000, **population).sum(0))
    rng, hits = np.random.default_rng(5), 0
    for seed in range(simulations):
        low, high = interval(split(rng, images, **population), seed)
        hits += low <= true <= high
    return hits / simulations


def studentized(resamples):
    def interval(overlap, seed):
        return bootstrap.intervals(overlap[None], SINGLE, resamples=resamples, seed=seed)[0]

    return interval


def test_interval_covers_the_truth():
    # 0.95 less three standard errors of 150 simulations; the slow test below is the exact one.
    assert coverage(studentized(200), simulations=150, images=80) >= 0.897


@pytest.mark.slow
@pytest.mark.parametrize("images", [40, 80, 200])
def test_interval_covers_the_truth_of_1000_splits(images):
    assert 0.92 <= coverage(studentized(300), simulations=1000, images=images) <= 0.98


@pytest.mark.slow
def test_rare_classes_spoil_the_percentile_interval_but_not_ours():
    rare = {"classes": 21, "occurs": 0.12}  # eight of the 64 pictures have a class
    assert 0.92 <= coverage(studentized(300), simulations=1000, images=64, **rare) <= 0.98
    assert coverage(lambda o, s: percentile(o, 300, s), 1000, 64, **rare) < 0.9


@pytest.mark.slow
def test_equally_good_models_are_told_apart_once_in_twenty_times():
    rng, wrong = np.random.default_rng(7), 0
    for seed in range(1000):
        true = pictures(rng, 80, 6, 0.25)
        both = np.stack([answer(rng, true), answer(rng, true)])
        ((low, high),) = bootstrap.intervals(both, PAIR, resamples=300, seed=seed)
        wrong += low > 0 or high < 0
    assert 0.02 <= wrong / 1000 <= 0.08


def slow_interval(overlaps, contrast, resamples, seed):
    """Bootstrap-t with pictures repeated in full and influences by finite differences."""

    def measure(pick):
        def value(weights):
            sums = np.einsum("n,mnkc->mkc", weights, overlaps[:, pick].astype(float))
            return contrast @ scores.overlap_miou(sums)

        ones, step = np.ones(len(pick)), 1e-4
        changed = [value(ones + step * row) - value(ones - step * row) for row in np.eye(len(pick))]
        return value(ones), np.sqrt(np.sum((np.array(changed) / (2 * step)) ** 2))

    images, rng = overlaps.shape[1], np.random.default_rng(seed)
    value, error = measure(np.arange(images))
    drawn = [measure(rng.integers(images, size=images)) for _ in range(resamples)]
    scaled = sorted((again - value) / own for again, own in drawn)
    return value - error * scaled[-6], value - error * scaled[5]  # of 200, 2.5 % at each end


@pytest.mark.parametrize("contrast", [[1.0, 0.0], [-1.0, 1.0], [0.5, 0.5]])
def test_intervals_equal_a_slow_loop(contrast):
    rng = np.random.default_rng(0)
    true = pictures(rng, 12, 4, 0.8)
    overlaps = np.stack([answer(rng, true), answer(rng, true, skill=8)])
    ((low, high),) = bootstrap.intervals(overlaps, np.array([contrast]), resamples=200, seed=3)
    expected = slow_interval(overlaps, np.array(contrast), resamples=200, seed=3)
    # Finite differences have errors of 1e-8; an influence left out would be seen in 1e-2.
    assert (low, high) == pytest.approx(expected, abs=1e-6)


def test_interval_contains_the_score_and_narrows_with_the_square_root_of_the_pictures():
    overlap = split(np.random.default_rng(2), 1600)
    widths = []
    for images in (100, 1600):
        ((low, high),) = bootstrap.intervals(overlap[None, :images], SINGLE)
        assert low < scores.overlap_miou(overlap[:images].sum(0)) < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)


def test_interval_depends_on_its_seed_alone():
    overlap = split(np.random.default_rng(2), 50)[None]
    first = bootstrap.intervals(overlap, SINGLE, seed=1)
    np.testing.assert_array_equal(first, bootstrap.intervals(overlap, SINGLE, seed=1))
    assert not np.array_equal(first, bootstrap.intervals(overlap, SINGLE, seed=2))


@pytest.mark.parametrize("images", [1, 2])
def test_few_pictures_say_nothing_rather_than_something_wrong(images):
    rng = np.random.default_rng(4)
    true = pictures(rng, images, 4, 1)
    both = np.stack([answer(rng, true), answer(rng, true, skill=9)])
    ((low, high), (less, more)) = bootstrap.intervals(both, np.array([[1.0, 0], [-1, 1]]))
    assert (low == 0 or high == 1) and 0 <= low <= high <= 1
    assert less == -1 or more == 1


def test_pictures_without_a_pixel_that_counts_change_no_score():
    overlap = split(np.random.default_rng(2), 30)
    empty = np.concatenate([overlap, np.zeros_like(overlap)])
    low, high = bootstrap.intervals(empty[None], SINGLE)[0]
    assert low < scores.overlap_miou(overlap.sum(0)) < high


def test_a_model_and_itself_differ_by_exactly_0():
    overlap = split(np.random.default_rng(1), 40, classes=21)
    other = split(np.random.default_rng(2), 40, classes=21)
    table = bootstrap.differences({"a": overlap, "other": other, "copy": overlap.copy()})
    same = table[(table["first"] == "a") & (table["second"] == "copy")].iloc[0]
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    assert not same["real"]


def test_differences_are_of_every_pair_with_the_second_minus_the_first():
    rng = np.random.default_rng(1)
    true = pictures(rng, 60, 6, 0.5)
    models = {
        "poor": answer(rng, true, 1),
        "good": answer(rng, true, 9),
        "same": answer(rng, true, 9),
    }
    table = bootstrap.differences(models).set_index(["first", "second"])
    assert table.index.tolist() == [("poor", "good"), ("poor", "same"), ("good", "same")]
    miou = {model: scores.overlap_miou(overlap.sum(0)) for model, overlap in models.items()}
    for first, second in table.index:
        row = table.loc[(first, second)]
        assert row["difference"] == pytest.approx(miou[second] - miou[first])
        assert row["low"] < row["difference"] < row["high"]
    assert table["real"].tolist() == [True, True, False]


def test_pairing_removes_what_is_hard_for_both():
    rng = np.random.default_rng(3)
    hard = rng.beta(0.7, 0.7, (60, 1))  # share of every object that nobody finds
    true = pictures(rng, 60, 6, 0.5)
    models = []
    for skill in (0.95, 0.9):
        right = (true * hard * skill).astype(int)
        predicted = right.copy()
        predicted[:, 0] += (true - right).sum(1)
        models.append(np.stack([right, true, predicted], axis=1))
    table = bootstrap.differences({"a": models[0], "b": models[1]}).iloc[0]
    alone = [np.ptp(bootstrap.intervals(model[None], SINGLE)) for model in models]
    assert table["high"] - table["low"] < 0.3 * min(alone)
    assert table["real"]


def test_one_model_has_no_differences_and_other_pictures_are_refused():
    overlap = split(np.random.default_rng(1), 9)
    assert len(bootstrap.differences({"a": overlap})) == 0
    with pytest.raises(ValueError, match=r"\{'a': 9, 'b': 8\}; expected the same pictures"):
        bootstrap.differences({"a": overlap, "b": overlap[:8]})


def test_across_seeds_equals_numpy_for_each_model():
    miou = np.random.default_rng(0).random(5)
    runs = pd.DataFrame({"model": list("babba"), "seed": [0, 0, 1, 2, 1], "miou": miou})
    table = bootstrap.across_seeds(runs).set_index("model")
    assert table.index.tolist() == ["b", "a"]
    for model, places in (("b", [0, 2, 3]), ("a", [1, 4])):
        assert table.loc[model, "seeds"] == len(places)
        assert table.loc[model, "mean"] == pytest.approx(np.mean(miou[places]))
        assert table.loc[model, "sd"] == pytest.approx(np.std(miou[places], ddof=1))


def test_one_seed_has_no_spread_and_a_seed_counts_once():
    runs = pd.DataFrame({"model": ["a"], "seed": [0], "miou": [0.5]})
    assert np.isnan(bootstrap.across_seeds(runs)["sd"].item())
    with pytest.raises(ValueError, match="a has seed 0 twice"):
        bootstrap.across_seeds(pd.concat([runs, runs]))
