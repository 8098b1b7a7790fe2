"""Scales, flip, windows, tiles, and all of them together; the tiles alone are in test_unet.py."""

import re
import shlex
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import as_network
from dvc.utils.hydra import apply_overrides
from torch import nn
from torchvision.transforms import v2

from segmodels import models
from segmodels.config import params
from segmodels.config.schema import Normalize
from segmodels.inference import crf, fusion, testtime
from segmodels.models.network import label_map

ROOT = Path(__file__).parents[2]
NORMALIZE = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CRF = {
    "iterations": 2,
    "position_sigma": 1,
    "position_weight": 3,
    "bilateral_sigma_xy": 20,
    "bilateral_sigma_rgb": 5,
    "bilateral_weight": 12,
}
COMMANDS = re.findall(
    r"^dvc exp run .*?(?=#|$)",
    (ROOT / "docs/reference/test-time.md").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)


def pictures(height, width, count=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator).to(torch.uint8)


def convolution(side):
    """A network of one zero-padded convolution, other to the left than to the right."""
    weight = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0)) / side
    return lambda image: F.conv2d(image.float() / 128 - 1, weight, padding=side // 2)


def choices(**changes):
    """The committed choices for the miniature with some changed."""
    committed = params.load(ROOT / "params.yaml").predict["miniature"].model_dump()
    return params.Predict(**(committed | changes))


def plain(network, image):
    return testtime.multi_scale(network, image, long_side=None, scales=[1], flip=False)


class Dropped(nn.Module):
    """A convolution that is the same every time in eval mode only."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image):
        return {"out": F.dropout(self.conv(image), training=self.training)}


def test_network_normalizes_like_torchvision_in_eval_mode():
    model, image = Dropped().train(), pictures(9, 13)
    theirs = v2.functional.normalize(image / 255, list(NORMALIZE.mean), list(NORMALIZE.std))
    with torch.no_grad():
        expected = model.conv(theirs)
    network = as_network(model, NORMALIZE)
    torch.testing.assert_close(network(image), expected, rtol=1e-4, atol=1e-5)


def test_nothing_asked_for_is_one_untouched_pass():
    network, image = convolution(5), pictures(33, 40)
    assert torch.equal(plain(network, image), network(image))
    batches = [(["a", "b"], image, None, (33, 40))]
    found = dict(testtime.label_maps(network, batches, choices()))
    assert list(found) == ["a", "b"]
    assert torch.equal(found["b"], network(image)[1].argmax(0).to(torch.uint8))


def test_logits_are_resized_before_the_argmax():
    # Logits of two classes cross between the columns of a 2 x 2 map.
    crossing = torch.tensor([[[[3.0, -1.0]] * 2, [[0.0, 0.0]] * 2]])
    picture = torch.zeros(1, 3, 2, 8, dtype=torch.uint8)
    logits = testtime.multi_scale(
        lambda _: crossing, picture, long_side=None, scales=[1], flip=False
    )
    # Column centres at (k + 0.5) / 4 - 0.5: logit of class 0 is 3 - 4 t, positive up to t = 0.75.
    assert label_map(logits[0])[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("size", [None, 64])
def test_scales_and_flip_equal_passes_written_out(size):
    network, image = convolution(5), pictures(60, 80)
    total = torch.zeros(2, 4, 60, 80)
    for scale in (0.75, 1, 1.25):
        width = round(scale * (size or 80))
        for turn in (False, True):
            seen = v2.functional.resize(image, [round(width * 3 / 4), width], antialias=True)
            logits = network(torch.from_numpy(seen.numpy()[..., ::-1].copy()) if turn else seen)
            logits = torch.from_numpy(logits.numpy()[..., ::-1].copy()) if turn else logits
            logits = v2.functional.resize(logits, [60, 80], antialias=False)
            total += logits.exp() / logits.exp().sum(1, keepdim=True)
    found = testtime.multi_scale(network, image, long_side=size, scales=[0.75, 1, 1.25], flip=True)
    torch.testing.assert_close(found.softmax(1), total / 6, rtol=1e-4, atol=1e-6)


def test_flip_of_a_flipped_picture_is_the_flip():
    network, image = convolution(5), pictures(30, 40)
    found, mirrored = (
        testtime.multi_scale(network, picture, long_side=None, scales=[1], flip=True)
        for picture in (image, image.flip(-1))
    )
    assert torch.equal(mirrored.flip(-1), found)
    assert not torch.allclose(plain(network, image.flip(-1)).flip(-1), plain(network, image))


@pytest.mark.parametrize("side", [40, 64])
def test_window_that_holds_the_picture_is_the_whole_picture(side):
    network, image = convolution(5), pictures(30, 40)
    assert torch.equal(testtime.sliding_window(network, image, side=side, stride=7), network(image))


@pytest.mark.parametrize(("side", "stride"), [(16, 16), (16, 9), (20, 1), (33, 10)])
def test_windows_equal_a_count_of_windows(side, stride):
    network, image = convolution(5), pictures(30, 40, count=1)
    height, width = min(side, 30), min(side, 40)
    total, count = np.zeros((4, 30, 40)), np.zeros((30, 40))
    tops = {min(k * stride, 30 - height) for k in range(31)}
    lefts = {min(k * stride, 40 - width) for k in range(41)}
    for top, left in product(tops, lefts):
        here = np.s_[..., top : top + height, left : left + width]
        total[here] += network(image[here]).softmax(1)[0].numpy()
        count[here] += 1
    assert count.min() >= 1
    found = testtime.sliding_window(network, image, side=side, stride=stride).softmax(1)[0]
    np.testing.assert_allclose(found.numpy(), total / count, rtol=1e-4, atol=1e-6)


def test_windows_that_see_enough_equal_the_whole_picture():
    image = pictures(48, 80)
    for network, margin in ((convolution(1), 0), (convolution(5), 2)):
        whole = network(image).softmax(1)
        windows = testtime.sliding_window(network, image, side=32, stride=16).softmax(1)
        known = torch.ones(48, 80, dtype=torch.bool)  # no window ends here within the margin
        for end in (16, 32, 48, 64):
            known[:, end - margin : end + margin] = False
            known[end - margin : end + margin, :] = False
        assert known.float().mean() > 0.6
        torch.testing.assert_close(windows[..., known], whole[..., known], rtol=1e-4, atol=1e-6)


def test_certain_networks_stay_finite_at_every_scale():
    def certain(image):
        return (image[:, :2].float() - 128) * 1e4

    def windows(image):
        return testtime.sliding_window(certain, image, side=16, stride=8)

    found = testtime.multi_scale(
        windows, pictures(30, 40), long_side=None, scales=[0.7, 1.3], flip=True
    )
    assert torch.isfinite(found).all()


def test_tiles_are_for_models_of_valid_convolutions_and_change_nothing():
    torch.manual_seed(0)
    model, image = models.build("unet_valid", num_classes=4, width=4), pictures(50, 70)
    network = as_network(model, NORMALIZE)
    tiled = testtime.chosen(network, choices(tile=36))
    torch.testing.assert_close(tiled(image), network(image), rtol=0, atol=1e-4)
    seen = []
    model.register_forward_hook(lambda *_: seen.append(1))
    tiled(image)
    assert not seen  # tile by tile, not the whole
    with pytest.raises(ValueError, match=r"predict.tile = 36: expected null, since Dropped pads"):
        testtime.chosen(as_network(Dropped(), NORMALIZE), choices(tile=36))


def test_all_choices_together_are_windows_within_scales_then_the_crf():
    network, image = convolution(5), pictures(40, 50)

    def windows(picture):
        return testtime.sliding_window(network, picture, side=32, stride=20)

    logits = testtime.multi_scale(windows, image, long_side=60, scales=[0.75, 1], flip=True)
    refined = [crf.refine(*pair, **CRF) for pair in zip(logits, image, strict=True)]
    expected = [marginals.argmax(0).to(torch.uint8) for marginals in refined]
    asked = choices(
        long_side=60, scales=[0.75, 1], flip=True, window={"side": 32, "stride": 20}, crf=CRF
    )
    found = dict(testtime.label_maps(network, [(["a", "b"], image, None, (40, 50))], asked))
    assert torch.equal(found["a"], expected[0]) and torch.equal(found["b"], expected[1])


def noting(sizes):
    """A network that remembers at which sizes it sees images."""
    network = convolution(5)

    def forward(image):
        sizes.append(tuple(image.shape))
        return network(image)

    return forward


@pytest.mark.parametrize("long_side", [None, 36])
def test_most_limits_what_is_seen_where_no_long_side_is_chosen(long_side):
    sizes = []
    asked = choices(long_side=long_side, scales=[1, 1.5], flip=True)
    batches = [(["a", "b"], pictures(60, 80))]
    found = dict(testtime.label_maps(noting(sizes), batches, asked, most=40))
    assert found["a"].shape == (60, 80)
    long_sides = [long_side or 40, round(1.5 * (long_side or 40))]
    assert [size[-1] for size in sizes] == [side for side in long_sides for _ in "lr"]


def test_most_limits_the_image_that_a_crf_works_on(monkeypatch):
    seen = []

    def refine(logits, image, **_):
        seen.append((tuple(logits.shape), tuple(image.shape)))
        return logits.softmax(0)

    monkeypatch.setattr(crf, "refine", refine)
    batches = [(["a"], pictures(60, 80, count=1))]
    for most, size in ((40, (30, 40)), (80, (60, 80)), (None, (60, 80))):
        [(_, labels)] = testtime.label_maps(convolution(5), batches, choices(crf=CRF), most=most)
        assert labels.shape == (60, 80)
        assert seen.pop() == ((4, *size), (3, *size))


def test_large_images_pass_one_by_one_and_keep_their_labels(monkeypatch):
    network, image = convolution(5), pictures(60, 80)
    for asked in (choices(), choices(long_side=50, scales=[0.75, 1], flip=True)):
        whole = dict(testtime.label_maps(network, [(["a", "b"], image)], asked))
        sizes = []
        with monkeypatch.context() as patch:
            patch.setattr(fusion, "LARGE", 60 * 80 - 1)
            patch.setattr(fusion, "BAND", 4 * 80 * 7)  # seven rows
            banded = dict(testtime.label_maps(noting(sizes), [(["a", "b"], image)], asked))
        assert {size[0] for size in sizes} == {1}
        for name, labels in whole.items():
            assert (banded[name] == labels).float().mean() > 0.999


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "single scale"),
        ({"scales": [0.75, 1, 1.25], "flip": True}, "scales 0.75, 1, 1.25; flip"),
        (
            {"window": {"side": 480, "stride": 320}, "scales": [1.5]},
            "scales 1.5; sliding window 480, stride 320",
        ),
        ({"tile": 68}, "single scale"),
        (
            {"crf": CRF},
            "CRF with iterations 2, position sigma 1, position weight 3, "
            "bilateral sigma xy 20, bilateral sigma rgb 5, bilateral weight 12",
        ),
    ],
)
def test_protocol_names_what_was_done(changes, text):
    assert choices(**changes).test_time == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scales": []}, "scales\n.*at least 1 item"),
        ({"scales": [1, 0]}, "scales.1\n.*greater than 0"),
        ({"window": {"side": 64, "stride": 65}}, "stride = 65: expected 1..64"),
        ({"window": {"side": 64}}, "window.stride\n.*required"),
        ({"window": {"side": 64, "stride": 32}, "tile": 36}, "window and tile are both given"),
        ({"crf": CRF | {"position_sigma": 0}}, "crf.position_sigma\n.*greater than 0"),
        ({"crf": CRF | {"sigma": 3}}, "crf.sigma\n.*not permitted"),
    ],
)
def test_choice_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        choices(**changes)


def test_values_for_photographs_are_those_of_the_document():
    [documented] = [each for each in COMMANDS if "predict.voc2012.crf" in each]
    for key, value in crf.PHOTOGRAPHS.model_dump().items():
        assert f"{key}: {value:g}" in documented


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_command_is_understood(tmp_path, command):
    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    words = shlex.split(command)
    assert words[:4] == ["dvc", "exp", "run", "headline"]
    apply_overrides(file, [b for a, b in zip(words, words[1:], strict=False) if a == "-S"])
    settings = params.load(file)
    assert (
        settings.predict[settings.dataset] != params.load(ROOT / "params.yaml").predict["miniature"]
    )
