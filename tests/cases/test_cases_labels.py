"""What a label means is checked: binary masks, palettes that contradict, colours, other values."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import warm
from PIL import Image

from segmodels import cli
from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset
from segmodels.data import images, index, layout, masks
from segmodels.data.sources import tidy

PROJECT = Path(__file__).parents[2]
CLASSES = ["background", "disc", "box"]
COLOURS = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
SIZE = (24, 30)


def labels(k, classes=3):
    """(24, 30) labels, all classes in each."""
    result = np.zeros(SIZE, np.uint8)
    for label in range(1, classes):
        result[2 + k % 5 : 12, 10 * label - 8 : 10 * label] = label
    return result


def save(path, kind, values):
    """Write labels as another program would."""
    table = np.array(COLOURS, np.uint8)
    image = {
        "palette": lambda: None,
        "grey": lambda: Image.fromarray(values),
        "rgb": lambda: Image.fromarray(table[values]),
        "rgba": lambda: Image.fromarray(table[values]).convert("RGBA"),
        "grey as rgb": lambda: Image.fromarray(np.stack([values] * 3, -1)),
        "16 bits": lambda: Image.fromarray(values.astype(np.uint16)),
        "grey with alpha": lambda: Image.fromarray(values).convert("LA"),
    }[kind]()
    path.parent.mkdir(parents=True, exist_ok=True)
    if image is None:
        images.write_target(path, values, images.palette())
    else:
        image.save(path)


def tree(root, store=lambda values: values, kind="palette", classes=3):
    """Six images, four for training; `store` gives the values that stand for labels."""
    ids = [f"p{k}" for k in range(6)]
    for k, image_id in enumerate(ids):
        path = root / f"JPEGImages/{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 40 * k, np.uint8)).save(path)
        save(layout.target_path(root, image_id), kind, store(labels(k, classes)).astype(np.uint8))
    for split, members in (("train", ids[:4]), ("val", ids[4:])):
        path = layout.split_path(root, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{i}\n" for i in members))
    return root


def data(classes=3, **keys):
    return Dataset(classes=CLASSES[:classes], **keys)


def problems(root, meaning):
    """What download and index say of a data set."""
    try:
        tidy.tidy(root, meaning)
        table, _ = index.build(root, meaning)
    except ValueError as error:
        return str(error).splitlines()[1:]
    return index.meaning_problems(table, meaning, "mine")


def run(folder, entry, *arguments):
    """A stage on data/own/mine, as DVC runs it."""
    values = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    values |= {"dataset": "mine", "datasets": {"mine": entry}}
    for section in ("train", "predict"):
        values[section] = {"mine": values[section]["miniature"]}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    return warm.run(folder, *arguments, PYTHONPATH=str(PROJECT))


# Binary masks, and void in place of a class


def binary(values):
    return values * 255


def test_binary_masks_are_refused_with_the_map_that_reads_them(tmp_path):
    tree(tmp_path / "data/own/mine", binary, "grey", classes=2)
    assert run(tmp_path, {"classes": CLASSES[:2]}, "stages.download").returncode == 0
    refused = run(tmp_path, {"classes": CLASSES[:2]}, "stages.index")
    assert refused.returncode == 1 and "no pixel of disc in train" in refused.stderr
    assert "{0: background, 255: disc}" in refused.stderr and "Traceback" not in refused.stderr

    entry = {"classes": CLASSES[:2], "labels": {0: "background", 255: "disc"}}
    for stage in ("stages.download", "stages.index"):
        done = run(tmp_path, entry, stage)
        assert done.returncode == 0, done.stderr
    root = tmp_path / Paths(dataset="mine").tree
    for k in range(6):
        np.testing.assert_array_equal(
            images.read_target(layout.target_path(root, f"p{k}")), labels(k, 2)
        )


def test_a_class_stored_as_255_beside_others_is_missed(tmp_path):
    (found,) = problems(tree(tmp_path, lambda v: np.where(v == 2, 255, v)), data())
    assert "no pixel of box in train" in found and "255: box" in found
    meant = data(labels={0: "background", 1: "disc", 255: "box"})
    assert problems(tree(tmp_path / "b", lambda v: np.where(v == 2, 255, v)), meant) == []


def test_nearly_all_void_is_refused_unless_it_is_meant_so(tmp_path):
    def void(values):
        result = np.full(SIZE, 255)
        result[:3, :3] = [[0, 1, 2]] * 3
        return result

    found = problems(tree(tmp_path / "a", void), data())
    assert len(found) == 2 and all("98.8% of the pixels of" in line for line in found)
    assert problems(tree(tmp_path / "b", void), data(allow_void=1)) == []


def test_a_class_that_is_absent_on_purpose_is_let_through(tmp_path):
    root = tree(tmp_path, lambda v: np.minimum(v, 1))
    assert "no pixel of box" in problems(root, data())[0]
    assert problems(root, data(allow_absent=["box"])) == []


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with params.yaml of the data set `mine`."""
    monkeypatch.chdir(tmp_path)
    run(tmp_path, {"classes": CLASSES}, "stages.none")
    return tmp_path


