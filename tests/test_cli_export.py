"""`segmodels export` on the command line: what it prints, what files say, what int8 needs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
from helpers.packing import CARD, CLASSES, pack
from PIL import Image

from segmodels.cli import main
from segmodels.core import packed
from segmodels.inference import int8

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra: pip install -e '.[onnx]'")
pytest.importorskip("onnx", reason="needs the extra: pip install -e '.[onnx]'")
pytest.importorskip("onnxscript", reason="needs the extra: pip install -e '.[onnx]'")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`animals`, of random weights, comes along; 20 photographs lie in photos/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "weights")
    pack(tmp_path / "weights/animals.safetensors", replace(CARD, name="animals"))
    parts("photos", 20)
    return tmp_path


def parts(place, count):
    """Parts of a photograph as files of a folder."""
    Path(place).mkdir(parents=True)
    image = skimage.data.chelsea()
    for k in range(count):
        Image.fromarray(image[5 * k : 5 * k + 90, 10 * k : 10 * k + 120]).save(
            f"{place}/{k:02}.png"
        )


def facts(file):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map


def test_file_says_what_it_takes_and_gives(folder, capsys):
    main(["export", "animals", "--onnx", "animals.onnx"])
    out, err = capsys.readouterr()
    assert out.startswith("animals.onnx: at 32 x 47, 127 x 97, 187 x 250 no logit differs from")
    assert err == ""
    found = facts("animals.onnx")
    assert json.loads(found.pop("classes")) == CLASSES
    assert json.loads(found.pop("normalize")) == CARD.normalize
    assert found == {
        "model": "animals",
        "long_side": "64",
        "input": "image: (N, 3, H, W) float32, RGB, 0 to 255; normalised inside",
        "output": "logits",
        "size": "any",
        "precision": "float32",
    }


def test_int8_is_calibrated_on_a_folder(folder, capsys, monkeypatch):
    monkeypatch.setattr(int8, "AGREEING", 0)  # of random weights
    main(["export", "animals", "--onnx", "small.onnx", "--int8", "--calibrate", "photos"])
    out, err = capsys.readouterr()
    assert out.endswith("% of labels are PyTorch's, on photographs kept from the calibration\n")
    assert out.startswith("small.onnx: ") and err == ""
    assert facts("small.onnx")["precision"] == "int8"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--int8"], "--int8: animals has 0 training images here: expected --calibrate DIR with"),
        (["--int8", "--calibrate", "few"], "--calibrate few: 19 photographs, expected 20 or more"),
        (["--calibrate", "photos"], "--calibrate photos: expected together with --int8"),
    ],
)
def test_what_int8_lacks_is_named(folder, capsys, arguments, reason):
    parts("few", 19)
    with pytest.raises(SystemExit) as end:
        main(["export", "animals", "--onnx", "small.onnx", *arguments])
    assert end.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("segmodels export: error: ") and reason in last
    assert not Path("small.onnx").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--onnx", "photos"], "--onnx photos: a folder, expected a file"),
        (["--onnx", "a.onnx", "--int8", "--calibrate", "x"], "--calibrate x: no such folder"),
    ],
)
def test_places_are_looked_at_before_anything_is_computed(folder, words, said, capsys):
    with pytest.raises(SystemExit):
        main(["export", "animals", *words])
    assert said in capsys.readouterr().err
