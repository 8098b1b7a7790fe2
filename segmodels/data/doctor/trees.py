"""Where a data set lies, and a copy of it, made of links, in the form that the pipeline reads."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from segmodels.config.params import Params
from segmodels.data.sources import own


def find(said: str, settings: Params) -> Path:
    """The VOC tree that a person means.

    Args:
        said: a name of params.yaml, or a folder. What lies in data/own comes first, since a person
            can repair it there, unless it is a source of another form.
        settings: its data sets, and where their files lie.
    Raises:
        ValueError: there is no such tree.
    """
    if said not in settings.datasets:
        if not Path(said).is_dir():
            raise ValueError(_unknown(said, settings))
        return Path(said)
    paths = replace(settings.paths, dataset=said)
    places = [paths.own, paths.tree]
    if settings.datasets[said].source:
        places.reverse()
    for root in places:
        if root.is_dir():
            return root
    raise ValueError(
        f"{said}: neither {places[0]} nor {places[1]} is there; with `dataset: {said}` in "
        "params.yaml `dvc repro download` makes it"
    )


def _unknown(said: str, settings: Params) -> str:
    """What to say of a name that is no data set of this params.yaml."""
    study = settings.paths.project / "studies" / said
    if (study / "params.yaml").is_file() and not study.samefile(Path.cwd()):
        return f"{said}: a data set of {study}/params.yaml, not of this one: cd {study} first"
    imported = replace(settings.paths, dataset=said).own
    if imported.is_dir():
        return f"{said}: this params.yaml lacks it; `segmodels new {said}` makes a study for it"
    names = ", ".join(settings.datasets)
    return f"{said}: expected a data set ({names}) or a folder in VOC layout"


@contextmanager
def linked(source: Path) -> Iterator[Path]:
    """A tree of links to the files of another, which may be brought into the usual form.

    Whatever `tidy` rewrites takes the place of a link; nothing of the source is changed.

    Raises:
        ValueError: the source has no VOC layout.
    """
    lacking = [part for part in own.REQUIRED if not (source / part).is_dir()]
    if lacking:
        expected = ", ".join(own.REQUIRED)
        raise ValueError(f"{source}: missing {', '.join(lacking)}; expected {expected} in it")
    with tempfile.TemporaryDirectory(prefix="segmodels-check-") as folder:
        root = Path(folder) / "VOC2012"
        for part in own.REQUIRED:
            (root / part).mkdir(parents=True)
            for file in sorted((source / part).resolve().iterdir()):
                if not file.name.startswith("."):  # of file managers
                    (root / part / file.name).symlink_to(file)
        yield root
