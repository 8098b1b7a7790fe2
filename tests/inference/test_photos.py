"""Odd photographs, with PIL's pixels and a whole-image F.interpolate as witnesses."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import as_network
from PIL import Image
from torch import nn

from segmodels.config import params
from segmodels.config.schema import Normalize
from segmodels.data import images
from segmodels.inference import drawing, photos, predictor, testtime

NORMALIZE = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
HEIGHT, WIDTH = 36, 52
ORIENTED = {  # EXIF 2.32, tag 274: how a stored array is turned to be seen upright
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.fixture
def scene():
    """(36, 52, 3) uint8, smooth, so that JPEG changes it little; no two corners alike."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([4 * x, 6 * y, 3 * x + y], -1).astype(np.uint8)


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_orientation_turns_the_picture(tmp_path, scene, orientation, suffix):
    exif = Image.Exif()
    exif[274] = orientation
    file = tmp_path / f"a{suffix}"
    Image.fromarray(scene).save(file, exif=exif, quality=100, lossless=True)
    stored = np.asarray(Image.open(file).convert("RGB"))
    assert np.array_equal(photos.read(file), ORIENTED[orientation](stored))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_brightness(tmp_path, scene, suffix):
    grey = scene[..., 0]
    file = tmp_path / f"a{suffix}"
    Image.fromarray(grey.astype(np.uint16) * 257).save(file)
    assert np.array_equal(photos.read(file), np.stack([grey] * 3, -1))


def test_transparent_parts_are_over_white(tmp_path, scene):
    alpha = np.linspace(0, 255, WIDTH).astype(np.uint8) * np.ones((HEIGHT, 1), np.uint8)
    Image.fromarray(np.dstack([scene, alpha])).save(tmp_path / "a.png")
    share = alpha[..., None] / 255
    expected = scene * share + 255 * (1 - share)
    assert np.abs(photos.read(tmp_path / "a.png") - expected).max() <= 1


@pytest.mark.parametrize(
    ("mode", "name"),
    [("L", "a.jpg"), ("LA", "a.png"), ("CMYK", "a.jpg"), ("1", "a.png"), ("P", "a.gif")],
)
def test_other_modes_look_like_the_picture(tmp_path, scene, mode, name):
    other = Image.fromarray(scene).convert(mode)
    other.save(tmp_path / name, quality=100)
    expected = np.asarray(other.convert("RGB")).astype(int)
    assert np.abs(photos.read(tmp_path / name) - expected).max() <= 4  # JPEG's own loss


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_first_frame_of_an_animation_counts(tmp_path, suffix):
    first, *others = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    file = tmp_path / f"a{suffix}"
    first.save(file, save_all=True, append_images=others, lossless=True)
    assert (photos.read(file) == (255, 0, 0)).all()


