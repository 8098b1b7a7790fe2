from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from segmodels.reporting import markdown, pareto, style

ROOT = Path(__file__).parents[2]


def dominated(i, costs, scores):
    """Whether another point is no worse in both and better in one: the definition."""
    return any(
        c <= costs[i] and s >= scores[i] and (c < costs[i] or s > scores[i])
        for c, s in zip(costs, scores, strict=True)
    )


@pytest.mark.parametrize("seed", range(200))
def test_front_is_what_nothing_dominates(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    few = rng.integers(0, 4, (2, n)).astype(float)  # with many ties
    for costs, scores in (few, rng.random((2, n))):
        expected = [not dominated(i, costs, scores) for i in range(n)]
        assert pareto.front(costs, scores).tolist() == expected


def test_what_is_unknown_is_not_on_the_front():
    nan = float("nan")
    assert pareto.front([nan, 1, 2], [0.9, nan, 0.5]).tolist() == [False, False, True]


def summary(models, seed):
    """A summary of models with scores and costs that lie close together."""
    rng = np.random.default_rng(seed)
    miou = 0.7 + 0.1 * rng.random(len(models))
    return pd.DataFrame(
        {
            **{"model": models, "miou": miou, "miou_low": miou - 0.02, "miou_high": miou + 0.03},
            "gflops": 2 + rng.random(len(models)),
            "parameters": pd.array((30e6 * (1 + rng.random(len(models)))).astype(int), "Int64"),
        }
    )


def drawn(models, seed=0):
    table = summary(models, seed)
    return table, pareto.against_cost(table, style.looks(models), "title", "as measured")


def gap(box, low, high):
    """Pixels from a box to another, whose corners are `low` and `high`."""
    apart = np.maximum(np.maximum(low - box.max, box.min - high), 0)
    return np.hypot(*apart)


def nearest(axes, box):
    """Pixels from a label to the marker or bar of each model that is drawn."""
    bars = [bar.get_segments()[0] for bar in axes.collections]
    markers = [line for line in axes.lines if line.get_label() != pareto.FRONT]
    found = {}
    for bar, marker in zip(bars, markers, strict=True):
        point = axes.transData.transform(marker.get_xydata()[0])
        low, high = axes.transData.transform(bar)
        found[marker.get_label()] = gap(box, point, point), gap(box, low, high)
    return found


COSTS = [0.009388032, *np.random.default_rng(0).lognormal(0, 3, 40)]


def same_costs(cost):
    """Two models whose costs differ by a rounding; both, and one by itself."""
    models = ["a", "b"]
    table = summary(models, seed=0).assign(gflops=[cost, cost * (1 + 1e-15)])
    return [(table, style.looks(shown)) for shown in (models, models[:1])]


def has_room(axes, cost):
    low, high = axes.get_xlim()
    return low < 0.9 * cost < 1.1 * cost < high


@pytest.mark.parametrize("cost", COSTS[:4])
def test_figure_of_models_of_one_cost_has_room_around_it(cost):
    """Found: on some CPUs the axis of a single model began and ended at it, and plot failed."""
    for table, look in same_costs(cost):
        assert has_room(pareto.against_cost(table, look, "title", "as measured").axes[0], cost)


@pytest.mark.parametrize("cost", COSTS)
def test_axis_of_models_of_one_cost_has_room_around_it(cost):
    for table, look in same_costs(cost):
        axes = Figure().subplots()
        pareto._draw(axes, table.set_index("model").loc[list(look)], look, "gflops")
        assert has_room(axes, cost)


def test_points_bars_and_steps_are_where_the_numbers_are():
    models = ["a", "b", "c", "d"]
    table, figure = drawn(models)
    for axes, cost in zip(figure.axes, (table["gflops"], table["parameters"] / 1e6), strict=True):
        lines = {line.get_label(): np.array(line.get_xydata()) for line in axes.lines}
        for k, model in enumerate(models):
            np.testing.assert_allclose(lines[model], [[cost[k], 100 * table["miou"][k]]])
            ((low, high),) = axes.collections[k].get_segments()
            np.testing.assert_allclose(low, [cost[k], 100 * table["miou_low"][k]])
            np.testing.assert_allclose(high, [cost[k], 100 * table["miou_high"][k]])
        steps = lines[pareto.FRONT]
        assert not np.any((np.diff(steps, axis=0) != 0).all(axis=1))  # across or up, never both
        for k in range(len(models)):
            corner = (steps == [cost[k], 100 * table["miou"][k]]).all(axis=1).any()
            assert corner == (not dominated(k, cost, table["miou"]))
        assert axes.get_xscale() == "log"
    assert "GMACs" in figure.axes[0].get_xlabel() and "millions" in figure.axes[1].get_xlabel()
    assert figure.axes[0].get_ylabel() == "mIoU (%)"
    assert figure.get_supxlabel().replace("\n", " ").endswith("as measured")


@pytest.mark.parametrize("seed", range(5))
def test_names_cover_neither_each_other_nor_a_marker(seed):
    models = [f"deeplabv3_resnet{k}" for k in range(8)]
    _, figure = drawn(models, seed)
    style.png(figure)  # as it is written
    for axes in figure.axes:
        names = {note.get_text(): Text.get_window_extent(note) for note in axes.texts}
        assert set(names) == set(models)
        assert not any(a.overlaps(b) for a, b in combinations(names.values(), 2))
        markers = [axes.transData.transform(line.get_xydata()[0]) for line in axes.lines[:8]]
        for box in names.values():
            assert not any(box.contains(x, y) for x, y in markers)
            assert axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1


def is_told(axes, note):
    """Whether a label has a leader, or no marker or bar of another model is nearer than its own."""
    if note.arrow_patch is not None:
        return True
    found = nearest(axes, Text.get_window_extent(note))
    own, _ = found.pop(note.get_text())
    return all(own <= min(distances) + 1 for distances in found.values())  # a pixel of the anchor


@pytest.mark.parametrize("seed", range(5))
def test_a_name_without_a_leader_is_nearest_to_its_own_marker(seed):
    _, figure = drawn([f"deeplabv3_resnet{k}" for k in range(8)], seed)
    style.png(figure)
    for axes in figure.axes:
        assert [note.get_text() for note in axes.texts if not is_told(axes, note)] == []


def test_names_of_the_committed_costs_are_nearest_to_their_own_markers():
    """Found: fcn_resnet152 stood under the bar of fcn_resnet101, which it seemed to name."""
    table = pd.read_csv(ROOT / "reports/comparison/summary.csv").dropna(subset="parameters")
    models = table["model"].tolist()
    figure = pareto.against_cost(table, style.looks(models), "title\n", "note " * 60)
    style.png(figure)
    for axes in figure.axes:
        assert [note.get_text() for note in axes.texts if not is_told(axes, note)] == []


def test_bars_of_frames_of_video_are_said_to_be_too_narrow():
    models = ["a", "b"]
    look = style.looks(models)
    table = summary(models, 0)
    captions = []
    for video in (False, True):
        figure = pareto.against_cost(table, look, "title", "note", video=video)
        captions.append(figure.get_supxlabel().replace("\n", " "))
    assert "Bars: 95% intervals over the images, not over training seeds. note" in captions[0]
    assert markdown.bars(video=True) in captions[1]
    assert "too narrow for frames of video" in captions[1]
