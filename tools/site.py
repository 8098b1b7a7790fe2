"""`make docs`: the pages of the project as a site with offline search, in .scratch/site.

Zensical reads plain Markdown. Pages link to files beside docs/, which a site cannot show, so it is
built from a tree with the pages and every file that they link to, each at its usual place. Where
`make repro` has made data/page, the results page of the miniature is part of it.

Search runs in a Worker, which browsers refuse to pages that lie on disk. Zensical's remedy is a
script of another site; tools/site_worker.js is in its place.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREE, SITE = ROOT / ".scratch/site-pages", ROOT / ".scratch/site"
PAGE = "data/page"  # of the miniature
LINK = re.compile(r"\]\(([^)#\s]+)")
WORKER = Path(__file__).with_name("site_worker.js")
FOREIGN = "https://unpkg.com/iframe-worker/shim"
NAV = [
    ("Start", ["docs/index.md", "docs/start/install.md", "docs/start/quickstart.md"]),
    ("Guides", "docs/guides"),
    ("Learn", "docs/learn"),
    ("Results", "docs/results"),
    ("Reference", "docs/reference"),
    ("Project", ["docs/project/reliability.md", "CONTRIBUTING.md", "CHANGELOG.md"]),
    ("中文", "docs/zh"),
]


def main() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", TREE / "docs")
    copy("README.md", "index.md")
    for path in sorted(TREE.rglob("*.md")):
        copy_linked(path)
    if (ROOT / PAGE / "index.html").is_file():
        shutil.copytree(ROOT / PAGE, TREE / PAGE)
    config = TREE.parent / "zensical.toml"
    config.write_text(configuration(), encoding="utf-8")
    program = Path(sys.executable).parent / "zensical"
    done = subprocess.run(
        [program, "build", "--clean", "--strict", "--config-file", config], cwd=TREE.parent
    )
    if done.returncode == 0:
        use_own_worker()
        print(f"site: open {os.path.relpath(SITE / 'index.html', ROOT)} in a browser")
    sys.exit(done.returncode)


def use_own_worker() -> None:
    """Let every page take its worker from the site."""
    shutil.copyfile(WORKER, SITE / "assets/javascripts/worker.js")
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        up = "../" * len(page.relative_to(SITE).parent.parts)
        page.write_text(
            text.replace(FOREIGN, f"{up}assets/javascripts/worker.js"), encoding="utf-8"
        )


def copy(source: str, target: str) -> Path:
    """Copy a file of the project into the tree."""
    destination = TREE / target
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / source, destination)
    return destination


def copy_linked(page: Path) -> None:
    """Copy what a page links to, and what these pages link to."""
    folder = page.parent
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        target = Path(os.path.normpath(folder / link)).relative_to(TREE).as_posix()
        if (ROOT / target).is_file() and not (TREE / target).exists():
            copied = copy(target, target)
            if copied.suffix == ".md":
                copy_linked(copied)


def configuration() -> str:
    """zensical.toml."""
    sections = []
    for name, pages in NAV:
        found = pages if isinstance(pages, list) else listed(pages)
        entries = ", ".join(f'"{page}"' for page in found)
        sections.append(f'  {{ "{name}" = [{entries}] }},')
    if (TREE / PAGE).is_dir():
        sections.append(f'  {{ "Live results" = "{PAGE}/index.html" }},')
    nav = "\n".join(['  { "segmodels" = "index.md" },', *sections])
    return f"""[project]
site_name = "segmodels"
docs_dir = "{TREE.name}"
site_dir = "{SITE.name}"
use_directory_urls = false
nav = [
{nav}
]

[project.theme]
language = "en"
font = false
features = ["navigation.sections", "navigation.top", "search.highlight", "content.code.copy"]

[project.plugins.search]

[project.plugins.offline]

[project.markdown_extensions]
attr_list = {{}}
tables = {{}}
toc.permalink = true
pymdownx.highlight = {{}}
pymdownx.superfences.custom_fences = [
  {{ name = "mermaid", class = "mermaid", format = "pymdownx.superfences.fence_code_format" }},
]
"""


def listed(folder: str) -> list[str]:
    """Pages of a folder: its index, then those that an index of docs/ links to, in its order."""
    order = []
    for index in ("docs/index.md", f"{folder}/index.md"):
        if (TREE / index).is_file():
            text = (TREE / index).read_text(encoding="utf-8")
            links = [os.path.normpath((TREE / index).parent / link) for link in LINK.findall(text)]
            order += [os.path.relpath(link, TREE) for link in links]
    pages = [page.relative_to(TREE).as_posix() for page in sorted((TREE / folder).glob("*.md"))]
    places = {page: order.index(page) if page in order else len(order) for page in pages}
    return sorted(pages, key=lambda page: (Path(page).stem != "index", places[page]))


if __name__ == "__main__":
    main()
