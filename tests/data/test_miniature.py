"""The miniature: the same bits always, and a VOC tree in which every file agrees."""

import ast
import hashlib
import os
import subprocess
import sys
from collections import Counter
from itertools import islice, product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

import segmodels.data
from segmodels.config import params
from segmodels.data import images, layout
from segmodels.data.sources.miniature import generate
from stages import check

ROOT = Path(__file__).parents[2]
DATA = params.load(ROOT / "params.yaml").datasets["miniature"]
VOID = 255
SMALL = {
    "train": 3,
    "val": 2,
    "short_side": 48,
    "long_side": 64,
    "classes": DATA.classes,
    "seed": 7,
}
# Of the decoded pictures, masks, annotations and lists of SMALL; file bytes also depend on zlib.
GOLDEN = "f185daf4347c10f2b314eaac602fb4477946b04d2683afdd87247646ecbdb2b8"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("miniature")
    generate.generate(root, **{**SMALL, "train": 24, "val": 12})
    return root


@pytest.fixture(scope="module")
def splits() -> dict[str, list[generate.Scene]]:
    """The pictures that the default parameters ask for, as arrays."""
    size = DATA.generate
    assert size is not None
    return {
        split: list(
            islice(
                generate.draw(DATA.classes, size.short_side, size.long_side, seed=(0, number)),
                getattr(size, split),
            )
        )
        for number, split in enumerate(("train", "val"))
    }


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def objects_path(root: Path, image_id: str) -> Path:
    return root / "SegmentationObject" / f"{image_id}.png"


def fingerprint(root: Path) -> str:
    """SHA-256 of what the files say, whatever way a library compressed it."""
    digest = hashlib.sha256()
    for name, raw in sorted(content(root).items()):
        digest.update(name.encode())
        is_picture = name.endswith((".jpg", ".png"))
        digest.update(np.asarray(Image.open(root / name)).tobytes() if is_picture else raw)
    return digest.hexdigest()


def test_miniature_is_the_same_in_another_process_and_as_recorded(tmp_path):
    generate.generate(tmp_path / "here", **SMALL)
    code = f"""
from pathlib import Path
from segmodels.data.sources.miniature import generate
generate.generate(Path({str(tmp_path / "there")!r}), **{SMALL!r})
"""
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, check=True)
        assert content(tmp_path / "there") == content(tmp_path / "here")
    assert fingerprint(tmp_path / "here") == GOLDEN


def test_pictures_do_not_depend_on_how_many_there_are(tmp_path, tree):
    generate.generate(tmp_path, **SMALL)
    few = {name: raw for name, raw in content(tmp_path).items() if "ImageSets" not in name}
    assert len(few) == 4 * 5
    assert few.items() <= content(tree).items()


def test_seeds_and_splits_give_different_pictures(tmp_path):
    generate.generate(tmp_path / "a", **SMALL)
    generate.generate(tmp_path / "b", **{**SMALL, "seed": 8})
    pictures = [
        path.read_bytes() for root in ("a", "b") for path in (tmp_path / root).glob("JPEGImages/*")
    ]
    assert len(set(pictures)) == len(pictures) == 10


def test_drawing_uses_no_arithmetic_that_differs_between_processors():
    exact = {"arange", "asarray", "bincount", "full", "lib", "ndarray", "nonzero", "pad"}
    exact |= {"random", "uint8", "int64", "where"}
    draws = {"integers", "permutation", "random"}
    for path in Path(segmodels.data.__path__[0]).glob("miniature*.py"):
        code = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(code):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "np" or node.attr in exact, f"{path.name}: np.{node.attr}"
                assert node.value.id != "rng" or node.attr in draws, f"{path.name}: rng.{node.attr}"
            if isinstance(node, ast.ImportFrom) and node.module == "math":
                assert [alias.name for alias in node.names] == ["sqrt"], path.name


