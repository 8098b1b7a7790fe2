"""Scoring folders: a foreign program's masks, incomplete folders, and what is kept of them."""

import hashlib
import json
import os
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import VOID, write_tree
from PIL import Image

from segmodels.data import images, layout
from segmodels.data.sources import archive
from segmodels.evaluation import boundary, score_masks, scores, submitted
from segmodels.evaluation.confusion import confusion_matrix

CLASSES = 5
NAMES = ["background", "a", "b", "c", "d"]


@pytest.fixture
def tree(tmp_path):
    """A VOC tree with 6 validation pictures, and predictions: the truth, some of it wrong."""
    root, masks = tmp_path / "voc", tmp_path / "masks of a model"
    write_tree(root, train=1, val=6, num_classes=CLASSES)
    rng = np.random.default_rng(0)
    ids = layout.read_ids(layout.split_path(root, "val"))
    for image_id in ids:
        target = images.read_target(layout.target_path(root, image_id))
        wrong = (rng.random(target.shape) < 0.2) | (target == VOID)
        guess = rng.integers(0, CLASSES, target.shape)
        labels = np.where(wrong, guess, target).astype(np.uint8)
        images.write_target(masks / f"{image_id}.png", labels, images.palette())
    return root, masks, ids


def per_image(root, masks, ids, num_classes=CLASSES):
    return score_masks.per_image(masks, root, ids, num_classes=num_classes, ignore_index=VOID)


def as_plain(masks, ids, plain):
    """The same label maps as greyscale PNGs."""
    plain.mkdir()
    for image_id in ids:
        labels = images.read_target(masks / f"{image_id}.png")
        Image.fromarray(labels, "L").save(plain / f"{image_id}.png")
    return plain


def test_counts_are_those_of_each_picture_and_of_their_sum(tree):
    root, masks, ids = tree
    counts = per_image(root, masks, ids)
    counts.check_complete()
    assert counts.image_ids == ids
    total = np.zeros((CLASSES, CLASSES), int)
    for position, image_id in enumerate(ids):
        labels = {
            "target": images.read_target(layout.target_path(root, image_id)),
            "prediction": images.read_target(masks / f"{image_id}.png"),
        }
        rules = {"num_classes": CLASSES, "ignore_index": VOID}
        one = confusion_matrix(**labels, **rules)
        np.testing.assert_array_equal(counts.overlap[position], scores.overlap(one))
        for name, band in boundary.overlaps(**labels, **rules).items():
            np.testing.assert_array_equal(counts.bands[name][position], band)
        assert counts.distances[position] == 2  # 2 % of 80 pixels
        total += one
    np.testing.assert_array_equal(counts.confusion, total)


def test_palette_and_plain_masks_count_the_same(tree, tmp_path):
    root, masks, ids = tree
    plain = per_image(root, as_plain(masks, ids, tmp_path / "plain"), ids)
    np.testing.assert_array_equal(plain.overlap, per_image(root, masks, ids).overlap)


def test_every_file_that_cannot_be_scored_is_named_and_the_others_count(tree):
    root, masks, ids = tree
    good = per_image(root, masks, ids)
    path = {image_id: masks / f"{image_id}.png" for image_id in ids}
    path[ids[0]].unlink()
    path[ids[1]].write_text("no picture")
    path[ids[2]].write_bytes(path[ids[2]].read_bytes()[:150])
    Image.new("RGB", (64, 48)).save(path[ids[3]])
    Image.new("L", (64, 47)).save(path[ids[4]])
    counts = per_image(root, masks, ids)
    assert counts.image_ids == ids[5:]
    np.testing.assert_array_equal(counts.overlap, good.overlap[5:])
    assert [line.split(": ")[0] for line in counts.problems] == [str(path[i]) for i in ids[:5]]
    reasons = ["missing", "not a picture", "", "mode RGB, expected", "target is (48, 64), pred"]
    for line, reason in zip(counts.problems, reasons, strict=True):
        assert reason in line and "\n" not in line
    with pytest.raises(ValueError, match="^5 pictures cannot be scored:\n  .*missing\n") as refused:
        counts.check_complete()
    assert len(str(refused.value).splitlines()) == 6


def test_labels_out_of_range_and_void_as_an_answer_are_named(tree):
    root, masks, ids = tree
    for image_id, label in zip(ids, (CLASSES, VOID), strict=False):
        labels = images.read_target(masks / f"{image_id}.png")
        target = images.read_target(layout.target_path(root, image_id))
        labels[target == 0] = label
        images.write_target(masks / f"{image_id}.png", labels, images.palette())
    counts = per_image(root, masks, ids)
    assert len(counts.image_ids) == 4
    assert f"{ids[0]}.png: labels [5]: expected 0..4 or void 255" in counts.problems[0]
    assert f"{ids[1]}.png: " in counts.problems[1]
    assert "pixels are predicted as void (255)" in counts.problems[1]


def test_a_missing_target_is_named(tree):
    root, masks, ids = tree
    layout.target_path(root, ids[2]).unlink()
    assert per_image(root, masks, ids).problems == [f"{layout.target_path(root, ids[2])}: missing"]


def test_long_lists_of_problems_are_cut_and_no_picture_is_no_score(tree):
    root, masks, _ = tree
    counts = per_image(root, masks, [f"none_{k}" for k in range(150)])
    with pytest.raises(ValueError, match="and 50 more$"):
        counts.check_complete()
    assert counts.overlap.shape == (0, 3, CLASSES)
    with pytest.raises(ValueError, match="counts no pixel"):
        score_masks.metrics(counts)


