"""The index: its counts beside loops over single pixels, and every kind of problem at once."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_picture, write_split
from PIL import Image

from segmodels.config.schema import Dataset
from segmodels.core.files import write_csv, write_json
from segmodels.data import images, index, layout
from segmodels.data.sources import archive

CLASSES = ["background", "cat", "dog", "train"]
GROUPS = {"animals": ["cat", "dog"], "vehicles": ["train"], "none": []}
VOID = 255


def write(root, image_id, labels):
    target = np.asarray(labels, np.uint8)
    image = np.random.default_rng(0).integers(0, 256, (*target.shape, 3)).astype(np.uint8)
    write_picture(root, image_id, image, target)


def build(root, classes=CLASSES, void=VOID, groups=GROUPS, **splits):
    return index.build(root, Dataset(classes=classes, void=void, groups=groups, **splits))


@pytest.fixture
def root(tmp_path):
    """Random pictures in three sizes; the train split is read from a list called aug."""
    rng = np.random.default_rng(0)
    ids = [f"2012_{k:06d}" for k in range(6)]
    for k, image_id in enumerate(ids):
        labels = rng.choice([0, 1, 2, 255][: 2 + k % 3], (7 + k % 3, 11))
        write(tmp_path, image_id, labels)
    write_split(tmp_path, "aug", ids[3::-1])
    write_split(tmp_path, "val", ids[4:])
    return tmp_path


def test_index_equals_a_loop_over_pixels(root):
    table, _ = build(root, train="aug")
    rows = []
    for split, name in (("train", "aug"), ("val", "val")):
        for image_id in (root / f"ImageSets/Segmentation/{name}.txt").read_text().split():
            with Image.open(root / f"SegmentationClass/{image_id}.png") as mask:
                width, height = mask.size
                pixels = [mask.getpixel((x, y)) for x in range(width) for y in range(height)]
            counts = [pixels.count(label) for label in range(len(CLASSES))]
            share = pixels.count(VOID) / len(pixels)
            rows.append([image_id, split, width, height, share, *counts])
    columns = ["image_id", "split", "width", "height", "void_share", *CLASSES]
    pd.testing.assert_frame_equal(table, pd.DataFrame(rows, columns=columns))


def test_statistics_of_a_case_by_hand(tmp_path):
    write(tmp_path, "a", [[0, 0, 1, 255], [0, 1, 1, 255]])
    write(tmp_path, "b", [[0, 2, 1, 0]])
    write(tmp_path, "c", [[255, 255], [255, 255]])
    write_split(tmp_path, "train", ["a", "b"])
    write_split(tmp_path, "val", ["c"])
    _, statistics = build(tmp_path)
    nothing = dict.fromkeys(CLASSES, 0)
    assert statistics == {
        "train": {
            "images": 2,
            "void_share": 2 / 12,
            "class_pixels": {"background": 5, "cat": 4, "dog": 1, "train": 0},
            "class_images": {"background": 2, "cat": 2, "dog": 1, "train": 0},
            "class_shares": {"background": 0.5, "cat": 0.4, "dog": 0.1, "train": 0.0},
            "group_pixels": {"animals": 5, "vehicles": 0, "none": 0},
            "group_images": {"animals": 2, "vehicles": 0, "none": 0},
            "group_shares": {"animals": 0.5, "vehicles": 0.0, "none": 0.0},
        },
        "val": {
            "images": 1,
            "void_share": 1.0,
            "class_pixels": nothing,
            "class_images": nothing,
            "class_shares": nothing,
            "group_pixels": dict.fromkeys(GROUPS, 0),
            "group_images": dict.fromkeys(GROUPS, 0),
            "group_shares": dict.fromkeys(GROUPS, 0),
        },
    }


def test_test_is_a_split_of_its_own(root, tmp_path):
    write(tmp_path, "t", [[0, 1, 2, 255]])
    write_split(tmp_path, "final", ["t"])
    table, statistics = build(root, train="aug", test="final", holdout=1)
    assert table["split"].tolist() == ["train"] * 2 + ["holdout", "train"] + ["val"] * 2 + ["test"]
    assert table.iloc[-1].tolist() == ["t", "test", 4, 1, 0.25, 1, 1, 1, 0]
    assert statistics["test"]["class_pixels"]["dog"] == 1
    write_split(tmp_path, "final", ["t", "2012_000004"])
    with pytest.raises(ValueError, match="final.txt: 2012_000004 is also in val"):
        build(root, train="aug", test="final")


def test_void_of_test_is_a_problem_and_its_classes_are_no_training(root, tmp_path):
    write(tmp_path, "t", [[3, 255, 255, 255]])
    write_split(tmp_path, "final", ["t"])
    data = Dataset(classes=CLASSES, train="aug", test="final", allow_void=0.7)
    table, _ = index.build(root, data)
    problems = index.meaning_problems(table, data, "mine")
    assert any("no pixel of train in aug" in problem for problem in problems)
    assert any("75.0% of the pixels of final are 255" in problem for problem in problems)
    notes = index.notes(root, table, data)
    assert any("no pixel of background, cat, dog in final" in note for note in notes)


def test_group_counts_a_picture_once(tmp_path):
    write(tmp_path, "a", [[1, 2]])
    write(tmp_path, "b", [[1, 0]])
    write_split(tmp_path, "train", ["a"])
    write_split(tmp_path, "val", ["b"])
    _, statistics = build(tmp_path)
    assert statistics["train"]["group_images"]["animals"] == 1


def test_same_data_set_gives_the_same_bytes_and_reads_back_equal(root, tmp_path):
    for name in ("one", "two"):
        table, statistics = build(root, train="aug")
        write_csv(tmp_path / f"{name}.csv", table)
        write_json(tmp_path / f"{name}.json", statistics)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "one.csv"), table)


@pytest.fixture
def broken(tmp_path):
    """A data set with every kind of problem, and one good picture in each split."""
    root = tmp_path / "VOC 日本"
    train = ["good", "lost_image", "lost_mask", "cut_image", "cut_mask", "png_inside", "text"]
    modes = ["RGB", "RGBA", "1", "LA", "I;16"]
    train += [*modes, "turned", "strange", "many", "good", "../up", "a\\b"]
    for image_id in [*train, "shared", "fine"]:
        if image_id not in ("../up", "a\\b"):
            write(root, image_id, np.random.default_rng(1).integers(0, 4, (40, 50)))
    layout.image_path(root, "lost_image").unlink()
    layout.target_path(root, "lost_mask").unlink()
    for path in (layout.image_path(root, "cut_image"), layout.target_path(root, "cut_mask")):
        path.write_bytes(path.read_bytes()[:-300])
    Image.new("RGB", (50, 40)).save(layout.image_path(root, "png_inside"), "PNG")
    layout.image_path(root, "text").write_text("no picture")
    for mode in modes:
        Image.new(mode, (50, 40)).save(layout.target_path(root, mode))
    images.write_target(
        layout.target_path(root, "turned"), np.zeros((50, 40), "u1"), images.palette()
    )
    strange = np.zeros((40, 50), "u1")
    strange[0, :4] = [3, 4, 37, 254]
    images.write_target(layout.target_path(root, "strange"), strange, images.palette())
    strange[0, :30] = range(4, 34)
    images.write_target(layout.target_path(root, "many"), strange, images.palette())
    write_split(root, "train", [*train, "shared"])
    write_split(root, "val", ["shared", "fine"])
    return root


def test_all_problems_are_listed_at_once(broken):
    first, *lines = str(pytest.raises(ValueError, build, broken).value).splitlines()
    expected = {
        "ImageSets/Segmentation/train.txt: good occurs 2 times",
        "ImageSets/Segmentation/train.txt: ../up is a path, expected a name without folder",
        "ImageSets/Segmentation/train.txt: a\\b is a path, expected a name without folder",
        "ImageSets/Segmentation/val.txt: shared is also in train",
        "JPEGImages/lost_image.jpg: missing",
        "SegmentationClass/lost_mask.png: missing",
        "JPEGImages/cut_image.jpg: image file is truncated",
        "SegmentationClass/cut_mask.png: image file is truncated",
        "JPEGImages/text.jpg: not a picture; expected JPEG, PNG, WEBP, GIF, BMP, TIFF",
        *(
            f"SegmentationClass/{mode}.png: mode {mode}, expected a palette PNG (P) or labels (L)"
            for mode in ("RGB", "RGBA", "1", "LA", "I;16")
        ),
        "SegmentationClass/turned.png: 40 x 50 pixels, but the image has 50 x 40: is one of them "
        "turned, by EXIF or a program?",
        "SegmentationClass/strange.png: labels 4, 37, 254; expected 0..3 and 255 (void); `labels` "
        "of the data set says what values mean, as {VALUE: CLASS, ...}",
        "SegmentationClass/many.png: labels 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, ...; expected 0..3 "
        "and 255 (void); more values than classes: was the mask resized with "
        "interpolation, or once a JPEG?",
    }
    assert first == f"{len(expected)} problems in {broken}:"
    found = {re.sub(r" \(\d+ bytes not processed\)", "", line.strip()) for line in lines}
    assert found == expected


def test_nothing_good_is_reported(broken):
    message = str(pytest.raises(ValueError, build, broken).value)
    assert "fine" not in message and "JPEGImages/good" not in message


def test_missing_and_empty_lists_are_named(tmp_path):
    write_split(tmp_path, "val", [])
    error = pytest.raises(ValueError, build, tmp_path).value
    assert str(error).splitlines()[1:] == [
        "  ImageSets/Segmentation/train.txt: missing",
        "  ImageSets/Segmentation/val.txt: names no image",
    ]


def test_many_problems_are_counted_and_the_first_hundred_shown(tmp_path):
    write_split(tmp_path, "train", [f"t{k}" for k in range(60)])
    write_split(tmp_path, "val", [f"v{k}" for k in range(60)])
    first, *lines = str(pytest.raises(ValueError, build, tmp_path).value).splitlines()
    assert first.startswith("240 problems in ")
    assert len(lines) == 101
    assert lines[-1] == "  and 140 more"


def test_class_named_like_a_column_is_refused(root):
    with pytest.raises(ValueError, match="class names must differ from each other and from height"):
        build(root, train="aug", classes=["background", "cat", "dog", "width"], groups={})


@pytest.mark.parametrize("void", [4, 254])
def test_void_is_the_data_sets_own(tmp_path, void):
    for split in ("train", "val"):
        write(tmp_path, split, [[0, void, void, 1]])
        write_split(tmp_path, split, [split])
    table, _ = build(tmp_path, void=void)
    assert list(table["void_share"]) == [0.5, 0.5]
    with pytest.raises(ValueError, match=rf"labels {void}; expected 0..3 and 255"):
        build(tmp_path)


def test_watch_sees_every_picture(root):
    seen = []
    data = Dataset(classes=CLASSES, void=VOID, train="aug")
    index.build(root, data, lambda pairs: seen.extend(pairs) or pairs)
    assert seen[0] == ("train", "2012_000003") and len(seen) == 6


def test_voc_sample_counts_equal_pillows(voc_archive, tmp_path):
    project = Path(__file__).parents[2]
    archive.unpack(voc_archive, tmp_path, project / "data" / "splits" / "voc_sample.txt")
    classes = [str(label) for label in range(21)]
    table, statistics = build(tmp_path, classes=classes, groups={})
    assert [statistics[split]["images"] for split in ("train", "val")] == [440, 200]
    for split in statistics.values():
        assert split["class_pixels"]["1"] == split["class_images"]["1"] == 0  # no aeroplane
    for row in table.to_dict("records"):
        with Image.open(layout.target_path(tmp_path, row["image_id"])) as mask:
            counts = {label: count for count, label in mask.getcolors()}
            assert (row["width"], row["height"]) == mask.size
        assert [row[name] for name in classes] == [counts.get(label, 0) for label in range(21)]
        assert row["void_share"] == counts.get(VOID, 0) / (row["width"] * row["height"])
