"""Forms in which labelled data sets come; each module recognises one and reads it.

`recognise(source)` says what of a source is in the form, "" if nothing is; no other form may
recognise it. `read(source, asked)` gives classes and samples, see `sample.Found`. A new form is a
module, a line here, a writer in tests/helpers/import_forms.py, a row in docs/guides/own-data.md and
one in docs/zh/own-data.md; `python -m tools.reference` writes the page of commands anew.
"""

from pathlib import Path
from typing import Protocol

from segmodels.data.sources.formats import (
    camvid,
    cityscapes,
    coco,
    cvat,
    labelme,
    pairs,
    voc_tree,
    yolo,
)
from segmodels.data.sources.formats.sample import Asked, Found, refuse_unread


class Format(Protocol):
    """A module of this package."""

    def recognise(self, source: Path) -> str: ...

    def read(self, source: Path, asked: Asked) -> Found: ...


FORMATS: dict[str, Format] = {
    "coco": coco,
    "labelme": labelme,
    "cvat": cvat,
    "yolo": yolo,
    "voc": voc_tree,
    "cityscapes": cityscapes,
    "camvid": camvid,
    "pairs": pairs,
}


def recognise(source: Path, asked: Asked | None = None) -> tuple[str, str]:
    """The form of a source, and what it was recognised by.

    Args:
        asked: where no form is recognised, options that name its folders say that it is pairs.
    Raises:
        ValueError: it is in none, or in several.
    """
    found = {name: sign for name, form in FORMATS.items() if (sign := form.recognise(source))}
    if len(found) == 1:
        return next(iter(found.items()))
    if not found and asked and source.is_dir() and (options := pairs.options(asked)):
        return "pairs", options
    names = ", ".join(FORMATS)
    if found:
        signs = ", ".join(f"{name} ({sign})" for name, sign in found.items())
        raise ValueError(f"{source}: looks like {signs}: --format says which it is")
    refuse_unread(source)
    raise ValueError(
        f"{source}: in no form that is known: --format says which of {names} it is"
        f"{_folder_within(source)}"
    )


def _folder_within(source: Path) -> str:
    """Which folder of a source was perhaps meant; "" if none is in a known form."""
    for folder in sorted(source.iterdir()) if source.is_dir() else []:
        if folder.is_dir() and any(form.recognise(folder) for form in FORMATS.values()):
            return f"; or name {folder}, which is in one"
    return ""
