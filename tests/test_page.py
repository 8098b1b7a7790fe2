import os
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import write_picture
from made_up_reports import confusion, write_report
from PIL import Image

from segmodels.data import voc
from segmodels.files import write_bytes, write_csv
from segmodels.reporting import canvas, page, tables

ROOT = Path(__file__).parents[1]
CLASSES = ["background", "aeroplane", "bicycle", "bird"]
COLOURS = page.mask_colours(None, 255)


def labels(height, width, *values):
    """Vertical stripes of the given labels."""
    return np.repeat(np.resize(values, width)[None], height, axis=0).astype(np.uint8)


def row(height=64, width=80, truth=(0, 1, 255), prediction=(0, 2)):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    masks = [labels(height, width, *truth), labels(height, width, *prediction)]
    return page.Row("2007_000033", noise, masks)


def drawn(rows):
    """Pixels (H, W, 3) of a grid, and the names in its legend."""
    figure = page.grid(rows, ["unet"], classes=CLASSES, colours=COLOURS)
    with Image.open(BytesIO(canvas.png(figure))) as image:
        pixels = np.asarray(image.convert("RGB"))
    return pixels, [text.get_text() for text in figure.legends[0].get_texts()]


def cell(pixels, column, *, height, width, widest):
    """The pixels of a column's cell in the first row."""
    left = page.MARGIN + column * (widest + page.GAP)
    return pixels[page.HEADER : page.HEADER + height, left : left + width]


def test_cells_of_a_small_picture_are_its_pixels_three_times_enlarged():
    small = row()
    pixels, _ = drawn([small])
    shown = [small.image, *(COLOURS[mask] for mask in small.labels)]
    for column, expected in enumerate(shown):
        found = cell(pixels, column, height=192, width=240, widest=240)
        np.testing.assert_array_equal(found, np.kron(expected, np.ones((3, 3, 1), np.uint8)))


def test_masks_of_a_photograph_keep_exact_colours_when_shrunk():
    pixels, _ = drawn([row(375, 500)])
    found = cell(pixels, 1, height=240, width=320, widest=320)
    seen = {tuple(map(int, colour)) for colour in found.reshape(-1, 3)}
    assert seen == {(0, 0, 0), (128, 0, 0), (224, 224, 192)}  # VOC: background, aeroplane, void


def test_masks_of_a_photograph_are_not_shifted():
    truth = np.zeros((375, 500), np.uint8)
    truth[100:200, 300:400] = 1
    big = page.Row("a", np.zeros((375, 500, 3), np.uint8), [truth, truth])
    found = cell(drawn([big])[0], 1, height=240, width=320, widest=320)
    down, across = np.nonzero(found[..., 0] == 128)
    # 0.64 of the size
    assert (down.min(), down.max() + 1, across.min(), across.max() + 1) == (64, 128, 192, 256)


def test_tall_and_wide_pictures_share_columns():
    pixels, _ = drawn([row(80, 64), row(64, 80, prediction=(3,))])
    tall = cell(pixels, 2, height=240, width=192, widest=240)
    assert tuple(tall[0, 0]) == (0, 0, 0)
    below = pixels[page.HEADER + 240 + page.GAP :]
    assert tuple(below[0, page.MARGIN + 2 * (240 + page.GAP)]) == (128, 128, 0)  # bird


@pytest.mark.parametrize(
    ("truth", "prediction", "names"),
    [
        ((0, 1, 255), (0, 2), ["background", "aeroplane", "bicycle", "void"]),
        ((0, 1), (0, 0), ["background", "aeroplane"]),
        ((0,), (3,), ["background", "bird"]),
    ],
)
def test_legend_names_exactly_what_is_shown(truth, prediction, names):
    assert drawn([row(truth=truth, prediction=prediction)])[1] == names


def test_legend_swatches_have_the_palette_colours():
    figure = page.grid([row()], ["unet"], classes=CLASSES, colours=COLOURS)
    swatches = [patch.get_facecolor()[:3] for patch in figure.legends[0].get_patches()]
    np.testing.assert_allclose(np.array(swatches) * 255, COLOURS[[0, 1, 2, 255]])


