"""The page in a browser: what a reader clicks, moves and presses does what it says."""

import colorsys

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers.made_up_page import CLASSES, COSTS, GROUPS, MODELS, SIZE, VAL, prediction, target
from playwright.sync_api import expect

from segmodels.data import images
from segmodels.reporting.summary import HEAD

MARKS = """[...document.querySelectorAll("#chart-cost .series")].map((group) => {
    const { x, width } = group.querySelector(".mark").getBBox();
    return [group.dataset.model, x + width / 2]; })"""
BOXES = """[...document.querySelectorAll("#chart-cost .mark, #chart-cost .name")].map((each) => {
    const { x, y, width, height } = each.getBBox(); return [x, y, width, height]; })"""


@pytest.fixture
def open_page(chromium, made_up_project):
    """open_page(...): the page, for a reader of this window who prefers light or dark.

    It opens on the first comparison; `everything` then asks for all models.

    At the end nothing may have gone wrong, and nothing may have been asked of another machine.
    """
    pages = []
    complaints = []

    def note_request(request):
        if not request.url.startswith(("file:", "data:")):
            complaints.append(request.url)

    def open_page(width=1280, height=900, scheme="light", *, everything=True):
        window = {"width": width, "height": height}
        page = chromium.new_page(viewport=window, is_mobile=width < 600, color_scheme=scheme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", note_request)
        page.goto((made_up_project / "data/page/index.html").as_uri())
        expect(page.locator("#panels canvas")).to_have_count(5)
        if everything:
            page.click("#presets button:first-child")
        drawn = len(MODELS if everything else MODELS[1:])
        expect(page.locator("#chart-miou .series")).to_have_count(drawn)  # when it has a size
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture
def page(open_page):
    return open_page()


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def point(page, selector, across, down=0.5):
    """Move the mouse onto an element, at a share of its width and height."""
    element = page.locator(selector)
    box = element.bounding_box()
    element.hover(position={"x": across * box["width"], "y": down * box["height"]})


def shown(page):
    """Pixels of every panel: (panels, H, W, 3)."""
    found = page.evaluate(
        """[...document.querySelectorAll("#panels canvas")].map((canvas) =>
        [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""
    )
    return np.array(found).reshape(-1, *SIZE, 4)[..., :3]


def violations(page):
    """What axe-core calls a barrier, whatever its weight: (rule, the elements)."""
    found = Axe().run(page).response["violations"]
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def column(page, k):
    return texts(page, f"#scores tbody tr > :nth-child({k})")


def test_a_click_on_a_heading_sorts_and_another_turns_the_order_round(page):
    heading = "#scores th:nth-child(2)"
    unsorted = column(page, 2)
    page.click(f"{heading} button")
    falling = column(page, 2)
    assert falling == sorted(unsorted, key=lambda cell: -float(cell.rstrip("%")))
    assert page.evaluate(f"document.querySelector('{heading}').ariaSort") == "descending"
    page.keyboard.press("Enter")  # the button has the focus
    assert column(page, 2) == falling[::-1]
    assert page.locator("#scores [aria-sort]").count() == 1


def test_names_sort_by_letter_and_blanks_stay_last(page):
    page.click("#scores th:nth-child(1) button")
    assert column(page, 1) == sorted([*MODELS, "all background"])
    for _ in range(2):  # the floor has no interval
        page.click("#scores th:nth-child(3) button")
        assert column(page, 1)[-1] == "all background"


def test_the_page_opens_on_the_first_comparison(open_page):
    page = open_page(everything=False)
    assert texts(page, "#presets [aria-pressed=true]") == ["skips"]
    rows = page.locator("#scores tbody tr:visible > :first-child")
    assert sorted(rows.all_inner_texts()) == sorted([*MODELS[1:], "all background"])
    assert page.locator("#differences tbody tr:visible").count() == 1
    assert texts(page, "#heat thead th:visible") == ["class", *MODELS[1:]]
    assert page.locator("#heat tbody tr:first-child > :visible").count() == len(MODELS)
    page.click("#presets button:first-child")
    assert page.locator("#scores tbody tr:visible").count() == len(MODELS) + 1
    assert page.locator("#differences tbody tr:visible").count() == 3
    assert page.locator("#heat thead th:visible").count() == len(MODELS) + 1


def test_a_model_is_switched_off_and_a_comparison_shows_its_models_only(page):
    def drawn():
        lines = "[...document.querySelectorAll('#chart-miou .series')].map(e => e.dataset.model)"
        return page.evaluate(lines)

    assert drawn() == MODELS
    page.click("#switches tbody tr:nth-child(2) input")
    assert drawn() == [MODELS[0], MODELS[2]]
    page.click("#presets button:nth-child(2)")
    assert texts(page, "#presets button") == ["all models", "skips"]
    assert drawn() == MODELS[1:]
    checked = page.evaluate("[...document.querySelectorAll('#switches input')].map(e => e.checked)")
    assert checked == [False, True, True]


def test_the_epoch_under_the_pointer_is_read_in_both_charts(page):
    point(page, "#chart-loss", across=0.1)  # left of epoch 1, near epoch 0
    assert texts(page, "#epoch-shown") == ["0"]
    assert texts(page, "#switches tbody td:last-child") == ["10.0%"] * 3
    page.focus("#epoch")
    page.keyboard.press("ArrowRight")
    assert texts(page, "#epoch-shown") == ["1"]
    # linspace(0.1, 0.9 | 0.7 | 0.5, 9)[1], and 2.1 / (1 + epoch) + 0.1
    assert texts(page, "#switches tbody td:last-child") == ["20.0%", "17.5%", "15.0%"]
    assert texts(page, "#switches tbody tr:first-child td:nth-child(2)") == ["1.150"]


def test_curves_are_where_their_values_are(page):
    path = "document.querySelector('#chart-miou .series .line').getAttribute('d')"
    points = np.array([step.split() for step in page.evaluate(path)[1:].split("L")], float)
    across, down = points.T
    np.testing.assert_allclose(np.diff(across), np.diff(across)[0], atol=0.11)  # epochs 0, 1, ...
    np.testing.assert_allclose(np.diff(down), np.diff(down)[0], atol=0.11)  # mIoU rises evenly
    zero, tenth = page.evaluate(
        "[...document.querySelectorAll('#chart-miou .rule')].slice(0, 2).map(e => e.getBBox().y)"
    )
    assert down[0] == pytest.approx(tenth, abs=0.1) and tenth < zero


@pytest.mark.parametrize("width", [1240, 390])
def test_models_are_where_their_cost_is_with_names_that_cover_nothing(open_page, width):
    page = open_page(width=width)
    expect(page.locator("#chart-cost .mark")).to_have_count(3)
    for name, k in [("latency, ms", 1), ("GMACs", 0), ("training's peak memory, GB", 3)]:
        page.select_option("#cost-kind", label=name)
        across = dict(page.evaluate(MARKS))
        values = np.log([COSTS[model][k] for model in MODELS])
        places = [across[model] for model in MODELS]
        slope = np.diff(places) / np.diff(values)  # logarithmic: equal factors, equal distances
        np.testing.assert_allclose(slope, slope[0], rtol=0.05)
        assert slope[0] > 0
        assert (
            page.evaluate("document.querySelector('#chart-cost > text:last-of-type').textContent")
            == f"{name}, logarithmic"
        )
        boxes = page.evaluate(BOXES)
        assert len(boxes) == 2 * len(MODELS)  # names and markers
        for i, (x, y, w, h) in enumerate(boxes):
            assert x >= 0 and x + w <= width
            for u, v, s, t in boxes[:i]:
                assert x >= u + s or u >= x + w or y >= v + t or v >= y + h


def test_a_table_of_groups_is_sorted_by_a_model(page):
    assert sorted(texts(page, "#groups tbody th")) == sorted(GROUPS)
    page.click("#groups th:nth-child(4) button")  # fcn32s
    falling = [float(text) for text in texts(page, "#groups tbody td:nth-child(4)")]
    assert falling == sorted(falling, reverse=True) and falling[0] > falling[1]


def test_the_slider_of_opacity_blends_masks_with_the_picture(page):
    photo = shown(page)[0].astype(float)
    colours = images.palette()
    labels = [target(0)[0], *(prediction(0, worse) for worse in range(3))]
    page.focus("#opacity")
    for key, opacity in [(None, 0.7), ("ArrowLeft", 0.69)]:
        if key:
            page.keyboard.press(key)
        for found, label in zip(shown(page)[1:], labels, strict=True):
            blend = photo + opacity * (colours[label] - photo)
            expected = np.where(label[..., None] == 0, photo, blend)
            np.testing.assert_allclose(found, expected, atol=2)  # rounded once per colour
    assert texts(page, "#opacity-shown") == ["69%"]


def test_errors_are_marked_where_truth_and_mask_differ_but_not_in_void(page):
    photo = shown(page)[0]
    page.select_option("#order", label="worst first")
    page.select_option("#order", label="as in the list")
    expect(page.locator("#panels canvas")).to_have_count(5)
    page.click("input[value=errors]")
    truth = target(0)[0]
    for found, worse in zip(shown(page)[2:], range(3), strict=True):
        wrong = (prediction(0, worse) != truth) & (truth != 255)
        np.testing.assert_array_equal((found != photo).any(axis=-1), wrong)
    legend = texts(page, "#legend li")
    assert [line.split(":")[0] for line in legend[:3]] == ["missed", "invented", "confused"]


@pytest.fixture
def sky_page(chromium, made_up_project, tmp_path):
    """The page of a data set whose label 0 is a class like the others."""
    text = (made_up_project / "data/page/index.html").read_text("utf-8")
    changed = text.replace('"background": true', '"background": false')
    assert changed != text
    file = tmp_path / "index.html"
    file.write_text(changed, "utf-8")
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.goto(file.as_uri())
    expect(page.locator("#panels canvas")).to_have_count(5)
    yield page
    page.close()


def test_label_0_is_drawn_and_confused_where_it_is_no_background(sky_page):
    """Found: the sky of CamVid had no colour, and a car that was taken for it was "missed"."""
    photo = shown(sky_page)[0].astype(float)
    labels = target(0)[0]
    tinted = photo + 0.7 * (images.palette()[labels] - photo)
    np.testing.assert_allclose(shown(sky_page)[1], tinted, atol=2)  # rounded once per colour
    assert texts(sky_page, "#legend li")[0] == CLASSES[0]
    sky_page.click("input[value=errors]")
    names = [line.split(":")[0] for line in texts(sky_page, "#legend li")]
    assert names[:2] == ["confused", CLASSES[0]]


def test_the_pixel_under_the_pointer_is_named_in_every_panel(page):
    point(page, "#panels figure:nth-child(2) canvas", across=10.5 / 60, down=15.5 / 48)
    assert texts(page, "#panels em")[1:] == [CLASSES[1]] * 4
    point(page, "#panels figure:nth-child(2) canvas", across=5.5 / 60, down=15.5 / 48)
    assert texts(page, "#panels em")[1] == "void"


def test_a_class_keeps_the_pictures_that_show_it_and_order_puts_the_worst_first(page):
    def names():
        return page.evaluate("[...document.querySelectorAll('#thumbs button')].map(e => e.title)")

    assert [name.split(",")[0] for name in names()] == VAL
    page.select_option("#by-class", label=CLASSES[1])  # of pictures 0 and 3
    assert [name.split(",")[0] for name in names()] == ["007", "NA"]
    page.select_option("#by-model", label="fcn32s")
    iou = {}
    for k in (0, 3):
        true, found = target(k)[0], prediction(k, 2)
        seen = true != 255
        both = ((true == 1) & (found == 1)).sum()
        iou[VAL[k]] = both / (((true == 1) | (found == 1)) & seen).sum()
    expected = [f"{name}, IoU {value:.1%}" for name, value in iou.items()]
    assert names() == expected
    page.select_option("#order", label="worst first")
    assert names() == sorted(expected, key=lambda text: float(text.split()[-1].rstrip("%")))
    worst = min(iou.values())
    page.evaluate(
        f"""(() => {{ const slider = document.getElementById("at-most");
        slider.value = {int(100 * worst) + 1}; slider.dispatchEvent(new Event("input")); }})()"""
    )
    assert len(names()) == 1
    assert "(1 of 1)" in texts(page, "#picture-name")[0]


def test_where_no_picture_matches_the_page_says_so_and_goes_on(page):
    page.select_option("#by-model", label="unet")  # every picture is right
    page.focus("#at-most")
    page.keyboard.press("ArrowLeft")
    assert texts(page, "#picture-name") == ["No image matches"]
    page.focus("#opacity")
    page.keyboard.press("ArrowLeft")
    page.select_option("#by-model", label="fcn32s")
    expect(page.locator("#panels canvas")).to_have_count(5)


def test_arrows_and_buttons_turn_the_pictures(page):
    page.click("#next")
    expect(page.locator("#picture-name")).to_contain_text(VAL[1])
    page.click("#thumbs li:nth-child(4) button")
    assert texts(page, "#picture-name") == ["NA (4 of 4)"]
    page.keyboard.press("ArrowLeft")
    assert texts(page, "#picture-name") == ["2007_000042 (3 of 4)"]
    focus = page.evaluate("document.activeElement.getAttribute('aria-current')")
    assert focus == "true"


def test_another_confusion_matrix_is_shown_when_chosen(page):
    cells = "#matrix tbody td"
    assert texts(page, f"{cells}.right") == ["100"] * 4  # U-Net has the truth itself
    page.select_option("#matrix-model", label="fcn32s")
    counts = np.zeros((4, 4), int)
    for k in range(len(VAL)):
        truth, found = target(k)[0], prediction(k, 2)
        np.add.at(counts, (truth[truth != 255], found[truth != 255]), 1)
    share = 100 * counts / counts.sum(1, keepdims=True)
    found = [float(cell or 0) for cell in texts(page, cells)]
    np.testing.assert_allclose(np.reshape(found, (4, 4)), share, atol=0.51)  # whole percent
    assert not np.allclose(counts, counts.T)  # or rows and columns could be swapped unseen
    top = max((counts[t, p], t, p) for t in range(4) for p in range(4) if t != p)
    first = texts(page, "#worst-pairs li")[0]
    assert first.startswith(f"{CLASSES[top[1]]} taken for {CLASSES[top[2]]}: {top[0]} pixels")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_that_keeps_readers_out(open_page, width, scheme):
    page = open_page(width=width, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert violations(page) == []


def test_axe_would_find_pale_ink_and_a_control_without_a_name(page):
    page.add_style_tag(content=".lede { color: #bbb; }")
    page.evaluate("document.querySelector('#theme').removeAttribute('aria-label')")
    assert {name for name, _ in violations(page)} == {"button-name", "color-contrast"}


def test_tab_reaches_every_control(open_page):
    page = open_page(everything=False)  # a click would be where Tab starts
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    controls = "a, button:not(:disabled), select, input, summary, [tabindex='0']"
    wanted = page.evaluate(
        f"""[...document.querySelectorAll("{controls}")].filter((each, k) => {{
        each.dataset.k = k;  // of the pictures and of the two layers only the chosen one
        if (each.tabIndex !== 0 || !each.checkVisibility()) return false;
        return each.type !== "radio" || each.checked; }}).length"""
    )
    reached = set()
    for _ in range(wanted):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.k"))
    assert wanted > 50 and len(reached) == wanted and None not in reached


def test_columns_are_explained_beside_their_table(page):
    page.click("#comparison details:has(.help) >> nth=0 >> summary")
    assert texts(page, "#comparison .help >> nth=0 >> dt") == [
        heading for heading in HEAD if heading != "GMACs"
    ]


def test_names_are_text_and_never_markup(page):
    assert texts(page, "#heat tbody th") == CLASSES
    assert texts(page, "#matrix tbody th") == CLASSES
    assert page.locator("b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_reader_s_scheme_is_followed_and_can_be_switched(open_page, scheme):
    def lightness():
        rgb = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g)")
        return colorsys.rgb_to_hls(*(float(value) / 255 for value in rgb[:3]))[1]

    page = open_page(scheme=scheme)
    assert (lightness() < 0.5) == (scheme == "dark")
    page.click("#theme")
    assert (lightness() < 0.5) != (scheme == "dark")
    page.click("#theme")
    assert (lightness() < 0.5) == (scheme == "dark")


def test_a_phone_shows_all_without_scrolling_sideways(open_page):
    page = open_page(width=390, height=844)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.querySelector('#scores').offsetWidth") > 390  # it scrolls inside
    page.click("#next")
    page.click("#switches input")
    buttons = "[...document.querySelectorAll('button, select, #switches label')]"
    seen = f"{buttons}.filter((each) => each.offsetHeight).map((each) => each.offsetHeight)"
    assert min(page.evaluate(seen)) >= 24  # pixels; WCAG 2.2, target size (minimum)
