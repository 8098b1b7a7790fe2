"""`source` of a data set: what `segmodels import` does, by the words of params.yaml.

The source lies in data/own, which the download stage depends on: DVC sees it change.
"""

import re
from pathlib import Path

from segmodels.config.paths import Paths
from segmodels.config.schema import Dataset
from segmodels.data.sources import formats, importer, splits
from segmodels.data.sources.formats.sample import Asked
from segmodels.data.sources.importer import Report


def bring(data: Dataset, paths: Paths, root: Path) -> Report:
    """Import the source of a data set.

    Args:
        data: with a `source`; its classes and palette are taken.
        root: becomes a VOC tree.
    Raises:
        ValueError: a value of `source` cannot be, or the import refuses what it finds.
    """
    source = data.source
    assert source is not None
    key = f"datasets.{paths.dataset}.source"
    if source.format not in ("auto", *formats.FORMATS):
        names = ", ".join(["auto", *formats.FORMATS])
        raise ValueError(f"{key}.format = {source.format!r}: expected one of {names}")
    if source.val_list and (source.val is not None or source.group):
        raise ValueError(f"{key}.val_list: expected without val and group, since it says all")
    try:
        group = re.compile(source.group) if source.group else None
    except re.error as error:
        raise ValueError(
            f"{key}.group = {source.group!r}: no regular expression: {error}"
        ) from None
    place = _inside(paths, f"{key}.path", source.path) or paths.own
    asked = Asked(
        data.classes,
        source.map,
        _inside(paths, f"{key}.table", source.table),
        source.images,
        source.masks,
        source.mask_suffix,
        source.crowd,
    )
    listed = _inside(paths, f"{key}.val_list", source.val_list)
    choice = splits.Choice(source.val, listed, group, source.seed)
    return importer.bring(
        place, root, source.format, asked, choice, skip=source.skip, palette=data.palette or []
    )


def _inside(paths: Paths, key: str, text: str | None) -> Path | None:
    """A path of the project, which has to lie in data/own.

    Raises:
        ValueError: it does not.
    """
    if text is None:
        return None
    own = paths.project / "data/own"
    path = paths.project / text
    if not path.resolve().is_relative_to(own.resolve()) or path.resolve() == own.resolve():
        raise ValueError(
            f"{key} = {text!r}: expected a path in data/own, where DVC sees it change: move it "
            "there"
        )
    return path
