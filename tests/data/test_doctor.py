"""`segmodels check`: each finding is planted once; on a clean set all stay silent."""

import re
import shutil
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import write_picture, write_split
from PIL import Image

from segmodels import cli
from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset
from segmodels.data import images, layout
from segmodels.data.doctor import counts, examine, likeness, objects, rims, trees, turned
from segmodels.reporting import data_check
from stages import index as index_stage

CLASSES = ["background", "cat", "dog"]
TRAIN = [f"photo_{k:03d}" for k in range(12)]
VAL = [f"photo_{k:03d}" for k in range(12, 24)]
HEIGHT, WIDTH = 96, 120
EXIF_UPSIDE_DOWN = 3


def noise(rng, height=HEIGHT, width=WIDTH):
    """(H, W, 3) uint8: soft spots, as a photograph out of focus."""
    spots = rng.integers(60, 200, (height // 12, width // 12, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC))


def scene(rng):
    """An image with a cat and a dog, and its mask with a border of void."""
    image = noise(rng).copy()
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, left in ((1, 8), (2, 66)):
        top = rng.integers(6, 30)
        height, width = rng.integers(30, 45, 2)
        labels[top - 1 : top + height + 1, left - 1 : left + width + 1] = 255
        labels[top : top + height, left : left + width] = label
        image[top : top + height, left : left + width] = (
            (230, 20, 20) if label == 1 else (10, 30, 240)
        )
    return image, labels


@pytest.fixture
def root(tmp_path):
    """A VOC tree without anything wrong."""
    rng = np.random.default_rng(7)
    root = tmp_path / "tree"
    for image_id in TRAIN + VAL:
        write_picture(root, image_id, *scene(rng))
    write_split(root, "train", TRAIN)
    write_split(root, "val", VAL)
    return root


def mask(root, image_id):
    return images.read_target(layout.target_path(root, image_id))


def change(root, image_ids, alter):
    """Rewrite masks."""
    for image_id in image_ids:
        path = layout.target_path(root, image_id)
        images.write_target(
            path, np.ascontiguousarray(alter(mask(root, image_id))), images.palette()
        )


def diagnose(root, base_size=None, **data):
    dataset = Dataset(**({"classes": CLASSES} | data))
    with trees.linked(root) as tree:
        return examine.examine(tree, dataset, "pets", base_size)


def the_finding(root, words, base_size=None, **data):
    """The one finding that says `words`, where nothing else is found."""
    diagnosis = diagnose(root, base_size, **data)
    assert diagnosis.problems == []
    assert [finding.text for finding in diagnosis.findings if words not in finding.text] == []
    (finding,) = diagnosis.findings
    return finding


def test_clean_data_set_has_no_findings(root):
    diagnosis = diagnose(root)
    assert (diagnosis.problems, diagnosis.findings) == ([], [])
    assert len(diagnosis.index) == len(TRAIN + VAL)


def test_class_that_no_training_mask_holds_is_a_problem(root):
    (problem,) = diagnose(root, classes=[*CLASSES, "horse"]).problems
    assert "no pixel of horse in train" in problem and "allow_absent: [horse]" in problem


def test_class_that_is_in_no_list(root):
    finding = the_finding(root, "", classes=[*CLASSES, "horse"], allow_absent=["horse", "dog"])
    assert finding.text.startswith("no pixel of horse in train or val, which `allow_absent` lets")


def test_class_of_val_that_train_lacks(root):
    def add_horse(labels):
        labels = labels.copy()
        labels[70:94, 0:24] = 3
        return labels

    change(root, VAL[:2], add_horse)
    diagnosis = diagnose(root, classes=[*CLASSES, "horse"], allow_absent=["horse"])
    finding = diagnosis.findings[0]
    assert "val shows horse (2 images), which no mask of train holds" in finding.text
    assert finding.suspects == ((VAL[0],), (VAL[1],))
    few = diagnosis.findings[1]
    assert "val: few images hold half of the pixels of horse (1 of 2)" in few.text
    assert len(diagnosis.findings) == 2


def test_masks_of_0_and_255_are_a_problem_with_its_map(root):
    change(root, TRAIN + VAL, lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8))
    problems = diagnose(root, classes=["background", "cat"]).problems
    assert "{0: background, 255: cat}" in problems[0]


def test_some_masks_of_0_and_255(root):
    change(root, TRAIN[:2], lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8))
    finding = the_finding(root, "2 of 12 masks of train hold 0 and 255 (void) alone")
    assert finding.suspects == ((TRAIN[0],), (TRAIN[1],))


