"""`make docs`: the pages of the project as a site with offline search, in .scratch/site.

Zensical reads plain Markdown. Pages link to files beside docs/, which a site cannot show, so it is
built from a tree with the pages and every file that they link to, each at its usual place. Where
`make repro` has made data/page, the results page of the miniature is part of it.
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
        print(f"site: open {(SITE / 'index.html').relative_to(ROOT)} in a browser")
    sys.exit(done.returncode)


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
    """Pages of a folder, its index first."""
    pages = sorted((TREE / folder).glob("*.md"), key=lambda page: (page.stem != "index", page.stem))
    return [page.relative_to(TREE).as_posix() for page in pages]


if __name__ == "__main__":
    main()