def test_metrics_and_tables_are_of_the_counts(tree):
    root, masks, ids = tree
    counts = per_image(root, masks, ids)
    metrics = score_masks.metrics(counts)
    json.dumps(metrics, allow_nan=False)
    assert metrics["images"] == 6
    assert metrics["miou"] == scores.summarize(counts.confusion)["miou"]
    assert metrics["miou_low"] < metrics["miou"] < metrics["miou_high"]
    assert metrics["boundary_miou"] == scores.overlap_miou(counts.bands["boundary"].sum(0))
    tables = score_masks.tables(counts, NAMES, {"all": NAMES})
    back = scores.overlap_of(tables["image_classes"], ids, NAMES)
    np.testing.assert_array_equal(back, counts.overlap)
    assert tables["images"]["image_id"].tolist() == ids
    assert tables["confused"]["pixels"].is_monotonic_decreasing
    band = scores.overlap_iou(counts.bands["boundary"].sum(0))
    np.testing.assert_array_equal(tables["per_class"]["boundary_iou"], band)


def test_protocol_changes_with_what_it_names_and_with_nothing_else(tree):
    root, masks, ids = tree

    def protocol(some=ids):
        return score_masks.protocol(masks, root, per_image(root, masks, some))

    before = protocol()
    assert before == protocol()
    assert before["boundary_pixels"] == [2, 2] and before["trimap_pixels"] == [1, 3, 5, 10, 20]
    expected = hashlib.sha256("".join(f"{i}\n" for i in ids).encode()).hexdigest()
    assert before["ids_sha256"] == expected
    assert before["evaluation"] == 1
    fewer = protocol(ids[:-1])
    assert {k for k in before if before[k] != fewer[k]} == {
        "ids_sha256",
        "targets_sha256",
        "predictions_sha256",
    }
    for changed, key in ((masks / f"{ids[0]}.png", "predictions"), (None, "targets")):
        changed = changed or layout.target_path(root, ids[0])
        labels = images.read_target(changed)
        labels[0, 0] = 1
        images.write_target(changed, labels, images.palette())
        after = protocol()
        assert {k for k in before if before[k] != after[k]} == {f"{key}_sha256"}
        before = after


def test_digest_is_what_sha256sum_prints(tmp_path):
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(name)
    command = "sha256sum b.txt a.txt | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    found = score_masks.digest(tmp_path / name for name in ("b.txt", "a.txt"))
    assert printed.stdout.split()[0] == found


def test_pictures_do_not_pile_up(tree):
    root, masks, ids = tree

    def peak(times):
        tracemalloc.start()
        per_image(root, masks, ids * times)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    kept_of_one = (1 + len(boundary.NAMES)) * 3 * CLASSES * 8 + 2000  # counts, and their headers
    assert peak(20) - peak(2) < 18 * len(ids) * 2 * kept_of_one
    # 18 * 6 pairs of label maps of 64 x 48 pixels would be six times as much as the counts.


@pytest.fixture(scope="module")
def peers(tmp_path_factory, voc_archive):
    """A foreign program's masks of the val photographs of a VOC archive."""
    if "SEGMODELS_PEER_MASKS" not in os.environ:
        pytest.skip("needs a folder of masks: set SEGMODELS_PEER_MASKS=/path/to/masks")
    root = tmp_path_factory.mktemp("photographs")
    archive.unpack(voc_archive, root)
    masks = Path(os.environ["SEGMODELS_PEER_MASKS"])
    ids = [
        i for i in layout.read_ids(layout.split_path(root, "val")) if (masks / f"{i}.png").is_file()
    ]
    return root, masks, ids


@pytest.mark.parametrize("kind", ["palette", "plain"])
def test_a_foreign_programs_masks_have_the_scores_that_were_counted_elsewhere(
    peers, kind, tmp_path
):
    root, masks, ids = peers
    masks = as_plain(masks, ids, tmp_path / "plain") if kind == "plain" else masks
    counts = per_image(root, masks, ids, num_classes=21)
    counts.check_complete()
    found = scores.summarize(counts.confusion)
    elsewhere = {
        "pixel_acc": 0.902645,
        "mean_acc": 0.739014,
        "miou_present": 0.592219,
        "miou": 0.498711,
        "fw_iou": 0.834421,
        "classes_present": 16,
        "classes_counted": 19,
    }
    assert {key: found[key] for key in elsewhere} == pytest.approx(elsewhere, abs=1e-6)
    assert (counts.confusion[8, 12], counts.confusion[12, 8]) == (340_640, 5_906)
    assert len(ids) == 200


def test_a_mask_belongs_to_the_image_of_the_longer_name(tmp_path):
    """`img_1_2_fcn_mask` is of img_1_2, not of img_1 and a model called 2_fcn."""
    for folder in ("SegmentationClass", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("SegmentationClass/img_1", "SegmentationClass/img_1_2", "masks/img_1_2_fcn_mask"):
        Image.new("P", (2, 2)).save(tmp_path / f"{name}.png")
    files = submitted.Folder(tmp_path / "masks", tmp_path)
    assert files.place("img_1_2").name == "img_1_2_fcn_mask.png"
    assert not files.place("img_1").exists()
