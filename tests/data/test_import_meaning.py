"""What names, values and colours of a source become: nothing is guessed, nothing silently void."""

import json

import numpy as np
import pytest
from conftest import missing
from helpers.import_forms import CLASSES, FORMS, Box, bring, mask_of, pairs, pictures, save, write
from PIL import Image

from segmodels.data import images, layout
from segmodels.data.sources.formats import naming
from segmodels.data.sources.formats.label_keys import parsed_key, read_table, shown_key

COLOURS = np.array([(0, 0, 0), (200, 10, 10), (10, 200, 10), (224, 224, 192)], np.uint8)


def coco_installed():
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        missing("needs pycocotools: pip install -e '.[coco]'")


def written(root, one):
    return images.read_target(layout.target_path(root, one.id))


def test_binary_masks_of_0_and_255_are_refused_with_the_remedy(tmp_path):
    store = lambda labels: (labels > 0).astype(np.uint8) * 255  # noqa: E731
    pairs(tmp_path / "source", store=store)
    with pytest.raises(ValueError, match="--map 0=background --map 255=road says that it is"):
        bring(tmp_path / "source", tmp_path / "roads", "--classes", "background,road")
    named = ["--map", "0=background", "--map", "255=road"]
    bring(tmp_path / "source", tmp_path / "roads", *named)
    for one in pictures():
        np.testing.assert_array_equal(written(tmp_path / "roads", one), one.labels > 0)


def test_values_that_nobody_names_are_listed_with_their_pixels(tmp_path):
    pairs(tmp_path / "source", store=lambda labels: labels * 60)
    with pytest.raises(ValueError) as said:
        bring(tmp_path / "source", tmp_path / "roads")
    pixels = sum((one.labels == 2).sum() for one in pictures())
    assert f"120  {pixels:>14,} pixels in 12 masks" in str(said.value)
    assert "--map 0=NAME --map 60=NAME --map 120=NAME --map 180=NAME" in str(said.value)
    assert not (tmp_path / "roads").exists()


def test_colours_that_nobody_names_are_listed_and_their_proposal_works(tmp_path):
    pairs(tmp_path / "source", store=lambda labels: COLOURS[labels])
    with pytest.raises(ValueError) as said:
        bring(tmp_path / "source", tmp_path / "roads")
    proposed = str(said.value).splitlines()[-1].partition(": ")[2]
    named = dict(zip(["0,0,0", "10,200,10", "200,10,10", "224,224,192"], "acbd", strict=True))
    assert proposed.split() == [word for key in named for word in ("--map", f"{key}=NAME")]
    words = [word for key, name in named.items() for word in ("--map", f"{key}={name}")]
    bring(tmp_path / "source", tmp_path / "roads", *words, "--classes", "a,b,c,d")
    one = pictures()[0]
    np.testing.assert_array_equal(written(tmp_path / "roads", one), one.labels)


@pytest.mark.parametrize("grey", [0, 7])
def test_colours_are_listed_though_the_first_mask_is_grey(tmp_path, grey):
    pairs(tmp_path / "source", store=lambda labels: COLOURS[labels])
    first = min((tmp_path / "source/masks").iterdir())
    with Image.open(first) as image:
        size = image.size
    Image.new("RGB", size, (grey,) * 3).save(first)
    with pytest.raises(
        ValueError, match="nobody says what the colours of its 12 masks are"
    ) as said:
        bring(tmp_path / "source", tmp_path / "roads")
    assert f"--map {grey},{grey},{grey}=NAME" in str(said.value)
    assert "--map 200,10,10=NAME" in str(said.value)


def test_masks_that_were_interpolated_are_called_so(tmp_path):
    rng = np.random.default_rng(0)
    noise = lambda labels: rng.integers(0, 256, labels.shape, dtype=np.uint8)  # noqa: E731
    pairs(tmp_path / "source", store=noise)
    with pytest.raises(ValueError, match="256 values in 12 masks.*resized with interpolation"):
        bring(tmp_path / "source", tmp_path / "roads")


