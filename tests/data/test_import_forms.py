"""The same twelve images in every form give the same label maps, byte for byte."""

import json
import shutil
import unicodedata
from collections import Counter

import numpy as np
import pytest
from conftest import missing
from helpers import import_forms
from helpers.import_forms import CLASSES, FORMS, OWN_SPLIT, bring, pictures
from PIL import Image

from segmodels.data import images, layout
from segmodels.data.sources import formats
from segmodels.data.sources.formats import cvat, labelme, painting
from segmodels.data.sources.formats.sample import Size

every_form = pytest.mark.parametrize("form", FORMS)
DRAWN_BY_COCO = {"coco", "coco compressed", "coco with splits", "cvat", "cvat boxes"}


@pytest.fixture(autouse=True)
def tool(request):
    """pycocotools, where the test needs it."""
    name = request.node.callspec.params.get("form") if hasattr(request.node, "callspec") else None
    if name in DRAWN_BY_COCO:
        coco()


def coco():
    try:
        from pycocotools import mask
    except ImportError:
        missing("needs pycocotools: pip install -e '.[coco]'")
    return mask


def imported(tmp_path, form):
    words = FORMS[form](tmp_path / "source")
    bring(tmp_path / "source", tmp_path / "own/roads", *words)
    return tmp_path / "own/roads"


@every_form
def test_label_maps_are_equal_byte_for_byte(tmp_path, form):
    root = imported(tmp_path, form)
    for one in pictures():
        images.write_target(tmp_path / "expected.png", one.labels, images.palette())
        written = layout.target_path(root, one.id)
        assert written.read_bytes() == (tmp_path / "expected.png").read_bytes(), one.id
        with Image.open(written) as image:  # without this project's reader
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), one.labels)
    assert len(list((root / "SegmentationClass").iterdir())) == len(pictures())


@every_form
def test_jpegs_and_pngs_keep_their_bytes_and_others_their_pixels(tmp_path, form):
    root = imported(tmp_path, form)
    sources = {
        unicodedata.normalize("NFC", path.stem).removesuffix("_leftImg8bit"): path
        for path in (tmp_path / "source").rglob("*")
        if path.suffix.lower() in layout.SUFFIXES and not is_mask(path)
    }
    for one in pictures():
        source, copy = sources[one.id], layout.image_path(root, one.id)
        if source.suffix.lower() in (".jpg", ".jpeg", ".png"):
            assert copy.read_bytes() == source.read_bytes()
        else:
            assert copy.suffix == ".png"
            with Image.open(source) as image:
                np.testing.assert_array_equal(Image.open(copy), image.convert("RGB"))


def is_mask(path):
    parts = {"masks", "SegmentationClass", "gtFine", "trainannot", "valannot"}
    return bool(parts & set(path.parts)) or path.stem.endswith("_mask")


@every_form
def test_split_of_the_source_is_taken_and_otherwise_a_fifth_validates(tmp_path, form):
    root = imported(tmp_path, form)
    lists = {split: layout.read_split(root, split) for split in ("train", "val")}
    assert sorted(lists["train"] + lists["val"]) == sorted(one.id for one in pictures())
    if form in OWN_SPLIT:
        assert set(lists["val"]) == {one.id for one in pictures() if one.split == "val"}
    else:
        assert len(lists["val"]) == 2


@every_form
def test_form_is_recognised_and_said(tmp_path, form, capsys):
    FORMS[form](tmp_path)
    expected = form.split()[0]
    name, sign = formats.recognise(tmp_path)
    assert name == expected
    assert sign
    recognised = [key for key in formats.FORMATS if formats.FORMATS[key].recognise(tmp_path)]
    assert recognised == [expected]


@pytest.mark.parametrize("form", ["coco", "cvat", "labelme"])
def test_names_of_a_mac_are_found(tmp_path, form):
    """Annotations in NFC, files in NFD, as an archive of a Mac has them."""
    words = FORMS[form](tmp_path / "source")
    for path in list((tmp_path / "source").rglob("*")):
        if path.suffix in (".json", ".xml"):
            text = path.read_text(encoding="utf-8")
            text = json.dumps(json.loads(text), ensure_ascii=False) if form != "cvat" else text
            path.write_text(unicodedata.normalize("NFC", text), encoding="utf-8")
    bring(tmp_path / "source", tmp_path / "roads", *words)
    assert len(list((tmp_path / "roads/JPEGImages").iterdir())) == len(pictures())


