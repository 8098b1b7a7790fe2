"""Several mask values for one class; classes merged into groups, against sums of all classes."""

from pathlib import Path

import numpy as np
import pytest
from helpers.projects import ROOT

from segmodels.config import params
from segmodels.config.schema import Dataset
from segmodels.data import images, index, layout, masks
from segmodels.data.sources import tidy
from segmodels.evaluation.confusion import confusion_matrix

VOC = params.load(ROOT / "params.yaml").datasets["voc2012"]
ENTRY = {"classes": VOC.classes, "groups": VOC.groups}
GROUPS = ["background", "vehicles", "animals", "household", "person"]


def merged(**changes):
    return Dataset.model_validate({**ENTRY, "labels": "groups", **changes})


def test_several_values_are_one_class():
    data = Dataset(classes=["a", "b"], labels={0: "a", "3, 4": "b", " 7 ,9": "void"})
    assert data.labels == {0: "a", 3: "b", 4: "b", 7: "void", 9: "void"}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({0: "a", "3, 3": "b"}, "labels says twice what 3 is"),
        ({0: "a", "0, 3": "b"}, "labels says twice what 0 is"),
        ({"0": "a", 0: "b"}, "labels says twice what 0 is"),
        ({0: "a", (3, 4): "b"}, r'the list \[3, 4\] as a key, .* expected "3, 4": b'),
        ({0: "a", "3,": "b"}, "labels"),
        ({0: "a", "3 4": "b"}, "labels"),
        ({0: "a", "3, -4": "b"}, "labels"),
        ({0: "a", "3, 70000": "b"}, "labels"),
        ({0: "a", True: "b"}, "labels has the key True: expected values of masks"),
        ({0: "a", "１": "b"}, "labels has the key '１'"),
        ({0: "a", 1.0: "b"}, "labels has the key 1.0"),
        ("group", "labels"),
    ],
)
def test_other_keys_are_refused(labels, said):
    with pytest.raises(ValueError, match=said):
        Dataset.model_validate({"classes": ["a", "b"], "labels": labels})


def test_vocs_groups_become_classes_in_one_line():
    data = merged(allow_absent=["aeroplane", "bicycle", "person"])
    assert data.classes == GROUPS
    assert data.groups == {}
    assert data.labels[VOC.classes.index("sheep")] == "animals"
    assert data.labels[255] == "void" and len(data.labels) == 22
    assert data.allow_absent == ["person"]  # of vehicles only two may be
    coloured = merged(palette=[tuple(row) for row in images.palette()[:21].tolist()])
    assert coloured.palette[1] == (128, 0, 0)  # aeroplane's


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"groups": {}}, "expected `classes` and `groups`"),
        ({"groups": {"a": ["cat"], "b": ["cat"]}}, "groups.b has 'cat': .* in no other group"),
        ({"groups": {"a": ["unicorn"]}}, "groups.a has 'unicorn'"),
        ({"groups": {"cat": ["dog"]}}, "groups.cat: there is a class of that name"),
        ({"groups": {"a": "cat"}}, "groups.a: expected a name other than void, and a list"),
        ({"groups": {"void": ["cat"]}}, "void"),
    ],
)
def test_groups_that_are_no_classes_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        merged(**changes)


def save(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_target(path, labels, images.palette())


def test_the_confusion_is_that_of_21_classes_summed(tmp_path):
    """Targets and predictions as VOC stores them; the witness sums rows and columns by hand."""
    rng = np.random.default_rng(3)
    whole = np.zeros((21, 21), np.int64)
    fewer = np.zeros((5, 5), np.int64)
    data = merged(allow_absent=VOC.classes)
    for k in range(6):
        target = rng.choice([*range(21), 255], (40, 50)).astype(np.uint8)
        prediction = rng.choice(21, (40, 50), p=np.arange(1, 22) / 231).astype(np.uint8)
        image_id, split = f"i{k}", "val" if k < 2 else "train"
        path = layout.target_path(tmp_path, image_id)
        save(path, target)
        save(tmp_path / f"predicted/{image_id}.png", prediction)
        images.write_target(path, target, images.palette())
        image = layout.image_path(tmp_path, image_id).with_suffix(".png")
        image.parent.mkdir(exist_ok=True)
        images.Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(image)
        lists = layout.split_path(tmp_path, split)
        lists.parent.mkdir(parents=True, exist_ok=True)
        with open(lists, "a") as file:
            file.write(f"{image_id}\n")
        whole += confusion_matrix(
            target=target, prediction=prediction, num_classes=21, ignore_index=255
        )
    tidy.tidy(tmp_path, data)  # as the stage download does
    table, _ = index.build(tmp_path, data)
    for image_id in table["image_id"]:
        fewer += confusion_matrix(
            target=images.read_target(layout.target_path(tmp_path, image_id)),
            prediction=masks.read(Path(tmp_path / f"predicted/{image_id}.png"), data),
            num_classes=5,
            ignore_index=255,
        )
    of = [GROUPS.index(next((g for g, m in VOC.groups.items() if c in m), c)) for c in VOC.classes]
    expected = np.zeros((5, 5), np.int64)
    for true in range(21):
        for predicted in range(21):
            expected[of[true], of[predicted]] += whole[true, predicted]
    assert whole.sum() > 10_000 and whole[3, 8] != whole[8, 3]
    np.testing.assert_array_equal(fewer, expected)
    np.testing.assert_array_equal(table[GROUPS].sum(), fewer.sum(axis=1))


@pytest.mark.parametrize("void", [0, 4, 20])
def test_a_class_is_not_made_void(void):
    with pytest.raises(ValueError, match=f"void = {void}: the mask value of {VOC.classes[void]};"):
        merged(void=void)
    assert merged(void=21).labels[21] == "void"


@pytest.mark.parametrize("colour", [(300, 0, 0), (0, -1, 0)])
def test_a_colour_has_three_bytes(colour):
    with pytest.raises(ValueError, match=r"palette.1.\d"):
        Dataset(classes=["a", "b"], palette=[(0, 0, 0), colour])