def test_colour_of_void_and_grey_masks_are_read_by_colour(tmp_path):
    """A grey mask among those in colour has the colours (v, v, v)."""
    pairs(tmp_path / "source", store=lambda labels: COLOURS[labels])
    one = pictures()[4]
    Image.fromarray((one.labels == 1).astype(np.uint8) * 255).save(
        tmp_path / f"source/masks/{one.name}_Mask.png"
    )
    words = ["--map", "0,0,0=background", "--map", "200,10,10=road", "--map", "#0AC80A=car"]
    bring(tmp_path / "source", tmp_path / "roads", *words, "--map", "255,255,255=road")
    np.testing.assert_array_equal(written(tmp_path / "roads", one), one.labels == 1)
    other = pictures()[5]
    expected = np.where(other.labels == 3, 255, other.labels)
    np.testing.assert_array_equal(written(tmp_path / "roads", other), expected)


def test_classes_are_merged_made_void_and_made_background(tmp_path):
    coco_installed()
    FORMS["coco"](tmp_path / "source")
    words = ["--map", "car=road", "--map", "sign=void"]
    bring(tmp_path / "source", tmp_path / "roads", *words)
    table = np.array([0, 1, 1, 255], np.uint8)
    for one in pictures():
        np.testing.assert_array_equal(written(tmp_path / "roads", one), table[one.labels])


def test_without_background_what_no_object_covers_is_void(tmp_path):
    coco_installed()
    FORMS["coco"](tmp_path / "source")
    bring(tmp_path / "source", tmp_path / "roads", "--classes", "sign,car,road")
    table = np.array([255, 2, 1, 0], np.uint8)
    for one in pictures():
        np.testing.assert_array_equal(written(tmp_path / "roads", one), table[one.labels])


@pytest.mark.parametrize(("words", "crowded"), [([], 255), (["--crowd", "class"], 2)])
def test_crowd_is_void_where_nothing_else_lies(tmp_path, capsys, words, crowded):
    coco_installed()
    FORMS["coco"](tmp_path / "source")
    path = tmp_path / "source/annotations.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    of_image = [entry for entry in content["annotations"] if entry["image_id"] == 90 - 4]
    (car,) = [entry for entry in of_image if entry["category_id"] == 20]
    car["iscrowd"] = 1
    road_only = [entry for entry in of_image if entry["category_id"] != 10]
    content["annotations"] = [
        entry for entry in content["annotations"] if entry not in of_image or entry in road_only
    ]
    path.write_text(json.dumps(content), encoding="utf-8")
    bring(tmp_path / "source", tmp_path / "roads", *words)
    one = pictures()[4]
    expected = np.zeros_like(one.labels)
    for box in one.boxes[1:]:
        expected[mask_of(one, box) > 0] = crowded if box.label == 2 else box.label
    np.testing.assert_array_equal(written(tmp_path / "roads", one), expected)
    assert ("1 crowd regions made void" in capsys.readouterr().out) == (not words)


def test_ignored_shapes_and_background_of_labelme(tmp_path):
    one = pictures()[0]
    width, height = one.size
    for name in ("a", "b"):
        save(tmp_path / f"source/{name}.png", one.pixels)
        shapes = [
            {"label": "road", "shape_type": "rectangle", "points": [[0, 0], [19, 19]]},
            {"label": "__ignore__", "shape_type": "rectangle", "points": [[5, 5], [14, 14]]},
            {"label": "_background_", "shape_type": "rectangle", "points": [[8, 8], [9, 9]]},
        ]
        content = {"imagePath": f"{name}.png", "imageHeight": height, "imageWidth": width}
        write(tmp_path / f"source/{name}.json", json.dumps({**content, "shapes": shapes}))
    bring(tmp_path / "source", tmp_path / "roads")
    expected = np.zeros_like(one.labels)
    expected[:20, :20], expected[5:15, 5:15], expected[8:10, 8:10] = 1, 255, 0
    np.testing.assert_array_equal(
        images.read_target(layout.target_path(tmp_path / "roads", "a")), expected
    )