def test_void_above_the_share_is_a_problem(root):
    change(root, VAL, lambda labels: np.where(labels == 1, labels, 255).astype(np.uint8))
    (problem,) = diagnose(root, allow_void=0.5).problems
    assert "of the pixels of val are 255 (void)" in problem and "allow_void: 1" in problem


def test_single_masks_that_are_void(root):
    change(root, TRAIN[3:4], lambda labels: np.full_like(labels, 255))
    finding = the_finding(root, "1 of 12 masks of train are void to 90% or more")
    assert finding.suspects == ((TRAIN[3],),)


def test_transposed_mask_is_a_problem_that_names_exif(root):
    change(root, TRAIN[:1], lambda labels: labels.T)
    (problem,) = diagnose(root).problems
    assert TRAIN[0] in problem and "turned, by EXIF" in problem


def store_upside_down(root, image_id):
    """Store an image upside down, with the EXIF that makes a viewer turn it back."""
    path = layout.image_path(root, image_id)
    exif = Image.Exif()
    exif[0x0112] = EXIF_UPSIDE_DOWN
    Image.fromarray(images.read_image(path)[::-1, ::-1]).save(path, exif=exif, quality=95)


def test_masks_drawn_on_what_is_stored_of_a_turned_photograph(root):
    for image_id in TRAIN[:2]:
        store_upside_down(root, image_id)  # its mask fits what a viewer shows
    findings = diagnose(root).findings
    assert ["2 images are turned by their EXIF" in finding.text for finding in findings] == [True]
    change(root, TRAIN[1:2], lambda labels: labels[::-1, ::-1])  # and this one fits what is stored
    turned_, misfit = diagnose(root).findings
    assert "1 image: the mask fits only without the turn that EXIF asks for" in misfit.text
    assert misfit.suspects == ((TRAIN[1],),)


def copy_of(root, source, target, change_image=lambda image: image, quality=95):
    """Make one image and mask a copy of another."""
    image = change_image(Image.open(layout.image_path(root, source)).convert("RGB"))
    labels = Image.fromarray(mask(root, source)).resize(image.size, Image.Resampling.NEAREST)
    write_picture(root, target, np.asarray(image), np.asarray(labels))
    image.save(layout.image_path(root, target), quality=quality)


def test_same_file_in_both_lists(root):
    for place in (layout.image_path, layout.target_path):
        shutil.copyfile(place(root, TRAIN[4]), place(root, VAL[2]))
    finding = the_finding(root, f"the same file is in train under another id, {VAL[2]} as")
    assert finding.suspects == ((TRAIN[4], VAL[2]),)


def test_same_file_in_train_and_test(root):
    for place in (layout.image_path, layout.target_path):
        shutil.copyfile(place(root, TRAIN[4]), place(root, VAL[2]))
    write_split(root, "val", VAL[6:])
    write_split(root, "final", VAL[:6])
    texts = [finding.text for finding in diagnose(root, test="final").findings]
    said = [text for text in texts if "the same file is in train" in text]
    assert len(said) == 1 and said[0].startswith("1 image of final: ")


def test_class_that_only_test_shows(root):
    write_split(root, "val", VAL[6:])
    write_split(root, "final", VAL[:6])
    change(root, VAL[:1], lambda labels: np.where(labels == 1, 3, labels).astype(np.uint8))
    found = diagnose(root, classes=[*CLASSES, "fox"], allow_absent=["fox"], test="final").findings
    assert any("final shows fox (1 image), which no mask of train holds" in f.text for f in found)


