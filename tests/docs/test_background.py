"""docs/learn/background.md: its results file; metrics, losses, diagrams against witnesses."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import jaccard_score
from torch import nn

from segmodels import models
from segmodels.core.supervise import run
from tools.background import __main__ as command
from tools.background import blocks, diagrams, learning, metrics, results
from tools.background.quotes import quotes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/learn/background.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = results.read(ROOT / results.FILE)
FIGURES = re.findall(r"^!\[(.*)\]\((.*)\)\n\n\*(Figure (\d+)\. [^*]+)\*$", TEXT, re.MULTILINE)
VOID = 255
ARCHS = {  # title of a diagram -> what it shows
    "FCN-32s": ("fcn_skip", {"stride": 32}),
    "FCN-8s": ("fcn_skip", {"stride": 8}),
    "FCN on a dilated ResNet": ("fcn", {}),
    "U-Net": ("unet", {}),
    "SegNet": ("segnet", {}),
    "U-Net on an encoder": ("unet_encoder", {}),
    "Feature pyramid network": ("fpn", {}),
    "DeepLab v1": ("deeplabv1", {}),
    "DeepLab v2": ("deeplabv2", {}),
    "DeepLab v3": ("deeplabv3", {}),
    "DeepLab v3+": ("deeplabv3plus", {}),
}


def close(found):
    """Rows that were computed again are those of the file."""
    written = {row[:4]: row.value for row in ROWS}
    return all(abs(written[row[:4]] - row.value) <= 1e-6 * max(1, row.value) for row in found)


def test_page_says_what_the_results_say():
    for quote in quotes(ROWS):
        assert quote in TEXT


def test_every_computed_share_of_the_page_is_from_the_results():
    rest = TEXT
    for quote in quotes(ROWS):
        rest = rest.replace(quote, "")
    assert re.findall(r"\d+\.\d+ ?%", rest) == []


def test_every_figure_has_alternative_text_and_caption():
    assert len(FIGURES) == TEXT.count("![")
    assert [int(number) for *_, number in FIGURES] == list(range(1, len(FIGURES) + 1))
    for alternative, _, caption, _ in FIGURES:
        assert len(alternative.split()) >= 10
        assert len(caption.split()) >= 20
    assert {PAGE.parent / path for _, path, _, _ in FIGURES} == set(
        (ROOT / results.FOLDER).glob("*.png")
    )


def test_figures_are_drawn_and_small():
    paths = sorted((ROOT / results.FOLDER).glob("*.png"))
    assert sum(path.stat().st_size for path in paths) <= 1_500_000
    for path in paths:
        with Image.open(path) as image:
            assert image.width == 1950  # all of one family: 13 inches, 150 dots each
            assert np.asarray(image.convert("L")).std() > 5


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if target.startswith("https://"):
            assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}", target)
        else:
            assert (PAGE.parent / target).exists(), target
    headings = {
        re.sub(r"[^a-z0-9 ]", "", h.lower()).replace(" ", "-")
        for h in re.findall(r"^#+ (.*)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings
    assert "(docs/learn/background.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_command_says_in_one_line_what_is_missing(monkeypatch):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end:
        run(command.main)
    assert end.value.code == "error: no scikit-image: pip install -e '.[docs]'"


def test_worked_example_is_what_sklearn_and_the_hand_find():
    assert sum(metrics.confusions()).tolist() == [[31, 0, 1], [1, 7, 0], [1, 1, 2]]
    truths, found = (
        [metrics.labels(rows).ravel() for rows in kind]
        for kind in (metrics.TRUTHS, metrics.PREDICTIONS)
    )
    valid = [truth != VOID for truth in truths]

    def miou(truth, prediction):
        return jaccard_score(truth, prediction, average="macro")

    pairs = [(t[v], f[v]) for t, f, v in zip(truths, found, valid, strict=True)]
    value = {row.measure: row.value for row in metrics.example_rows()}
    assert value["miou"] == pytest.approx(miou(*map(np.concatenate, zip(*pairs, strict=True))))
    each = [miou(*pair) for pair in pairs]
    assert value["mean of the images' mIoU"] == pytest.approx(np.mean(each))
    assert value["iou of cat"] == pytest.approx(7 / 9)
    assert value["dice of cat"] == pytest.approx(14 / 16)


def test_shifted_squares_have_the_scores_of_geometry():
    value = {row[2:4]: row.value for row in metrics.shift_rows()}
    for side in metrics.SIDES:
        common = side * (side - metrics.SHIFT)
        assert value[side, "iou"] == pytest.approx(common / (2 * side**2 - common))
    ious = [value[side, "iou"] for side in metrics.SIDES]
    assert all(small < large for small, large in pairwise(ious))


@pytest.mark.parametrize("pixels", learning.OBJECTS)
@pytest.mark.parametrize("p", learning.PROBABILITIES)
def test_gradients_are_those_of_the_formulas(p, pixels):
    rest = learning.PIXELS - pixels
    shown = {0: (1 - p) * pixels + (1 - learning.REST) * rest, 1: p * pixels + learning.REST * rest}
    right, true = {0: (1 - learning.REST) * rest, 1: p * pixels}, {0: rest, 1: pixels}
    whole = {c: shown[c] + true[c] for c in (0, 1)}
    # The object's own Dice rises with p; the background's falls with 1 - p, where it is wrong.
    own, other = 2 * (whole[1] - right[1]) / whole[1] ** 2, 2 * right[0] / whole[0] ** 2
    dice = (own + other) / 2 * p * (1 - p) * learning.PIXELS
    assert learning.gradient("dice", p, pixels) == pytest.approx(dice)
    assert learning.gradient("cross_entropy", p, pixels) == pytest.approx(1 - p)


@pytest.mark.parametrize("rate", learning.RATES)
def test_valid_taps_are_those_of_a_convolution_of_ones(rate):
    ones = torch.ones(1, 1, learning.SIDE, learning.SIDE)
    seen = F.conv2d(ones, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)[0, 0]
    assert (learning.valid_taps(rate) == seen.numpy()).all()


def test_products_of_a_transposed_convolution_are_counted():
    for kernel in (3, 4):
        counts = np.zeros((9 + kernel, 9 + kernel))
        for row in range(0, 10, 2):
            for column in range(0, 10, 2):
                counts[row : row + kernel, column : column + kernel] += 1
        found = learning.overlaps(kernel, 2, 5)
        assert (found == counts[: found.shape[0], : found.shape[1]]).all()


def test_rows_that_are_quickly_made_are_those_of_the_file():
    made = [metrics.example_rows(), metrics.shift_rows(), learning.loss_rows()]
    made += [learning.tap_rows(), learning.overlap_rows(), blocks.block_rows()]
    assert all(close(rows) for rows in made)
    assert [row.value for row in blocks.block_rows()] == [
        2 * 9 * 64**2,
        2 * 64 * 256 + 9 * 64**2,
        2 * 9 * 256**2,
    ]


@pytest.mark.parametrize("drawn", diagrams.MODELS, ids=lambda model: model.title)
def test_diagram_has_the_strides_and_rates_of_its_model(drawn):
    arch, arguments = ARCHS[drawn.title]
    with torch.device("meta"):
        model = models.build(arch, num_classes=21, **arguments).eval()
    sides = set()
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _, __, out: sides.add(out.shape[-1]))
    with torch.device("meta"), torch.no_grad():
        model(torch.empty(1, 3, 512, 512))
    pyramid = diagrams.PYRAMID if drawn.pyramid else None  # its boxes are above each other
    boxes = {box.stride for box in drawn.boxes if box.kind in "cau" and box.x != pyramid}
    assert boxes == {512 // side for side in sides - {1}}  # 1: a mean of the whole image
    head = [layer for name, layer in model.named_modules() if not name.startswith("backbone")]
    rates = {layer.dilation[0] for layer in head if isinstance(layer, nn.Conv2d)} - {1}
    named = {int(box.text) for box in drawn.boxes if box.text.isdigit()}
    assert named == (set() if arch == "deeplabv3plus" else rates)


def test_page_names_every_architecture():
    named = set(re.findall(r"`(\w+)\.py`", TEXT))
    missing = set(models.available()) - named
    assert not missing, f"docs/learn/background.md: no row in its table of architectures: {missing}"