def test_the_nineteen_classes_of_cityscapes_with_their_colours(tmp_path, capsys):
    rng = np.random.default_rng(3)
    for split in ("train", "val"):
        ids = rng.integers(0, 34, (40, 60)).astype(np.uint8)
        image = tmp_path / f"source/leftImg8bit/{split}/x/{split}_leftImg8bit.png"
        save(image, np.stack([ids] * 3, -1))
        save(tmp_path / f"source/gtFine/{split}/x/{split}_gtFine_labelIds.png", ids)
    save(tmp_path / "source/leftImg8bit/test/x/t_leftImg8bit.png", np.zeros((4, 4, 3), np.uint8))
    bring(tmp_path / "source", tmp_path / "roads")
    train_ids = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
    train_ids |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    expected = np.array([train_ids.get(k, 255) for k in range(34)], np.uint8)[ids]
    root = tmp_path / "roads"
    np.testing.assert_array_equal(images.read_target(layout.target_path(root, "val")), expected)
    said = capsys.readouterr().out
    assert "classes: [road, sidewalk, building," in said
    assert "palette: [[128, 64, 128], [244, 35, 232]," in said
    assert "t_leftImg8bit.png: has no labels" in said
    with Image.open(layout.target_path(root, "val")) as image:
        assert image.getpalette()[:3] == [128, 64, 128]


def test_camvid_is_known_by_its_films(tmp_path, capsys):
    rng = np.random.default_rng(4)
    for split in ("train", "val", "test"):
        labels = rng.integers(0, 12, (40, 60)).astype(np.uint8)
        save(
            tmp_path / f"source/{split}/0001TP_00669{split == 'val':d}.png",
            np.stack([labels] * 3, -1),
        )
        save(tmp_path / f"source/{split}annot/0001TP_00669{split == 'val':d}.png", labels)
    (tmp_path / "source/test").rename(tmp_path / "source/moved")  # ids would be equal
    bring(tmp_path / "source", tmp_path / "roads")
    assert (
        "[sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist]"
        in (capsys.readouterr().out)
    )
    labels = images.read_target(layout.target_path(tmp_path / "roads", "0001TP_006690"))
    assert set(np.unique(labels)) == {*range(11), 255}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name,r,g,b\nroad,1,2,3\nred light,4,5,6\n", {0x010203: "road", 0x040506: "red light"}),
        ("64 128 64\tAnimal\r\n0 0 192\tWay 2\r\n", {0x408040: "Animal", 0x0000C0: "Way 2"}),
        ("# label:color_rgb:parts:actions\nroad:128,64,128::\n", {0x804080: "road"}),
        ("0 background\n255 road\n", {0: "background", 255: "road"}),
        ("background 0\nroad 255\n", {0: "background", 255: "road"}),
        ("Pixel Value, Class\n0, background\n1, road\n", {0: "background", 1: "road"}),
    ],
)
def test_tables_of_many_programs_are_read(tmp_path, text, expected):
    (tmp_path / "table").write_bytes(b"\xef\xbb\xbf" + text.encode())
    entries, colours = read_table(tmp_path / "table")
    assert entries == expected
    assert colours == (max(expected) > 255)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("road 1 2 300\n", "numbers to 255"),
        ("road 1 2 3\ncar 1 2 3\n", "each value or colour once"),
        ("road 1 2 3\ncar 4\n", "each value or colour once"),
        ("name\nroad\n", "'road': expected NAME R G B or NAME VALUE"),
        ("", "names nothing"),
        ("road 70000\n", "numbers to 65535"),
    ],
)
def test_tables_that_are_none_are_refused(tmp_path, text, said):
    (tmp_path / "table").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_table(tmp_path / "table")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("255", (255, False)),
        ("128,0,64", (0x800040, True)),
        ("#800040", (0x800040, True)),
        ("256,0,0", None),
        ("road", None),
        ("-1", None),
        ("\u0665", None),
        ("100000", None),
    ],
)
def test_keys_are_values_colours_or_names(key, expected):
    assert parsed_key(key) == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--map", "cra=car"], "--map cra=car: the source has no 'cra', it has road, car, sign"),
        (["--classes", "background,road"], "'car' of the source is none of the classes"),
        (["--classes", "background,road,road"], "class 'road' comes twice"),
        (["--map", "car=width"], "class 'width': expected a name in one line, other than void"),
        (["--classes", "background"], r"1 classes \(background\): expected 2 to 255"),
    ],
)
def test_classes_that_cannot_be_are_refused(tmp_path, words, said):
    FORMS["coco uncompressed"](tmp_path / "source")
    with pytest.raises(ValueError, match=said):
        bring(tmp_path / "source", tmp_path / "roads", *words)