def enlarged(image):
    return image.resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.BICUBIC)


def brighter(image):
    return image.point(lambda value: min(255, round(1.2 * value)))


def mirrored(image):
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


@pytest.mark.parametrize("alter", [enlarged, brighter, mirrored])
def test_nearly_the_same_image_in_both_lists(root, alter):
    copy_of(root, TRAIN[4], VAL[2], alter, quality=40)
    finding = the_finding(root, f"train has nearly the same image, {VAL[2]} and {TRAIN[4]}")
    assert finding.suspects == ((TRAIN[4], VAL[2]),)


def test_frames_of_one_video_in_both_lists(root):
    """The camera moves by 8 pixels from frame to frame."""
    street = noise(np.random.default_rng(0), HEIGHT, 8 * 24 + WIDTH)
    for k, image_id in enumerate(TRAIN + VAL):
        write_picture(root, image_id, street[:, 8 * k : 8 * k + WIDTH], mask(root, image_id))
    finding = the_finding(root, "12 images of val and 12 of train called photo_* are frames")
    assert "val has no other images" in finding.text
    assert finding.suspects[0] == (TRAIN[-1], VAL[0])


def test_class_with_another_share_in_val(root):
    def shrink_cat(labels):
        rows, columns = np.nonzero(labels == 1)
        labels = labels.copy()
        labels[labels == 1] = 0
        labels[rows.min() : rows.min() + 17, columns.min() : columns.min() + 17] = 1
        return labels

    change(root, VAL, shrink_cat)
    finding = the_finding(root, "train and val show different things")
    assert re.search(r"cat \(\d+\.\d\d% against \d\.\d\d%\)", finding.text)
    assert "dog" not in finding.text


def test_class_that_few_images_show(root):
    change(root, TRAIN[2:], lambda labels: np.where(labels == 2, 0, labels).astype(np.uint8))
    finding = the_finding(root, "train: few images hold half of the pixels of dog (1 of 2)")
    assert finding.suspects[0][0] in TRAIN[:2]


def test_rare_class(root):
    def shrink_dog(labels):
        rows, columns = np.nonzero(labels == 2)
        labels = labels.copy()
        labels[labels == 2] = 0
        labels[rows.min() : rows.min() + 16, columns.min() : columns.min() + 16] = 2
        return labels

    change(root, TRAIN + VAL, shrink_dog)
    assert "dog (2." in the_finding(root, "rare are").text


def test_objects_that_vanish_at_the_training_size(root):
    assert diagnose(root, base_size=WIDTH).findings == []
    finding = the_finding(root, "at 40 px (long side) objects smaller than 16 x 16", base_size=40)
    assert "cat (100%; 0%), dog (100%; 0%)" in finding.text
    assert "`train.pets.base_size`" in finding.text


def halved_and_enlarged(how):
    def alter(labels):
        small = Image.fromarray(labels).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST)
        return np.asarray(small.resize((WIDTH, HEIGHT), how))

    return alter


def without_void(labels):
    return np.where(labels == 255, 0, labels).astype(np.uint8)


def test_mask_resized_with_interpolation(root):
    """Labels 1 to 3 between 0 and 4 are classes too, so that nothing else notices."""
    classes = ["background", "cat", "fox", "cow", "dog"]
    change(root, TRAIN + VAL, lambda labels: without_void(labels) * 2)
    data = {"classes": classes, "allow_absent": ["cat", "cow"]}
    change(root, TRAIN + VAL, halved_and_enlarged(Image.Resampling.NEAREST))
    assert not [f for f in diagnose(root, **data).findings if "interpolated" in f.text]
    change(root, TRAIN[:3], halved_and_enlarged(Image.Resampling.BILINEAR))
    (finding,) = [f for f in diagnose(root, **data).findings if "interpolated" in f.text]
    assert "interpolated labels in 3 of 24 masks" in finding.text
    assert {image_id for (image_id,) in finding.suspects} == set(TRAIN[:3])


