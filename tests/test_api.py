"""The Python API against plain PyTorch and scikit-learn."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.packing import CARD, CLASSES, pack
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

import segmodels
from segmodels.core import packed
from segmodels.data import images
from segmodels.inference import testtime
from segmodels.inference.predictor import PLAIN

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8).repeat(5, 0).repeat(4, 1)
CRF = {"iterations": 2, "position_sigma": 1, "position_weight": 3, "bilateral_sigma_xy": 20}
CRF |= {"bilateral_sigma_rgb": 5, "bilateral_weight": 4}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return pack(tmp_path_factory.mktemp("weights") / "tiny.safetensors")[0]


@pytest.fixture
def model(path):
    return segmodels.load(path, device="cpu")


def test_labels_are_the_argmax_of_plain_pytorch(model):
    normal = (torch.tensor(IMAGE).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
    with torch.no_grad():
        expected = model.module.float()(normal)["out"][0].argmax(0).numpy()
    found = model.predict(IMAGE, long_side=80)
    assert (found.labels == expected).mean() > 0.99
    counted = {CLASSES[k]: (found.labels == k).mean() for k in np.unique(found.labels)}
    assert found.shares == pytest.approx(counted)
    assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)


def test_every_kind_of_image_gives_the_same_labels(model, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    tensor = torch.tensor(IMAGE).permute(2, 0, 1)
    kinds = [IMAGE, Image.fromarray(IMAGE), tensor, tensor / 255, tmp_path / "a.png"]
    expected = model.predict(str(tmp_path / "a.png")).labels
    for kind in kinds:
        assert np.array_equal(model.predict(kind).labels, expected)
    grey = IMAGE[..., 0]
    stacked = np.stack([grey] * 3, -1)
    assert np.array_equal(model.predict(grey).labels, model.predict(stacked).labels)
    red = Image.fromarray(stacked).convert("RGBA")
    assert np.array_equal(model.predict(red).labels, model.predict(grey).labels)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (3, "int: expected a path"),
        (np.zeros((4, 4, 3)), r"\(4, 4, 3\) float64: expected \(H, W, 3\) uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\): expected \(H, W, 3\), RGB"),
        (np.zeros((0, 4, 3), np.uint8), "expected"),
        (torch.zeros(1, 3, 4, 4), r"a tensor \(1, 3, 4, 4\): expected \(3, H, W\)"),
        ("missing.jpg", "missing.jpg: there is no file"),
    ],
)
def test_what_is_no_image_is_refused(model, image, reason):
    with pytest.raises(ValueError, match=reason):
        model.predict(image)


@pytest.mark.parametrize("changes", [{}, {"scales": [0.75, 1], "flip": True}, {"crf": CRF}])
def test_probabilities_are_those_of_the_labels(model, changes):
    found = model.predict(IMAGE, probabilities=True, **changes)
    assert np.array_equal(found.labels, model.predict(IMAGE, **changes).labels)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(found.probabilities.max(0), found.confidence)
    sure = np.sort(found.probabilities, 0)
    clear = sure[-1] - sure[-2] > 1e-4  # rounding decides between equals
    assert np.array_equal(found.probabilities.argmax(0)[clear], found.labels[clear])
    half = model.predict(IMAGE, probabilities=True, half=True, **changes)
    assert half.probabilities.dtype == np.float16


def test_bands_of_rows_give_the_probabilities_of_the_whole(model, monkeypatch):
    whole = model.predict(IMAGE, probabilities=True, scales=[0.5, 1])
    monkeypatch.setattr(testtime.fusion, "BAND", 7 * 80 * len(CLASSES))
    bands = model.predict(IMAGE, probabilities=True, scales=[0.5, 1])
    np.testing.assert_allclose(bands.probabilities, whole.probabilities, atol=1e-5)


def test_only_some_classes_leave_background(model):
    labels = np.arange(60 * 80, dtype=np.uint8).reshape(60, 80) % len(CLASSES)
    found = replace(model.predict(IMAGE), labels=labels)
    chosen, label = "dog", 2
    only = found.only([chosen])
    assert np.array_equal(only.labels, np.where(found.labels == label, label, 0))
    street = replace(found, classes=["sky", *CLASSES[1:]])
    assert set(np.unique(street.only([chosen]).labels)) <= {label, 255}
    tinted = np.asarray(street.overlay(1.0))  # sky is a class like others
    np.testing.assert_array_equal(tinted, street.palette[street.labels])
    untinted = np.asarray(street.only([chosen]).overlay(1.0))
    np.testing.assert_array_equal(untinted[labels != label], street.image[labels != label])
    with pytest.raises(ValueError, match="classes unicorn: the model knows background, cat"):
        found.only(["unicorn"])


def test_files_hold_labels_confidence_and_probabilities(model, tmp_path):
    found = model.predict(IMAGE, probabilities=True)
    found.save(tmp_path / "a.png")
    assert np.array_equal(images.read_target(tmp_path / "a.png"), found.labels)
    assert Image.open(tmp_path / "a.png").getpalette()[3:6] == CARD.palette[1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found.png()))), found.labels)
    found.save_confidence(tmp_path / "c.png")
    grey = np.asarray(Image.open(tmp_path / "c.png"))
    assert np.abs(grey / 255 - found.confidence).max() <= 0.5 / 255 + 1e-6
    found.save_probabilities(tmp_path / "p.npz")
    stored = np.load(tmp_path / "p.npz")
    np.testing.assert_allclose(stored["probabilities"], found.probabilities, atol=1e-3)
    assert stored["classes"].tolist() == CLASSES
    assert found.overlay().size == (80, 60)
    plain = model.predict(IMAGE)
    for save in (plain.save_confidence, plain.save_probabilities):
        with pytest.raises(ValueError, match="predict with"):
            save(tmp_path / "x")
    with pytest.raises(ValueError, match=r"expected a name that ends in \.png"):
        found.save(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"scales": []}, "^scales: "),
        ({"window": {"side": 48, "stride": 64}}, "^window: stride = 64: expected 1..48"),
        ({"widow": None}, "^widow: "),
        ({"tile": 20}, "predict.tile = 20: expected null, since UNet pads"),
    ],
)
def test_choices_that_make_no_sense_are_refused(model, choices, reason):
    with pytest.raises(ValueError, match=reason):
        model.predict(IMAGE, **choices)


def test_a_photograph_is_seen_once_unless_it_shall_be_as_for_the_scores(tmp_path):
    scored = {"long_side": 64, "scales": [0.5, 1.0], "flip": True, "window": None, "crf": CRF}
    path, _ = pack(tmp_path / "tiny.safetensors", replace(CARD, predict=scored))
    model = segmodels.load(path, device="cpu")
    assert model.choices.model_dump() == model.scored.model_dump() | PLAIN
    assert model.scored.test_time.startswith("scales 0.5, 1; flip; CRF")
    assert model.chosen({"as_scored": True}) == model.scored
    assert model.chosen({"as_scored": True, "flip": False}).scales == [0.5, 1]
    assert model.chosen({"crf": True}).crf == model.scored.crf  # its own, not the common one
    expected = model.predict(IMAGE, scales=[0.5, 1], flip=True, crf=CRF).labels
    assert np.array_equal(model.predict(IMAGE, as_scored=True).labels, expected)


def test_a_model_that_is_none_names_those_there_are(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed, "FOLDER", path.parent)
    for name in ("animal", "a/b"):
        with pytest.raises(ValueError, match=r"come[s]? along \(tiny\), a .safetensors file"):
            segmodels.load(name)
    with pytest.raises(ValueError, match="torchvision publishes weights of deeplabv3_resnet50, "):
        segmodels.load("torchvision/unet")
    with pytest.raises(ValueError, match="no model: name one"):
        segmodels.load()
    assert segmodels.load("tiny").card == CARD


def test_build_gives_a_plain_module_and_refuses_what_there_is_not():
    model = segmodels.build("deeplabv3plus", num_classes=5, backbone="resnet18").eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 96))["out"].shape == (1, 5, 64, 96)
    with pytest.raises(ValueError, match="arch = 'deeplab'|deeplab: expected|expected one of"):
        segmodels.build("deeplab", num_classes=5)
    with pytest.raises(ValueError, match="depth: unknown argument, unet takes width"):
        segmodels.build("unet", num_classes=5, depth=3)


def test_evaluate_is_scikit_learns():
    rng = np.random.default_rng(0)
    targets = [rng.integers(0, 4, size) for size in ((5, 7), (6, 3))]
    predictions = [rng.integers(0, 5, target.shape) for target in targets]
    targets[0][0] = 255
    truth = np.concatenate([target.ravel() for target in targets])
    guess = np.concatenate([prediction.ravel() for prediction in predictions])
    truth, guess = truth[truth < 255], guess[truth < 255]
    scores = segmodels.evaluate(predictions=predictions, targets=targets, num_classes=6)
    labels = range(6)
    assert np.array_equal(scores.confusion, confusion_matrix(truth, guess, labels=labels))
    iou = jaccard_score(truth, guess, average=None, labels=labels, zero_division=0)
    np.testing.assert_allclose(scores.iou[:5], iou[:5])
    assert np.isnan(scores.iou[5]) and scores.miou == pytest.approx(iou[:5].mean())
    assert scores.miou_present == pytest.approx(iou[:4].mean())
    assert scores.pixel_acc == pytest.approx(accuracy_score(truth, guess))
    assert scores.images == 2


@pytest.mark.parametrize(
    ("predictions", "targets", "reason"),
    [
        ([np.zeros((2, 2), int)], [], "as many predictions as targets"),
        ([np.zeros((2, 2), int)], [np.zeros((2, 3), int)], r"image 0: target is \(2, 3\)"),
        ([np.full((2, 2), 7)], [np.zeros((2, 2), int)], r"image 0: labels \[7\]: expected 0..1"),
        ([np.zeros((2, 2))], [np.zeros((2, 2))], "float64: expected"),
        ([np.full((2, 2), 300)], [np.zeros((2, 2), int)], "labels 300..300: expected 0..255"),
        ([np.zeros((2, 2), int)], [np.full((2, 2), 255)], "counts no pixel"),
    ],
)
def test_evaluate_refuses_what_it_cannot_count(predictions, targets, reason):
    with pytest.raises(ValueError, match=reason):
        segmodels.evaluate(predictions=predictions, targets=targets, num_classes=2)


def test_the_package_is_light_and_predicting_needs_no_slow_package():
    program = (
        "import sys, segmodels; before = set(sys.modules);"
        "import segmodels.inference.predictor, segmodels.commands.predict, segmodels.cli;"
        "print(sorted({'torch', 'numpy'} & before),"
        "sorted({'pandas', 'torchvision', 'timm', 'dvc', 'matplotlib', 'ruamel', 'scipy'}"
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[] []\n", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = segmodels.lode


@pytest.mark.parametrize("ignored", [-100, 0, 1, 256])
def test_what_is_ignored_is_no_class(ignored):
    labels = [np.array([[0, 1]])]
    with pytest.raises(ValueError, match=rf"ignore_index = {ignored}: expected 2..255"):
        segmodels.evaluate(predictions=labels, targets=labels, num_classes=2, ignore_index=ignored)
