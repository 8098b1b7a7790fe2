"""Two readers see one file alike, and no file is passed over."""

import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image
from test_cases_labels import data, evaluate, here, labels, problems, run, save, tree  # noqa: F401

from segmodels.data import images, index, layout, loading
from segmodels.data.sources import tidy
from segmodels.inference import photos

ORIENTATION = 0x0112
SHAPE = (24, 30)


def scene(k):
    """(24, 30, 3) uint8 whose bright part is where labels(k) has a class."""
    image = np.full((*SHAPE, 3), 40, np.uint8)
    image[labels(k) > 0] = 220
    return image


def with_exif(path, image, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(image).save(path, "JPEG", quality=95, exif=exif)


def bright(image):
    return image.mean(-1) > 130


# EXIF

UNDO = {2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1]}
UNDO |= {6: lambda a: np.rot90(a, 1), 8: lambda a: np.rot90(a, -1)}


@pytest.mark.parametrize("orientation", [2, 3, 4, 6, 8])
def test_training_and_predict_see_a_turned_image_as_a_viewer_does(tmp_path, orientation):
    """The mask is drawn on what a viewer shows; the file stores it turned back."""
    root = tree(tmp_path)
    for k in range(6):
        stored = np.ascontiguousarray(UNDO[orientation](scene(k)))
        with_exif(layout.image_path(root, f"p{k}"), stored, orientation)
    assert problems(root, data()) == []
    path = layout.image_path(root, "p1")
    as_trained = images.read_image(path)
    np.testing.assert_array_equal(as_trained, photos.read(path))
    assert ((labels(1) > 0) == bright(as_trained)).mean() > 0.98
    table, _ = index.build(root, data())
    note = index.notes(root, table, data())[0]
    assert "6 images are turned by their EXIF, p0 first" in note
    (batch,) = loading.whole_images(root, table[:1], size=64, batch_size=1, targets=True)
    assert tuple(batch[3]) == SHAPE


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_that_fits_the_stored_image_alone_decides(tmp_path, orientation):
    root = tree(tmp_path)
    for k in range(6):
        with_exif(layout.image_path(root, f"p{k}"), scene(k), orientation)
    assert tidy.tidy(root, data())["images"] == 6
    path = layout.image_path(root, "p2")
    assert path.suffix == ".png" and bright(images.read_image(path)).shape == SHAPE
    assert ((labels(2) > 0) == bright(images.read_image(path))).mean() > 0.98
    assert problems(root, data()) == []
    table, _ = index.build(root, data())
    assert not [note for note in index.notes(root, table, data()) if "EXIF" in note]


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("TIFF", ".tif")])
@pytest.mark.parametrize("orientation", [3, 6])
def test_a_mask_is_turned_as_its_own_exif_says(tmp_path, orientation, kind, suffix):
    root = tree(tmp_path)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for k in range(6):
        layout.target_path(root, f"p{k}").unlink()
        stored = np.ascontiguousarray(UNDO[orientation](labels(k)))
        path = root / f"SegmentationClass/p{k}{suffix}"
        Image.fromarray(stored).save(path, kind, exif=exif)
    assert problems(root, data()) == []
    np.testing.assert_array_equal(images.read_target(layout.target_path(root, "p1")), labels(1))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_tiff_is_stored_upright_where_its_mask_says_so(tmp_path, orientation):
    root = tree(tmp_path)
    for k in range(6):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        layout.image_path(root, f"p{k}").unlink()
        Image.fromarray(scene(k)).save(root / f"JPEGImages/p{k}.tif", "TIFF", exif=exif)
    assert tidy.tidy(root, data())["images"] == 6
    np.testing.assert_array_equal(images.read_image(layout.image_path(root, "p2")), scene(2))


def test_a_mask_that_fits_neither_way_is_named(tmp_path):
    root = tree(tmp_path)
    images.write_target(
        layout.target_path(root, "p0"), np.ascontiguousarray(labels(0).T), images.palette()
    )
    (found,) = problems(root, data())
    assert "24 x 30 pixels, but the image has 30 x 24: is one of them turned, by EXIF" in found


# Formats, suffixes, names


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        ("JPG", "JPEG"),
        ("jpeg", "JPEG"),
        ("JPEG", "JPEG"),
        ("png", "PNG"),
        ("PNG", "PNG"),
        ("tif", "TIFF"),
        ("TIFF", "TIFF"),
        ("bmp", "BMP"),
        ("webp", "WEBP"),
        ("jpg", "PNG"),
    ],
)
def test_images_are_found_by_their_id_in_every_format_that_predict_reads(tmp_path, suffix, kind):
    root = tree(tmp_path)
    for k in range(6):
        layout.image_path(root, f"p{k}").unlink()
        options = {"lossless": True} if kind == "WEBP" else {}
        Image.fromarray(scene(k)).save(root / f"JPEGImages/p{k}.{suffix}", kind, **options)
    assert problems(root, data()) == []
    image = images.read_image(layout.image_path(root, "p3"))
    assert np.abs(image.astype(int) - scene(3)).mean() < 8
    np.testing.assert_array_equal(image, photos.read(layout.image_path(root, "p3")))


