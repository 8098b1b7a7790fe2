"""The model card, its metadata read by a YAML parser."""

import yaml
from helpers.packing import CARD

from segmodels.reporting import card


def test_card_has_metadata_scores_limits_and_licences():
    text = card.markdown(CARD)
    _, front, body = text.split("---\n", 2)
    metadata = yaml.safe_load(front)
    assert metadata["license"] == "mit"
    assert metadata["pipeline_tag"] == "image-segmentation"
    [result] = metadata["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 0.5
    assert "mean IoU over 2 classes **50.0%** (40.0% to 60.0%" in body
    assert "| cat | 25.0% |" in body
    assert "labels for dog, person, sheep too" in body
    assert f"`{'0' * 64}`" in body and "- photographs: drawn by a program" in body
