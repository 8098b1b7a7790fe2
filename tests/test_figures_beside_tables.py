"""Every figure beside a table of scores in a README shows that table's own numbers."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.collections import LineCollection

from reports.voc_sample import endpoints, puzzle, study
from segmodels.reporting import figures
from segmodels.reporting.canvas import looks
from segmodels.reporting.tables import FLOOR

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("README*.md"), *ROOT.glob("reports/**/README.md")])
IMAGE = re.compile(r"^!\[[^\]]+\]\(([^)]+)\)$")
SCORE = re.compile(r"\| (\d+\.\d)% \|")
STUDY = yaml.safe_load((ROOT / "reports/voc_sample/study.yaml").read_text(encoding="utf-8"))


def overview():
    """The curves of the comparison: their ends are the scores of its table."""
    folder = ROOT / "reports/comparison"
    table = pd.read_csv(folder / "summary.csv")
    look = looks(table["model"].drop(table.index[-1]).tolist())
    loss = ("cross_entropy", "cross-entropy")
    curves = pd.read_csv(folder / "curves.csv")
    return figures.overview(curves, look, loss, "miniature", "").axes[1], table


def scores(section):
    file = study.HERE / section / STUDY["figures"][section].get("file", "scores.png")
    axes = study.drawn(STUDY, file).axes
    table = study.scores_of(STUDY["figures"][section]["tables"])
    return axes[1 if file.name == "puzzle.png" else 0], table


def registered():
    """Each figure's path -> what draws the panel of its scores, and the frame of its table."""
    draw = {ROOT / "reports/comparison/overview.png": overview}
    for section, content in STUDY["figures"].items():
        file = ROOT / study.HERE / section / content.get("file", "scores.png")
        draw[file] = lambda section=section: scores(section)
    return draw


DRAW = registered()


def beside(page):
    """Pairs of a figure and the table of scores that is nearest to it."""
    blocks = page.read_text(encoding="utf-8").split("\n\n")
    tables = {i for i, block in enumerate(blocks) if block.startswith("|") and SCORE.search(block)}
    for i, block in enumerate(blocks):
        if image := IMAGE.match(block.strip()):
            near = min(tables, key=lambda k: (abs(k - i), k < i))
            assert abs(near - i) <= 2, block
            yield (page.parent / image[1]).resolve(), blocks[near]


def points(axes):
    """Model -> the last point of its line, percent."""
    lines = {line.get_label(): np.asarray(line.get_xydata())[-1] for line in axes.lines}
    return {str(name): point for name, point in lines.items() if not str(name).startswith("_")}


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_figure_beside_a_table_is_drawn_from_its_frame(page):
    for file, table in beside(page):
        assert file in DRAW, f"{file}: a figure beside a table needs a drawing of that table"
        assert file.is_file()
        frame = DRAW[file]()[1].set_index("model")["miou"]
        for line in table.splitlines()[2:]:
            model = line.split(" | ")[0].strip("| ")
            assert f"{frame[model]:.1%}" == f"{SCORE.search(line)[1]}%", (file, model)


@pytest.mark.parametrize("file", DRAW, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_drawn_is_the_frame(file):
    axes, table = DRAW[file]()
    axis = 1 if file.parent.name == "comparison" else 0
    shown = {name: point[axis] for name, point in points(axes).items()}
    rows = table.set_index("model")["miou"] * 100
    assert shown
    for name, value in shown.items():
        assert value == pytest.approx(rows[name], abs=1e-9), name
    if file.name != "puzzle.png":  # which leaves out models that its README does not have
        assert set(shown) == set(rows.index)


@pytest.mark.parametrize("section", STUDY["figures"])
def test_bars_are_the_intervals_and_the_best_is_on_top(section):
    axes, table = scores(section)
    rows = table[table["model"] != FLOOR].set_index("model")
    dots = {name: point for name, point in points(axes).items() if name != FLOOR}
    bars = [each.get_segments()[0] for each in axes.collections if isinstance(each, LineCollection)]
    ends = {float(bar[0, 1]): bar[:, 0] for bar in bars}
    assert len(ends) == len(dots)
    for name, (_, y) in dots.items():
        np.testing.assert_allclose(ends[y], 100 * rows.loc[name, ["low", "high"]].astype(float))
    order = sorted(dots, key=lambda name: dots[name][1])
    assert [dots[name][0] for name in order] == sorted((x for x, _ in dots.values()), reverse=True)


def test_changes_of_the_puzzle_are_those_of_its_table():
    pairs = pd.read_csv(study.HERE / "batchnorm/frequent_differences.csv")
    pairs = pairs[pairs["first"] == puzzle.START].set_index("second")
    _, _, right = study.drawn(STUDY, study.HERE / "batchnorm/puzzle.png").axes
    shown = {name: x for name, (x, _) in points(right).items() if not np.isnan(x)}
    assert set(shown) == set(puzzle.RUNS)
    for name, change in shown.items():
        assert change == pytest.approx(100 * pairs.loc[name, "difference"])


@pytest.mark.parametrize(
    ("section", "ahead", "behind"),
    [
        ("architectures", "deeplabv3plus", "fcn"),
        ("losses", "fcn", "fcn_dice"),
        ("losses", "fcn", "fcn_both"),
        ("upsampling", "unet", "unet_transposed"),
        ("batchnorm", "fcn", "fcn_4_train"),
        ("crop", "fpn_crop_320", "fpn_crop_224"),
        ("best", "fpn_lite2_320", "fpn_lite2"),
    ],
)
def test_titles_say_what_the_tables_do(section, ahead, behind):
    title = STUDY["figures"][section]["title"]
    assert "nimals subset of VOC" in title
    pairs = pd.read_csv(study.HERE / section / "frequent_differences.csv")
    (pair,) = pairs[
        pairs["first"].isin([ahead, behind]) & pairs["second"].isin([ahead, behind])
    ].index
    gain, low, high = 100 * pairs.loc[pair, ["difference", "low", "high"]].astype(float)
    assert (gain > 0) == (pairs.loc[pair, "second"] == ahead)
    assert low > 0 or high < 0
    assert f" {abs(gain):.0f} points" in title
    if "times the training time" in title:
        minutes = study.scores_of([section]).set_index("model")[endpoints.MINUTES]
        assert f"{minutes[ahead] / minutes[behind]:.1f} times" in title
