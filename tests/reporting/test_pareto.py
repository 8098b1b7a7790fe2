from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from segmodels.reporting import pareto, style


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