def evaluate(capsys, *more):
    """Status, stdout and stderr of `segmodels evaluate`."""
    arguments = ["evaluate", "--predictions", "found", "--voc", "data/own/mine", *more]
    status = 0
    try:
        cli.main(arguments)
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()
    return (status if isinstance(status, int) else 1), out, err + str(status)


def test_evaluate_refuses_targets_of_background_and_void_alone(here, capsys):
    run(here, {"classes": CLASSES[:2]}, "stages.none")
    tree(here / "data/own/mine", binary, "grey", classes=2)
    for k in (4, 5):
        save(here / f"found/p{k}.png", "grey", np.zeros(SIZE, np.uint8))
    status, out, err = evaluate(capsys)
    assert status == 1 and "IoU" not in out
    assert "the targets hold background and void alone" in err and "255: disc" in err


# Palettes


def reorder(root, folder, kind):
    """Predictions, right in colour, whose palettes are sorted in some way."""
    for k in (4, 5):
        target = labels(k)
        used = np.unique(target)
        order = {"reversed": used[::-1], "rotated": np.roll(used, 1)}[kind]
        image = Image.fromarray(np.argsort(order)[target].astype(np.uint8))
        image.putpalette(images.palette()[order].tobytes())
        (root / folder).mkdir(exist_ok=True)
        image.save(root / folder / f"p{k}.png")
        assert (np.asarray(image.convert("RGB")) == images.palette()[target]).all()


@pytest.mark.parametrize("kind", ["reversed", "rotated"])
@pytest.mark.parametrize("targets", ["palette", "grey"])
def test_predictions_with_a_sorted_palette_are_refused_or_read_by_colour(
    here, capsys, kind, targets
):
    tree(here / "data/own/mine", kind=targets)
    reorder(here, "found", kind)
    status, out, err = evaluate(capsys, "--read", "colour")
    assert (status, "pixel accuracy: 100.0000%" in out) == (0, True), err
    status, out, err = evaluate(capsys)
    if targets == "palette":
        assert status == 1 and "IoU" not in out and "--read colour" in err
    status, out, _ = evaluate(capsys, "--read", "index")
    assert status == 0 and "pixel accuracy: 100.0000%" not in out


def test_a_palette_that_differs_from_file_to_file_is_refused(tmp_path):
    root = tree(tmp_path)
    path = layout.target_path(root, "p2")
    image = Image.open(path)
    image.load()
    image.putpalette(images.palette()[[0, 2, 1, *range(3, 256)]].tobytes())
    image.save(path)
    (found,) = problems(root, data())
    assert "p2.png: its palette gives 1 the colour (0, 128, 0)" in found
    assert "masks: index" in found and "masks: colour" in found
    assert problems(root, data(masks="index")) == []
    assert problems(root, data(masks="colour", palette=COLOURS)) == []
    expected = labels(2)
    swapped = np.array([0, 2, 1])[expected]
    np.testing.assert_array_equal(images.read_target(path), swapped)  # as its colours say


