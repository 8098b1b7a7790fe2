"""Label maps in files: what their values or colours stand for.

A table file (`--table`), or keys of `--map`, name values ("255") or colours ("128,0,0" or
"#800000"). Where there are but `--classes`, the values are their places in it. Nothing is guessed:
where nobody says what a value is, the values that occur are listed with their pixels.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmodels.config.schema import VOID
from segmodels.data import images, masks
from segmodels.data.palettes import Palettes, used_colours
from segmodels.data.sources import tidy
from segmodels.data.sources.formats import naming
from segmodels.data.sources.formats.label_keys import (
    TABLES,
    code_of,
    parsed_key,
    read_table,
    shown_key,
)
from segmodels.data.sources.formats.naming import VOID_LABEL, Names
from segmodels.data.sources.formats.sample import Asked, Size, Sizes

MANY = 64  # more values than a label map has
SHOWN = 20


class InColour(ValueError):
    """A mask stores colours where values are wanted."""


@dataclass(frozen=True)
class Table:
    """The label of each value, or of each colour as one number.

    Args:
        colours: whether the keys are colours.
        names: of the classes.
        palettes: of the files read so far, which may not contradict each other; None: the person
            has said that values count.
    """

    labels: dict[int, int]
    colours: bool
    names: Names
    palettes: Palettes | None = None

    def read(self, path: Path, sizes: Sizes) -> np.ndarray:
        """The labels of a mask, (H, W) uint8.

        Raises:
            ValueError: it cannot be read, has another size than its image, or holds what the table
                does not name; or its palette contradicts that of another mask.
        """
        codes = stored_codes(path, colours=self.colours)
        if self.palettes:
            self._compare_palette(path, codes)
        height, width = codes.shape
        sizes.checked(Size(height, width), str(path))
        used, counts = np.unique(codes, return_counts=True)
        strange = list[str]()
        pixels = 0
        for code, count in zip(used.tolist(), counts.tolist(), strict=True):
            if code not in self.labels:
                strange.append(shown_key(code, self.colours))
                pixels += count
        if strange:
            what = "colours" if self.colours else "values"
            raise ValueError(
                f"{path}: {pixels:,} pixels have the {what} {naming.some(strange)}, which stand "
                f"for nothing: --map {strange[0]}=CLASS or {strange[0]}=void says what they "
                "are"
            )
        labels = np.array([self.labels[code] for code in used.tolist()], np.uint8)
        return labels[np.searchsorted(used, codes)]

    def _compare_palette(self, path: Path, values: np.ndarray) -> None:
        with images.open_image(path) as image:
            if self.palettes and image.mode == "P":
                self.palettes.add(path, used_colours(image, values))


def stored_codes(path: Path, *, colours: bool) -> np.ndarray:
    """(H, W) integers: the values of a mask, or its colours as numbers.

    Raises:
        InColour: it stores colours where values are wanted.
        ValueError: it cannot be read.
    """
    try:
        pixels = masks.stored(path, colours=colours)
    except FileNotFoundError:
        raise ValueError(f"{path}: missing, expected the mask of an image: put it there") from None
    if pixels.ndim == 2:
        if not colours:
            return pixels.astype(np.int64)
        if pixels.max() > 255:
            raise ValueError(f"{path}: 16 bits, expected the colours of a table: save it in 8 bits")
        pixels = np.stack([pixels] * 3, axis=-1)
    if not colours:
        if (pixels != pixels[..., :1]).any():
            raise InColour(
                f"{path}: stores colours, expected values: --map R,G,B=CLASS or --table FILE says "
                "what colours are"
            )
        return pixels[..., 0].astype(np.int64)
    return pixels.astype(np.int64) @ np.array([65536, 256, 1])


def table(
    source: Path,
    paths: list[Path],
    asked: Asked,
    usual: Mapping[int, str] | None = None,
    targets: Mapping[str, str] | None = None,
) -> Table:
    """What the masks of a source mean.

    Args:
        paths: of the masks, from which it is proposed where nobody says it.
        usual: names of the values, where the format has some.
        targets: the class, or void, that the format's own tool makes of these names.
    Raises:
        ValueError: nobody says it: a proposal, with the pixels of each value.
    """
    entries, colours = _of_file(source, asked)
    by_place = dict(enumerate(asked.classes or []))
    base = entries or dict(usual or by_place)
    own, colours = _of_options(asked, colours if entries else None)
    if not own and not entries and not usual and asked.classes:
        refuse_binary(paths, asked.classes)
    entries = own if colours and not entries else base | own
    if not entries:
        raise ValueError(proposal(paths))
    known = list(dict.fromkeys(entries.values()))
    known_targets = _void_targets(known)
    known_targets.update(targets or {})
    names = naming.named(known, asked.meaning, asked.classes, usual=known_targets, objects=False)
    labels = {code: names.labels[name] for code, name in entries.items()}
    if colours:
        labels.setdefault(code_of(images.palette()[images.VOID_COLOUR]), VOID_LABEL)
        names = Names(names.classes, names.labels, _palette(labels, len(names.classes)))
    else:
        labels.setdefault(VOID_LABEL, VOID_LABEL)
    advice = "--map VALUE=CLASS says that values count, --map R,G,B=CLASS that colours do"
    palettes = None if own or colours else Palettes(advice=advice)
    return Table(labels, colours, names, palettes)


def _void_targets(names: list[str]) -> dict[str, str]:
    """Names that mean void without being told so, in whichever case."""
    return {name: VOID for name in names if name.casefold() == VOID}


def _of_file(source: Path, asked: Asked) -> tuple[dict[int, str], bool]:
    """What a table file names: codes, and whether they are colours."""
    if asked.table:
        return read_table(asked.table)
    there = [source / name for name in TABLES if (source / name).is_file()]
    return read_table(there[0]) if there else ({}, False)


def _of_options(asked: Asked, colours: bool | None) -> tuple[dict[int, str], bool]:
    """What keys of --map name that are values or colours; `colours` is what a table names."""
    entries = dict[int, str]()
    for key, target in asked.meaning.items():
        parsed = parsed_key(key)
        if parsed is None:
            continue
        code, is_colour = parsed
        if colours is not None and is_colour != colours:
            kind = "colour" if colours else "value"
            raise ValueError(f"--map {key}={target}: expected a {kind} as the others: use one form")
        entries[code] = key
        colours = is_colour
    return entries, bool(colours)


def proposal(paths: list[Path]) -> str:
    """What the masks hold, and the options that would name it."""
    counts, files, colours = counted(paths)
    what = "colours" if colours else "values"
    if len(counts) > MANY:
        return (
            f"{paths[0].parent}: {len(counts)} {what} in {len(paths)} masks, expected one for each "
            "class: were they resized with interpolation, or once JPEGs? Take the originals"
        )
    lines = [f"{paths[0].parent}: nobody says what the {what} of its {len(paths)} masks are:"]
    for code, count in counts.most_common(SHOWN):
        images = "1 mask" if files[code] == 1 else f"{files[code]} masks"
        lines.append(f"  {shown_key(code, colours):>12}  {count:>14,} pixels in {images}")
    options = [f"--map {shown_key(code, colours)}=NAME" for code in sorted(counts)[:SHOWN]]
    lines.append("name each, a class or void: " + " ".join(options))
    return "\n".join(lines)


def counted(paths: list[Path]) -> tuple[Counter[int], Counter[int], bool]:
    """Pixels and masks of each value; of each colour, where one of the masks is in colour.

    Raises:
        ValueError: none of the masks can be read.
    """
    try:
        return *_totals(paths, colours=False), False
    except InColour:
        return *_totals(paths, colours=True), True


def _totals(paths: list[Path], *, colours: bool) -> tuple[Counter[int], Counter[int]]:
    """Pixels and masks of each code; a mask that cannot be read is a problem of its image, later.

    Raises:
        InColour: a mask stores colours where values are wanted.
        ValueError: none of the masks can be read.
    """
    pixels = Counter[int]()
    files = Counter[int]()
    problems = list[str]()
    for path in paths:
        try:
            codes = stored_codes(path, colours=colours)
        except InColour:
            raise
        except ValueError as error:
            problems.append(str(error))
        else:
            _count(codes, pixels, files)
    if not pixels:
        tidy.refuse(problems, paths[0].parent)
    return pixels, files


def _count(codes: np.ndarray, pixels: Counter[int], files: Counter[int]) -> None:
    used, counts = np.unique(codes, return_counts=True)
    for code, count in zip(used.tolist(), counts.tolist(), strict=True):
        pixels[code] += count
        files[code] += 1


def refuse_binary(paths: list[Path], classes: list[str]) -> None:
    """Refuse masks of 0 and 255 alone, in which 255 is hardly void.

    Raises:
        ValueError: they are.
    """
    pixels, _, colours = counted(paths)
    if set(pixels) == {0, VOID_LABEL} and not colours:
        raise ValueError(
            f"{paths[0].parent}: its masks hold 0 and 255 alone, and 255 is void: "
            f"--map 0={classes[0]} --map 255={classes[1]} says that it is a class"
        )


def _palette(labels: Mapping[int, int], count: int) -> list[naming.Colour] | None:
    """The first colour of each class; None where a class has none."""
    first = dict[int, naming.Colour]()
    for code, label in labels.items():
        first.setdefault(label, (code >> 16, code >> 8 & 255, code & 255))
    return [first[label] for label in range(count)] if set(range(count)) <= set(first) else None
