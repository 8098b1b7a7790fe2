"""Intervals over stretches of video beside those over images."""

import numpy as np
import pytest
from helpers.made_up_reports import confusion, write_report

from segmodels.config import origin
from segmodels.evaluation import bootstrap
from segmodels.reporting import endpoints, style, tables, video
from segmodels.reporting.result import read_result

IDS = [f"{drive}_{30 * k:03d}" for drive in "ab" for k in range(6)]
SEQUENCE = origin.Sequence(pattern="(.+_)([0-9]+)", length=90)


@pytest.fixture
def results(tmp_path):
    write_report(tmp_path, "unet", counts=confusion(1), pictures=IDS)
    write_report(tmp_path, "fcn", counts=confusion(2), pictures=IDS)
    return [read_result(model, tmp_path) for model in ("unet", "fcn")]


def test_stretches_are_of_three_images_and_give_their_own_intervals(results):
    single, pairs = video.scores(results, SEQUENCE)
    summed = {r.model: r.overlap.reshape(4, 3, 3, -1).sum(1) for r in results}
    assert single["stretches"].tolist() == [4, 4]
    for k, (model, overlap) in enumerate(summed.items()):
        expected = bootstrap.intervals(overlap[None], np.ones((1, 1)))[0]
        assert single.loc[k, ["low_video", "high_video"]].tolist() == pytest.approx(expected)
        assert single.loc[k, "model"] == model
        metrics = results[k].metrics
        assert single.loc[k, "miou"] == pytest.approx(metrics["miou"])
        assert single.loc[k, "low"] == pytest.approx(metrics["miou_low"])
        assert single.loc[k, "high"] == pytest.approx(metrics["miou_high"])
    expected = bootstrap.differences(summed)
    assert pairs["low_video"].tolist() == pytest.approx(expected["low"].tolist())
    assert pairs["real_video"].tolist() == expected["real"].tolist()
    assert pairs["difference"].tolist() == pytest.approx(expected["difference"].tolist())


def test_markdown_says_which_interval_is_over_what(results):
    single, pairs = video.scores(results, SEQUENCE)
    text = video.markdown(single, pairs, {"two": ["unet", "fcn"], "other": ["unet"]}, SEQUENCE)
    assert "4 stretches of about 90 frames are drawn" in text
    head, _, first, *_ = text.splitlines()
    assert head == "| model | mIoU | 95% over images | 95% over stretches of video |"
    low, high = single.loc[0, ["low_video", "high_video"]]
    assert first.startswith("| unet |") and first.endswith(f"| {low:.1%} to {high:.1%} |")
    rows = [line for line in text.splitlines() if line.startswith("| two | fcn - unet")]
    assert len(rows) == 1
    assert "| other |" not in text


@pytest.mark.parametrize(
    ("is_video", "said"),
    [
        (False, "Bars: 95% intervals over the images, not over training seeds. Whether"),
        (
            True,
            "Bars: 95% intervals over single images, too narrow for frames of video: summary.md "
            "has those over stretches, for the mIoU over all classes. They do not cover training "
            "seeds. Whether",
        ),
    ],
)
def test_bars_of_a_figure_of_scores_say_over_what_they_are(results, is_video, said):
    table = tables.class_scores(results, ["background", "NA"])
    look = style.looks(["unet", "fcn"])
    figure = endpoints.figure(table, look, ["background", "NA"], "", "note", video=is_video)
    caption = figure.get_supxlabel().replace("\n", " ")
    assert said in caption
    assert "bars that overlap do not decide it. note" in caption


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(.+", "no regular expression"), ("(.+)_[0-9]+", "has 1 groups: expected two")],
)
def test_a_pattern_without_video_and_number_is_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        origin.Sequence(pattern=pattern, length=90)
