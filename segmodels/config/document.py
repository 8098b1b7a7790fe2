"""A params.yaml as keys and values, before anybody asks what they mean; DVC reads it likewise."""

import re
import reprlib
from pathlib import Path
from typing import Any

UNSEEN = {"size", "nfiles"}  # what DVC's run cache leaves out of what tells two runs apart
SHORT = reprlib.Repr()  # never writes out what a few anchors of YAML can make of a value
SHORT.maxlevel, SHORT.maxstring = 2, 60
CONFLICT = re.compile(r"(<{7}|\|{7}|>{7})( |$)")  # Git's, at the beginning of a line


def read(path: Path) -> dict[Any, Any]:
    """The keys and values of a file.

    Raises:
        ValueError: it is not there, is no YAML 1.2, or has a key that DVC passes over.
    """
    from ruamel.yaml import YAML, YAMLError  # slow to import, and few need more than `shown`

    text = _text(path)
    try:
        # As DVC reads it: YAML 1.2, a key once; PyYAML would take 010 for 8, of two keys the last.
        values = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        said = " ".join(str(error).split()).partition(" To suppress this check")[0]
        raise ValueError(f"{path}: not valid YAML: {said}") from None
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: a value cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(values).__name__}")
    _refuse_unseen(path, values)
    return values


def _text(path: Path) -> str:
    """The content; within a list in brackets Git's markers would pass for values."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(_not_here(path)) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if CONFLICT.match(line):
            raise ValueError(
                f"{path}: line {number} is {shown(line)}, a conflict of a merge in Git: keep one "
                "side of each and remove the lines <<<<<<<, |||||||, ======= and >>>>>>>"
            )
    return text


def _not_here(path: Path) -> str:
    """Where a command has to be run that does not find params.yaml."""
    folder = path.absolute().parent
    lack = f"{path.name}: not found in {folder}"
    if (folder / "dvc.yaml").exists():
        return f"{lack}: `git restore {path.name}` brings back the one that Git has"
    for parent in folder.parents:
        if (parent / path.name).exists() and (parent / "dvc.yaml").exists():
            return f"{lack}: run it in {parent}"
    return f"{lack}: run it in the project's folder, where {path.name} and dvc.yaml are"


def _refuse_unseen(path: Path, values: dict[Any, Any]) -> None:
    """Refuse keys that DVC passes over where it looks for an earlier run of a stage.

    Source: dvc.stage.cache leaves out every key of these names, which its files have too; it would
    take another value's results for this one's.
    """
    todo, met = [("", values)], set()
    while todo:
        place, section = todo.pop()
        for key, value in section.items():
            name = f"{place}{key}"
            if key in UNSEEN:
                raise ValueError(
                    f"{path}: {name}: DVC does not see keys of this name: take another"
                )
            if isinstance(value, dict) and id(value) not in met:  # of anchors there is no end
                met.add(id(value))
                todo.append((f"{name}.", value))


def shown(value: Any) -> str:
    """A value as an error quotes it."""
    text = SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