def test_a_palette_that_contradicts_the_data_sets_is_refused(tmp_path):
    root = tree(tmp_path)
    (first, *_) = problems(root, data(palette=[COLOURS[k] for k in (0, 2, 1)]))
    assert "which is the colour of 2 in `palette` of the data set" in first
    assert problems(root, data(palette=COLOURS)) == []


def test_palettes_that_all_contradict_vocs_colour_map_are_refused(tmp_path):
    """As a program sorts them that numbers colours by how often they occur."""
    root = tree(tmp_path)
    for k in range(6):
        image = Image.fromarray(np.array([2, 1, 0], np.uint8)[labels(k)])
        image.putpalette(images.palette()[[2, 1, 0, *range(3, 256)]].tobytes())
        image.save(layout.target_path(root, f"p{k}"))
    found = problems(root, data())
    assert len(found) == 6
    assert "gives 0 the colour (0, 128, 0), which is that of 2 in VOC's colour map" in found[0]
    assert problems(root, data(masks="colour", palette=COLOURS)) == []
    np.testing.assert_array_equal(images.read_target(layout.target_path(root, "p1")), labels(1))


def test_predictions_in_the_colours_of_the_data_set_are_read(here, capsys):
    """Colours that VOC's map gives to other classes."""
    colours = [(0, 0, 0), (0, 128, 0), (128, 0, 0)]
    entry = {"classes": CLASSES, "palette": [list(colour) for colour in colours]}
    run(here, entry, "stages.none")
    root = tree(here / "data/own/mine", kind="grey")
    meaning = data(palette=colours)
    for k in (4, 5):
        masks.write(here / f"found/p{k}.png", labels(k), meaning)
    for targets in ("grey", "palette"):
        if targets == "palette":
            for k in range(6):
                masks.write(layout.target_path(root, f"p{k}"), labels(k), meaning)
        status, out, err = evaluate(capsys)
        assert status == 0 and "pixel accuracy: 100.0000%" in out, err
    for k in (4, 5):
        images.write_target(here / f"found/p{k}.png", labels(k), images.palette())
    status, _, err = evaluate(capsys)
    assert status == 1 and "in `palette` of the data set; --read colour or --read index" in err


def test_colours_of_its_own_contradict_nothing(tmp_path):
    root = tree(tmp_path)
    for k in range(6):
        image = Image.fromarray(labels(k))
        image.putpalette([10, 20, 30, 200, 100, 0, 0, 90, 160])
        image.save(layout.target_path(root, f"p{k}"))
    assert problems(root, data()) == []


def test_a_grey_ramp_as_a_palette_contradicts_nothing(tmp_path):
    root = tree(tmp_path)
    path = layout.target_path(root, "p1")
    image = Image.fromarray(labels(1))
    image.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    image.save(path)
    assert problems(root, data()) == []


# Colours and other modes


@pytest.mark.parametrize("kind", ["grey", "palette"])
def test_masks_that_are_labels_already_keep_their_bytes(tmp_path, kind):
    root = tree(tmp_path, kind=kind)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert tidy.tidy(root, data()) == {"masks": 0, "images": 0}
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*.*")}


@pytest.mark.parametrize("kind", ["rgb", "rgba", "grey as rgb", "16 bits", "grey with alpha"])
def test_masks_of_other_modes_are_read_as_meant(tmp_path, kind):
    root = tree(tmp_path, kind=kind)
    assert problems(root, data(palette=COLOURS)) == []
    for k in range(6):
        np.testing.assert_array_equal(
            images.read_target(layout.target_path(root, f"p{k}")), labels(k)
        )


def test_masks_of_one_bit_are_labels_0_and_1(tmp_path):
    root = tree(tmp_path, classes=2)
    for k in range(6):
        Image.fromarray(labels(k, 2) * 255).convert("1").save(layout.target_path(root, f"p{k}"))
    assert problems(root, data(2)) == []
    np.testing.assert_array_equal(images.read_target(layout.target_path(root, "p3")), labels(3, 2))