def test_lists_name_exactly_the_files(tree):
    ids = {s: layout.read_ids(layout.split_path(tree, s)) for s in ("train", "val", "trainval")}
    assert (len(ids["train"]), len(ids["val"])) == (24, 12)
    assert ids["trainval"] == ids["train"] + ids["val"]
    assert len(set(ids["trainval"])) == 36
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "Annotations"):
        assert {path.stem for path in (tree / folder).iterdir()} == set(ids["trainval"])


def test_sides_are_as_asked_and_masks_have_the_picture_s_size(tree):
    sizes = Counter()
    for image_id in layout.read_ids(layout.split_path(tree, "trainval")):
        image = Image.open(layout.image_path(tree, image_id))
        target = Image.open(layout.target_path(tree, image_id))
        objects = Image.open(objects_path(tree, image_id))
        assert (image.mode, target.mode, objects.mode) == ("RGB", "P", "P")
        assert image.size == target.size == objects.size
        assert target.getpalette() == objects.getpalette() == images.palette().ravel().tolist()
        sizes[image.size] += 1
    assert set(sizes) == {(64, 48), (48, 64)}
    assert sizes[64, 48] > sizes[48, 64]


def test_files_hold_the_drawn_scene(tree):
    scenes = generate.draw(DATA.classes, 48, 64, seed=(SMALL["seed"], 0))
    for image_id, scene in zip(
        layout.read_ids(layout.split_path(tree, "train")), scenes, strict=False
    ):
        assert np.array_equal(images.read_target(layout.target_path(tree, image_id)), scene.target)
        assert np.array_equal(images.read_target(objects_path(tree, image_id)), scene.objects)
        image = images.read_image(layout.image_path(tree, image_id)).astype(int)
        assert np.abs(image - scene.image).mean() < 3  # JPEG at quality 95


def test_reduce_voids_every_pixel_that_two_numbers_share():
    numbers = np.zeros((8, 16), np.uint8)
    numbers[:, 4:] = 1  # from the second pixel on: the first one still looks at subpixel 4
    numbers[:4, 13:] = 2  # a part of the last pixel, in the upper row only
    assert generate._reduce(numbers).tolist() == [[255, 1, 1, 255], [255, 1, 1, 1]]


def test_different_labels_never_touch_not_even_diagonally(splits):
    seen = Counter()
    for scene in splits["val"][:16]:
        rows = scene.objects.tolist()
        height, width = scene.objects.shape
        for y, x in product(range(height), range(width)):
            for ny, nx in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
                if 0 <= nx < width and ny < height:
                    a, b = rows[y][x], rows[ny][nx]
                    assert a == b or VOID in (a, b)
                    seen[VOID in (a, b) and a != b] += 1
    assert seen[True] > 1000


def test_class_and_object_masks_agree_pixel_by_pixel(splits):
    for scene in splits["train"] + splits["val"]:
        labels = {0: 0, VOID: VOID}
        labels |= {k: DATA.classes.index(name) for k, name in enumerate(scene.names, start=1)}
        pairs = zip(scene.objects.ravel().tolist(), scene.target.ravel().tolist(), strict=True)
        assert set(pairs) == set(labels.items())


def test_annotations_equal_boxes_counted_in_the_object_mask(tree):
    for image_id in layout.read_ids(layout.split_path(tree, "trainval")):
        document = ElementTree.parse(tree / "Annotations" / f"{image_id}.xml").getroot()
        target = images.read_target(layout.target_path(tree, image_id))
        objects = images.read_target(objects_path(tree, image_id)).tolist()
        height, width = target.shape
        expected: dict[int, list] = {}
        for y, x in product(range(height), range(width)):
            number = objects[y][x]
            if number not in (0, VOID):
                name = DATA.classes[target[y, x]]
                old = expected.get(number, [name, x + 1, y + 1, x + 1, y + 1])
                low = [min(old[1], x + 1), min(old[2], y + 1)]
                expected[number] = [name, *low, max(old[3], x + 1), max(old[4], y + 1)]
        found = [
            [entry.findtext("name")]
            + [int(entry.findtext(f"bndbox/{end}")) for end in ("xmin", "ymin", "xmax", "ymax")]
            for entry in document.findall("object")
        ]
        assert found == [expected[number] for number in range(1, len(expected) + 1)]
        assert document.findtext("filename") == f"{image_id}.jpg"
        size = [int(document.findtext(f"size/{side}")) for side in ("width", "height", "depth")]
        assert size == [width, height, 3]


