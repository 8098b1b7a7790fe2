"""What people write for values and colours of masks: keys of `--map`, and tables in files.

A key is a value ("255") or a colour ("128,0,0" or "#800000"). A table has a name and a key a line.
Here a colour is one number, its code: 65536 red + 256 green + blue.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from segmodels.data.sources.formats.sample import read_text

TABLES = ("class_dict.csv", "label_colors.txt", "labelmap.txt")  # what programs call theirs
LARGEST = 65535
COLOUR = re.compile(r"#([0-9a-fA-F]{6})")
TRIPLE = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3})")
GAP = r"[\s,;:=]+"
NUMBERS = rf"(\d+){GAP}(\d+){GAP}(\d+)"
LINES = [  # of a table: name and colour, or name and value, either first
    re.compile(rf"(?P<name>.*?\D){GAP}{NUMBERS}[\s,;:]*"),
    re.compile(rf"{NUMBERS}{GAP}(?P<name>.*?\D.*?)[\s,;:]*"),
    re.compile(rf"(?P<name>\D.*?){GAP}(\d+)[\s,;:]*"),
    re.compile(rf"(\d+){GAP}(?P<name>\D.*?)[\s,;:]*"),
]
LONGEST = 300  # letters of a line of a table


def parsed_key(key: str) -> tuple[int, bool] | None:
    """A value as "255", a colour as "128,0,0" or "#800000"; and whether it is a colour."""
    if match := COLOUR.fullmatch(key):
        return int(match[1], 16), True
    if match := TRIPLE.fullmatch(key):
        parts = [int(part) for part in match.groups()]
        return (code_of(parts), True) if max(parts) < 256 else None
    return (int(key), False) if key.isascii() and key.isdecimal() and len(key) < 6 else None


def shown_key(code: int, colours: bool) -> str:
    """A value or colour as --map takes it."""
    return f"{code >> 16},{code >> 8 & 255},{code & 255}" if colours else str(code)


def read_table(path: Path) -> tuple[dict[int, str], bool]:
    """The names of values or colours, one a line, the name first or last; a heading is passed over.

    Returns:
        names by code, and whether the codes are colours.
    Raises:
        ValueError: a line is none of these, names a code twice, or is out of range.
    """
    if not path.is_file():
        raise ValueError(f"--table {path}: no such file; expected lines NAME R G B or NAME VALUE")
    entries = dict[int, str]()
    kinds = set[bool]()
    for place, line in enumerate(_lines(path)):
        name, numbers = _parsed(line)
        if not numbers and place == 0:
            continue
        limit = 255 if len(numbers) == 3 else LARGEST
        if len(numbers) not in (1, 3) or max(numbers) > limit:
            raise ValueError(
                f"{path}: {line[:60]!r}: expected NAME R G B or NAME VALUE, numbers to "
                f"{limit}: correct it"
            )
        kinds.add(len(numbers) == 3)
        code = code_of(numbers) if len(numbers) == 3 else numbers[0]
        if code in entries or len(kinds) > 1:
            raise ValueError(
                f"{path}: {line[:60]!r}: expected each value or colour once: correct it"
            )
        entries[code] = name.strip(" \t,;:=\"'")
    if not entries:
        raise ValueError(f"{path}: names nothing, expected lines NAME R G B or NAME VALUE")
    return entries, kinds.pop()


def _lines(path: Path) -> list[str]:
    """The lines of a table, without blank ones and comments."""
    lines = list[str]()
    for line in read_text(path).splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", "//")):
            lines.append(stripped)
    return lines


def _parsed(line: str) -> tuple[str, list[int]]:
    """The name and the numbers of a line of a table; no numbers where it has no such form."""
    if len(line) <= LONGEST:
        for form in LINES:
            if match := form.fullmatch(line):
                numbers = [int(part) for part in match.groups() if part.isdecimal()]
                return match["name"], numbers
    return "", []


def code_of(colour: Iterable[int]) -> int:
    """Red, green and blue, 0..255, as one number."""
    red, green, blue = (int(part) for part in colour)
    return red << 16 | green << 8 | blue