@pytest.mark.parametrize("bits", [2, 4])
def test_masks_of_few_bits_are_not_stretched(tmp_path, bits):
    path = tmp_path / "a.png"
    image = Image.fromarray(labels(0))
    image.putpalette(images.palette().tobytes())
    image.save(path, bits=bits)
    content = bytearray(path.read_bytes())
    content = grey_instead_of_palette(bytes(content))
    path.write_bytes(content)
    with Image.open(path) as opened:
        assert opened.mode == "L"
    np.testing.assert_array_equal(masks.read(path, data()), labels(0))


def grey_instead_of_palette(content):
    """A palette PNG as a grey one: another type in IHDR, without PLTE."""
    import struct
    import zlib

    result, at = content[:8], 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            body = body[:9] + b"\0" + body[10:]
        if kind not in (b"PLTE", b"tRNS"):
            chunk = kind + body
            result += struct.pack(">I", length) + chunk + struct.pack(">I", zlib.crc32(chunk))
        at += 12 + length
    return result


def refusal(tmp_path, image, **keys):
    image.save(tmp_path / "a.png")
    error = pytest.raises(ValueError, masks.read, tmp_path / "a.png", data(**keys)).value
    assert str(error).startswith(f"{tmp_path / 'a.png'}: ") and "\n" not in str(error)
    return str(error)


def test_what_stands_for_no_class_is_refused(tmp_path):
    colours = np.array(COLOURS, np.uint8)[labels(0)]
    strange = colours.copy()
    strange[0, :7] = 1, 2, 3
    assert "7 pixels have colours that `palette`" in refusal(
        tmp_path, Image.fromarray(strange), palette=COLOURS
    )
    assert "has no `palette`" in refusal(tmp_path, Image.fromarray(colours))
    clear = Image.fromarray(colours).convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    assert "1 pixels are transparent" in refusal(tmp_path, clear, palette=COLOURS)
    deep = Image.fromarray(np.full(SIZE, 300, np.uint16))
    assert "labels 300; expected 0..2" in refusal(tmp_path, deep)
    twice = [COLOURS[0], COLOURS[1], COLOURS[1]]
    two = Image.fromarray(np.array(COLOURS, np.uint8)[np.minimum(labels(0), 1)])
    assert "a colour twice" in refusal(tmp_path, two, palette=twice)


def test_a_mask_saved_as_jpeg_is_refused(tmp_path):
    root = tree(tmp_path)
    Image.fromarray(labels(0)).save(layout.target_path(root, "p0"), "JPEG")
    (found,) = problems(root, data())
    assert "JPEG alters labels" in found and "p0.png" in found