def test_void_is_no_class_and_255_is_void():
    names = naming.named(["a", "b"], {"b": "void"}, ["a", "c"], objects=False)
    assert names.labels == {"a": 0, "b": 255}
    assert naming.VOID_LABEL == images.VOID_COLOUR == 255
    assert shown_key(0x800040, True) == "128,0,64"


def test_smaller_object_lies_on_top_in_coco_and_the_later_in_cvat(tmp_path, capsys):
    coco_installed()
    one = pictures()[0]
    width, height = one.size
    boxes = [Box(2, 5, 5, 10, 10), Box(1, 0, 0, 20, 20)]
    assert CLASSES[1] == "road"
    for name in ("a", "b"):
        save(tmp_path / f"coco/{name}.png", one.pixels)
        save(tmp_path / f"cvat/{name}.png", one.pixels)
    entries = [
        {"id": k, "file_name": f"{name}.png", "width": width, "height": height}
        for k, name in enumerate("ab")
    ]
    corners = [[box.left, box.top, box.right, box.top, box.right, box.bottom, box.left, box.bottom]
               for box in boxes]  # fmt: skip
    annotations = [
        {
            "id": 2 * k + n,
            "image_id": k,
            "category_id": boxes[n].label,
            "segmentation": [corners[n]],
        }
        for k, n in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    categories = [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    write(tmp_path / "coco/a.json", json.dumps(content))
    bring(tmp_path / "coco", tmp_path / "own/coco")
    assert (images.read_target(layout.target_path(tmp_path / "own/coco", "a")) == 2).sum() == 25
    shapes = "".join(
        f'<box label="{CLASSES[box.label]}" xtl="{box.left}" ytl="{box.top}" xbr="{box.right}" '
        f'ybr="{box.bottom}" z_order="0"/>'
        for box in boxes
    )
    size = f'width="{width}" height="{height}"'
    entries = "".join(f'<image id="{n}" name="{n}.png" {size}>{shapes}</image>' for n in "ab")
    write(tmp_path / "cvat/annotations.xml", f"<annotations><meta/>{entries}</annotations>")
    bring(tmp_path / "cvat", tmp_path / "own/cvat", "--classes", "background,road,car")
    assert not (images.read_target(layout.target_path(tmp_path / "own/cvat", "a")) == 2).any()
    assert "50 pixels where objects of two classes overlap" in capsys.readouterr().out


def test_palettes_that_contradict_each_other_are_refused_until_the_person_decides(tmp_path):
    """As of a program that gives each file a palette of its own: the same value, another colour."""
    colours = [(0, 0, 0), (250, 0, 0), (0, 250, 0), (0, 0, 250)]
    orders = [[0, 1, 2, 3], [0, 2, 1, 3]]
    for k, one in enumerate(pictures()):
        order = orders[k == 7]
        values = np.argsort(order).astype(np.uint8)[one.labels]
        table = np.zeros((256, 3), np.uint8)
        table[:4] = np.array(colours)[order]
        save(tmp_path / f"source/images/{one.name}.png", one.pixels)
        images.write_target(tmp_path / f"source/masks/{one.name}.png", values, table)
    with pytest.raises(ValueError, match="its palette gives 1 the colour .*--map VALUE=CLASS says"):
        bring(tmp_path / "source", tmp_path / "roads", "--classes", ",".join(CLASSES))
    words = [
        word
        for colour, name in zip(colours, CLASSES, strict=True)
        for word in ("--map", f"{','.join(map(str, colour))}={name}")
    ]
    bring(tmp_path / "source", tmp_path / "own/by_colour", *words)
    by_value = [word for k in range(4) for word in ("--map", f"{k}={CLASSES[k]}")]
    bring(tmp_path / "source", tmp_path / "own/by_value", *by_value)
    one = pictures()[7]
    np.testing.assert_array_equal(written(tmp_path / "own/by_colour", one), one.labels)
    values = np.array([0, 2, 1, 3], np.uint8)[one.labels]
    np.testing.assert_array_equal(written(tmp_path / "own/by_value", one), values)