def save_in_colour(root, image_ids, alter=lambda image: image):
    for image_id in image_ids:
        path = layout.target_path(root, image_id)
        alter(Image.open(path).convert("RGB")).save(path)


def test_palette_masks_saved_as_rgb_get_the_palette_that_reads_them(root):
    save_in_colour(root, TRAIN[:2])
    diagnosis = diagnose(root)
    assert len(diagnosis.problems) == 2 and diagnosis.index is None
    (finding,) = diagnosis.findings
    assert f"2 masks in the colours of VOC's colour map, {TRAIN[0]} first" in finding.text
    said = re.search(r"`palette: (.*)` in `datasets.pets`", finding.text)[1]
    repaired = diagnose(root, palette=yaml.safe_load(said))
    assert (repaired.problems, repaired.findings) == ([], [])


def test_rgb_mask_with_colours_between_those_of_the_palette(root):
    change(root, TRAIN[:1], without_void)
    enlarge = Image.Resampling.BICUBIC
    save_in_colour(root, TRAIN[:1], lambda image: image.resize((WIDTH + 30, HEIGHT), enlarge))
    diagnosis = diagnose(root, palette=images.palette()[:3].tolist())
    assert len(diagnosis.problems) == 1
    (finding,) = diagnosis.findings
    assert "interpolated colours in 1 mask, " in finding.text


def test_what_a_problem_says_is_not_said_again(root):
    """Grey values between 0 and 255: the problem itself speaks of interpolation."""
    change(root, TRAIN[:1], lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8))
    change(root, TRAIN[:1], halved_and_enlarged(Image.Resampling.BICUBIC))
    diagnosis = diagnose(root)
    assert "resized with interpolation" in diagnosis.problems[0]
    assert diagnosis.findings == []


def test_ramp_share_equals_a_loop_over_pixels():
    labels = np.random.default_rng(0).integers(0, 5, (13, 17)).astype(np.uint8)
    labels[labels == 4] = 255
    ramps = jumps = 0
    for lines in (labels.astype(int).tolist(), labels.T.astype(int).tolist()):
        for line in lines:
            steps = [
                b - a if 255 not in (a, b) else 0 for a, b in zip(line, line[1:], strict=False)
            ]
            for i, step in enumerate(steps):
                beside = steps[max(0, i - 1) : i] + steps[i + 1 : i + 2]
                if step and any(other * step > 0 for other in beside):
                    ramps += 1
                elif abs(step) > 1:
                    jumps += 1
    assert rims.ramp_share(labels, void=255) == ramps / (ramps + jumps)
    assert rims.ramp_share(labels[:2, :2], void=255) == 0  # too few steps


def test_colours_between():
    known = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]])
    colours = np.array([[64, 0, 0], [64, 64, 0], [60, 3, 3], [0, 0, 128], [200, 0, 0]])
    assert rims.between(colours, known).tolist() == [True, True, True, False, False]


def flood_fill_areas(labels, label):
    """Sizes of the components with 8 neighbours, by a search from pixel to pixel."""
    todo = {tuple(place) for place in np.argwhere(labels == label).tolist()}
    sizes = []
    while todo:
        queue, size = deque([todo.pop()]), 0
        while queue:
            y, x = queue.popleft()
            size += 1
            for place in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if place in todo:
                    todo.remove(place)
                    queue.append(place)
        sizes.append(size)
    return sorted(sizes)


def test_areas_equal_a_flood_fill():
    labels = np.random.default_rng(0).choice([0, 1, 2], (30, 40), p=[0.7, 0.2, 0.1]).astype("u1")
    for label in (1, 2):
        assert sorted(objects.areas(labels, label).tolist()) == flood_fill_areas(labels, label)