def test_void_has_its_own_colour(tmp_path):
    values = labels(0)
    values[0] = 255
    table = images.palette()
    table[:3] = COLOURS
    Image.fromarray(table[values]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(masks.read(tmp_path / "a.png", data(palette=COLOURS)), values)


# Values with gaps, 0 as void


def test_zero_as_void_and_gaps_are_read_by_a_map(tmp_path):
    store = np.array([0, 7, 14])
    entry = {"labels": {0: "void", 7: "disc", 14: "box"}, "allow_absent": ["background"]}
    root = tree(tmp_path / "a", lambda v: store[v], "grey")
    assert problems(root, data(**entry)) == []
    for k in range(6):
        expected = np.where(labels(k) == 0, 255, labels(k))
        np.testing.assert_array_equal(
            images.read_target(layout.target_path(root, f"p{k}")), expected
        )
    assert problems(root, data(**entry)) == []  # what is converted is not converted again
    found = problems(tree(tmp_path / "b", lambda v: store[v], "grey"), data())
    assert len(found) == 6 and "labels 7, 14; expected 0..2 and 255 (void)" in found[0]
    assert "`labels` of the data set" in found[0]


def test_a_value_that_the_map_lacks_is_refused(tmp_path):
    root = tree(tmp_path, kind="grey")
    found = problems(root, data(labels={0: "background", 1: "disc"}))
    assert len(found) == 6 and "values 2: `labels` of its data set does not name them" in found[0]


def test_predictions_of_a_data_set_with_a_map_are_labels_or_stored_values(here, capsys):
    meaning = {0: "background", 1: "box", 2: "disc"}
    run(here, {"classes": CLASSES, "labels": meaning}, "stages.none")
    root = tree(here / "data/own/mine", lambda v: np.array([0, 2, 1])[v], "grey")
    for k in (4, 5):
        save(here / f"found/p{k}.png", "grey", labels(k))
    status, out, err = evaluate(capsys)
    assert status == 1 and "IoU" not in out and "its values may be labels, 0 to 2, or" in err
    for k in (4, 5):
        masks.write(here / f"found/p{k}.png", labels(k), data())
    status, out, err = evaluate(capsys)
    assert status == 0 and "pixel accuracy: 100.0000%" in out, err

    store = np.array([0, 127, 254])
    meaning = {0: "background", 127: "disc", 254: "box"}
    run(here, {"classes": CLASSES, "labels": meaning}, "stages.none")
    tree(root, lambda v: store[v], "grey")
    for k in (4, 5):
        save(here / f"found/p{k}.png", "grey", store[labels(k)].astype(np.uint8))
    status, out, err = evaluate(capsys)
    assert status == 0 and "pixel accuracy: 100.0000%" in out, err


def test_a_map_and_a_palette_of_the_data_set_do_not_contradict_each_other(here, capsys):
    entry = {"classes": CLASSES, "labels": {0: "background", 1: "box", 2: "disc"}}
    entry["palette"] = [list(colour) for colour in COLOURS]
    run(here, entry, "stages.none")
    tree(here / "data/own/mine", lambda v: np.array([0, 2, 1])[v], "palette")
    for k in (4, 5):
        masks.write(here / f"found/p{k}.png", labels(k), data())
    status, out, err = evaluate(capsys)
    assert status == 0 and "pixel accuracy: 100.0000%" in out, err


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 2, 3], "{1: background, 2: disc, 3: box}"),
        ([0, 127, 255], "{0: background, 127: disc, 255: box}"),
        ([0, 127, 254, 255], "{0: background, 127: disc, 254: box}"),
        ([0, 257], "{VALUE: CLASS, ...}"),
        (range(30), "was the mask resized with interpolation, or once a JPEG?"),
    ],
)
def test_the_advice_fits_the_values(values, said):
    assert said in masks.advice(list(values), data())


def test_classes_can_be_merged(tmp_path):
    root = tree(tmp_path, kind="palette")
    merged = {0: "background", 1: "disc", 2: "disc"}
    assert problems(root, data(2, labels=merged)) == []
    np.testing.assert_array_equal(
        images.read_target(layout.target_path(root, "p5")), np.minimum(labels(5), 1)
    )


def test_void_zero_is_answered_with_the_map(tmp_path):
    done = run(tmp_path, {"classes": CLASSES, "void": 0}, "stages.download")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "labels: {0: void, 1: background, 2: disc}" in done.stderr


# Void in predictions


def test_void_in_a_prediction_is_refused_left_out_or_wrong(here, capsys):
    tree(here / "data/own/mine")
    for k in (4, 5):
        save(here / f"found/p{k}.png", "grey", labels(k))
    half = labels(4)
    half[:, :15] = 255
    save(here / "found/p4.png", "grey", half)
    status, out, err = evaluate(capsys)
    assert status == 1 and "p4.png: 360 pixels are predicted as void (255)" in err
    assert "--undecided wrong" in err
    status, out, _ = evaluate(capsys, "--undecided", "ignore")
    assert status == 0 and "pixel accuracy: 100.0000%" in out
    status, out, _ = evaluate(capsys, "--undecided", "wrong")
    true = np.concatenate([labels(4), labels(5)]).ravel()
    found = np.concatenate([half, labels(5)]).ravel()
    right = [((true == c) & (found == c)).sum() for c in range(3)]
    either = [((true == c) | (found == c)).sum() for c in range(3)]
    assert f"pixel accuracy: {(true == found).mean():.4%}" in out
    assert f"mIoU over the 3 classes in the truth: {np.mean(np.divide(right, either)):.4%}" in out
