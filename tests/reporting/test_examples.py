"""The sheets of examples: which images, and where their pixels are."""

from io import BytesIO

import numpy as np
import pytest
from helpers.made_up_page import MODELS, SIZE, VAL, make_page, write_project
from PIL import Image

from segmodels.config import params
from segmodels.config.paths import Paths
from segmodels.data import images, layout
from segmodels.reporting import examples, gallery
from segmodels.reporting.result import read_result
from stages import page as page_stage

COLOURS = gallery.mask_colours(None, 255)


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(3, [0, 1, 2]), (6, [0, 1, 2, 3, 4, 5]), (11, [0, 2, 4, 6, 8, 10]), (1, [0])],
)
def test_images_are_chosen_at_even_distances(count, chosen):
    ids = [str(k) for k in range(count)]
    assert examples.choose(ids) == [str(k) for k in chosen]


def test_labels_are_colours_over_the_image_and_background_is_the_image():
    image = np.full((2, 4, 3), 100, np.uint8)
    target, prediction = np.zeros((2, 2, 4), np.uint8)
    target[:, 2:] = 15
    prediction[1] = 255
    columns = examples.column(image, target, prediction, COLOURS)
    photo, truth, guess = (np.asarray(panel).astype(int) for panel in columns)
    assert photo.shape == (100, 200, 3) and (photo == 100).all()
    tinted = 0.4 * 100 + 0.6 * COLOURS[15].astype(float)
    assert np.abs(truth[:, 100:] - tinted).max() <= 1
    assert (truth[:, :100] == 100).all()
    assert (guess[:50] == 100).all() and (guess[50:] != 100).any()


def test_a_first_class_that_is_no_background_has_its_colour():
    """Found: the sky of CamVid, its label 0, was never drawn."""
    image = np.full((2, 4, 3), 100, np.uint8)
    sky = np.zeros((2, 4), np.uint8)
    columns = examples.column(image, sky, sky, COLOURS, background=False)
    for panel in columns[1:]:
        tinted = 0.4 * 100 + 0.6 * COLOURS[0].astype(float)
        assert np.abs(np.asarray(panel) - tinted).max() <= 1


def test_sheet_has_images_in_columns_at_the_height_of_the_tallest():
    wide, tall = (Image.new("RGB", size, "red") for size in ((200, 120), (90, 200)))
    sheet = Image.open(BytesIO(examples.sheet([[wide] * 3, [tall] * 3])))
    gap = examples.GAP
    assert sheet.size == (2 * 200 + gap, 3 * 200 + 2 * gap)
    pixels = np.asarray(sheet).astype(int)
    red = np.abs(pixels - [254, 0, 0]).max(axis=2) < 12
    assert red[60, 100] and not red[160, 100]
    assert red[204 + 100, 204 + 45] and not red[204 + 100, 204 + 150]


def test_page_stage_draws_a_sheet_for_each_model(tmp_path):
    write_project(tmp_path)
    make_page(tmp_path)
    folder = tmp_path / "data/examples"
    assert sorted(path.stem for path in folder.iterdir()) == sorted(MODELS)
    root = tmp_path / Paths(dataset="miniature").tree
    image_id = VAL[0]
    labels = images.read_target(tmp_path / f"data/predictions/miniature/{MODELS[1]}/{image_id}.png")
    image = images.read_image(layout.image_path(root, image_id))
    target = images.read_target(layout.target_path(root, image_id))
    panels = examples.column(image, target, labels, COLOURS)
    sheet = np.asarray(Image.open(folder / f"{MODELS[1]}.jpg")).astype(float)
    height, width = panels[0].height, panels[0].width
    for row, panel in enumerate(panels):
        top = row * (height + examples.GAP)
        shown = sheet[top : top + height, :width]
        assert np.abs(shown - np.asarray(panel)).mean() < 12


def test_page_stage_draws_label_0_of_a_data_set_without_background(tmp_path, monkeypatch):
    write_project(tmp_path)
    file = tmp_path / "params.yaml"
    file.write_text(file.read_text("utf-8").replace("- background", "- sky"), "utf-8")
    monkeypatch.chdir(tmp_path)
    settings = params.load(file)
    drawn = []
    for _ in range(2):
        result = read_result(MODELS[0], tmp_path / "reports/models")
        page_stage.draw_examples([result], settings, COLOURS)
        sheet = Image.open(tmp_path / f"data/examples/{MODELS[0]}.jpg")
        drawn.append(np.asarray(sheet).astype(float))
        settings.data.classes[0] = "background"
    height = round(examples.SIDE * SIZE[0] / SIZE[1])
    truth = slice(height + examples.GAP, 2 * height + examples.GAP)
    sky, background = (sheet[truth, : examples.SIDE].mean() for sheet in drawn)
    assert sky < 0.7 * background  # VOC's colour of label 0 is black
