"""Whatever messages and documents advise is accepted by the program that it is given to.

Commands, stages, options, keys of params.yaml, variables, extras and files are taken out of the
documents and out of the strings of the program, and looked up where they are defined.
"""

import argparse
import ast
import contextlib
import importlib
import inspect
import re
import shlex
import tomllib
import types
import typing
from pathlib import Path

import pytest
import yaml
from dvc.cli.parser import DvcParser, get_main_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from pydantic import BaseModel

from segmodels import models
from segmodels.cli import COMMANDS, parser
from segmodels.config import params, schema

ROOT = Path(__file__).parents[2]
ELSE = "{}"  # stands for what a message fills in
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "studies/*/README.md")
    for path in ROOT.glob(pattern)
)
PROGRAMS = sorted(
    path
    for pattern in ("segmodels/**/*.py", "stages/*.py", ".dvc/*.py", "tools/*.py")
    for path in ROOT.glob(pattern)
)
SCRIPTS = [ROOT / "Makefile", ROOT / "tools/python"]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STUDIES = [ROOT / "params.yaml", *sorted(ROOT.glob("studies/*/params.yaml"))]
MODELS = {str(path.parent.relative_to(ROOT)): set(params.load(path).runs) for path in STUDIES}
READERS = {
    "studies/streets",
    "studies/roads",
    "studies/mine",
    "studies/voc_aug",
}  # which the reader makes first
MADE = (
    "studies/streets/",
    "studies/roads/",
    "studies/mine/",
    "studies/voc_aug/",
    ".dvc/tmp/",
    "docs/teaser.png",
)  # no files of Git
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
GIT = {"add", "checkout", "clone", "commit", "init", "lfs", "restore", "stash", "switch"}
STARTED = {"dvc", "segmodels", "git", "make", "pip", "python"}
ELSEWHERE = {"pytest", "dvc", "pip", "venv"}  # modules of others
SECTIONS = ("datasets", "train", "predict", "models", "variants", "normalize", "comparisons")
# No way back: what a user has not committed would be lost.
LOSES = [
    r"git checkout (-q |-f |--force |HEAD )?(-- )?\.(?=[\s&`;]|$)",
    r"git (checkout|switch) .*(-f|--force|--discard-changes)\b",
    r"git restore (?!params\.yaml)(.* )?\.(?=[\s&`;]|$)",
    r"git reset --hard",
    r"git clean",
    r"git stash *(drop|clear|[`&;|]|$|push( -\w+)* *([`&;|]|$))",
    r"dvc checkout .*(-f|--force)\b",
    r"dvc gc\b",
    r"\brm -\w*r(?!\w* data/predictions/)",  # masks are in DVC's cache
]


