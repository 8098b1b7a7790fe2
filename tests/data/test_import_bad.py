"""Broken sources: one line that names file, key, value and remedy, and nothing is written."""

import base64
import json
import os
import random
import re
import shutil
import signal
import struct
import zlib

import numpy as np
import pytest
from conftest import missing
from helpers.import_forms import FORMS, bring, pictures
from PIL import Image

from segmodels.data.sources.formats import painting

CASES = 12  # of damage, for each form


@pytest.fixture(autouse=True, scope="module")
def tool():
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        missing("needs pycocotools: pip install -e '.[coco]'")


def refused(tmp_path, *words):
    """What an import says that must fail and leave nothing."""
    (tmp_path / "own").mkdir(exist_ok=True)
    with pytest.raises(ValueError) as said:
        bring(tmp_path / "source", tmp_path / "own/roads", *words)
    assert not list((tmp_path / "own").iterdir())
    lines = str(said.value).splitlines()
    if lines[0].endswith(":"):  # of problems, a line each
        assert re.match(r"\d+ problems? in ", lines[0])
        lines = lines[1:]
    assert lines
    return lines


def edit_json(path, change):
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def annotation(**changes):
    return lambda content: content["annotations"][4].update(changes)


def image(**changes):
    return lambda content: content["images"][3].update(changes)


def category(**changes):
    return lambda content: content["categories"][1].update(changes)


def polygon(*flat):
    return annotation(segmentation=[list(flat)])


COCO = {
    "unknown category": (
        annotation(category_id=77),
        r"annotations\[4\]\.category_id = 77: expected",
    ),
    "unknown image": (annotation(image_id=7), r"annotations\[4\]\.image_id = 7: no such id"),
    "id twice": (annotation(id=5), r"annotations\[4\]\.id = 5: comes twice"),
    "image id twice": (image(id=90), r"images\[3\]\.id = 90: also that of .*images\[0\]"),
    "category twice": (category(id=10), r"categories\[1\]: id 10 or name 'car' comes twice"),
    "category name twice": (category(name="road"), r"name 'road' comes twice"),
    "category without name": (category(name=None), r"categories\[1\]\.name = None: expected text"),
    "class called void": (category(name="void "), None),
    "a number as truth": (annotation(category_id=True), r"category_id = True: expected a whole"),
    "two points": (polygon(1, 1, 5, 5), r"segmentation\[0\]: 2 points, expected 3 or more"),
    "odd coordinates": (polygon(1, 1, 5, 5, 2, 8, 9), r"7 coordinates, expected a list x, y"),
    "huge": (polygon(1, 1, 1e9, 5, 5, 5), r"point 1e\+09, 5, expected one of an image of 56 x 40"),
    "infinite": (polygon(1, 1, 1e999, 5, 5, 5), r"Infinity, expected a finite number"),
    "not a number": (polygon(1, 1, "x", 5, 5, 5), r"segmentation\[0\]\[2\] = 'x': expected a fin"),
    "flat polygon": (annotation(segmentation=[1, 1, 5, 5, 5, 1]), r"segmentation\[0\]: no coord"),
    "box alone": (
        annotation(segmentation=[]),
        r"segmentation: expected a list of polygons.*--skip",
    ),
    "no segmentation": (
        lambda c: c["annotations"][4].pop("segmentation"),
        r"expected a list of pol",
    ),
    "runs of another size": (
        annotation(segmentation={"size": [40, 57], "counts": [2280]}),
        r"segmentation\.size = \[40, 57\]: expected \[40, 56\]",
    ),
    "runs too short": (
        annotation(segmentation={"size": [40, 56], "counts": [2, 5]}),
        r"counts: runs of 7 pixels, expected 2,240 \(56 x 40\)",
    ),
    "negative run": (
        annotation(segmentation={"size": [40, 56], "counts": [-1, 2241]}),
        r"counts\[0\] = -1: expected a run length of 0 to 2240",
    ),
    "huge run": (
        annotation(segmentation={"size": [40, 56], "counts": [10**18]}),
        r"counts\[0\] = 1000000000000000000: expected a run length",
    ),
    "text cut off": (
        annotation(segmentation={"size": [40, 56], "counts": "PP"}),
        r"counts: no compressed run lengths at 2",
    ),
    "other text": (
        annotation(segmentation={"size": [40, 56], "counts": "!é"}),
        r"counts: no compressed run lengths at 0",
    ),
    "no counts": (annotation(segmentation={"size": [40, 56]}), r"counts: expected run lengths"),
    "iscrowd": (annotation(iscrowd=2), r"annotations\[4\]\.iscrowd = 2: expected 0 or 1"),
    "other size": (image(width=57), r"images\[3\]: size 57 x 51, but its image has 37 x 51"),
    "size as text": (image(width="37"), r"images\[3\]\.width = '37': expected a whole number"),
    "no such file": (
        image(file_name="no.jpg"),
        r"file_name = no\.jpg: not found, expected one file",
    ),
    "leaves": (image(file_name="../../x.jpg"), r"file_name = '../../x\.jpg': expected a file in"),
    "absolute": (image(file_name="/etc/passwd"), r"file_name = '/etc/passwd': expected a file in"),
    "image twice": (
        lambda c: c["images"][3].update(file_name=c["images"][0]["file_name"]),
        r"images\[3\]: .* is also .*images\[0\], expected once",
    ),
    "no list": (lambda c: c.update(annotations={}), r"annotations = \{\}: expected a list"),
    "no object": (lambda c: c["images"].append(3), r"images\[12\] = 3: expected an object"),
}


