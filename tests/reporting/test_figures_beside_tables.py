"""Every figure beside a table of scores in a README shows that table's own numbers."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from segmodels.config import params
from segmodels.reporting import endpoints, figures
from segmodels.reporting.style import looks
from segmodels.reporting.tables import floor_of

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("README*.md"), *ROOT.glob("studies/*/README.md")])
PHOTOGRAPHS = {ROOT / "docs/teaser.png"}  # beside no table that they show
IMAGE = re.compile(r"^!\[[^\]]+\]\(([^)]+)\)$")
SCORE = re.compile(r"\| (\d+\.\d)% \|")
STUDIES = sorted(ROOT.glob("studies/*/params.yaml"))
SCORES = sorted(ROOT.glob("studies/*/reports/comparison/*_scores.csv"))
KEPT = {  # figures of an earlier commit, which nothing draws again, and the frames of their tables
    "voc_animals/reports/puzzle.png": "voc_animals/reports/scores/batchnorm.csv",
    "voc_animals_held_out/reports/earlier/crop/scores.png": (
        "voc_animals_held_out/reports/scores/crop.csv"
    ),
}


def scores(file):
    table = pd.read_csv(file)
    runs = table.loc[table["model"] != floor_of(table["model"]), "model"].tolist()
    return endpoints.figure(table, looks(runs), ["background", "cat"], "title", "note").axes[0]


def frames():
    """Each figure's path -> the frame of its table."""
    summaries = [*ROOT.glob("reports/comparison/summary.csv")]
    summaries += ROOT.glob("studies/*/reports/comparison/summary.csv")
    known = {file.with_name("scores.png"): file for file in summaries}
    known |= {file.with_suffix(".png"): file for file in SCORES}
    return known | {ROOT / "studies" / png: ROOT / "studies" / csv for png, csv in KEPT.items()}


def beside(page):
    """Pairs of a figure and the table of scores that is nearest to it."""
    blocks = page.read_text(encoding="utf-8").split("\n\n")
    tables = {i for i, block in enumerate(blocks) if block.startswith("|") and SCORE.search(block)}
    for i, block in enumerate(blocks):
        if image := IMAGE.match(block.strip()):
            file = (page.parent / image[1]).resolve()
            if file in PHOTOGRAPHS or not tables:
                continue
            near = min(tables, key=lambda k: (abs(k - i), k < i))
            yield file, blocks[near]


def points(axes):
    """Model -> the last point of its line, percent."""
    lines = {line.get_label(): np.asarray(line.get_xydata())[-1] for line in axes.lines}
    return {str(name): point for name, point in lines.items() if not str(name).startswith("_")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_figure_beside_a_table_is_drawn_from_its_frame(page):
    for file, table in beside(page):
        assert file in frames(), f"{file}: a figure beside a table needs a frame of that table"
        assert file.is_file()
        frame = pd.read_csv(frames()[file]).set_index("model")["miou"]
        for line in table.splitlines()[2:]:
            model = line.split(" | ")[0].strip("| ")
            assert f"{frame[model]:.1%}" == f"{SCORE.search(line)[1]}%", (file, model)


def test_curves_end_at_the_scores_of_the_table():
    """On the miniature the curves are of the images, size and classes that the table scores."""
    rows = pd.read_csv(ROOT / "reports/comparison/summary.csv").set_index("model")["miou"]
    curves = pd.read_csv(ROOT / "reports/comparison/curves.csv")
    look = looks(rows.index.drop(floor_of(rows.index)).tolist())
    axes = figures.curves(curves, look, ("cross_entropy", "cross-entropy"), "", "").axes[1]
    shown = {name: y for name, (_, y) in points(axes).items()}
    assert set(shown) == set(rows.index)
    for name, value in shown.items():
        assert value == pytest.approx(100 * rows[name], abs=1e-9), name


@pytest.mark.parametrize("file", SCORES, ids=lambda file: file.stem)
def test_dots_and_bars_are_the_scores_and_intervals_and_the_best_is_on_top(file):
    axes, table = scores(file), pd.read_csv(file).set_index("model")
    shown = points(axes)
    assert set(shown) == set(table.index)
    for name, (x, _) in shown.items():
        assert x == pytest.approx(100 * table.loc[name, "miou"], abs=1e-9), name
    dots = {name: point for name, point in shown.items() if not floor_of([name])}
    bars = [each.get_segments()[0] for each in axes.collections if isinstance(each, LineCollection)]
    ends = {float(bar[0, 1]): bar[:, 0] for bar in bars}
    assert len(ends) == len(dots)
    for name, (_, y) in dots.items():
        np.testing.assert_allclose(ends[y], 100 * table.loc[name, ["low", "high"]].astype(float))
    order = sorted(dots, key=lambda name: dots[name][1])
    assert [dots[name][0] for name in order] == sorted((x for x, _ in dots.values()), reverse=True)


def test_titles_of_studies_are_on_their_figures():
    """A comparison whose scores are drawn has a title that says what was found."""
    for file in SCORES:
        settings = params.load(file.parents[2] / "params.yaml")
        assert settings.comparisons[file.stem.removesuffix("_scores")].title


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.name)
def test_every_title_of_a_study_is_on_a_figure(file):
    """Without classes of its own a comparison has no figure of scores but that of all runs."""
    settings = params.load(file)
    for name, comparison in settings.comparisons.items():
        if comparison.title and not comparison.score_classes:
            assert set(comparison.runs) == set(settings.runs), name
