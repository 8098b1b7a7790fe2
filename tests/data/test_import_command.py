"""The commands of docs/guides/own-data.md, each as people use it, and what follows an import."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import missing
from helpers.import_forms import (
    CLASSES,
    FORMS,
    bring,
    camvid,
    coco,
    pairs,
    pairs_of_colours,
    pictures,
    save,
)

from segmodels.cli import main
from segmodels.config import params
from segmodels.config.schema import Dataset
from segmodels.data import images, index, layout
from segmodels.data.sources import own, tidy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/own-data.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with the sources that the page imports."""
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        missing("needs pycocotools: pip install -e '.[coco]'")
    pairs(tmp_path / "photos")
    pairs(tmp_path / "binary", suffix="", store=lambda labels: (labels > 0).astype(np.uint8) * 255)
    pairs_of_colours(tmp_path / "coloured")
    coco(tmp_path / "coco")
    camvid(tmp_path / "CamVid")
    for one in pictures():
        film = f"film{ord(one.id[-1]) % 3}"
        save(tmp_path / f"films/images/{film}/{one.name}.png", one.pixels)
        save(tmp_path / f"films/masks/{film}/{one.name}.png", one.labels)
    (tmp_path / "films/classes").write_text("")
    ids = [one.id for one in pictures()[:3]]
    (tmp_path / "val.txt").write_text("\n".join(ids), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words, capsys):
    """What the command prints; its error where it has one."""
    try:
        main(words)
    except SystemExit as end:
        return str(end.code)
    return capsys.readouterr().out


def test_commands_of_the_page_print_what_it_says(home, capsys):
    """Each command, and that the lines below it are among those that it prints, in their order."""
    printed, compared = "", 0
    for kind, text in BLOCK.findall(PAGE):
        if kind == "sh":
            lines = [line for line in text.splitlines() if line.startswith("segmodels import")]
            for line in lines:
                words = shlex.split(line)[1:]
                if "films" in line or "CamVid" in line:
                    words += ["--classes", ",".join(CLASSES)]
                printed = run(words, capsys)
                assert not printed.startswith("error") or "nobody says" in printed, printed
        elif "1 problem in coco" not in text and "studies/" not in text:
            expected = iter(printed.splitlines())
            for line in text.splitlines():
                assert line in expected, f"{line!r} is not in its place in {printed}"
            compared += 1
    assert compared == 6


def test_the_error_of_the_page_is_printed(home, capsys):
    path = Path("coco/annotations.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][4]["segmentation"] = [[1, 1, 2, 2]]
    path.write_text(json.dumps(content), encoding="utf-8")
    said = run(["import", "coco", "--to", "data/own/bad"], capsys)
    assert said in [text.strip() for _, text in BLOCK.findall(PAGE)]


def test_scenes_of_the_page_stay_together(home, capsys):
    words = ["--classes", ",".join(CLASSES), "--group", "^images/[^/]+", "--val", "0.4"]
    bring("films", "data/own/films", *words)
    of = {one.id: ord(one.id[-1]) % 3 for one in pictures()}
    lists = {split: layout.read_split("data/own/films", split) for split in ("train", "val")}
    groups = {split: {of[i] for i in lists[split]} for split in lists}
    assert not groups["train"] & groups["val"]
    counted = f"groups of --group: {len(groups['train'])} train, {len(groups['val'])} val"
    assert counted in capsys.readouterr().out and counted in PAGE


def test_every_option_of_the_page_exists_and_every_form_is_in_its_table(home):
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert rows == {form.split()[0] for form in FORMS}, "the table in docs/guides/own-data.md"


def test_lines_for_params_are_accepted_by_the_pipeline(home, capsys):
    """Put under their sections the lines are valid, and the index finds nothing to refuse."""
    bring("coloured", "data/own/roads")
    lines = capsys.readouterr().out.partition("# params.yaml\n")[2]
    said = yaml.safe_load(re.sub(r"\*\w+", "null", lines))
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings["dataset"] = said["dataset"]
    settings["datasets"] |= said["datasets"]
    for section in ("train", "predict"):
        settings[section]["roads"] = settings[section]["miniature"]
        assert f"*{section}_miniature" in lines
    Path("params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    data = params.load().data
    assert data.classes == CLASSES
    tree = Path("data/roads/VOCdevkit/VOC2012")
    own.copy(Path("data/own/roads"), tree)
    assert tidy.tidy(tree, data) == {"masks": 0, "images": 0}
    table, _ = index.build(tree, data)
    assert len(table) == 12
    assert index.meaning_problems(table, data, "roads") == []
    for label, name in enumerate(CLASSES):
        assert table[name].sum() == sum((one.labels == label).sum() for one in pictures())


@pytest.mark.parametrize(
    "name", ["on", "no", "a: b", "0o7", "straße", "1e3", "{x}", "#", "null", "~"]
)
def test_odd_class_names_survive_params_yaml(home, capsys, name):
    words = ["--map", "0=background", "--map", f"255={name}"]
    bring("binary", "data/own/odd", *words)
    lines = capsys.readouterr().out.partition("# params.yaml\n")[2]
    from ruamel.yaml import YAML

    said = YAML(typ="safe", pure=True).load(re.sub(r"\*\w+", "null", lines))  # as params.load
    assert said["datasets"]["odd"]["classes"] == ["background", name]
    assert Dataset(**said["datasets"]["odd"]).classes[1] == name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "data/own/a.b"], "expected a name without . @ $ : ,"),
        (["--to", "data/own"], "--to data/own: expected a folder in it, as data/own/roads"),
        (["--to", "data/own/weights"], "data/weights is taken"),
        (["--to", "data/own/x", "--val", "1.5"], "expected a share between 0 and 1"),
        (["--to", "data/own/x", "--map", "road"], "expected KEY=CLASS"),
        (["--to", "data/own/x", "--group", "("], "no regular expression"),
        (["--to", "data/own/x", "--val", "0.2", "--val-list", "val.txt"], "without --val and"),
        (["--to", "data/own/x", "--format", "coco"], "no JSON with images"),
        (["--to", "data/own/x", "--images", "nothing"], "nothing: no such folder"),
        (["--to", "data/own/x", "--table", "nothing"], "--table nothing: no such file"),
    ],
)
def test_options_that_cannot_be_are_refused(home, capsys, words, said):
    with pytest.raises(SystemExit) as end:
        main(["import", "photos", *words])
    assert said in f"{end.value.code} {capsys.readouterr().err}"
    assert not Path("data/own/x").exists()