@pytest.mark.parametrize("case", COCO)
def test_broken_coco_is_one_line(tmp_path, case):
    change, expected = COCO[case]
    FORMS["coco"](tmp_path / "source")
    edit_json(tmp_path / "source/annotations.json", change)
    if expected is None:
        bring(tmp_path / "source", tmp_path / "own/roads")  # is a name like others
        return
    (line,) = refused(tmp_path)
    assert re.search(expected, line), line
    assert str(tmp_path / "source/annotations.json") in line


TEXTS = {
    "cut off": (lambda text: text[: len(text) // 2], r"no JSON at line 1, column \d+ .*cut off"),
    "empty": (lambda text: "", r"no JSON at line 1, column 1"),
    "NaN": (lambda text: text.replace("56", "NaN", 1), r"NaN, expected a finite number"),
    "key twice": (
        lambda text: text.replace('"iscrowd"', '"id": 3, "iscrowd"', 1),
        r"key 'id' twice in one object",
    ),
    "nested": (lambda text: "[" * 200_000, r"nested without end|no JSON"),
    "digits": (lambda text: text.replace("56", "1" * 5000, 1), r"integer string conversion"),
    "UTF-16": (lambda text: text, r"byte 0 is no UTF-8 text; save it as UTF-8"),
    "other JSON": (lambda text: "[1, 2]", r"no JSON with images, annotations, categories"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_broken_json_is_one_line(tmp_path, case):
    change, expected = TEXTS[case]
    FORMS["coco"](tmp_path / "source")
    path = tmp_path / "source/annotations.json"
    text = change(path.read_text(encoding="utf-8"))
    path.write_bytes(text.encode("utf-16" if case == "UTF-16" else "utf-8"))
    (line,) = refused(tmp_path, "--format", "coco")
    assert re.search(expected, line), line


def shape(**changes):
    return lambda content: content["shapes"][1].update(changes)


LABELME = {
    "two points": (shape(points=[[1, 1], [2, 2]]), r"shapes\[1\]\.points: 2 points, expected 3"),
    "huge": (shape(points=[[1, 1], [1e9, 2], [4, 4]]), r"points: point 1e\+09, 2, expected one of"),
    "no pairs": (shape(points=[1, 2, 3]), r"points: expected a list of \[x, y\]"),
    "kind": (shape(shape_type="cube"), r"shape_type = 'cube': expected one of polygon, rect"),
    "rectangle": (shape(shape_type="rectangle"), r"points: 4 of a rectangle, expected 2"),
    "bitmap": (
        shape(shape_type="mask", mask="AAAA", points=[[1, 1], [2, 2]]),
        r"mask: no PNG in base64",
    ),
    "leaves": (
        lambda c: c.update(imagePath="..\\..\\x.jpg"),
        r"imagePath = .*: expected a file in",
    ),
    "drive": (lambda c: c.update(imagePath="C:\\x.jpg"), r"imagePath = .*: no such file"),
    "no shapes": (lambda c: c.pop("shapes"), r"shapes: missing, expected a list"),
    "height": (lambda c: c.update(imageHeight=3), r"size \d+ x 3, but its image has"),
    "label": (shape(label=3), r"shapes\[1\]\.label = 3: expected text"),
}


@pytest.mark.parametrize("case", LABELME)
def test_broken_labelme_is_one_line(tmp_path, case):
    change, expected = LABELME[case]
    FORMS["labelme"](tmp_path / "source")
    path = tmp_path / "source/json/plain.json"
    edit_json(path, change)
    (line,) = refused(tmp_path)
    assert re.search(expected, line), line
    assert str(path) in line


CVAT = {  # what is replaced once, by what, and the error
    "cut off": (r"</image>\s*</annotations>\s*$", "", r"no XML \(.*\); is it cut off"),
    "two points": (r'points="[^"]*"', 'points="1,1;5,5"', r"0\.points: 2 points, expected 3"),
    "huge": ('points="', 'points="1e9,3;', r"polygon 0\.points: point 1e\+09, 3, expected"),
    "not a number": ('points="', 'points="nan,3;', r"points\[0\] = 'nan': expected a finite"),
    "no points": (r'points="[^"]*"', 'points=""', r"points: 1 coordinates, expected a list"),
    "width": ('width="37"', 'width="38"', r"image 0: size 38 x 51, but its image has 37 x 51"),
    "width as text": ('width="37"', 'width="x"', r"width = 'x': expected a whole number"),
    "leaves": (' name="[^"]*"', ' name="../../x.png"', r"image 0\.name = '../../x\.png': expec"),
    "no file": (' name="[^"]*"', ' name="no.png"', r"image 0\.name = no\.png: not in"),
    "twice": ("(?s)(<image.*?</image>)", r"\1\1", r"comes twice, expected once"),
    "entity": ("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>', "has a <!DOCTYPE>"),
    "depth": ('z_order="3"', 'z_order="inf"', r"z_order = 'inf': expected a finite number"),
}


@pytest.mark.parametrize("case", CVAT)
def test_broken_cvat_is_one_line(tmp_path, case):
    pattern, instead, expected = CVAT[case]
    FORMS["cvat"](tmp_path / "source")
    path = tmp_path / "source/annotations.xml"
    text = re.sub(pattern, instead, path.read_text(encoding="utf-8"), count=1)
    path.write_text(text, encoding="utf-8")
    (line,) = refused(tmp_path)
    assert re.search(expected, line), line
    assert str(path) in line


MASKS = {
    "short": (r', \d+" left', '" left', r"rle: runs of [\d,]+ pixels, expected [\d,]+"),
    "negative": (r'rle="', 'rle="-3, ', r"rle\[0\] = '-3': expected a whole number"),
    "outside": (r'left="\d+"', 'left="50"', r"box \d+ x \d+ at 50, \d+, expected one within"),
    "huge": (
        r' width="\d+" height="\d+"/>',
        ' width="999999999" height="1"/>',
        r"box 999999999 x 1",
    ),
}


@pytest.mark.parametrize("case", MASKS)
def test_broken_masks_of_cvat_are_one_line(tmp_path, case):
    pattern, instead, expected = MASKS[case]
    FORMS["cvat masks"](tmp_path / "source")
    path = tmp_path / "source/annotations.xml"
    text = re.sub(pattern, instead, path.read_text(encoding="utf-8"), count=1)
    path.write_text(text, encoding="utf-8")
    (line,) = refused(tmp_path)
    assert re.search(expected, line), line


YOLO = {
    "class": ("7 0.1 0.1 0.5 0.5 0.5 0.1", r"line 1: class = 7: expected 0 to 2"),
    "no class": ("car 0.1 0.1 0.5 0.5 0.5 0.1", r"line 1: class = 'car': expected a whole number"),
    "box": (
        "1 0.1 0.1 0.5 0.5",
        r"line 1: 4 numbers, a box: expected a polygon of 3 points.*--skip",
    ),
    "two points": ("1 0.1 0.1", r"line 1: 1 points, expected 3 or more"),
    "pixels": ("1 10 10 20 20 20 10", r"line 1: 10, expected shares of 0 to 1"),
    "not a number": ("1 0.1 nan 0.5 0.5 0.5 0.1", r"number 2 = 'nan': expected a finite number"),
    "odd": ("1 0.1 0.1 0.5 0.5 0.5 0.1 0.2", r"line 1: 7 coordinates, expected a list"),
}


@pytest.mark.parametrize("case", YOLO)
def test_broken_yolo_is_one_line(tmp_path, case):
    text, expected = YOLO[case]
    FORMS["yolo"](tmp_path / "source")
    path = tmp_path / "source/labels/train/plain.txt"
    path.write_text(text, encoding="utf-8")
    (line,) = refused(tmp_path)
    assert re.search(expected, line), line
    assert str(path) in line


def mask_of(path, size=None, save=None):
    with Image.open(path) as opened:
        image = opened.resize(size) if size else opened.copy()
    path.unlink()
    image.save(save or path)


PAIRS = {
    "other size": (lambda p: mask_of(p, size=(9, 9)), r"size 9 x 9, but its image has 56 x 40"),
    "JPEG": (lambda p: mask_of(p, save=p.with_suffix(".jpg")), r"JPEG alters labels"),
    "no picture": (lambda p: p.write_bytes(b"no picture"), r"not a picture"),
    "cut off": (lambda p: p.write_bytes(p.read_bytes()[:70]), r"plain_Mask\.png: "),
    "other value": (
        lambda p: Image.fromarray(np.full((40, 56), 9, np.uint8)).save(p),
        r"2,240 pixels have the values 9, which stand for nothing: --map 9=CLASS",
    ),
    "colours": (
        lambda p: Image.fromarray(np.full((40, 56, 3), (9, 8, 7), np.uint8)).save(p),
        r"stores colours, expected values: --map R,G,B=CLASS or --table",
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_broken_mask_is_one_line(tmp_path, case):
    change, expected = PAIRS[case]
    words = FORMS["pairs"](tmp_path / "source")
    change(tmp_path / "source/masks/plain_Mask.png")
    named = ["--map", "0=background", "--map", "1=road", "--map", "2=car", "--map", "3=sign"]
    (line,) = refused(tmp_path, *words, *named)
    assert re.search(expected, line), line
    assert "plain_Mask" in line


def test_problems_come_all_at_once_and_can_be_skipped(tmp_path, capsys):
    words = FORMS["yolo"](tmp_path / "source")
    bad = [one for one in pictures() if one.split == "train"][:3]
    for one in bad:
        (tmp_path / f"source/labels/train/{one.name}.txt").write_text("9 1 1")
    assert len(refused(tmp_path, *words)) == 3
    bring(tmp_path / "source", tmp_path / "own/roads", "--skip")
    assert "left out: 3\n" in capsys.readouterr().out
    copies = {path.stem for path in (tmp_path / "own/roads/JPEGImages").iterdir()}
    assert copies == {one.id for one in pictures()} - {one.id for one in bad}


def lose_images(source):
    for path in [*source.rglob("plain.jpeg"), *source.rglob("11.PNG")]:
        path.unlink()


def lose_files_of_voc(source):
    (source / "VOCdevkit/VOC2012/JPEGImages/plain.jpeg").unlink()
    (source / "VOCdevkit/VOC2012/SegmentationClass/11.png").unlink()


def spoil_masks(source):
    for name in ("11", "plain"):
        (source / f"masks/{name}_Mask.png").write_bytes(b"no picture")


LOST = {  # form, what spoils two of its images, and what is said of one
    "coco": (lose_images, r"images\[4\]\.file_name = plain\.jpeg: not found"),
    "labelme": (lose_images, r"plain\.json: imagePath = .*plain\.jpeg: no such file"),
    "cvat": (lose_images, r"image 4\.name = plain\.jpeg: not in"),
    "voc": (lose_files_of_voc, r"plain is not in .*JPEGImages, expected its file"),
    "pairs": (spoil_masks, r"plain_Mask\.png: not a picture"),
}


@pytest.mark.parametrize("form", LOST)
def test_missing_images_and_masks_come_with_the_other_problems(tmp_path, form, capsys):
    spoil, expected = LOST[form]
    words = FORMS[form](tmp_path / "source")
    spoil(tmp_path / "source")
    image = next(path for path in (tmp_path / "source").rglob("x.3.*") if path.suffix != ".json")
    image.write_bytes(b"no picture")
    lines = refused(tmp_path, *words)
    assert len(lines) == 3
    assert any(re.search(expected, line) for line in lines), lines
    bring(tmp_path / "source", tmp_path / "own/roads", *words, "--skip")
    assert "left out: 3\n" in capsys.readouterr().out
    assert len(list((tmp_path / "own/roads/JPEGImages").iterdir())) == len(pictures()) - 3


def test_problems_are_named_where_too_few_images_are_left(tmp_path):
    FORMS["labelme"](tmp_path / "source")
    for path in sorted((tmp_path / "source/json").iterdir())[1:]:
        edit_json(path, lambda content: content.update(imagePath="no.jpg"))
    lines = refused(tmp_path)
    assert len(lines) == len(pictures())
    assert "no such file" in lines[0] and "expected 1 or more" in lines[-1]


def test_masks_of_which_none_can_be_read_are_named(tmp_path):
    FORMS["pairs"](tmp_path / "source")
    for path in (tmp_path / "source/masks").iterdir():
        path.write_bytes(b"no picture")
    lines = refused(tmp_path)
    assert len(lines) == len(pictures())
    assert "not a picture" in lines[0]


def test_shape_without_label_is_a_problem_of_its_image(tmp_path):
    words = FORMS["labelme"](tmp_path / "source")
    path = tmp_path / "source/json/plain.json"
    edit_json(path, shape(label=""))
    (line,) = refused(tmp_path, *words)
    assert line.strip().startswith(f"{path}: shapes[1].label = '': expected the name of a class")
    bring(tmp_path / "source", tmp_path / "own/roads", *words, "--skip")


@pytest.mark.parametrize("words", [[], ["--format", "pairs"]])
def test_photographs_in_heic_are_to_be_converted(tmp_path, words):
    FORMS["pairs"](tmp_path / "source")
    for path in list((tmp_path / "source/images").iterdir()):
        path.rename(path.with_suffix(".HEIC"))
    (line,) = refused(tmp_path, *words)
    assert re.search(r"images/.*\.HEIC: HEIC and AVIF are not read .*convert them$", line), line


def test_one_photograph_in_heic_does_not_hide_that_no_form_is_known(tmp_path):
    FORMS["pairs"](tmp_path / "source")
    (tmp_path / "source/masks").rename(tmp_path / "source/truth")
    (tmp_path / "source/images/a.heic").write_bytes(b"no picture")
    (line,) = refused(tmp_path)
    assert "in no form that is known" in line


def test_class_numbers_with_gaps_are_listed(tmp_path):
    FORMS["yolo"](tmp_path / "source")
    names = "names: {0: road, 1: car, 2: sign, 4: dog}\n"
    (tmp_path / "source/data.yaml").write_text(names, encoding="utf-8")
    (tmp_path / "source/labels/train/plain.txt").write_text("3 0.1 0.1 0.5 0.5 0.5 0.1")
    (line,) = refused(tmp_path)
    assert "line 1: class = 3: expected one of 0, 1, 2, 4: correct it" in line


def test_destination_that_exists_is_refused_and_untouched(tmp_path):
    words = FORMS["pairs"](tmp_path / "source")
    (tmp_path / "own/roads").mkdir(parents=True)
    with pytest.raises(ValueError, match="is there already, expected a new folder"):
        bring(tmp_path / "source", tmp_path / "own/roads", *words)
    assert not list((tmp_path / "own/roads").iterdir())
    (tmp_path / "own/link").symlink_to(tmp_path / "nothing")
    with pytest.raises(ValueError, match="is there already"):
        bring(tmp_path / "source", tmp_path / "own/link", *words)


def test_nothing_is_left_after_ctrl_c(tmp_path, monkeypatch):
    words = FORMS["pairs"](tmp_path / "source")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("segmodels.data.layout.write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bring(tmp_path / "source", tmp_path / "own/roads", *words)
    assert not list((tmp_path / "own").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_after_a_signal_that_ends_it(tmp_path, monkeypatch, number):
    words = FORMS["pairs"](tmp_path / "source")
    before = signal.signal(number, signal.SIG_DFL)
    try:
        monkeypatch.setattr(
            "segmodels.data.layout.write_text", lambda *_: os.kill(os.getpid(), number)
        )
        with pytest.raises(SystemExit) as end:
            bring(tmp_path / "source", tmp_path / "own/roads", *words)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert end.value.code == 128 + number
    assert not list((tmp_path / "own").iterdir())


def test_missing_pycocotools_is_one_line_and_not_one_for_each_image(tmp_path, monkeypatch):
    FORMS["coco"](tmp_path / "source")
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    (line,) = refused(tmp_path)
    assert line.endswith("which is not installed: pip install 'segmodels[coco]'")


def with_annotations():
    """The last writer of each form that has files beside images and masks."""
    last = {name.split()[0]: name for name in FORMS}
    return [name for form, name in last.items() if form not in ("pairs", "cityscapes", "camvid")]


@pytest.mark.parametrize("form", ["coco compressed", *with_annotations()])
def test_damaged_annotations_never_end_in_a_traceback(tmp_path, form):
    """Bytes changed, cut out and doubled at random; what is accepted has a mask for each image."""
    words = FORMS[form](tmp_path / "whole")
    endings = {".json", ".xml", ".txt", ".yaml"}
    rng, accepted = random.Random(form), 0
    for case in range(CASES):
        shutil.rmtree(tmp_path / "source", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "source")
        files = sorted(p for p in (tmp_path / "source").rglob("*") if p.suffix in endings)
        path = rng.choice(files)
        path.write_bytes(damaged(path.read_bytes(), rng))
        try:
            bring(tmp_path / "source", tmp_path / f"own/{case}", *words)
        except (ValueError, OSError) as error:
            assert str(error)
        else:
            accepted += 1
            root = tmp_path / f"own/{case}"
            images = {path.stem for path in (root / "JPEGImages").iterdir()}
            assert images == {path.stem for path in (root / "SegmentationClass").iterdir()}
    assert accepted < CASES


def damaged(content, rng):
    place = rng.randrange(len(content))
    length = rng.randrange(1, 9)
    kind = rng.randrange(4)
    if kind == 0:
        return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    if kind == 1:
        return content[:place] + content[place + length :]
    if kind == 2:
        return content[:place] + str(rng.choice([-1, 10**9, 0, 1e99])).encode() + content[place:]
    return content[:place]


def test_bomb_in_a_shape_is_one_line(tmp_path):
    """A PNG of 10^10 pixels, by its header alone."""
    FORMS["labelme"](tmp_path / "source")
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb = base64.b64encode(png).decode()
    change = shape(shape_type="mask", mask=bomb, points=[[1, 1], [2, 2]])
    edit_json(tmp_path / "source/json/plain.json", change)
    (line,) = refused(tmp_path)
    assert "shapes[1].mask: no PNG in base64: draw it again" in line


NAMES = {
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]\n",
    "truth": "names: {yes: road}\n",
    "nothing": "train: images\n",
    "no YAML": "names: [road\n",
    "twice": "names: [road, road]\n",
}


@pytest.mark.parametrize("case", NAMES)
def test_broken_names_of_yolo_are_one_line(tmp_path, case):
    FORMS["yolo"](tmp_path / "source")
    path = tmp_path / "source/data.yaml"
    path.write_text(NAMES[case], encoding="utf-8")
    (line,) = refused(tmp_path)
    assert line.startswith(f"{path}: ") and "names" in line


def test_endless_line_of_a_table_is_refused_at_once(tmp_path):
    FORMS["pairs of colours"](tmp_path / "source")
    (tmp_path / "source/class_dict.csv").write_text("a 1 " * 100_000)
    (line,) = refused(tmp_path)
    assert "names nothing" in line or "expected NAME R G B" in line


def test_run_lengths_that_lie_are_refused_at_any_text():
    """Random text is run lengths of another size, or none; never more pixels than asked."""
    rng, size = random.Random(0), painting.Size(5, 7)
    for _ in range(2000):
        text = "".join(chr(rng.randrange(40, 115)) for _ in range(rng.randrange(0, 12)))
        try:
            counts = painting.uncompressed(text, "here")
            mask = painting.runs(counts, size, "here", columns=True)
        except ValueError:
            continue
        assert mask.shape == (5, 7)