@pytest.mark.parametrize(
    ("pixels", "images"), [([0, 0], 0), ([4], 1), ([1, 1, 1, 1], 2), ([9, 1, 1], 1), ([3, 2, 2], 2)]
)
def test_images_for_half(pixels, images):
    assert counts.images_for_half(pd.Series(pixels)) == images


def test_description_knows_copies_and_tells_others_apart():
    first, second = (noise(np.random.default_rng(seed)) for seed in (0, 1))
    darker = (0.7 * first).astype(np.uint8)
    assert likeness.describe(first) @ likeness.describe(darker) > 0.99
    assert likeness.describe(first) @ likeness.describe(second) < 0.5
    assert not likeness.describe(np.full_like(first, 90)).any()


def test_border_contrast_of_a_case_by_hand():
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, 2:] = 90
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    # 6 steps along rows and 4 along columns; two of them, both on the border, are 90
    assert turned.border_contrast(image, labels) == pytest.approx(90 / (2 * 90 / 10))
    assert turned.border_contrast(image, np.zeros_like(labels)) == 1


def contents(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_nothing_of_the_data_set_is_changed(root):
    save_in_colour(root, TRAIN[:2])
    store_upside_down(root, TRAIN[3])
    before = contents(root)
    assert diagnose(root, palette=images.palette()[:3].tolist()).problems == []
    assert contents(root) == before


def test_folder_without_the_layout_is_refused(root):
    shutil.rmtree(root / "JPEGImages")
    with pytest.raises(ValueError, match="missing JPEGImages; expected ImageSets/Segmentation"):
        diagnose(root)


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    """A folder with params.yaml whose data set `pets` lies in data/own."""
    values = yaml.safe_load((Path(cli.__file__).parents[1] / "params.yaml").read_text("utf-8"))
    values["dataset"] = "pets"
    values["datasets"]["pets"] = {"classes": CLASSES}
    values["train"]["pets"] = values["train"]["miniature"] | {"crop_size": 64, "base_size": WIDTH}
    values["predict"]["pets"] = values["predict"]["miniature"]
    home = tmp_path / "project"
    (home / "data/own").mkdir(parents=True)
    (home / "params.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    root.rename(home / "data/own/pets")
    monkeypatch.chdir(home)
    return home


def said(capsys, *arguments):
    """What a command prints, and its exit status."""
    status = 0
    try:
        cli.main(list(arguments))
    except SystemExit as end:
        status = end.code
    return capsys.readouterr().out.splitlines(), status


LAST = "pets, 12 training and 12 validation images: 0 problems, 0 findings"


def test_command_takes_a_name_or_a_folder(project, capsys):
    for where in ("pets", "data/own/pets"):
        assert said(capsys, "check", where) == ([LAST], 0)
    (project / "elsewhere").symlink_to("data/own/pets")
    assert said(capsys, "check", "elsewhere", "--dataset", "pets") == ([LAST], 0)


def test_command_refuses_what_is_not_there(project, capsys):
    _, status = said(capsys, "check", "voc2012")
    assert "neither data/own/voc2012 nor data/voc2012/VOCdevkit/VOC2012 is there" in status
    _, status = said(capsys, "check", "cats")
    assert "expected a data set (" in status


def test_command_says_where_the_study_of_a_name_is(project, capsys):
    (project / "data/own/cats").mkdir()
    _, status = said(capsys, "check", "cats")
    assert "cats: this params.yaml lacks it; `segmodels new cats` makes a study" in status
    (project / "studies/cats").mkdir(parents=True)
    (project / "studies/cats/params.yaml").touch()
    _, status = said(capsys, "check", "cats")
    assert "of studies/cats/params.yaml, not of this one: cd studies/cats first" in status


def test_command_ends_with_1_where_there_are_problems(project, capsys):
    layout.target_path("data/own/pets", TRAIN[0]).unlink()
    lines, status = said(capsys, "check", "pets")
    assert lines[0] == f"problem: SegmentationClass/{TRAIN[0]}.png: missing"
    assert lines[1].startswith("pets: 1 problem, 0 findings")
    assert status == 1


def test_index_stage_says_what_lists_and_counts_show(project, capsys):
    tree = Paths(dataset="pets").tree
    shutil.copytree("data/own/pets", tree)
    index_stage.main()
    assert capsys.readouterr().out == ""
    copy_of(tree, TRAIN[4], VAL[2])
    index_stage.main()
    finding, hint = capsys.readouterr().out.splitlines()
    assert "train has nearly the same image" in finding
    assert hint == "`segmodels check pets --page check.html` finds more and shows it"


def test_page_is_one_file_with_a_text_for_every_image(project, capsys):
    copy_of("data/own/pets", TRAIN[4], VAL[2])
    lines, status = said(capsys, "check", "pets", "--page", "one.html")
    assert status == 0 and len(lines) == 3 and lines[-1] == "written: one.html"
    html = (project / "one.html").read_text(encoding="utf-8")
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) == 2 + 12 + 12  # a pair, samples, crops
    assert all(re.search(r'src="data:image/jpeg;base64,[^"]+"', image) for image in images)
    alts = [re.search(r'alt="([^"]+)"', image)[1] for image in images]
    assert f"image {VAL[2]} (val), 120 x 96 pixels, its mask over it: background" in html
    assert sum("crop photo_" in alt and "64 x 64 pixels" in alt for alt in alts) == 12
    assert "train has nearly the same image" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    said(capsys, "check", "pets", "--page", "two.html")
    assert (project / "two.html").read_bytes() == (project / "one.html").read_bytes()


def test_page_of_a_refused_data_set_names_the_problems(project, capsys):
    layout.target_path("data/own/pets", TRAIN[0]).unlink()
    said(capsys, "check", "pets", "--page", "one.html")
    html = (project / "one.html").read_text(encoding="utf-8")
    assert f"{TRAIN[0]}.png: missing" in html and "<img" not in html


def test_names_on_the_page_are_escaped(project, capsys, monkeypatch):
    name = "<b>&quot;"
    monkeypatch.setattr(data_check, "examine", lambda *_: examine.Diagnosis([name]))
    said(capsys, "check", "pets", "--page", "one.html")
    assert "&lt;b&gt;&amp;quot;" in (project / "one.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_into_the_window(project, chromium, capsys, width):
    copy_of("data/own/pets", TRAIN[4], VAL[2])
    said(capsys, "check", "pets", "--page", "check.html")
    page = chromium.new_page(viewport={"width": width, "height": 900})
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((project / "check.html").as_uri())
    page.evaluate("document.querySelectorAll('img').forEach((image) => (image.loading = 'eager'))")
    page.wait_for_function("[...document.images].every((image) => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
    assert complaints == []


def test_documented_thresholds_are_those_of_the_code():
    page = Path(cli.__file__).parents[1] / "docs/guides/own-data-checks.md"
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"`([A-Z_]+)` = ([\d.]+)", text)
    modules = (counts, likeness, objects, rims, turned)
    for name, value in found:
        (module,) = [module for module in modules if hasattr(module, name)]
        assert getattr(module, name) == pytest.approx(float(value), abs=0.001), name
    assert len(found) == 14


def test_frames_may_be_numbered_by_their_time():
    """As %Y%m%d%H%M%S%f does: 20 digits, more than an integer of numpy holds."""
    plain = np.random.default_rng(0).normal(size=(24, 8)).cumsum(0).astype(np.float32)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    looks = likeness.Looks(plain, plain[:, ::-1], [str(k) for k in range(24)])
    ids = [f"drive_2024010112000{k:07d}" for k in range(24)]
    assert len(ids[0].partition("_")[2]) == 20
    index = pd.DataFrame({"image_id": ids, "split": ["train"] * 12 + ["val"] * 12})
    (finding,) = likeness._videos(index, looks, Dataset(classes=["a", "b"]), "val", "val")
    assert "called drive_* are frames of one video" in finding.text
    assert finding.suspects[0] == (ids[11], ids[12])
