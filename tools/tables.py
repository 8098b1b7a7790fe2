"""`python -m tools.tables`: refresh the tables that pages quote from result files.

A page marks a table by two comments; what stands between them is written by this command:

    <!-- table: reports/comparison/summary.md 1; model; mIoU; 95% interval -->
    <!-- /table -->

The number says which table of the file, the rest which of its columns (none: all), and which rows:
`model = fcn, unet` keeps those that have one of these in their column "model". The list of all
figures, docs/results/figures.md, is made anew too. `--check` changes nothing and ends with
status 1 if a page is not current.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATTERNS = ("*.md", "docs/**/*.md", "studies/*/README.md")
FIGURES = ROOT / "docs/results/figures.md"
FOLDERS = ("reports", "studies/*/reports")
BLOCK = re.compile(r"^<!-- table: (\S+) (\d+)(.*?) -->\n.*?^<!-- /table -->$", re.M | re.S)


def main() -> None:
    check = sys.argv[1:] == ["--check"]
    old = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        current = figures_page() if path == FIGURES else filled(text, read)
        if current != text:
            old.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.write_text(current, encoding="utf-8")
    for name in old:
        print(f"{name}: {'not current, run: python -m tools.tables' if check else 'refreshed'}")
    sys.exit(1 if check and old else 0)


def pages() -> Iterator[Path]:
    """Every Markdown page that may quote a table."""
    for pattern in PATTERNS:
        yield from sorted(ROOT.glob(pattern))


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def figures_page() -> str:
    """The list of every figure of the results, by folder."""
    parts = [
        "<!-- Made by `python -m tools.tables`; edit that, not this page. -->\n\n# Figures",
        "Every figure of the results. Those of a comparison are called after it: `_scores` has "
        "mIoU with intervals, `_curves` loss and mIoU after each epoch, `_per_class` the IoU of "
        "each class, `_confusion` which classes are taken for each other.",
    ]
    for folder in sorted(folder for pattern in FOLDERS for folder in ROOT.glob(pattern)):
        drawn = sorted(folder.rglob("*.png"))
        if drawn:
            name = folder.relative_to(ROOT).as_posix()
            links = [f"- [{png.relative_to(folder)}](../../{name}/{png.relative_to(folder)})"
                     for png in drawn]  # fmt: skip
            parts += [f"## {name}", "\n".join(links)]
    return "\n\n".join(parts) + "\n"


def filled(text: str, read: Callable[[str], str]) -> str:
    """The text of a page with each marked table as its result file has it now.

    Raises:
        ValueError: a file has no such table, column or row.
    """

    def block(match: re.Match[str]) -> str:
        path, number, names = match.groups()
        parts = [part.strip() for part in names.split(";")[1:]]
        known = tables(read(path))
        if int(number) > len(known):
            raise ValueError(f"{path} has {len(known)} tables, not a table {number}")
        where = f"{path}, table {number}"
        rows = known[int(number) - 1]
        for part in parts:
            if " = " in part:
                rows = with_values(where, rows, part)
        table = chosen(where, rows, [part for part in parts if " = " not in part])
        return f"{match[0].splitlines()[0]}\n\n{table}\n\n<!-- /table -->"

    return BLOCK.sub(block, text)


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text: rows of cells, the heading first, without its rule."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        if not inside:
            found.append([])
            inside = True
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not re.fullmatch(r":?-+:?", cells[0]):
            found[-1].append(cells)
    return found


def with_values(where: str, rows: list[list[str]], part: str) -> list[list[str]]:
    """The heading, and the rows that have one of some values in a column: "model = fcn, unet"."""
    column, _, values = part.partition(" = ")
    place = place_of(where, rows[0], column)
    wanted = [value.strip() for value in values.split(",")]
    found = {row[place] for row in rows[1:]}
    if missing := set(wanted) - found:
        raise ValueError(f"{where}: no row has {column} {sorted(missing)}, but {sorted(found)}")
    return [rows[0], *(row for row in rows[1:] if row[place] in wanted)]


def chosen(where: str, rows: list[list[str]], columns: list[str]) -> str:
    """One table with some of its columns (none: all), as Markdown."""
    head = rows[0]
    places = [place_of(where, head, name) for name in columns] or range(len(head))
    rule = ["---"] + ["---:"] * (len(places) - 1)
    shown = [[row[place] for place in places] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [shown[0], rule, *shown[1:]])


def place_of(where: str, head: list[str], column: str) -> int:
    if column not in head:
        raise ValueError(f"{where}: no column {column!r}, but {head}")
    return head.index(column)


if __name__ == "__main__":
    main()
