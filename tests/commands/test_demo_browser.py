"""The demo in a browser: what a person drops, moves and presses does what it says."""

import base64
import io
import shutil

import numpy as np
import pytest
import skimage.data
from axe_playwright_python.sync_playwright import Axe
from conftest import BROWSERS
from helpers import demo
from PIL import Image
from playwright.sync_api import expect

import segmodels

PATIENCE = 120_000  # milliseconds, for a machine that is busy
OPACITY = 0.6  # at the beginning
REFUSED = (  # what the browser says of a bad file and of a server that has gone
    "Failed to load resource: the server responded with a status of 422",
    "Failed to load resource: net::ERR_FAILED",
)
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module", autouse=True)
def patience():
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=None)  # playwright's own


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return demo.write(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def url(folder):
    with demo.running(folder) as url:
        yield url


@pytest.fixture
def open_page(chromium, url):
    """open_page(...): the page; at the end nothing may have gone wrong or have left its origin."""
    pages = []
    complaints = []

    def note_message(message):
        if not message.text.startswith(REFUSED):
            complaints.append(message.text)

    def note_request(request):
        if not request.url.startswith((url, f"blob:{url}", "data:")):
            complaints.append(request.url)

    def open_page(width=1280, height=900, scheme="light", browser=chromium):
        window = {"width": width, "height": height}
        page = browser.new_page(viewport=window, is_mobile=width < 600, color_scheme=scheme)
        page.set_default_timeout(PATIENCE)
        page.on("console", note_message)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", note_request)
        page.goto(url)
        expect(page.locator("#first")).to_have_value("animals")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def upload(folder):
    """upload(page, names...): as a person chooses files; waits until all models have answered."""

    def upload(page, *names):
        page.set_input_files("#files", [folder / name for name in names])
        labelled(page)

    return upload


def labelled(page):
    expect(page.locator("#panels figure .classes").first).to_be_visible()
    expect(page.locator("#panels canvas.waiting")).to_have_count(0)


def expected(folder, model, image):
    return segmodels.load(folder / f"weights/{model}.safetensors", device="cpu").predict(image)


def pixels(page, selector):
    """(H, W, 3) of a canvas."""
    uri = page.locator(selector).evaluate("(canvas) => canvas.toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return np.asarray(image.convert("RGB")).astype(float)


def panel(model):
    return f'#panels canvas[data-model="{model}"]'


def blend(photo, result, opacity):
    """The photograph with the colours of labels over it, but for a background; white borders."""
    labels = result.labels
    border = np.zeros(labels.shape, bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    colours = np.where(border[..., None], 255, result.palette[labels])
    mixed = photo + opacity * (colours - photo)
    tinted = border | (labels > 0 if result.classes[0] == "background" else labels >= 0)
    return np.where(tinted[..., None], mixed, photo)


def legend(page, model):
    """Class -> share as the page shows it, the lines in order."""
    figure = page.locator("#panels figure", has=page.locator(f'[data-model="{model}"]'))
    lines = figure.locator(".classes li").all_inner_texts()
    return dict(line.split("\n") for line in lines)


def shown(result):
    """The same of a prediction in Python."""
    shares = result.shares.items()
    lines = {name: f"{share:.1%}" if share >= 0.0005 else "<0.1%" for name, share in shares}
    if "background" in lines:
        lines["background"] = lines.pop("background")  # the last one
    return lines


def test_an_upload_gets_the_photograph_and_each_class_with_its_share(page, upload, folder):
    upload(page, "chelsea.png")
    cat = skimage.data.chelsea()
    assert page.locator("#name").inner_text() == "chelsea.png"
    assert page.locator("#facts").inner_text() == "451 × 300 pixels"
    error = np.abs(pixels(page, panel("")) - cat)
    assert error.mean() < 2  # of 255; a JPEG is shown
    result = expected(folder, "animals", cat)
    assert len(result.shares) > 1
    assert list(legend(page, "animals").items()) == list(shown(result).items())
    page.locator(panel("animals")).hover(position={"x": 2, "y": 2})
    name = page.locator("#panels figcaption em").inner_text()
    assert name == result.classes[result.labels[1, 1]]


def test_the_slider_of_opacity_blends_the_colours_with_the_photograph(page, upload, folder):
    upload(page, "chelsea.png")
    result = expected(folder, "animals", skimage.data.chelsea())
    photo = pixels(page, panel(""))
    assert 0.05 < (result.labels > 0).mean() < 0.95
    for opacity in (OPACITY, 0, 1):
        page.locator("#opacity").fill(str(round(100 * opacity)))
        np.testing.assert_allclose(
            pixels(page, panel("animals")), blend(photo, result, opacity), atol=2
        )
    page.focus("#opacity")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#opacity-shown").inner_text() == "99%"


def test_before_and_after_are_divided_where_the_pointer_or_a_key_says(page, upload, folder):
    upload(page, "chelsea.png")
    result = expected(folder, "animals", skimage.data.chelsea())
    photo = pixels(page, panel(""))
    after = blend(photo, result, OPACITY)
    page.check("input[value=slider]")
    box = page.locator("#divider").bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    at = float(page.locator("#divider").input_value()) / 1000
    assert at == pytest.approx(0.25, abs=0.01)
    border = round(at * photo.shape[1])
    both = pixels(page, "#both")
    np.testing.assert_allclose(both[:, : border - 1], photo[:, : border - 1], atol=2)
    np.testing.assert_allclose(both[:, border + 1 :], after[:, border + 1 :], atol=2)
    line = page.locator(".line").bounding_box()
    assert line["x"] + line["width"] / 2 == pytest.approx(box["x"] + at * box["width"], abs=1)
    page.keyboard.press("End")
    np.testing.assert_allclose(pixels(page, "#both"), photo, atol=2)
    page.select_option("#left", "animals")
    np.testing.assert_allclose(pixels(page, "#both"), after, atol=2)


def test_two_models_of_other_classes_stand_side_by_side(page, upload, folder):
    upload(page, "chelsea.png")
    page.select_option("#second", "street")
    labelled(page)
    cat = skimage.data.chelsea()
    photo = pixels(page, panel(""))
    for model in demo.MODELS:
        result = expected(folder, model, cat)
        np.testing.assert_allclose(
            pixels(page, panel(model)), blend(photo, result, OPACITY), atol=2
        )
        assert legend(page, model) == shown(result)
    assert not set(legend(page, "animals")) & set(legend(page, "street"))
    page.check("input[value=slider]")
    values = [page.locator(f"#{side}").input_value() for side in ("left", "right")]
    assert values == ["animals", "street"]
    page.select_option("#second", "")
    expect(page.locator("#panels figure")).to_have_count(2)


def test_a_bad_file_is_a_line_and_the_page_goes_on(page, upload, folder):
    page.set_input_files("#files", folder / "notes.jpg")
    line = page.locator("#problems li span")
    expect(line).to_have_text("notes.jpg: not a picture; expected JPEG, PNG, WEBP, GIF, BMP, TIFF")
    upload(page, "chelsea.png", "notes.jpg")
    assert page.locator("#thumbs li").count() == 1
    expect(page.locator("#problems li")).to_have_count(2)
    page.locator("#problems button").first.click()
    expect(page.locator("#problems li")).to_have_count(1)


def test_photographs_are_dropped_together_and_switched_by_click_and_key(page, folder):
    names = ["chelsea.png", "<b>clear<b>.png", "turned.jpg"]
    contents = [base64.b64encode((folder / name).read_bytes()).decode() for name in names]
    page.evaluate(
        """([names, contents]) => {
            const dataTransfer = new DataTransfer();
            names.forEach((name, k) => dataTransfer.items.add(new File(
                [Uint8Array.from(atob(contents[k]), (letter) => letter.charCodeAt(0))], name)));
            document.getElementById("drop").dispatchEvent(
                new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        [names, contents],
    )
    expect(page.locator("#thumbs li")).to_have_count(3)
    assert page.locator("#name").inner_text() == names[0]
    page.click("#thumbs li:nth-child(3) button")
    labelled(page)
    assert page.locator("#name").inner_text() == names[2]
    page.keyboard.press("ArrowLeft")
    assert page.locator("#name").inner_text() == names[1]  # as text, not as markup
    assert page.locator("#shown b:not(.classes b)").count() == 0
    focused = page.evaluate("document.activeElement.getAttribute('aria-current')")
    assert focused == "true"
    assert page.locator("#thumbs button[tabindex='0']").count() == 1


def test_photographs_are_shown_and_kept_as_they_are_meant(page, upload, folder):
    """Turned as EXIF says, transparent parts over white."""
    upload(page, "turned.jpg")
    assert page.locator("#facts").inner_text() == "300 × 451 pixels"
    upright = np.rot90(skimage.data.chelsea(), k=-1)
    assert np.abs(pixels(page, panel("")) - upright).mean() < 4
    upload(page, "<b>clear<b>.png")
    expect(page.locator("#name")).to_have_text("<b>clear<b>.png")  # the new one
    labelled(page)
    assert pixels(page, panel(""))[:240, :240].min() >= 250


def saved(page, label):
    with page.expect_download() as waiting:
        page.get_by_label(label).click()
    download = waiting.value
    return download.suggested_filename, Image.open(io.BytesIO(download.path().read_bytes()))


def test_mask_and_overlay_are_those_of_python(page, upload, folder):
    upload(page, "chelsea.png")
    result = expected(folder, "animals", skimage.data.chelsea())
    name, mask = saved(page, "Download the mask of animals")
    assert (name, mask.mode) == ("chelsea_animals_mask.png", "P")
    np.testing.assert_array_equal(np.asarray(mask), result.labels)
    assert mask.getpalette()[:15] == result.palette[:5].ravel().tolist()
    page.locator("#opacity").fill("30")
    name, overlay = saved(page, "Download the overlay of animals")
    assert name == "chelsea_animals_overlay.png"
    np.testing.assert_array_equal(np.asarray(overlay), np.asarray(result.overlay(0.3)))


def test_twenty_megapixels_are_shown_small_and_kept_large(page, upload):
    upload(page, "large.jpg")
    assert page.locator("#facts").inner_text() == "5000 × 4000 pixels"
    assert pixels(page, panel("animals")).shape[:2] == (1280, 1600)
    for kind in ("mask", "overlay"):
        _, image = saved(page, f"Download the {kind} of animals")
        assert image.size == demo.LARGE


def test_the_camera_takes_a_photograph(chromium, open_page):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    browser = chromium.browser_type.launch(executable_path=program, args=FAKE_CAMERA)
    page = open_page(browser=browser)
    page.click("#camera")
    page.click("#shutter")
    expect(page.locator("#name")).to_have_text("camera 1.jpg")
    assert np.ptp(pixels(page, panel(""))) > 100  # the fake camera shows a moving pie
    assert not page.locator("#viewfinder").is_visible()
    assert page.evaluate("document.getElementById('video').srcObject.active") is False
    page.close()
    browser.close()


def test_a_phone_shows_all_without_scrolling_sideways(open_page, upload):
    page = open_page(width=390, height=844)
    upload(page, "chelsea.png", "turned.jpg", "notes.jpg")
    page.select_option("#second", "street")
    labelled(page)
    page.evaluate(
        "document.querySelectorAll('option').forEach((o) => o.append('_long'.repeat(12)))"
    )
    for view in ("panels", "slider"):
        page.check(f"input[value={view}]")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    buttons = "[...document.querySelectorAll('button, select, .button')]"
    heights = f"{buttons}.filter((each) => each.offsetHeight).map((each) => each.offsetHeight)"
    assert min(page.evaluate(heights)) >= 24  # pixels; WCAG 2.2, target size (minimum)


def test_every_control_is_in_the_way_of_tab(page, upload):
    upload(page, "chelsea.png")
    page.select_option("#second", "street")
    page.check("input[value=slider]")
    labelled(page)
    reached = []
    page.focus("#theme")
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    wanted = {"files", "camera", "first", "second", "opacity", "divider", "left", "right"}
    assert wanted <= set(reached)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_that_keeps_people_out(open_page, upload, width, scheme):
    page = open_page(width=width, scheme=scheme)
    assert violations(page) == []
    upload(page, "chelsea.png", "notes.jpg")
    page.select_option("#second", "street")
    labelled(page)
    for view in ("panels", "slider"):
        page.check(f"input[value={view}]")
        assert violations(page) == []


def violations(page):
    """What axe-core calls a barrier: (rule, the elements)."""
    found = Axe().run(page).response["violations"]
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def test_a_server_that_has_gone_is_a_line(page, folder):
    page.route("**/picture", lambda route: route.abort())
    page.set_input_files("#files", folder / "chelsea.png")
    line = page.locator("#problems li span")
    expect(line).to_contain_text("chelsea.png: the server does not answer; is `segmodels demo`")