def strings(path):
    """String literals of a program, with {} for what an f-string fills in."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    filled = [node for node in nodes if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in filled for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else ELSE for v in node.values]
            yield "".join(map(str, parts))
        elif id(node) not in inside and isinstance(getattr(node, "value", None), str):
            yield node.value


def texts():
    """Name and text of everything that may advise."""
    for path in DOCUMENTS:
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in PROGRAMS:
        yield path.relative_to(ROOT).as_posix(), "\n".join(strings(path))
    for path in SCRIPTS:
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def quoted(text):
    """What stands in backticks, and the lines of shell code."""
    blocks = re.findall(r"^```(?:sh|bash)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    code = "".join(blocks).replace("\\\n", " ")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = code.splitlines() + [line[4:] for line in prose.splitlines() if line[:4] == "    "]
    return re.findall(r"`([^`\n]+)`", prose), lines


def commands(text):
    """Commands as words, without variables before them and without comments."""
    spans, lines = quoted(text)
    for line in [*spans, *lines]:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # half of a quotation
            continue
        command = []
        for word in [*words, "&&"]:
            if word in ("&&", "&", "|", ";", "||"):
                yield from started(command)
                command = []
            else:
                command.append(word.removesuffix(";"))


def started(words):
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words:
        words = [words[0].removeprefix(".venv/bin/"), *words[1:]]
    if len(words) > 1 and words[0] in STARTED:
        yield words


def refused(words):
    """Why a command would be refused; "" if it would not."""
    program, *arguments = words
    if program == "dvc":
        return refused_by_dvc(arguments)
    if program == "segmodels":
        return parsed(parser(*COMMANDS), arguments)[0]
    if program == "git":
        return "" if arguments[0] in GIT else f"git {arguments[0]} is not in the list"
    if program == "make":
        unknown = [w for w in arguments if "=" not in w and w not in TARGETS]
        return f"no target {unknown}" if unknown else ""
    if program == "pip":
        return unknown_extras(" ".join(arguments))
    if arguments[0] != "-m":
        return "" if (ROOT / arguments[0]).exists() or arguments[0] == "-c" else "no such file"
    return unknown_module(arguments[1])


def unknown_extras(text):
    listed = re.findall(r"\.\[([\w,]+)\]", text)
    names = {name for extras in listed for name in extras.split(",")}
    unknown = names - set(PROJECT["optional-dependencies"])
    return f"no extra {unknown}" if unknown else ""


def unknown_module(name):
    path = ROOT / name.replace(".", "/")
    there = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    return "" if there or "<" in name or name in ELSEWHERE else f"no module {name}"


def parsed(parser, arguments):
    """What an argument parser says against arguments; and what it makes of them.

    A command or its last option may be named without what follows it.
    """
    said, options = "", None

    def error(self, message, *_):
        nonlocal said
        said = message
        raise SystemExit(2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "error", error)
        patch.setattr(DvcParser, "error", error)
        with contextlib.suppress(SystemExit):
            options = parser.parse_args(arguments)
    named = not any(word.startswith("-") for word in arguments)
    if (named and "are required" in said) or "expected one argument" in said:
        said = ""
    return said, options


def refused_by_dvc(arguments):
    if "|" in arguments[0] or arguments[-1] in ("...", "…"):
        return ""
    problem, options = parsed(get_main_parser(), arguments)
    if arguments[0] not in ("repro", "exp", "push"):
        return problem
    for target in getattr(options, "targets", None) or []:
        problem = problem or unknown_stage(target)
    for override in getattr(options, "set_param", None) or []:
        problem = problem or unknown_override(override)
    return problem


def unknown_stage(target):
    study = "."
    if ":" in target or target.endswith("dvc.yaml"):
        file, _, target = target.partition(":")
        study = str(Path(file).parent)
        if not (ROOT / file).is_file():
            known = study in READERS or ELSE in file
            return "" if known else f"no pipeline {file}"
        if not target:
            return ""
    name, _, member = target.partition("@")
    if name == ELSE:
        return ""
    if name not in PIPELINE:
        return f"no stage {name}"
    if ("foreach" in PIPELINE[name]) != bool(member):
        return f"{name} has {'members' if 'foreach' in PIPELINE[name] else 'no members'}"
    known = member in MODELS[study] or not member or re.search(r"[{$<.*]", member)
    return "" if known else f"no model {member}"


def unknown_override(text):
    try:
        (override,) = OverridesParser.create().parse_overrides([text.replace(ELSE, "any")])
    except Exception as error:
        return f"{text}: {error}"
    return unknown_key(override.key_or_group)


def unknown_key(key):
    """Follow a dotted key of params.yaml through the sections; names of one's own fit anywhere."""
    kind = params.Params
    for part in key.split("."):
        kind = plain(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if part == ELSE:
                return ""
            if part not in kind.model_fields:
                return f"{key}: no key {part} in {kind.__name__}"
            kind = kind.model_fields[part].annotation
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        else:
            return "" if kind is typing.Any else f"{key}: nothing is below {part}"
    return ""


def plain(kind):
    """A type without Annotated and None."""
    while typing.get_origin(kind) in (typing.Annotated, typing.Union, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    return kind


def keys(text):
    """Dotted keys of params.yaml that a text names."""
    part = r"(?:[\w-]+|\{\}|<\w+>)"
    pattern = rf"(?<![\w./@$-])(?:{'|'.join(SECTIONS)})(?:\.{part})+(?![\w/(])"
    return [key for key in re.findall(pattern, text) if not re.search(r"\.(py|md|csv|yaml)$", key)]


def every(found):
    """All that `found` finds, with the name of the text."""
    return sorted({(name, item) for name, text in texts() for item in found(text)})


def test_every_command_is_accepted():
    known = every(lambda text: map(shlex.join, commands(text)))
    assert len(known) > 60
    bad = {item: said for item in known if (said := refused(shlex.split(item[1])))}
    assert not bad, "\n".join(f"{item}: {said}" for item, said in bad.items())


def test_every_key_of_params_is_known():
    known = every(keys)
    assert len(known) > 20
    bad = {item: said for item in known if (said := unknown_key(item[1]))}
    assert {key for _, key in bad} <= {"predict.<dataset>.size"}, bad  # what a key was once called


def settings(text):
    """Names of keys before a value, as in `bn: frozen`, and before "in params.yaml"."""
    spans = [span.partition(": ")[0] for span in quoted(text)[0] if re.match(r"[a-z_]+: ", span)]
    return spans + re.findall(r"\blower (\w+) in params\.yaml", text)


def known_settings():
    """Keys of every section of params.yaml, and arguments of every model."""
    kinds = [kind for _, kind in inspect.getmembers(schema, inspect.isclass)]
    kinds = [kind for kind in [*kinds, params.Params] if issubclass(kind, BaseModel)]
    known = {name for kind in kinds for name in kind.model_fields}
    for arch in models.available():
        builder = getattr(importlib.import_module(f"segmodels.models.{arch}"), arch)
        known |= set(inspect.signature(builder).parameters)
    return known


def test_every_setting_that_is_shown_with_a_value_is_known():
    found = every(settings)
    assert len(found) > 20
    known = known_settings() | {"my_model", "fcn_on"}  # names of the reader's
    assert not [item for item in found if item[1] not in known]


def variables(text):
    return re.findall(r"\bSEGMODELS_[A-Z_]+\b", text)


def test_variables_are_read_somewhere_and_all_are_documented():
    read = set()
    for folder in ("segmodels", "stages", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != Path(__file__).name:
                read |= set(variables("\n".join(strings(path))))
    documented = set()
    for path in DOCUMENTS:
        documented |= set(variables(path.read_text(encoding="utf-8")))
    assert documented == read - {"SEGMODELS_PEER_MASKS"}, "of README.md or docs/"  # but our CI's


def files(text):
    """Paths of the project: files, folders with a slash at the end, and patterns of files."""
    folders = r"docs|segmodels|stages|studies|reports|tests|tools|benchmarks|\.dvc|\.github"
    endings = r"\.(?:md|py|yaml|yml|png|csv|json)\b|/(?![\w.*<{-])"
    pattern = rf"(?<![\w./<>{{}}*:-])(?:{folders})/(?:[\w./*-]*[\w*])?(?:{endings})"
    return re.findall(pattern, text)


def missing(document, path):
    """Whether a path is neither of the project nor of a study that the document is about."""
    if path.startswith(MADE):
        return False
    folders = [ROOT, (ROOT / document).parent]
    return not any(any(folder.glob(path)) for folder in folders)


def test_every_file_of_the_project_that_is_named_exists():
    known = every(files)
    assert len(known) > 150
    assert not [item for item in known if missing(*item)]


def test_every_extra_exists():
    known = every(lambda text: re.findall(r"\.\[[\w,]+\]", text))
    assert known
    assert not [item for item in known if unknown_extras(item[1])]


def losing(text):
    return [match[0] for pattern in LOSES for match in re.finditer(pattern, text, re.MULTILINE)]


def test_nothing_is_advised_that_loses_what_is_not_committed():
    assert not every(losing)


@pytest.mark.parametrize(
    "line",
    [
        "git checkout . && dvc checkout",
        "git checkout -- .",
        "git checkout -f main",
        "git restore .",
        "git reset --hard HEAD~1",
        "git clean -fd",
        "git stash",
        "git stash && dvc checkout",
        "git stash drop",
        "dvc checkout --force",
        "dvc gc -w",
        "rm -rf data/own",
    ],
)
def test_line_that_loses_work_is_recognised(line):
    assert losing(line) and losing(f"run `{line}` first")


@pytest.mark.parametrize(
    "line",
    [
        "dvc repro trian@unet",
        "dvc repro train@unett",
        "dvc repro studies/nowhere/dvc.yaml",
        "dvc repro studies/voc_animals/dvc.yaml:train@fcnn",
        "dvc repro train",
        "dvc repro compare@unet",
        "dvc reproduce",
        "dvc exp run --quickly",
        "dvc exp run -S modell=unet",
        "dvc exp run -S train.miniature.learning_rate=1",
        "segmodels predict a.jpg --modell unet",
        "segmodels train",
        "git bisect",
        "make everything",
        "pip install -e '.[gpu]'",
        "python -m stages.trian",
    ],
)
def test_invented_command_is_refused(line):
    for text in (f"try `{line}`", f"```sh\n{line}   # so\n```\n", f"run `X=1 .venv/bin/{line}`"):
        (words,) = commands(text)
        assert refused(words), line


def test_invented_names_are_refused():
    assert unknown_key("train.<dataset>.learning_rate") and unknown_key("datasets.{}.klasses")
    assert not unknown_key("train.<dataset>.lr") and not unknown_key("models.unet.train.lr")
    assert keys("lower train.{}.lr, or `models.unet.seed`.") == ["train.{}.lr", "models.unet.seed"]
    shown = "docs/nothing.md, `tests/no_*.py`, no/tests/, tests/none/, [x](docs/guides/own-data.md)"
    named = ["docs/nothing.md", "tests/no_*.py", "tests/none/", "docs/guides/own-data.md"]
    assert files(shown) == named
    assert [path for path in named if missing("README.md", path)] == named[:3]
    assert settings("lower batchsize in params.yaml, or `bnn: train`") == ["bnn", "batchsize"]
    assert not {"bnn", "batchsize"} & known_settings()
    assert variables("set SEGMODELS_NOTHING=1") == ["SEGMODELS_NOTHING"]