def huge_png(width, height):
    """A PNG that says it is large."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        parts.append(struct.pack(">I", len(content)) + kind + content + checksum)
    return b"".join(parts)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda whole: b"", "0 bytes"),
        (lambda whole: whole[: len(whole) // 2], "truncated"),
        (lambda whole: whole[:20], "not a picture"),
        (lambda whole: b"no picture\n", "not a picture; expected JPEG, PNG"),
        (lambda whole: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (lambda whole: huge_png(10_000, 10_000), "more than 89,478,485 pixels"),
        (lambda whole: huge_png(50_000, 50_000), "more than 89,478,485 pixels"),
    ],
)
def test_bad_content_is_one_line_with_the_reason(tmp_path, content, reason):
    file = tmp_path / "a.jpg"
    Image.effect_noise((200, 200), 90).save(file)
    file.write_bytes(content(file.read_bytes()))
    with pytest.raises(ValueError, match=reason) as error:
        photos.read(file)
    assert str(error.value).startswith(f"{file}: ") and "\n" not in str(error.value)


def test_folders_missing_files_and_float_pixels_are_refused(tmp_path):
    (tmp_path / "b.jpg").mkdir()
    Image.new("F", (40, 40)).save(tmp_path / "c.tif")
    for name, reason in (("a.jpg", "no file"), ("b.jpg", "a folder"), ("c.tif", "mode F")):
        with pytest.raises(ValueError, match=reason):
            photos.read(tmp_path / name)


def test_find_lists_each_picture_once_and_folders_without_any(tmp_path):
    inside, empty = tmp_path / "in", tmp_path / "empty"
    for folder in (inside, empty):
        folder.mkdir()
    for name in ("b.JPG", "a.png", "notes.txt"):
        (inside / name).touch()
    found = photos.find([inside / "b.JPG", inside, empty, tmp_path / "missing.jpg"])
    assert found.files == [inside / "b.JPG", inside / "a.png", tmp_path / "missing.jpg"]
    assert len(found.problems) == 1 and found.problems[0].startswith(f"{empty}: ")
    assert found.others == {".txt": 1}


def test_results_of_two_pictures_never_share_a_name(tmp_path):
    strange = [os.fsdecode(b"\xff.jpg"), "a\nb:*?.jpg", "..png", "é" * 120 + ".jpg", "ß 1.jpg"]
    names = ["x.jpg", "x.png", "X.webp", "x_2.jpg", "x_unet.jpg", *strange]
    paths = [tmp_path / str(k) / name for k in range(2) for name in names]
    models = ["fcn", "unet_fcn", "unet"]
    files = [
        f"{stem}_{end}.png".lower()
        for stem in photos.stems(paths, models)
        for end in ["comparison", *(f"{m}_{kind}" for m in models for kind in ("mask", "overlay"))]
    ]
    assert len(set(files)) == len(files)
    for file in files:
        assert not set(file) & set('/\\:*?"<>|\n') and not file.startswith((".", " "))
        (tmp_path / file).touch()  # 255 bytes are enough


class Colours(nn.Module):
    """Logits at a quarter of the size: red, green and blue."""

    def forward(self, image):
        assert min(image.shape[-2:]) >= 32
        return {"out": F.avg_pool2d(image, 4)}


def labelled(image, **changes):
    choices = params.load().predict["miniature"].model_copy(update=changes)
    return photos.label_photo(as_network(Colours(), NORMALIZE), image, choices)


@pytest.mark.parametrize("changes", [{}, {"scales": [0.5, 1], "flip": True}])
def test_label_photo_is_the_prediction_of_the_pipeline(changes):
    image = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
    batch = torch.tensor(image).permute(2, 0, 1)[None]
    choices = params.load().predict["miniature"].model_copy(update=changes)
    network = as_network(Colours(), NORMALIZE)
    [(_, labels)] = testtime.label_maps(network, [(["a"], batch, None, (45, 70))], choices)
    assert np.array_equal(labelled(image, **changes), labels.numpy())


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2500, 2), (30, 1100)])
@pytest.mark.parametrize("long_side", [None, 384])
def test_label_maps_have_the_pictures_size(shape, long_side):
    blue = np.zeros((*shape, 3), np.uint8)
    blue[..., 2] = 255
    labels = labelled(blue, long_side=long_side)
    assert labels.shape == shape and labels.dtype == np.uint8 and (labels == 2).all()


def test_overlay_tints_classes_and_leaves_background(scene):
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[10:20] = 15
    drawn = np.asarray(drawing.overlay(scene, labels, images.palette())).astype(float)
    mixed = 0.4 * scene + 0.6 * images.palette()[15]
    assert np.array_equal(drawn[labels == 0], scene[labels == 0])
    assert np.abs(drawn - mixed)[labels == 15].max() <= 1


def test_comparison_shows_picture_masks_and_the_classes_that_occur(scene):
    palette, classes = images.palette(), [f"class {k}" for k in range(21)]
    maps = {
        "one": np.full((HEIGHT, WIDTH), 5, np.uint8),
        "two": np.full((HEIGHT, WIDTH), 9, np.uint8),
    }
    sheet = np.asarray(drawing.comparison(scene, maps, classes=classes, palette=palette))
    side = drawing.PANEL * round(drawing.PANEL * HEIGHT / WIDTH)
    for label in range(1, 21):
        pixels = (sheet == palette[label]).all(-1).sum()
        if label in (5, 9):  # a panel and a swatch
            assert side < pixels < side + 2 * drawing.SWATCH**2
        else:
            assert pixels < drawing.SWATCH  # letters and the picture have few such pixels


@pytest.mark.parametrize(("shape", "models"), [((1, 2000), 1), ((2000, 1), 5), ((64, 80), 2)])
def test_comparison_has_room_for_every_name(shape, models):
    classes = [f"a class with the long name {k}" for k in range(21)]
    labels = np.resize(np.arange(21, dtype=np.uint8), shape)
    maps = {f"model_with_a_long_name_{k}": labels for k in range(models)}
    image = np.zeros((*shape, 3), np.uint8)
    sheet = np.asarray(drawing.comparison(image, maps, classes=classes, palette=images.palette()))
    for border in (sheet[:4], sheet[-4:], sheet[:, :4], sheet[:, -4:]):
        assert (border == 255).all()  # nothing is cut off


def test_comparison_of_a_mask_without_a_class_has_no_legend(scene):
    """As of `segmodels predict --classes` where a model has no background."""
    nothing = np.full((HEIGHT, WIDTH), drawing.NO_CLASS, np.uint8)
    some = np.zeros((HEIGHT, WIDTH), np.uint8)
    heights = []
    for labels in (nothing, some):
        sheet = drawing.comparison(
            scene, {"one": labels}, classes=["sky"], palette=images.palette()
        )
        heights.append(sheet.height)
    assert heights[0] == heights[1] - drawing.LINE


@pytest.mark.parametrize("scaled", [lambda x: x * 255, lambda x: (x - 0.5) / 0.25])
def test_pixels_that_are_no_rgb_of_0_to_1_are_refused(scene, scaled):
    image = torch.tensor(scene).permute(2, 0, 1) / 255
    assert np.array_equal(predictor.as_image(image), scene)
    with pytest.raises(ValueError, match="beyond 0..1: expected RGB in 0..1, not normalised"):
        predictor.as_image(scaled(image))
    with pytest.raises(ValueError, match="beyond 0..1"):
        predictor.as_image(image.fill_(float("nan")))


def test_on_the_cpu_the_cpu_decides_the_precision(monkeypatch):
    """A GPU computes in bf16, this CPU does not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    network = as_network(torch.nn.Identity(), None)
    assert predictor.placed(network, "auto", "cpu").precision == "fp32"


def test_a_folder_that_cannot_be_read_is_a_problem(tmp_path, scene, monkeypatch):
    (tmp_path / "closed").mkdir()
    Image.fromarray(scene).save(tmp_path / "a.png")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = photos.find([tmp_path])
    assert [file.name for file in found.files] == ["a.png"]
    assert found.problems == [f"{tmp_path}/closed: Permission denied"]
    assert photos.find([tmp_path / "closed"]).problems == found.problems


def test_links_in_a_circle_lead_to_no_file(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    assert photos.find([tmp_path / "loop"]).files == [tmp_path / "loop"]
    with pytest.raises(ValueError, match="loop: there is no file, expected an image"):
        photos.read(tmp_path / "loop")


def test_an_array_of_opencv_turned_to_rgb_is_taken(scene):
    turned = scene[:, :, ::-1]
    taken = predictor.as_image(turned)
    assert np.array_equal(taken, turned)
    torch.from_numpy(taken)
