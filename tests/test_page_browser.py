"""The page in a browser: what a reader clicks, moves and presses does what it says."""

import colorsys
import json

import numpy as np
import pytest
from chromium import PROGRAM, Browser
from conftest import missing
from made_up_page import CLASSES, COSTS, GROUPS, MODELS, SIZE, VAL, prediction, target

from segmodels.data import images

MARKS = """[...document.querySelectorAll("#chart-cost .series")].map((group) => {
    const { x, width } = group.querySelector(".mark").getBBox();
    return [group.dataset.model, x + width / 2]; })"""
BOXES = """[...document.querySelectorAll("#chart-cost .mark, #chart-cost .name")].map((each) => {
    const { x, y, width, height } = each.getBBox(); return [x, y, width, height]; })"""


@pytest.fixture(scope="module")
def page(made_up_project):
    return made_up_project / "data/page/index.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if PROGRAM is None:
        missing("needs Chromium or Chrome on the path")
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(chromium, page):
    """The page, freshly opened; at the end nothing may have gone wrong or left the machine."""
    chromium.open(page)
    chromium.until("document.querySelectorAll('#panels canvas').length > 0")
    yield chromium
    assert chromium.complaints() == []


def texts(browser, selector):
    return browser.js(
        f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText)"
    )


def shown(browser):
    """Pixels of every panel: (panels, H, W, 3)."""
    found = browser.js(
        """[...document.querySelectorAll("#panels canvas")].map((canvas) =>
        [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""
    )
    return np.array(found).reshape(-1, *SIZE, 4)[..., :3]


def column(browser, k):
    return texts(browser, f"#scores tbody tr > :nth-child({k})")


def test_a_click_on_a_heading_sorts_and_another_turns_the_order_round(browser):
    heading = "#scores th:nth-child(2)"
    unsorted = column(browser, 2)
    browser.click(f"{heading} button")
    falling = column(browser, 2)
    assert falling == sorted(unsorted, key=lambda cell: -float(cell.rstrip("%")))
    assert browser.js(f"document.querySelector('{heading}').ariaSort") == "descending"
    browser.key("Enter")  # the button has the focus
    assert column(browser, 2) == falling[::-1]
    assert browser.js("document.querySelectorAll('#scores [aria-sort]').length") == 1


def test_names_sort_by_letter_and_blanks_stay_last(browser):
    browser.click("#scores th:nth-child(1) button")
    assert column(browser, 1) == sorted([*MODELS, "all background"])
    for _ in range(2):  # the floor has no interval
        browser.click("#scores th:nth-child(3) button")
        assert column(browser, 1)[-1] == "all background"


def test_a_model_is_switched_off_and_a_study_shows_its_models_only(browser):
    def drawn():
        lines = "[...document.querySelectorAll('#chart-miou .series')].map(e => e.dataset.model)"
        return browser.js(lines)

    assert drawn() == MODELS
    browser.click("#switches tbody tr:nth-child(2) input")
    assert drawn() == [MODELS[0], MODELS[2]]
    browser.click("#presets button:nth-child(2)")
    assert texts(browser, "#presets button") == ["all models", "skips"]
    assert drawn() == MODELS[1:]
    checked = browser.js("[...document.querySelectorAll('#switches input')].map(e => e.checked)")
    assert checked == [False, True, True]


def test_the_epoch_under_the_pointer_is_read_in_both_charts(browser):
    browser.point("#chart-loss", across=0.1)  # left of epoch 1, near epoch 0
    assert texts(browser, "#epoch-shown") == ["0"]
    assert texts(browser, "#switches tbody td:last-child") == ["10.0%"] * 3
    browser.js("document.getElementById('epoch').focus()")
    browser.key("ArrowRight")
    assert texts(browser, "#epoch-shown") == ["1"]
    # linspace(0.1, 0.9 | 0.7 | 0.5, 9)[1], and 2.1 / (1 + epoch) + 0.1
    assert texts(browser, "#switches tbody td:last-child") == ["20.0%", "17.5%", "15.0%"]
    assert texts(browser, "#switches tbody tr:first-child td:nth-child(2)") == ["1.150"]


def test_curves_are_where_their_values_are(browser):
    path = "document.querySelector('#chart-miou .series .line').getAttribute('d')"
    points = np.array([step.split() for step in browser.js(path)[1:].split("L")], float)
    across, down = points.T
    np.testing.assert_allclose(np.diff(across), np.diff(across)[0], atol=0.11)  # epochs 0, 1, ...
    np.testing.assert_allclose(np.diff(down), np.diff(down)[0], atol=0.11)  # mIoU rises evenly
    zero, tenth = browser.js(
        "[...document.querySelectorAll('#chart-miou .rule')].slice(0, 2).map(e => e.getBBox().y)"
    )
    assert down[0] == pytest.approx(tenth, abs=0.1) and tenth < zero


@pytest.mark.parametrize("width", [1240, 390])
def test_models_are_where_their_cost_is_with_names_that_cover_nothing(browser, page, width):
    browser.open(page, width=width)
    browser.until("document.querySelectorAll('#chart-cost .mark').length === 3")
    for name, k in [("latency, ms", 1), ("GMACs", 0), ("training's peak memory, GB", 3)]:
        browser.choose("#cost-kind", name)
        across = dict(browser.js(MARKS))
        values = np.log([COSTS[model][k] for model in MODELS])
        places = [across[model] for model in MODELS]
        slope = np.diff(places) / np.diff(values)  # logarithmic: equal factors, equal distances
        np.testing.assert_allclose(slope, slope[0], rtol=0.05)
        assert slope[0] > 0
        assert (
            browser.js("document.querySelector('#chart-cost > text:last-of-type').textContent")
            == f"{name}, logarithmic"
        )
        boxes = browser.js(BOXES)
        assert len(boxes) == 2 * len(MODELS)  # names and markers
        for i, (x, y, w, h) in enumerate(boxes):
            assert x >= 0 and x + w <= width
            for u, v, s, t in boxes[:i]:
                assert x >= u + s or u >= x + w or y >= v + t or v >= y + h


def test_a_table_of_groups_is_sorted_by_a_model(browser):
    assert sorted(texts(browser, "#groups tbody th")) == sorted(GROUPS)
    browser.click("#groups th:nth-child(4) button")  # fcn32s
    falling = [float(text) for text in texts(browser, "#groups tbody td:nth-child(4)")]
    assert falling == sorted(falling, reverse=True) and falling[0] > falling[1]


def test_the_slider_of_opacity_blends_masks_with_the_picture(browser):
    photo = shown(browser)[0].astype(float)
    colours = images.palette()
    labels = [target(0)[0], *(prediction(0, worse) for worse in range(3))]
    browser.js("document.getElementById('opacity').focus()")
    for key, opacity in [(None, 0.7), ("ArrowLeft", 0.69)]:
        if key:
            browser.key(key)
        for found, label in zip(shown(browser)[1:], labels, strict=True):
            blend = photo + opacity * (colours[label] - photo)
            expected = np.where(label[..., None] == 0, photo, blend)
            np.testing.assert_allclose(found, expected, atol=2)  # rounded once per colour
    assert texts(browser, "#opacity-shown") == ["69%"]


def test_errors_are_marked_where_truth_and_mask_differ_but_not_in_void(browser):
    photo = shown(browser)[0]
    browser.choose("#order", "worst first")
    browser.choose("#order", "as in the list")
    browser.until("document.querySelectorAll('#panels canvas').length === 5")
    browser.click("input[value=errors]")
    truth = target(0)[0]
    for found, worse in zip(shown(browser)[2:], range(3), strict=True):
        wrong = (prediction(0, worse) != truth) & (truth != 255)
        np.testing.assert_array_equal((found != photo).any(axis=-1), wrong)
    legend = texts(browser, "#legend li")
    assert [line.split(":")[0] for line in legend[:3]] == ["missed", "invented", "confused"]


def test_the_pixel_under_the_pointer_is_named_in_every_panel(browser):
    browser.point("#panels figure:nth-child(2) canvas", across=10.5 / 60, down=15.5 / 48)
    assert texts(browser, "#panels em")[1:] == [CLASSES[1]] * 4
    browser.point("#panels figure:nth-child(2) canvas", across=5.5 / 60, down=15.5 / 48)
    assert texts(browser, "#panels em")[1] == "void"


def test_a_class_keeps_the_pictures_that_show_it_and_order_puts_the_worst_first(browser):
    def names():
        return browser.js("[...document.querySelectorAll('#thumbs button')].map(e => e.title)")

    assert [name.split(",")[0] for name in names()] == VAL
    browser.choose("#by-class", CLASSES[1])  # of pictures 0 and 3
    assert [name.split(",")[0] for name in names()] == ["007", "NA"]
    browser.choose("#by-model", "fcn32s")
    iou = {}
    for k in (0, 3):
        true, found = target(k)[0], prediction(k, 2)
        seen = true != 255
        both = ((true == 1) & (found == 1)).sum()
        iou[VAL[k]] = both / (((true == 1) | (found == 1)) & seen).sum()
    expected = [f"{name}, IoU {value:.1%}" for name, value in iou.items()]
    assert names() == expected
    browser.choose("#order", "worst first")
    assert names() == sorted(expected, key=lambda text: float(text.split()[-1].rstrip("%")))
    worst = min(iou.values())
    browser.js(
        f"""(() => {{ const slider = document.getElementById("at-most");
        slider.value = {int(100 * worst) + 1}; slider.dispatchEvent(new Event("input")); }})()"""
    )
    assert len(names()) == 1
    assert "(1 of 1)" in texts(browser, "#picture-name")[0]


def test_where_no_picture_matches_the_page_says_so_and_goes_on(browser):
    browser.choose("#by-model", "unet")  # every picture is right
    browser.js("document.getElementById('at-most').focus()")
    browser.key("ArrowLeft")
    assert texts(browser, "#picture-name") == ["No picture matches"]
    browser.js("document.getElementById('opacity').focus()")
    browser.key("ArrowLeft")
    browser.choose("#by-model", "fcn32s")
    browser.until("document.querySelectorAll('#panels canvas').length === 5")


def test_arrows_and_buttons_turn_the_pictures(browser):
    browser.click("#next")
    browser.until(f"document.getElementById('picture-name').innerText.startsWith('{VAL[1]}')")
    browser.click("#thumbs li:nth-child(4) button")
    assert texts(browser, "#picture-name") == ["NA (4 of 4)"]
    browser.key("ArrowLeft")
    assert texts(browser, "#picture-name") == ["2007_000042 (3 of 4)"]
    focus = browser.js("document.activeElement.getAttribute('aria-current')")
    assert focus == "true"


def test_another_confusion_matrix_is_shown_when_chosen(browser):
    cells = "#matrix tbody td"
    assert texts(browser, f"{cells}.right") == ["100"] * 4  # U-Net has the truth itself
    browser.choose("#matrix-model", "fcn32s")
    counts = np.zeros((4, 4), int)
    for k in range(len(VAL)):
        truth, found = target(k)[0], prediction(k, 2)
        np.add.at(counts, (truth[truth != 255], found[truth != 255]), 1)
    share = 100 * counts / counts.sum(1, keepdims=True)
    found = [float(cell or 0) for cell in texts(browser, cells)]
    np.testing.assert_allclose(np.reshape(found, (4, 4)), share, atol=0.51)  # whole percent
    assert not np.allclose(counts, counts.T)  # or rows and columns could be swapped unseen
    top = max((counts[t, p], t, p) for t in range(4) for p in range(4) if t != p)
    first = texts(browser, "#worst-pairs li")[0]
    assert first.startswith(f"{CLASSES[top[1]]} taken for {CLASSES[top[2]]}: {top[0]} pixels")


def test_names_are_text_and_never_markup(browser):
    assert texts(browser, "#heat tbody th") == CLASSES
    assert texts(browser, "#matrix tbody th") == CLASSES
    assert browser.js("document.querySelectorAll('b').length") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_the_reader_s_scheme_is_followed_and_can_be_switched(browser, page, dark):
    def lightness():
        rgb = browser.js("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g)")
        return colorsys.rgb_to_hls(*(float(value) / 255 for value in rgb[:3]))[1]

    browser.open(page, dark=dark)
    assert (lightness() < 0.5) == dark
    browser.click("#theme")
    assert (lightness() < 0.5) != dark
    browser.click("#theme")
    assert (lightness() < 0.5) == dark


def test_a_phone_shows_all_without_scrolling_sideways(browser, page):
    browser.open(page, width=390, height=844)
    browser.until("document.querySelectorAll('#panels canvas').length > 0")
    browser.js("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert browser.js("document.documentElement.scrollWidth") == 390
    assert browser.js("document.querySelector('#scores').offsetWidth") > 390  # it scrolls inside
    browser.click("#next")
    browser.click("#switches input")
    buttons = "[...document.querySelectorAll('button, select, #switches label')]"
    seen = f"{buttons}.filter((each) => each.offsetHeight).map((each) => each.offsetHeight)"
    assert min(browser.js(seen)) >= 24  # pixels; WCAG 2.2, target size (minimum)
