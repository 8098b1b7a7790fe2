"""`python -m tools.reference`: docs/reference/params.md and cli.md, from the program itself.

The first lists the keys of params.yaml by the classes of segmodels/config/schema.py, the second
the commands and options of segmodels/cli.py. `--check` only says whether they are current.
"""

import argparse
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from segmodels.cli import COMMANDS, parser
from segmodels.config import origin, params, schema

FOLDER = Path(__file__).parents[1] / "docs/reference"
MADE = "<!-- Made by `python -m tools.reference`; edit the program, not this page. -->"
SECTIONS: dict[str, type[BaseModel]] = {  # heading -> the class that checks it
    "Top level": params.Params,
    "`datasets.<name>`": schema.Dataset,
    "`datasets.<name>.archive`": origin.Archive,
    "`datasets.<name>.sbd`": origin.Download,
    "`datasets.<name>.generate`": origin.Generate,
    "`datasets.<name>.source`": origin.Source,
    "`datasets.<name>.sequence`": origin.Sequence,
    "`train.<dataset>`": schema.Train,
    "`train.<dataset>.loss`": schema.Loss,
    "`predict.<dataset>`": schema.Predict,
    "`predict.<dataset>.window`": schema.Window,
    "`predict.<dataset>.crf`": schema.CRF,
    "`models.<name>`": schema.Model,
    "`variants.<name>`": schema.Variant,
    "`comparisons.<name>`": schema.Comparison,
    "`normalize`": schema.Normalize,
}
TOP = {  # of the top level, whose fields say nothing themselves
    "root": "from this file's folder to the project's",
    "here": "from the project's folder to this file's; of a study: `studies/<name>/`",
    "dataset": "which data set the pipeline runs on: a key of `datasets`",
    "model": "whose results `reports/headline` shows: a key of `models` or `variants`",
    "seed": "initial weights, order of the images, augmentation, dropout",
    "checkpoint_minutes": "minutes between checkpoints; changes no result",
    "normalize": "mean and standard deviation of the images",
    "datasets": "the data sets by name, below",
    "train": "how all models of a data set are trained, by data set",
    "predict": "how masks are made, by data set",
    "models": "the models by name, below",
    "variants": "further runs that start from a model's weights, by name",
    "comparisons": "which runs share tables and figures, by name",
}


def main() -> None:
    check = sys.argv[1:] == ["--check"]
    old = [name for name, text in pages().items() if current(name) != text]
    for name in old:
        if not check:
            (FOLDER / name).write_text(pages()[name], encoding="utf-8")
        print(f"{name}: {'not current, run: python -m tools.reference' if check else 'written'}")
    sys.exit(1 if check and old else 0)


def pages() -> dict[str, str]:
    """Name and text of each page."""
    return {"params.md": params_page(), "cli.md": cli_page()}


def current(name: str) -> str:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def params_page() -> str:
    parts = [
        f"{MADE}\n\n# Keys of params.yaml",
        "A key that `params.yaml` leaves out has the default shown here. A key without a default "
        "must be there. The option `-S` of `dvc exp run` changes a key for one run; for one that "
        "is left out it is `-S '++key=value'`.",
    ]
    for heading, kind in SECTIONS.items():
        first = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
        rows = ["| key | meaning | values | default |", "| --- | --- | --- | --- |"]
        rows += [row(name, field) for name, field in kind.model_fields.items()]
        parts += [f"## {heading}", first, "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"`{shown(field.get_default())}`"
    meaning = marked(field.description or TOP.get(name, ""))
    cells = [f"`{name}`", meaning, values(field.annotation, field), default]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def marked(text: str) -> str:
    """Words with <...> as code; elsewhere Markdown takes it for HTML and shows nothing."""
    return re.sub(r"(?<!\S)([^\s`]*<\w+>[^\s`,;]*)", r"`\1`", text)


def shown(default: Any) -> str:
    """A default as params.yaml would have it."""
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    if isinstance(default, BaseModel):
        items = default.model_dump().items()
        return "{" + ", ".join(f"{key}: {shown(value)}" for key, value in items) + "}"
    if isinstance(default, list | tuple):
        return "[" + ", ".join(map(shown, default)) + "]"
    return f"{default:g}" if isinstance(default, float) else str(default)


def values(kind: Any, field: FieldInfo | None = None) -> str:
    """A type in words, with its limits."""
    origin_ = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin_ is typing.Annotated:
        return limited(values(arguments[0]), list(arguments[1:]))
    if origin_ is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin_ in (typing.Union, types.UnionType):
        return " or ".join(values(part) for part in arguments)
    if origin_ is list:
        return limited(f"list of {values(arguments[0])}", field.metadata if field else [])
    if origin_ is tuple:
        return f"list of {len(arguments)}: {values(arguments[0])}"
    if origin_ is dict:
        return "mapping"
    names = {int: "whole number", float: "number", str: "text", bool: "true, false"}
    if kind in names:
        return limited(names[kind], field.metadata if field else [])
    if kind is type(None):
        return "null"
    return "section" if inspect.isclass(kind) and issubclass(kind, BaseModel) else "any"


def limited(words: str, metadata: list[Any]) -> str:
    """Type and limits, as "number above 0"."""
    limits = []
    for entry in metadata:
        if isinstance(entry, FieldInfo):
            words = limited(words, entry.metadata)
        for name, said in {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}.items():
            bound = getattr(entry, name, None)
            if bound is not None and bound < 2**31:
                limits.append(f"{said} {bound:g}")
    return " ".join([words, ", ".join(limits)]).strip()


def cli_page() -> str:
    whole = parser(*COMMANDS)
    parts = [
        f"{MADE}\n\n# The command `segmodels`",
        "`source .venv/bin/activate` puts it on the path. `--help` after a command prints "
        "the same. The exit status is 0 if all went well, 1 if something was refused or found, "
        "2 if the command line makes no sense.",
    ]
    for name, command, said in commands(whole):
        parts += [f"## {name}", f"{said[:1].upper()}{said[1:]}.", options(command)]
    return "\n\n".join(part for part in parts if part) + "\n"


def commands(whole: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Name, parser and help of each command."""
    (sub,) = [a for a in whole._actions if isinstance(a, argparse._SubParsersAction)]
    helps = {action.dest: action.help or "" for action in sub._choices_actions}
    for name, command in sub.choices.items():
        yield name, command, helps.get(name, "")


def options(command: argparse.ArgumentParser) -> str:
    rows = ["| argument | meaning |", "| --- | --- |"]
    for action in command._actions:
        if action.help == argparse.SUPPRESS or "--help" in action.option_strings:
            continue
        meaning = (action.help or "") % {"default": action.default, "prog": command.prog}
        if action.required and action.option_strings:
            meaning += " (required)"
        meaning = marked(meaning.strip())
        rows.append(f"| `{spelled(action)}` | {meaning} |".replace("| |", "|  |"))
    return "\n".join(rows)


def spelled(action: argparse.Action) -> str:
    """An argument with its value, as `--size HxW`."""
    values = action.metavar or ("{" + ",".join(map(str, action.choices or [])) + "}")
    if not action.option_strings:
        return str(action.metavar or action.dest)
    name = ", ".join(action.option_strings)
    return name if action.nargs == 0 else f"{name} {values if values != '{}' else action.dest}"


if __name__ == "__main__":
    main()