def test_source_that_is_not_there_is_refused(home, capsys):
    assert "nothing: no such file or folder" in run(
        ["import", "nothing", "--to", "data/own/x"], capsys
    )


def test_the_import_needs_no_torch():
    program = "import sys, segmodels.importing; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_source_may_be_named_in_odd_ways(home, capsys):
    """From within, with dots, and by its JSON."""
    Path("coco/sub").mkdir()
    bring("coco/sub/..", "data/own/dots")
    bring("coco/annotations.json", "data/own/file")
    for name in ("dots", "file"):
        assert len(list(Path(f"data/own/{name}/JPEGImages").iterdir())) == 12


def test_unlabelled_images_and_lone_masks_are_listed(home, capsys):
    Path("photos/masks/plain_Mask.png").rename("photos/masks/other_Mask.png")
    save(Path("photos/images/a\x1b[2Jb.png"), pictures()[0].pixels)
    bring("photos", "data/own/roads", "--classes", ",".join(CLASSES))
    said = capsys.readouterr().out
    assert "left out: 3\n" in said
    assert "a?[2Jb.png: has no mask" in said  # what a terminal would obey
    assert "plain.jpeg: has no mask plain_Mask in photos/masks" in said
    assert "other_Mask.png: is the mask of no image in photos/images" in said


def test_image_turned_by_exif_takes_a_mask_of_either_size(home, capsys):
    """As a viewer shows it, or as it is stored, which the pipeline's own copy then follows."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    one = pictures()[4]
    for name in ("photos/images/turned.png", "photos/images/stored.png"):
        Image.fromarray(one.pixels).save(name, exif=exif)
    save(Path("photos/masks/stored_Mask.png"), one.labels)
    save(Path("photos/masks/turned_Mask.png"), np.ascontiguousarray(np.rot90(one.labels, -1)))
    bring("photos", "data/own/roads", "--classes", ",".join(CLASSES))
    tree = Path("tree")
    own.copy(Path("data/own/roads"), tree)
    tidy.tidy(tree, Dataset(classes=CLASSES))
    turned = images.read_target(layout.target_path(tree, "turned"))
    assert turned.shape == images.read_image(layout.image_path(tree, "turned")).shape[:2]
    np.testing.assert_array_equal(np.rot90(turned, 1), one.labels)
    stored = images.read_image(layout.image_path(tree, "stored"))
    np.testing.assert_array_equal(stored, one.pixels)


def test_unusual_ending_of_masks_beside_images_can_be_named(home, capsys):
    for one in pictures():
        save(Path(f"mixed/{one.name}.png"), one.pixels)
        save(Path(f"mixed/{one.name}-truth.png"), one.labels)
    with pytest.raises(ValueError, match="no folders of images and masks in it"):
        bring("mixed", "data/own/x", "--format", "pairs", "--classes", ",".join(CLASSES))
    words = ["--format", "pairs", "--mask-suffix=-truth", "--classes", ",".join(CLASSES)]
    bring("mixed", "data/own/mixed", *words)
    for one in pictures():
        labels = images.read_target(layout.target_path("data/own/mixed", one.id))
        np.testing.assert_array_equal(labels, one.labels)


@pytest.mark.parametrize(
    ("folders", "suffix", "words"),
    [
        (("photos", "truth"), "", ["--images", "photos", "--masks", "truth"]),
        (("images", "truth"), "", ["--masks", "truth"]),
        (
            ("train", "train_masks"),
            "_mask",
            ["--images", "train", "--masks", "train_masks", "--mask-suffix", "_mask"],
        ),
        (("", ""), "-truth", ["--mask-suffix=-truth"]),
    ],
)
def test_options_that_name_folders_imply_pairs(home, capsys, folders, suffix, words):
    for one in pictures():
        save(Path("named", folders[0], f"{one.name}.png"), one.pixels)
        save(Path("named", folders[1], f"{one.name}{suffix}.png"), one.labels)
    bring("named", "data/own/named", *words, "--classes", ",".join(CLASSES))
    assert capsys.readouterr().out.startswith("pairs, recognised by --")
    for one in pictures():
        labels = images.read_target(layout.target_path("data/own/named", one.id))
        np.testing.assert_array_equal(labels, one.labels)


@pytest.mark.parametrize("source", ["photos", "coco", "films/images"])
def test_misspelt_folder_is_named(home, capsys, source):
    said = run(["import", source, "--to", "data/own/x", "--images", "nope"], capsys)
    assert said.startswith(f"error: --images nope: no such folder in {source}, expected one")


def test_images_of_coco_can_be_named(home, capsys):
    bring("coco", "data/own/x", "--images", "images")
    assert capsys.readouterr().out.startswith("coco, recognised by annotations.json")
