"""`segmodels predict` with weights in a file: pipes, JSON, classes, probabilities, cards."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.packing import CARD, CLASSES, pack
from PIL import Image

import segmodels
from segmodels.cli import main
from segmodels.core import packed
from segmodels.data import images
from segmodels.models.published import MEGABYTES
from segmodels.models.trained import published_names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where there is a photograph and no params.yaml; `animals` comes along."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packed, "FOLDER", tmp_path / "weights")
    pack(tmp_path / "weights/animals.safetensors", replace(CARD, name="animals"))
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    Image.fromarray(noise).resize((96, 72)).save("photo.png")
    return tmp_path


def expected(**choices):
    return segmodels.load("animals", device="cpu").predict("photo.png", **choices)


def test_the_command_writes_what_python_gives(folder, capsys):
    main(["predict", "photo.png", "--confidence", "--probabilities"])
    begin, written = capsys.readouterr().out.splitlines()
    found = expected(probabilities=True)
    names = [part.rsplit(" ", 1)[0] for part in begin.partition(": ")[2].split(", ")]
    assert begin.startswith("photo.png, animals: ") and names == list(found.shares)
    files = written.removeprefix("  written: ").split(", ")
    assert files == [f"predicted/photo_{kind}" for kind in KINDS]
    assert np.array_equal(images.read_target(files[0]), found.labels)
    grey = np.asarray(Image.open(files[2]))
    assert np.abs(grey / 255 - found.confidence).max() <= 0.5 / 255 + 1e-3
    stored = np.load(files[3])
    np.testing.assert_allclose(stored["probabilities"], found.probabilities, atol=1e-3)
    assert stored["classes"].tolist() == CLASSES


KINDS = [
    "animals_mask.png",
    "animals_overlay.png",
    "animals_confidence.png",
    "animals_probabilities.npz",
    "comparison.png",
]


def test_variants_are_those_of_python(folder):
    main(["predict", "photo.png", "--scales", "0.5,1", "--flip", "--out", "out"])
    labels = images.read_target("out/photo_animals_mask.png")
    assert np.array_equal(labels, expected(scales=[0.5, 1], flip=True).labels)
    main(["predict", "photo.png", "--classes", "cat", "--out", "only"])
    labels = images.read_target("only/photo_animals_mask.png")
    assert np.array_equal(labels, np.where(expected().labels == 1, 1, 0))


def test_json_has_a_line_for_each_photograph_and_model(folder, capsys):
    pack(folder / "other.safetensors", replace(CARD, name="other"))
    arguments = ["--model", "animals", "--model", "other.safetensors", "--json"]
    main(["predict", "photo.png", *arguments])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["model"] for line in lines] == ["animals", "other"]
    assert lines[0]["shares"] == pytest.approx(expected().shares)
    assert (lines[0]["width"], lines[0]["height"]) == (96, 72)
    for line in lines:
        assert line["image"] == "photo.png"
        assert all((folder / file).exists() for file in line["files"])


def test_two_models_of_one_name_are_refused(folder):
    pack(folder / "copy.safetensors", replace(CARD, name="animals"))
    with pytest.raises(SystemExit, match="error: animals: two models have this name"):
        main(["predict", "photo.png", "--model", "animals", "--model", "copy.safetensors"])


def test_results_go_into_a_folder(folder, capsys):
    Path("there.png").touch()
    with pytest.raises(SystemExit):
        main(["predict", "photo.png", "--out", "there.png"])
    assert "--out there.png: a file, expected a folder" in capsys.readouterr().err


def test_pipes_carry_a_photograph_in_and_a_mask_out(folder, monkeypatch, capfdbinary):
    content = (folder / "photo.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    main(["predict", "-", "--out", "-"])
    out, err = capfdbinary.readouterr()
    labels = np.asarray(Image.open(io.BytesIO(out)))
    assert np.array_equal(labels, expected().labels)
    assert err.startswith(b"-, animals: ") and not (folder / "predicted").exists()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"text")))
    with pytest.raises(SystemExit, match="error: 1 not predicted"):
        main(["predict", "-"])
    assert capfdbinary.readouterr().err.startswith(b"-: not a picture")


def test_models_and_card_say_what_a_model_knows(folder, capsys):
    main(["models"])
    out = capsys.readouterr().out
    assert "animals                  background, cat\n" in out
    assert "was not measured on: dog, person, sheep\n" in out
    assert "torchvision/fcn_resnet50             135 MB" in out
    assert set(MEGABYTES) == set(published_names())
    main(["card", "animals"])
    assert capsys.readouterr().out.startswith("---\nlicense: mit\n")
    with pytest.raises(SystemExit, match="beasts: there is no file; models that come along: an"):
        main(["card", "beasts"])


def test_without_any_model_the_command_says_what_there_may_be(folder, capsys):
    (folder / "weights/animals.safetensors").unlink()
    with pytest.raises(SystemExit) as end:
        main(["predict", "photo.png"])
    assert end.value.code == 2
    assert "no model: name one; expected one that comes along (none" in capsys.readouterr().err


@pytest.mark.slow
def test_twenty_megapixels_need_less_than_two_gigabytes(folder):
    smooth = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(smooth).resize((5164, 3873)).save("large.jpg")
    program = (
        "import resource, sys; from segmodels.core import packed; from pathlib import Path;"
        "packed.FOLDER = Path('weights'); from segmodels.cli import main;"
        "main(['predict', 'large.jpg', '--confidence']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) < 2_000_000  # KiB
    assert images.read_target("predicted/large_animals_mask.png").shape == (3873, 5164)


@pytest.mark.parametrize("choice", [{"precision": "fp16"}, {"threads": 7}, {"split": "test"}])
def test_choices_without_effect_on_a_photograph_are_refused(folder, choice):
    (name,) = choice
    with pytest.raises(ValueError, match=f"^{name}: of a study's predictions, without effect"):
        expected(**choice)
    assert expected(long_side=64).labels.shape == (72, 96)


def test_a_result_shows_what_was_found(folder):
    found = expected()
    name, share = next(iter(found.shares.items()))
    assert repr(found).startswith(f"Prediction(96 x 72 pixels: {name} {share:.1%}")


def test_scales_are_factors_and_no_percent(folder, capsys):
    with pytest.raises(SystemExit):
        main(["predict", "photo.png", "--scales", "75,100"])
    assert "--scales: input should be less than or equal to 10" in capsys.readouterr().err.lower()


def test_links_in_a_circle_are_a_line(folder, capsys):
    Path("loop").symlink_to("loop")
    with pytest.raises(SystemExit, match="error: 1 not predicted, 1 images in all"):
        main(["predict", "loop"])
    assert capsys.readouterr().err == "loop: there is no file, expected an image\n"