def test_mask_colours_are_the_data_sets_own_and_void_is_that_of_voc():
    colours = page.mask_colours([(1, 2, 3), (4, 5, 6)], 2)
    assert colours[:3].tolist() == [[1, 2, 3], [4, 5, 6], [224, 224, 192]]


def pixels_of(**pictures):
    return pd.DataFrame(pictures.values(), index=list(pictures), columns=CLASSES)


def test_choose_takes_new_classes_before_more_of_the_same():
    pixels = pixels_of(twice=[90, 0, 10, 0], both=[60, 0, 20, 20], new=[90, 10, 0, 0])
    assert page.choose(pixels, 2) == ["both", "new"]
    assert page.choose(pixels, 99) == ["both", "new", "twice"]  # each once


def test_choose_passes_over_objects_too_small_to_see():
    pixels = pixels_of(specks=[990, 4, 3, 3], plane=[90, 10, 0, 0])
    assert page.choose(pixels, 1) == ["plane"]


def test_html_shows_every_score_and_escapes_names(tmp_path):
    write_report(tmp_path, "unet", counts=confusion(1))
    results = [tables.read_result("unet", tmp_path)]
    text = page.html(
        title="a <b> & $c",
        summary=tables.summary(results),
        caption="1 < 2",
        studies={"x&y": "masks_x&y.png"},
    )
    assert "<h1>a &lt;b&gt; &amp; $c</h1>" in text
    assert "1 &lt; 2" in text and "<h2>x&amp;y</h2>" in text and "masks_x%26y.png" in text
    assert f"<td>{results[0].metrics['miou'] * 100:.1f}%</td>" in text
    assert "<td>all background</td><td>15.0%</td>" in text
    assert not re.search(r"https?:|//", text)  # works without a network


def test_page_stage_writes_what_its_index_shows(tmp_path):
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings |= {
        "model": "unet",
        "models": {"unet": {"arch": "unet"}},
        "studies": {"one": ["unet"]},
    }
    settings["datasets"]["miniature"] |= {"classes": CLASSES, "groups": {}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (truth, prediction), image = row().labels, row().image
    root = tmp_path / voc.dataset_root("miniature")
    write_picture(root, "007", image, truth)
    runs = tmp_path / "data/predictions/miniature/unet"
    voc.write_target(runs / "007.png", prediction, voc.palette())
    counts = np.bincount(truth[truth != 255], minlength=4)
    columns = ["image_id", "split", "width", "height", "void_share", *CLASSES]
    index = pd.DataFrame([["007", "val", 80, 64, 0.3, *counts]], columns=columns)
    write_csv(tmp_path / "data/miniature/index.csv", index)
    write_report(
        tmp_path / "reports/models", "unet", counts=confusion(1, [9, 9, 9, 0]), classes=CLASSES
    )
    write_bytes(tmp_path / "reports/comparison/overview.png", b"a figure")
    subprocess.run(
        [sys.executable, "-m", "stages.page"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    out = tmp_path / "data/page"
    shown = set(re.findall(r'src="([^"]+)"', (out / "index.html").read_text(encoding="utf-8")))
    assert shown == {"overview.png", "masks_one.png"}
    assert {path.name for path in out.iterdir()} == shown | {"index.html"}
    with Image.open(out / "masks_one.png") as grid:
        found = cell(np.asarray(grid.convert("RGB")), 2, height=192, width=240, widest=240)
    np.testing.assert_array_equal(found[::3, ::3], COLOURS[prediction])


def test_headline_stage_adds_the_floor_and_needs_no_data_set(tmp_path):
    write_report(tmp_path / "reports/models", "unet", counts=confusion(1))
    subprocess.run(
        [sys.executable, "-m", "stages.headline", "unet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    out, source = tmp_path / "reports/headline", tmp_path / "reports/models/unet"
    history = pd.read_csv(out / "history.csv")
    assert history["floor_miou"].tolist() == pytest.approx([0.15] * 9)
    pd.testing.assert_frame_equal(
        history.drop(columns="floor_miou"), pd.read_csv(source / "history.csv")
    )
    for name in ("per_class.csv", "confusion.csv"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    written = yaml.safe_load((out / "metrics.json").read_text(encoding="utf-8"))
    assert written["model"] == "unet" and written["floor_miou"] == pytest.approx(0.15)
    assert not any(isinstance(value, (dict, list)) for value in written.values())
