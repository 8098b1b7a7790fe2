"""`python -m tools.readability`: sentences of more than 30 words, by page, and each page's median.

A list to read, not a verdict. Headings, tables, code and Chinese pages are left out.
"""

import re
import statistics
from pathlib import Path

from tools import tables

LIMIT = 30  # words
SENTENCE = re.compile(r"(?<=[.!?])\s+")


def main() -> None:
    for path in tables.pages():
        text = path.read_text(encoding="utf-8")
        if "zh" in path.parts or path.name.endswith(".zh-CN.md"):
            continue
        lengths = [len(sentence.split()) for sentence in sentences(text)]
        found = long(path)
        name = path.relative_to(tables.ROOT).as_posix()
        print(f"{name}: median {statistics.median(lengths or [0]):g} words, {len(found)} long")
        for sentence in found:
            print(f"  {len(sentence.split())} words: {sentence[:90]} ...")


def long(path: Path) -> list[str]:
    """Sentences of a page with more than LIMIT words."""
    found = sentences(path.read_text(encoding="utf-8"))
    return [sentence for sentence in found if len(sentence.split()) > LIMIT]


def sentences(text: str) -> list[str]:
    """Sentences of paragraphs and lists, without tables, headings, comments and code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines()
    kept = [line for line in lines if not re.match(r"\||#|!\[", line)]
    paragraphs = re.split(r"\n\s*\n|\n(?=- |\d+\. )", "\n".join(kept))
    plain = [re.sub(r"\]\([^)]*\)", "]", " ".join(part.split())) for part in paragraphs]
    return [sentence for part in plain for sentence in SENTENCE.split(part) if sentence]


if __name__ == "__main__":
    main()