def test_folders_behind_links_are_entered_once(tmp_path):
    words = FORMS["coco"](tmp_path / "source")
    shutil.move(tmp_path / "source/images", tmp_path / "disk")
    (tmp_path / "source/images").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/again").symlink_to(tmp_path / "source")
    bring(tmp_path / "source", tmp_path / "roads", *words)
    assert len(list((tmp_path / "roads/JPEGImages").iterdir())) == len(pictures())


def test_two_forms_in_one_folder_are_told(tmp_path):
    FORMS["pairs"](tmp_path)
    FORMS["coco"](tmp_path)
    with pytest.raises(ValueError, match=r"looks like coco \(.*\), pairs \(.*--format"):
        formats.recognise(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="in no form that is known: --format says which of coco"):
        formats.recognise(tmp_path / "empty")


def random_mask(rng, size):
    return rng.random(size) < rng.random()


def test_run_lengths_are_those_of_pycocotools():
    tool, rng = coco(), np.random.default_rng(0)
    for _ in range(200):
        size = Size(*rng.integers(1, 70, 2).tolist())
        mask = random_mask(rng, size)
        encoded = tool.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        counts = painting.uncompressed(encoded, "here")
        np.testing.assert_array_equal(painting.runs(counts, size, "here", columns=True), mask)
        assert counts == import_forms.counts(mask.astype(int), "F")


def test_polygons_are_those_of_pycocotools_when_it_draws_them_alone():
    tool, rng = coco(), np.random.default_rng(1)
    for _ in range(50):
        size = Size(*rng.integers(5, 60, 2).tolist())
        parts = [rng.uniform(-3, 63, (int(rng.integers(3, 9)), 2)) for _ in range(2)]
        drawn = painting.coco_polygons(parts, size)
        alone = [tool.decode(tool.frPyObjects([p.ravel().tolist()], *size)) for p in parts]
        np.testing.assert_array_equal(drawn, np.dstack(alone).any(axis=2))


def test_shapes_of_labelme_are_drawn_as_its_own_code_draws_them():
    """Circle, line, strip and point: Pillow's calls as in labelme/utils/shape.py."""
    size = Size(60, 80)
    around = {"shape_type": "circle", "points": [[30, 30], [30, 20]]}
    circle = labelme._mask(around, size, "here")
    rows, columns = np.mgrid[:60, :80]
    distance = np.hypot(rows - 30, columns - 30)
    assert circle[distance <= 9].all() and not circle[distance >= 11.5].any()
    point = labelme._mask({"shape_type": "point", "points": [[30, 30]]}, size, "here")
    assert point.sum() == pytest.approx(np.pi * 5.5**2, abs=12)
    line = labelme._mask({"shape_type": "line", "points": [[10, 30], [70, 30]]}, size, "here")
    assert line[:, 40].sum() == 10


@pytest.mark.parametrize("degrees", [0, 30, 90, 200])
def test_boxes_and_ellipses_of_cvat_are_turned_clockwise(degrees):
    from xml.etree import ElementTree

    coco()
    size = Size(100, 100)
    attributes = {"rotation": str(degrees), "xtl": "30", "xbr": "80", "ytl": "45", "ybr": "55"}
    box = cvat._mask(ElementTree.Element("box", attributes), size, "here")
    round_ = {"rotation": str(degrees), "cx": "55", "cy": "50", "rx": "25", "ry": "5"}
    ellipse = cvat._mask(ElementTree.Element("ellipse", round_), size, "here")
    rows, columns = np.mgrid[:100, :100] + 0.5
    angle = np.deg2rad(degrees)  # of the long side, clockwise as seen, since y points down
    along = (columns - 55) * np.cos(angle) + (rows - 50) * np.sin(angle)
    across = -(columns - 55) * np.sin(angle) + (rows - 50) * np.cos(angle)
    assert box[(abs(along) < 24) & (abs(across) < 4)].all()
    assert not box[(abs(along) > 26) | (abs(across) > 6)].any()
    assert ellipse.sum() == pytest.approx(np.pi * 25 * 5, rel=0.03)
    assert not ellipse[(abs(along) > 25.5) | (abs(across) > 5.5)].any()


def test_every_form_of_the_registry_is_tested():
    written = {form.split()[0] for form in FORMS}
    assert written == set(formats.FORMATS), "FORMS in tests/helpers/import_forms.py"
    assert Counter(form.split()[0] for form in FORMS)["coco"] == 4
    assert CLASSES[0] == "background"