@pytest.mark.parametrize(("suffix", "kind"), [("PNG", "PNG"), ("tif", "TIFF"), ("bmp", "BMP")])
def test_masks_in_other_formats_without_loss_are_converted(tmp_path, suffix, kind):
    root = tree(tmp_path)
    for k in range(6):
        layout.target_path(root, f"p{k}").unlink()
        Image.fromarray(labels(k)).save(root / f"SegmentationClass/p{k}.{suffix}", kind)
    assert problems(root, data()) == []
    np.testing.assert_array_equal(images.read_target(layout.target_path(root, "p4")), labels(4))


def test_a_format_that_is_not_read_is_named_beside_what_is(tmp_path):
    root = tree(tmp_path)
    layout.image_path(root, "p0").rename(root / "JPEGImages/p0.heic")
    (found,) = problems(root, data())
    assert found.strip().startswith("JPEGImages/p0.jpg: missing; p0.heic is there, expected one of")


def test_two_files_of_one_id_are_refused(tmp_path):
    root = tree(tmp_path)
    shutil.copy(layout.image_path(root, "p0"), root / "JPEGImages/p0.JPEG")
    assert "p0.JPEG and p0.jpg have one id" in problems(root, data())[0]


def test_names_are_compared_in_nfc(tmp_path):
    root = tree(tmp_path)
    name = unicodedata.normalize("NFD", "straße_é")
    for path in (layout.image_path(root, "p0"), layout.target_path(root, "p0")):
        path.rename(path.with_stem(name))
    listed = layout.split_path(root, "train")
    listed.write_text(listed.read_text().replace("p0", unicodedata.normalize("NFC", name)))
    assert problems(root, data()) == []
    listed.write_text(listed.read_text().replace(unicodedata.normalize("NFC", name), name))
    assert problems(root, data()) == []


def test_evaluate_compares_names_in_nfc_too(here, capsys):  # noqa: F811
    root = tree(here / "data/own/mine")
    name = "straße_é"
    layout.target_path(root, "p4").rename(
        layout.target_path(root, unicodedata.normalize("NFD", name))
    )
    listed = layout.split_path(root, "val")
    listed.write_text(listed.read_text().replace("p4", name))
    layout.image_path(root, "p4").rename(layout.image_path(root, name))
    for image_id, k in ((unicodedata.normalize("NFD", name), 4), ("p5", 5)):
        save(here / f"found/{image_id}.png", "palette", labels(k))
    status, out, err = evaluate(capsys)
    assert status == 0 and "2 of 2 images" in out and "100.0000%" in out, err


def test_a_list_of_test_images_is_said_and_how_to_score_it(tmp_path):
    root = tree(tmp_path)
    shutil.copy(layout.image_path(root, "p0"), root / "JPEGImages/other.jpg")
    layout.write_ids(layout.split_path(root, "test"), ["other"])
    table, _ = index.build(root, data())
    (line,) = index.notes(root, table, data())
    assert line.startswith("test.txt lists 1 of its images, which are not scored; ")


def test_unlisted_files_are_counted(tmp_path):
    root = tree(tmp_path)
    shutil.copy(layout.image_path(root, "p0"), root / "JPEGImages/other.jpg")
    table, _ = index.build(root, data())
    assert index.notes(root, table, data()) == [
        "JPEGImages: 1 of its files in neither train nor val: unused"
    ]


# Lists


@pytest.mark.parametrize(
    "line",
    [
        "{}.jpg",
        "{}.png",
        "{}  1",
        "{} -1",
        "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png",
        "JPEGImages/{}.jpg",
        "C:\\images\\{}.jpg",
        "{0}.jpg\t{0}.png",
        "P{0[1]}",
    ],
)
def test_a_list_of_something_else_than_ids_is_one_line(tmp_path, line):
    root = tree(tmp_path)
    path = layout.split_path(root, "train")
    path.write_text("".join(line.format(f"p{k}") + "\n" for k in range(4)))
    (found,) = problems(root, data())
    assert "train.txt: 4 of 4 lines, as '" in found and "columns, as p0" in found
    with pytest.raises(ValueError, match="are no ids; expected an id a line"):
        layout.read_split(root, "train")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings_are_named(tmp_path, encoding):
    root = tree(tmp_path)
    layout.split_path(root, "val").write_bytes("p4\r\np5\r\n".encode(encoding))
    (found,) = problems(root, data())
    assert "val.txt: UTF-16 or another encoding; save the list as UTF-8 text" in found