def test_classes_occur_equally_often_in_both_splits(splits):
    for scenes in splits.values():
        pictures = Counter(label for scene in scenes for label in np.unique(scene.target).tolist())
        assert set(pictures) == {*range(len(DATA.classes)), VOID}
        counts = [pictures[label] for label in range(1, len(DATA.classes))]
        assert max(counts) - min(counts) <= 1  # the last round may be cut


def test_scenes_have_few_objects_that_can_be_seen(splits):
    numbers = Counter()
    for scene in splits["train"] + splits["val"]:
        numbers[len(scene.names)] += 1
        visible = [np.sum(scene.objects == k + 1) for k in range(len(scene.names))]
        assert min(visible) >= scene.objects.size / 64
    assert set(numbers) == {1, 2, 3, 4}


def test_background_share_puts_the_floor_at_three_percent(splits):
    for scenes in splits.values():
        pixels = np.concatenate([scene.target.ravel() for scene in scenes])
        share = np.mean(pixels[pixels != VOID] == 0)
        assert share / len(DATA.classes) == pytest.approx(0.03, abs=0.003)
        assert 0.55 < np.mean(pixels == 0) < 0.7


@pytest.mark.parametrize(
    ("name", "strong", "weak"),
    [
        ("car", "R", "GB"),
        ("bus", "RG", "B"),
        ("bottle", "G", "RB"),
        ("pottedplant", "G", "B"),
        ("boat", "B", "R"),
        ("sofa", "B", "G"),
        ("tvmonitor", "GB", "R"),
        ("person", "R", "G"),
        ("cat", "R", "B"),
    ],
)
def test_labels_lie_on_the_drawing_of_their_class(splits, name, strong, weak):
    label = DATA.classes.index(name)
    pixels = np.concatenate([s.image[s.target == label] for s in splits["train"]])
    mean = dict(zip("RGB", pixels.mean(0), strict=True))
    assert min(mean[c] for c in strong) > 1.25 * max(mean[c] for c in weak)


def test_labels_are_positions_in_the_list_of_classes():
    scenes = generate.draw(["background", "sofa", "car"], 64, 80, seed=(3, 0))
    for scene in islice(scenes, 6):
        labels = {"sofa": 1, "car": 2}
        assert set(np.unique(scene.target)) == {0, VOID, *(labels[name] for name in scene.names)}


def test_unknown_class_and_swapped_sides_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no drawing of unicorn, yeti; expected some of aeroplane"):
        generate.generate(
            tmp_path, **{**SMALL, "classes": ["background", "unicorn", "cat", "yeti"]}
        )
    with pytest.raises(ValueError, match="short_side = 65: expected at most long_side = 64"):
        generate.generate(tmp_path, **{**SMALL, "short_side": 65})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": {0: "background", 1: "cat"}}, "miniature.labels: expected none beside `gen"),
        ({"labels": "groups"}, "miniature.labels: expected none beside `generate`"),
        ({"classes": ["background", "yeti"], "groups": {}}, "no drawing of yeti"),
    ],
)
def test_check_refuses_before_dvc_removes_the_data_set(tmp_path, changes, said):
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["datasets"]["miniature"] |= changes
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    settings = params.load(file)
    with pytest.raises(ValueError, match=said):
        check.check_drawn(settings)
