"""The weights that come along: products of committed studies that find what is there."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import yaml
from PIL import Image, ImageDraw

import segmodels
from segmodels.core import packed
from segmodels.reporting import card as cards

ROOT = Path(__file__).parents[2]
OUTLINES = json.loads(
    (Path(__file__).parents[1] / "data/photographs/outlines.json").read_text(encoding="utf-8")
)
EXPECTED = ["animals", "street"]
SHIPPED = packed.names()


def test_what_the_package_promises_comes_along():
    assert set(EXPECTED) <= set(SHIPPED)


@pytest.fixture(params=SHIPPED)
def path(request):
    return packed.FOLDER / f"{request.param}{packed.SUFFIX}"


def test_file_is_small_and_its_study_has_its_scores(path):
    assert path.stat().st_size <= 10_000_000
    card = packed.read_card(path)
    assert card.name == path.stem
    report = ROOT / card.source["study"] / "reports/models" / card.source["run"]
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["protocol"]["weights_sha256"] == card.source["weights_sha256"]
    assert metrics["miou"] == card.scores["miou_all"]
    assert metrics["pixel_acc"] == card.scores["pixel_acc"]
    table = (report / "per_class.csv").read_text(encoding="utf-8").splitlines()
    names = table[0].split(",")
    iou = {row.split(",")[0]: row.split(",")[names.index("iou")] for row in table[1:]}
    assert list(iou) == card.classes
    for name, value in card.scores["iou"].items():
        assert float(iou[name]) == value
    assert np.mean(list(card.scores["iou"].values())) == pytest.approx(card.scores["miou"])
    assert card.scores["low"] < card.scores["miou"] < card.scores["high"]


def test_notice_and_card_name_the_licences(path):
    card = packed.read_card(path)
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert f"\n  {card.name} " in notice
    text = cards.markdown(card)
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["license"] == card.licences["licence"]
    assert card.licences["encoder"] in text and card.licences["photographs"] in text


def test_hash_is_the_one_written_down(path):
    """Beside the file, so that a change of it is seen in review."""
    line = path.with_suffix(".sha256").read_text(encoding="utf-8").split()
    assert line == [hashlib.sha256(path.read_bytes()).hexdigest(), path.name]


@pytest.mark.parametrize("name", [name for name in OUTLINES if "animals" in SHIPPED])
def test_animals_finds_what_a_hand_has_outlined(name):
    outline = OUTLINES[name]
    image = getattr(skimage.data, name)()
    drawn = Image.new("L", tuple(outline["size"]))
    ImageDraw.Draw(drawn).polygon([tuple(point) for point in outline["polygon"]], fill=1)
    truth = np.asarray(drawn).astype(bool)
    assert image.shape[:2] == truth.shape
    result = segmodels.load("animals", device="cpu").predict(image)
    found = result.labels == result.classes.index(outline["class"])
    both = (found & truth).sum()
    assert both / truth.sum() >= 0.6
    assert both / (found | truth).sum() >= outline["least_iou"]
