"""A line, not a traceback, and no file passed over: what people tried at the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_cases_files import scene
from test_cases_labels import evaluate, here, labels, run, save, tree  # noqa: F401

from segmodels import cli
from segmodels.inference import photos
from segmodels.models import safe_load

PROJECT = Path(__file__).parents[2]
NAMED = ["train", "predict", "evaluate", "headline"]


@pytest.mark.parametrize("words", [[], ["nope"], ["--help"], ["unet", "fcn8s"]])
@pytest.mark.parametrize("stage", NAMED)
def test_a_stage_without_a_model_names_those_there_are(here, stage, words):  # noqa: F811
    done = run(here, {"classes": ["a", "b"]}, f"stages.{stage}", *words)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert ": expected one model of " in done.stderr


@pytest.mark.parametrize("content", [b"\xff" * 100, b"{}", b"\x08" + b"\0" * 7 + b"{nothing", b""])
def test_a_damaged_safetensors_file_is_one_line(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    error = pytest.raises(ValueError, safe_load.state_dicts, path).value
    assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert ("0 bytes" in str(error)) == (not content)


def test_a_file_counts_before_its_links_and_hidden_images_are_counted(tmp_path):
    Image.fromarray(scene(0)).save(tmp_path / "one.JPG", "JPEG")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "one.JPG")
    (tmp_path / ".hidden.jpg").write_bytes((tmp_path / "one.JPG").read_bytes())
    (tmp_path / ".DS_Store").write_bytes(b"x")
    found = photos.find([tmp_path])
    assert [path.name for path in found.files] == ["one.JPG"]
    assert found.others == {"hidden image": 1}


def test_frames_are_counted(tmp_path):
    pages = [Image.fromarray(scene(k)) for k in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "b.png")
    assert (photos.frames(tmp_path / "a.tif"), photos.frames(tmp_path / "b.png")) == (3, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", ""],
        ["predict", "a.jpg", "--out", ""],
        ["export", "unet", "--onnx", ""],
        ["evaluate", "--predictions", "", "--voc", "x"],
    ],
)
def test_empty_paths_are_refused(here, capsys, arguments):  # noqa: F811
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2 and "expected a path, found nothing" in capsys.readouterr().err


def test_evaluate_counts_every_file_that_it_does_not_read(here, capsys):  # noqa: F811
    tree(here / "data/own/mine")
    for k in (4, 5):
        save(here / f"found/p{k}.png", "palette", labels(k))
    for name in ("again/p4.png", "p5.jpg", "p4", "notes.txt", ".hidden"):
        (here / "found" / name).parent.mkdir(exist_ok=True)
        (here / "found" / name).write_bytes(b"x")
    status, out, _ = evaluate(capsys)
    assert status == 0 and "2 of 2 images of val; 4 files of found were not used" in out
    save(here / "found/p4.tif", "grey", labels(4))
    status, out, err = evaluate(capsys)
    assert status == 1 and "p4.png, p4.tif are masks of one image; expected one" in err
    assert "4 files of found were not used" in out


def test_evaluate_of_a_file_in_place_of_a_folder_is_one_line(here, capsys):  # noqa: F811
    tree(here / "data/own/mine")
    (here / "found").write_bytes(b"x")
    status, _, err = evaluate(capsys)
    assert status == 1 and err == "error: found: a file, expected a folder of masks"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "--predictions", "x", "--voc", "nowhere"], "nowhere/ImageSets"),
        (["evaluate", "--predictions", "x", "--voc", "data/own/mine", "--split", "b"], "b.txt"),
    ],
)
def test_a_missing_file_of_the_user_is_named_without_advice_that_cannot_help(here, words, said):  # noqa: F811
    tree(here / "data/own/mine")
    command = [sys.executable, "-m", "segmodels.cli", *words]
    environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "Errno" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert said in last and "no such file" in last


def test_a_pipe_and_a_device_are_no_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/null")):
        with pytest.raises(ValueError, match="no regular file, expected an image"):
            photos.read(path)