def test_ids_with_dots_and_spaces_stay_ids(tmp_path):
    root = tree(tmp_path)
    for old, new in (("p0", "a.jpg"), ("p1", "b 1")):
        for path in (layout.image_path(root, old), layout.target_path(root, old)):
            path.rename(path.with_name(new + path.suffix))
    layout.split_path(root, "train").write_text("a.jpg\nb 1\r\np2\np3\n\n")
    assert problems(root, data()) == []


# What predict wrote


def test_evaluate_finds_the_masks_that_predict_wrote(here, capsys):  # noqa: F811
    tree(here / "data/own/mine")
    for k in (4, 5):
        for kind in ("mask", "overlay"):
            save(here / f"found/p{k}_unet_{kind}.png", "palette", labels(k))
        save(here / f"found/p{k}_comparison.png", "rgb", labels(k))
    status, out, err = evaluate(capsys)
    assert status == 0 and "2 of 2 images of val\n" in out and "100.0000%" in out, err

    save(here / "found/p4_fcn_mask.png", "palette", labels(0))
    status, _, err = evaluate(capsys)
    assert status == 1 and "p4_fcn_mask.png, p4_unet_mask.png" in err
    assert "--model says whose" in err
    status, out, _ = evaluate(capsys, "--model", "unet")
    assert status == 0 and "; 1 files of found were not used" in out


def test_evaluate_takes_the_names_of_the_data_set_that_the_tree_belongs_to(here, capsys):  # noqa: F811
    tree(here / "elsewhere")
    tree(here / "data/own/mine")
    for k in (4, 5):
        save(here / f"found/p{k}.png", "palette", labels(k))
    _, out, err = evaluate(capsys)
    assert "disc" in out and "class names are those of" not in err
    _, out, err = evaluate(capsys, "--voc", "elsewhere")
    assert "disc" in out and "class names are those of mine" in err
    _, _, err = evaluate(capsys, "--voc", "elsewhere", "--dataset", "mine")
    assert "class names are those of" not in err


# Limits


def test_the_limit_of_pixels_is_named_and_can_be_set(tmp_path, monkeypatch):
    path = tmp_path / "big.png"
    Image.new("L", (90, 100)).save(path)
    monkeypatch.setenv("SEGMODELS_MAX_PIXELS", "8000")
    said = "more than 8,000 pixels; the variable SEGMODELS_MAX_PIXELS sets another"
    with pytest.raises(ValueError, match=said):
        photos.read(path)
    with pytest.raises(ValueError, match="SEGMODELS_MAX_PIXELS"):
        images.read_target(path)
    monkeypatch.setenv("SEGMODELS_MAX_PIXELS", "9000")
    assert photos.read(path).shape == (100, 90, 3) and images.read_target(path).shape == (100, 90)
    monkeypatch.setenv("SEGMODELS_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="SEGMODELS_MAX_PIXELS = 'many': expected a number"):
        photos.read(path)


# Folders


def test_every_file_of_a_folder_is_used_or_counted(tmp_path):
    folder, out = tmp_path / "phone", tmp_path / "phone/predicted"
    for name in ("a.jpg", "more/b.JFIF", "more/deep/c.png", "without", "predicted/d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(0)).save(folder / name, "JPEG" if "png" not in name else "PNG")
    for name in ("x.HEIC", "more/y.HEIC", "z.avif", "raw.dng", ".DS_Store", "more/.hidden.jpg"):
        (folder / name).write_bytes(b"\0" * 50)
    found = photos.find([folder], out.resolve())
    names = [path.relative_to(folder).as_posix() for path in found.files]
    assert sorted(names) == ["a.jpg", "more/b.JFIF", "more/deep/c.png", "without"]
    assert found.others == {".HEIC": 2, ".avif": 1, ".dng": 1, "hidden image": 1}
    assert found.problems == []


def test_linked_folders_are_counted_and_not_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    Image.fromarray(scene(0)).save(tmp_path / "in/a.png")
    found = photos.find([tmp_path / "in"])
    assert len(found.files) == 1 and found.others == {"linked folders": 1}


def test_a_stage_whose_input_is_missing_names_it(tmp_path):
    done = run(tmp_path, {"classes": ["a", "b"]}, "stages.evaluate", "unet")
    assert done.returncode == 1 and "Errno" not in done.stderr
    assert "data/mine/index.csv: missing; `dvc repro index` makes it" in done.stderr
