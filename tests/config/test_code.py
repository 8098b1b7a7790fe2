"""Digests of code: what changes a number changes them, what does not leaves them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from segmodels.config import code

ROOT = Path(__file__).parents[2]
LOSSES = "segmodels/training/losses.py"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the code, of which digests are taken."""
    for folder in ("segmodels", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(code, "ARCHS", tmp_path / "segmodels/models")
    return tmp_path


def digests():
    """Of each stage and architecture, anew."""
    code.imports.cache_clear()
    code._tree.cache_clear()
    code._tree_digest.cache_clear()
    stages = {f"stages/{path.name}" for path in (code.ROOT / "stages").glob("[!_]*.py")}
    archs = {f"segmodels/models/{arch}.py" for arch in code.archs()}
    return {file: code.digest(code.reached(file)) for file in sorted(stages | archs)}


def changed(copy, file, old, new):
    """What depends on an edit of a file."""
    before = digests()
    text = (copy / file).read_text(encoding="utf-8")
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    after = digests()
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import torch\n", "import torch  # a comment\n"),
        ('"""', '"""Another docstring. '),
        ("\n\n\n", "\n\n\n# more lines\n\n\n\n"),
        (" = ", "   =   "),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(copy, old, new):
    assert changed(copy, LOSSES, old, new) == set()


def test_the_docstring_of_a_function_changes_nothing(copy):
    assert changed(copy, LOSSES, '\n    """', '\n    """Another one. ') == set()


def test_a_constant_reaches_what_computes_with_it(copy):
    text = (copy / LOSSES).read_text(encoding="utf-8")
    assert changed(copy, LOSSES, text, text + "\nOTHER = 1\n") == {"stages/train.py"}


def test_an_architecture_reaches_itself_alone(copy):
    file = "segmodels/models/unet.py"
    text = (copy / file).read_text(encoding="utf-8")
    assert changed(copy, file, text, text + "\nOTHER = 1\n") == {file}


@pytest.mark.parametrize(
    "line",
    ["from ._extra import LEVELS", "from . import _extra", "from ..models._extra import LEVELS"],
)
def test_relative_imports_are_followed(copy, line):
    extra, file = "segmodels/models/_extra.py", "segmodels/models/unet.py"
    (copy / extra).write_text("LEVELS = 4\n", encoding="utf-8")
    text = (copy / file).read_text(encoding="utf-8")
    assert changed(copy, file, text, f"{line}\n{text}") == {file}
    assert changed(copy, extra, "4", "3") == {file}


def test_what_architectures_share_reaches_all_that_use_it(copy):
    file = "segmodels/models/backbones.py"
    text = (copy / file).read_text(encoding="utf-8")
    reached = changed(copy, file, text, text + "\nOTHER = 1\n")
    assert {"segmodels/models/fcn.py", "segmodels/models/fpn.py"} <= reached
    assert "stages/evaluate.py" not in reached and "stages/compare.py" not in reached


@pytest.mark.parametrize("file", code.PLUMBING)
def test_plumbing_reaches_nothing_and_has_its_reason(copy, file):
    assert code.PLUMBING[file]
    text = (copy / file).read_text(encoding="utf-8")
    assert changed(copy, file, text, text + "\nOTHER = 1\n") == set()


def test_a_file_that_is_no_python_is_named(copy):
    (copy / LOSSES).write_text("def (:\n")
    with pytest.raises(ValueError, match=rf"{LOSSES}: no Python"):
        digests()


def test_other_values_have_other_digests(copy):
    seen = set()
    for value in (
        "1",
        "1.0",
        "True",
        "'1'",
        "-1",
        "[1]",
        "(1,)",
        "{1}",
        "None",
        "x",
        "x.y",
        "x[0]",
    ):
        (copy / "a.py").write_text(f"A = {value}\n")
        code._tree.cache_clear()
        code._tree_digest.cache_clear()
        seen.add(code.digest(["a.py"]))
    assert len(seen) == 12


@pytest.mark.parametrize("stage", ["train", "predict", "evaluate", "compare", "page", "index"])
def test_files_that_a_stage_imports_are_in_its_digest(stage):
    """What Python loads, beside what the imports say."""
    program = f"import sys, json, stages.{stage}; print(json.dumps(sorted(sys.modules)))"
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    loaded = {code._file(name) for name in json.loads(printed) if name.startswith(("segm", "stag"))}
    loaded = {file for file in loaded if file and (ROOT / file).stat().st_size}
    assert loaded - set(code.PLUMBING) <= code.reached(f"stages/{stage}.py")
