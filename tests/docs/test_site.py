"""`make docs`, opened from disk without a network, as people open it."""

import re
from pathlib import Path

import pytest

from tools import site

PAGES = [
    "index.html",
    "docs/start/quickstart.html",
    "docs/guides/predict.html",
    "docs/guides/own-data.html",
    "docs/results/index.html",
    "docs/reference/params.html",
    "docs/zh/index.html",
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "TREE", folder / "site-pages")
        patch.setattr(site, "SITE", folder / "site")
        with pytest.raises(SystemExit) as end:
            site.main()
    assert end.value.code == 0
    return folder / "site"


@pytest.fixture
def opened(built, chromium):
    """Opens a page in a window of a width; at the end nothing may have come from elsewhere."""
    pages, foreign = [], []

    def open_page(path, width=1280):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.on("pageerror", lambda error: foreign.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith("http") and foreign.append(request.url),
        )
        page.goto((built / path).as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert foreign == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_page_fits_into_its_window(opened, path, width):
    page = opened(path, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = "[...document.images].filter((image) => image.getBoundingClientRect().width)"
    assert page.evaluate(f"{shown}.every((image) => image.naturalWidth > 0)")


def test_navigation_lists_pages_in_the_order_of_the_index(opened):
    links = (
        opened("docs/index.html")
        .locator(".md-nav--primary a")
        .evaluate_all("(found) => found.map((link) => new URL(link.href).pathname)")
    )
    shown = [Path(link).stem for link in links if "/docs/guides/" in link]
    index = (site.ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert shown == re.findall(r"\(guides/([\w-]+)\.md\)", index)
    assert len(shown) == len(list(site.ROOT.glob("docs/guides/*.md")))


def test_search_finds_own_data_and_leads_to_its_page(opened):
    page = opened("docs/start/install.html")
    page.locator(".md-header").wait_for()
    page.keyboard.press("Control+k")
    page.keyboard.type("own data")
    found = page.locator("dialog[aria-label=Search] a", has_text="Your own data, in whatever form")
    found.first.click()
    page.wait_for_url("**/docs/guides/own-data.html*")
    assert page.locator("h1").inner_text().startswith("Your own data")
