"""Which images validate: the same everywhere, and never two of one scene on both sides."""

import re
from pathlib import PurePath

import pytest
from helpers.import_forms import FORMS, bring, pictures

from segmodels.data import layout
from segmodels.data.sources import importer, splits
from segmodels.data.sources.splits import Choice

NAMES = [f"scene{k // 10}/frame{k:03d}" for k in range(100)]


def assign(own=None, names=NAMES, **choice):
    ids = [name.replace("/", "_") for name in names]
    return splits.assign(ids, names, own or [None] * len(names), Choice(**choice))


def val(found, names=NAMES):
    return {name for name, split in zip(names, found, strict=True) if split == "val"}


def test_share_is_met_and_the_seed_decides():
    assert len(val(assign(share=0.2))) == 20
    assert len(val(assign(share=0.005))) == 1  # never none
    assert assign(share=0.3, seed=1) != assign(share=0.3, seed=2)


def test_split_is_the_same_on_every_machine():
    """Known values: another Python, platform or order of files gives these too."""
    few = [f"frame{k}" for k in range(10)]
    assert val(assign(names=few, share=0.3), few) == {"frame0", "frame6", "frame9"}
    shuffled = few[::-1]
    assert val(assign(names=shuffled, share=0.3), shuffled) == {"frame0", "frame6", "frame9"}


def test_image_that_is_added_moves_few_others():
    more = [*NAMES, "scene99/frame999"]
    assert len(val(assign(share=0.2)) ^ val(assign(names=more, share=0.2), more)) <= 2


@pytest.mark.parametrize("pattern", [r"scene\d+", r"(scene\d+)/frame", r"^[^/]+"])
def test_scenes_stay_together(pattern):
    chosen = val(assign(share=0.25, group=re.compile(pattern)))
    assert len(chosen) == 20  # whole scenes of ten that fit into 25
    scenes = {name.split("/")[0] for name in chosen}
    assert {name for name in NAMES if name.split("/")[0] in scenes} == chosen


def test_smallest_scene_validates_where_none_fits():
    uneven = [*(f"a/{k}" for k in range(9)), *(f"b/{k}" for k in range(3))]
    found = assign(names=uneven, share=0.1, group=re.compile(r"^\w+"))
    assert val(found, uneven) == {"b/0", "b/1", "b/2"}


def test_one_scene_cannot_be_split():
    with pytest.raises(ValueError, match="val: 0 of 4 images, expected 1 or more"):
        assign(names=["a/1", "a/2", "a/3", "a/4"], group=re.compile("a"))


def test_expression_that_finds_nothing_is_named():
    with pytest.raises(ValueError, match=r"--group clip\\d: finds nothing in scene0/frame000"):
        assign(group=re.compile(r"clip\d"))


def test_own_split_counts_unless_another_is_asked_for_and_test_stays():
    own = ["train"] * 60 + ["val"] * 30 + ["test"] * 10
    assert assign(own) == own
    asked = assign(own, share=0.5)
    assert asked[90:] == ["test"] * 10
    assert asked[:90].count("val") == 45
    only_train = assign(["train"] * 90 + ["test"] * 10)
    assert only_train.count("val") == 18  # a fifth of what is no test image


def write_list(path, lines, encoding="utf-8-sig"):
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode(encoding))
    return path


def test_list_with_bom_crlf_and_nfd_decides(tmp_path):
    words = FORMS["pairs"](tmp_path / "source")
    chosen = write_list(tmp_path / "list.txt", [one.name for one in pictures()[1:4]])
    bring(tmp_path / "source", tmp_path / "roads", *words, "--val-list", str(chosen))
    assert set(layout.read_split(tmp_path / "roads", "val")) == {one.id for one in pictures()[1:4]}
    assert len(layout.read_split(tmp_path / "roads", "train")) == 9


def test_list_that_names_no_image_is_refused(tmp_path):
    path = write_list(tmp_path / "list.txt", ["scene0_frame001", "images/scene0_frame002.jpg"])
    with pytest.raises(ValueError, match=r"frame002.jpg' \(and 0 more\).*as 'scene0_frame002'"):
        assign(val_list=path)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/1", "a/2"], ["1", "2"]),
        (["a/1", "b/1"], ["a_1", "b_1"]),
        (["x/a/1", "y/a/1", "y/b/2"], ["x_a_1", "y_a_1", "y_b_2"]),
        (["u\u0308"], ["ü"]),
    ],
)
def test_ids_are_the_shortest_that_tell_apart(paths, expected):
    assert importer.ids([PurePath(path) for path in paths]) == expected


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["a/1", "a/1"], "one id for both"),
        (["a/X", "a/x"], "one id for both"),  # one file on many systems
        (["a\n1"], "no name for an image"),
        (["...x"], "no name for an image"),
    ],
)
def test_ids_that_are_none_are_refused(paths, said):
    with pytest.raises(ValueError, match=said):
        importer.ids([PurePath(path) for path in paths])
