"""Git and DVC as people use them: conflicts, line endings, edits in place, folders, Pythons."""

import ast
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
import unicodedata
from pathlib import Path

import pytest
from helpers import warm
from helpers.projects import ROOT, commit, copy_project

import segmodels
from segmodels.config import params

BIN = Path(sys.executable).parent
PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin"  # an environment that is not activated
_SPEC = importlib.util.spec_from_file_location("repair", ROOT / "tools/repair.py")
repair = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(repair)


def ran(folder, *command, **changes):
    """Run a command: its status and all that it printed. None takes a variable away."""
    values = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **changes}
    environment = {name: value for name, value in values.items() if value is not None}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def must(folder, *command, **changes):
    status, output = ran(folder, *command, **changes)
    assert status == 0, output
    return output


def dvc(folder, *arguments, **changes):
    return must(folder, sys.executable, "-m", "dvc", *arguments, **changes)


def project_file(name):
    return (ROOT / name).read_text(encoding="utf-8")


def one_line(output):
    lines = output.strip().splitlines()
    assert len(lines) == 1, output
    return lines[0]


# --- line endings ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """The project's files in a repository of their own, and a list with CRLF."""
    folder = tmp_path_factory.mktemp("committed") / "project"
    copy_project(folder)
    (folder / "data/splits/crlf.txt").write_bytes(b"2007_000032\r\n2007_000039\r\n")
    must(folder, "git", "config", "core.autocrlf", "false")
    commit(folder)
    return folder


def hashes(folder):
    listed = must(folder, "git", "ls-files", "-z").split("\0")
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in listed if name
    }


@pytest.mark.parametrize(
    "setting",
    [
        "core.autocrlf=true",
        "core.autocrlf=input",
        "core.eol=crlf",
        "core.filemode=false",
        "core.ignorecase=true",
        "core.precomposeunicode=true",
        "core.symlinks=false",
        "core.attributesFile=../attributes",
    ],
)
def test_checkout_has_the_same_bytes_under_any_setting(committed, tmp_path, setting):
    (tmp_path / "attributes").write_text("* text eol=crlf\n")
    clone = tmp_path / "clone"
    where = ["-c", setting] if "attributes" not in setting else []
    must(tmp_path, "git", "clone", "-q", *where, str(committed), str(clone))
    if not where:
        must(clone, "git", "config", *setting.split("="))
        must(clone, "git", "config", "core.attributesFile", str(tmp_path / "attributes"))
        for path in hashes(clone):
            (clone / path).unlink()
        must(clone, "git", "restore", ".")
    assert hashes(clone) == hashes(committed)
    assert must(clone, "git", "status", "--porcelain") == ""


def test_checkout_under_a_strict_umask_has_the_same_bytes(committed, tmp_path):
    must(tmp_path, "sh", "-c", f"umask 077 && git clone -q '{committed}' clone")
    assert hashes(tmp_path / "clone") == hashes(committed)
    assert must(tmp_path / "clone", "git", "status", "--porcelain") == ""


def test_list_with_crlf_keeps_its_bytes_when_it_is_committed(committed, tmp_path):
    """DVC hashes what its author has: another checkout must have the same."""
    author, other = tmp_path / "author", tmp_path / "other"
    must(tmp_path, "git", "clone", "-q", "-c", "core.autocrlf=true", str(committed), str(author))
    (author / "data/splits/own.txt").write_bytes(b"a\r\nb\r\n")
    commit(author)
    must(tmp_path, "git", "clone", "-q", str(author), str(other))
    for name in ("own.txt", "crlf.txt"):
        mine, theirs = author / "data/splits" / name, other / "data/splits" / name
        assert mine.read_bytes() == theirs.read_bytes()


def test_every_file_that_is_no_text_is_declared_binary(committed):
    for line in must(committed, "git", "ls-files", "--eol").splitlines():
        what, _, name = line.partition("\t")
        index, _, attribute = what.split()[:3]
        assert index in ("i/lf", "i/none") or attribute == "attr/-text", name


def test_no_name_needs_a_particular_file_system(committed):
    names = list(hashes(committed))
    folded = {unicodedata.normalize("NFC", name).casefold() for name in names}
    assert len(folded) == len(names)
    assert not [name for name in names if (committed / name).is_symlink()]


# --- dvc.lock -------------------------------------------------------------------------------------

LOCK = """\
schema: '2.0'
stages:
  check:
    cmd: exec sh tools/python -m stages.check
    deps:
    - path: params.yaml
      hash: md5
      md5: a94a595395a02d865803e55824116570
      size: 10053
  index:
    cmd: exec sh tools/python -m stages.index
    params:
      params.yaml:
        datasets.空:
          classes: [background, "blue, car"]
    outs:
    - path: data/空/index.csv
      hash: md5
      md5: eff5bc1ef8ec9d03e640fc4370f5eacd
      size: 3
  train@small:
    cmd: exec sh tools/python -m stages.train small
    outs:
    - path: data/runs/空/small
      hash: md5
      md5: 0ff5bc1ef8ec9d03e640fc4370f5eacd.dir
      size: 31
      nfiles: 4
"""
SIDE = "      md5: a94a595395a02d865803e55824116570\n"
CONFLICT = f"<<<<<<< HEAD\n{SIDE}=======\n{SIDE.replace('a', 'b')}>>>>>>> other\n"
DIFF3 = CONFLICT.replace("=======\n", f"||||||| 1234567\n{SIDE}=======\n")
NOT_CUT_OFF = {
    "conflict": LOCK.replace(SIDE, CONFLICT),
    "conflict, diff3": LOCK.replace(SIDE, DIFF3),
    "conflict, CRLF": LOCK.replace(SIDE, CONFLICT).replace("\n", "\r\n"),
    "conflict in the last stage": LOCK.replace("      nfiles: 4\n", CONFLICT),
    "conflict, whole file": f"<<<<<<< HEAD\n{LOCK}=======\n{LOCK}>>>>>>> other\n",
    "conflict that was cut off": LOCK.replace(SIDE, CONFLICT)[:-20],
    "tab": LOCK.replace("    cmd", "\tcmd", 1),
    "tab in the last stage": LOCK.replace("      nfiles", "\tnfiles"),
    "newer schema": LOCK.replace("2.0", "3.0"),
    "newer schema, cut off": LOCK.replace("2.0", "3.0")[:-20],
    "no schema": LOCK.partition("\n")[2],
    "unknown key in the last stage": LOCK + "    note: mine\n",
    "unknown section": LOCK + "mine: 1\n",
    "text at the end": LOCK + "some text\n",
    "text": "this is no lock\n",
    "list": "- a\n- b\n",
    "quote that is never closed": LOCK.replace("path: params.yaml", "path: 'params.yaml"),
    "key twice": LOCK.replace("  index:", "  check:"),
    "NUL": LOCK.replace("exec", "\0", 1),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/repair.py", tmp_path / "tools")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_lock_that_was_cut_off_anywhere_is_fixed_and_keeps_the_whole_stages(folder):
    content = LOCK.encode()
    stages = repair.loads_yaml(LOCK)["stages"]
    for length in range(len(content)):
        Path("dvc.lock").write_bytes(content[:length])
        assert repair.fix_lock() == "", length
        fixed = Path("dvc.lock").read_bytes()
        assert repair.whole(fixed), length
        found = repair.loads_yaml(fixed.decode()).get("stages")
        *complete, last = found or [None]
        assert all(found[name] == stages[name] for name in complete)
        assert last is None or set(found[last]) <= set(stages[last])
        if fixed != content[:length]:
            kept = Path(".dvc/tmp/dvc.lock.cut-off")
            assert kept.read_bytes() == content[:length]
            kept.unlink()


def test_what_was_cut_off_before_is_kept_too(folder):
    for content in (LOCK.encode()[:-30], b""):
        Path("dvc.lock").write_bytes(content)
        assert repair.fix_lock() == ""
    kept = sorted(Path(".dvc/tmp").glob("dvc.lock.cut-off*"))
    assert [path.read_bytes() for path in kept] == [LOCK.encode()[:-30], b""]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["", "BOM"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_lock_of_other_line_endings_is_read_and_fixed_too(folder, capsys, start, end):
    content = start + LOCK.encode().replace(b"\n", end)
    Path("dvc.lock").write_bytes(content)
    assert repair.fix_lock() == ""
    assert Path("dvc.lock").read_bytes() == content
    assert capsys.readouterr().err == ""
    Path("dvc.lock").write_bytes(content[:-30])
    assert repair.fix_lock() == ""
    assert list(repair.loads_yaml(Path("dvc.lock").read_text())["stages"]) == ["check", "index"]


@pytest.mark.parametrize("what", NOT_CUT_OFF)
def test_lock_that_is_not_cut_off_is_left_as_it_is(folder, what):
    Path("dvc.lock").write_bytes(content := NOT_CUT_OFF[what].encode())
    problem = one_line(repair.fix_lock())
    assert problem.startswith("dvc.lock: ")
    assert Path("dvc.lock").read_bytes() == content
    assert ("a conflict of a merge" in problem) == ("conflict" in what)


def test_lock_in_another_encoding_is_left_as_it_is(folder):
    for content in (LOCK.encode("utf-16"), LOCK.encode().replace(b"check", b"\xff\xfe")):
        Path("dvc.lock").write_bytes(content)
        assert "no UTF-8" in one_line(repair.fix_lock())
        assert Path("dvc.lock").read_bytes() == content


def test_advice_without_git_loses_nothing(folder):
    Path("dvc.lock").write_text(NOT_CUT_OFF["tab"])
    Path("dvc.lock.old").write_text("of last time")
    command = repair.fix_lock().split("`")[1]
    assert command == "mv dvc.lock dvc.lock.old1"
    must(folder, "sh", "-c", command)
    assert Path("dvc.lock.old1").read_text() == NOT_CUT_OFF["tab"]


def test_advice_with_git_brings_the_committed_one_back(folder):
    must(folder, "git", "init", "-q")
    Path("dvc.lock").write_text(LOCK)
    commit(folder)
    Path("dvc.lock").write_text(NOT_CUT_OFF["tab"])
    must(folder, "sh", "-c", repair.fix_lock().split("`")[1])
    assert Path("dvc.lock").read_text() == LOCK
    assert Path("dvc.lock.old").read_text() == NOT_CUT_OFF["tab"]


@pytest.mark.parametrize("side", ["--ours", "--theirs"])
def test_advice_after_a_merge_is_accepted_by_git(folder, side):
    merge(folder)
    before = Path("dvc.lock").read_bytes()
    status, output = ran(folder, sys.executable, "tools/repair.py")
    assert status == 1
    advice = [part for part in one_line(output).split("`") if side in part]
    assert Path("dvc.lock").read_bytes() == before
    must(folder, *advice[0].split())
    assert ran(folder, sys.executable, "tools/repair.py") == (0, "")


def test_conflict_that_was_committed_is_told_from_one_with_two_sides(folder):
    merge(folder)
    commit(folder)
    assert "git checkout COMMIT -- dvc.lock" in repair.fix_lock()


def merge(folder):
    """Leave a conflict of Git in dvc.lock."""
    must(folder, "git", "init", "-q")
    Path(".gitignore").write_text("/.dvc/\n")
    Path("dvc.lock").write_text(LOCK)
    commit(folder)
    must(folder, "git", "branch", "other")
    Path("dvc.lock").write_text(LOCK.replace("size: 31", "size: 32"))
    commit(folder)
    must(folder, "git", "checkout", "-q", "other")
    Path("dvc.lock").write_text(LOCK.replace("size: 31", "size: 33"))
    commit(folder)
    status, output = ran(folder, "git", "merge", "-", GIT_MERGE_AUTOEDIT="no")
    assert status == 1 and "<<<<<<<" in Path("dvc.lock").read_text(), output


def test_make_repro_stops_at_a_conflict_and_does_not_start_dvc(folder):
    shutil.copy(ROOT / "Makefile", folder)
    Path("dvc.lock").write_text(NOT_CUT_OFF["conflict"])
    command = ["make", "-o", "setup", "repro", f"PY={sys.executable}"]
    status, output = ran(folder, *command, MAKEFLAGS=None, MAKELEVEL=None)
    line, of_make = output.strip().splitlines()
    assert status != 0 and line.startswith("error: dvc.lock: line 8 is '<<<<<<< HEAD'")
    assert of_make.startswith("make: ***")


def test_repair_in_a_subfolder_works_in_the_project_and_leaves_no_folder_behind(folder):
    (folder / "data").mkdir()
    Path("dvc.lock").write_text(LOCK[:-20])
    must(folder / "data", sys.executable, "../tools/repair.py")
    assert repair.whole(Path("dvc.lock").read_bytes())
    assert not list((folder / "data").iterdir())


# --- params.yaml ----------------------------------------------------------------------------------


def conflicts():
    text = project_file("params.yaml")
    sides = "<<<<<<< HEAD\n{0}\n=======\n{0}\n>>>>>>> other\n"
    seed = next(line for line in text.splitlines() if line.startswith("seed:"))
    conflict = sides.format(seed)
    yield text.replace(f"{seed}\n", conflict)
    yield text.replace(
        f"{seed}\n", conflict.replace("=======", f"||||||| 1234567\n{seed}\n=======")
    )
    # In brackets it is valid YAML: three classes of these names.
    listed = "names: [a,\n" + sides.format("car,") + "]\n"
    yield text + listed


@pytest.mark.parametrize("number", range(3))
def test_params_with_a_conflict_are_one_line(tmp_path, number):
    path = tmp_path / "params.yaml"
    path.write_text(list(conflicts())[number], encoding="utf-8")
    with pytest.raises(ValueError, match=r"line \d+ is '<<<<<<< HEAD', a conflict") as error:
        params.load(path)
    one_line(str(error.value))


# --- edits in place -------------------------------------------------------------------------------


@pytest.fixture
def versioned(tmp_path):
    """A repository with the project's DVC configuration and a data set in it."""
    folder = tmp_path / "my project"
    masks = folder / "data/own/roads/SegmentationClass"
    masks.mkdir(parents=True)
    for k in range(3):
        (masks / f"{k}.png").write_bytes(b"first version %d" % k)
    must(folder, "git", "init", "-q")
    warm.dvc(folder, "init", "-q")
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    warm.dvc(folder, "add", "-q", "data/own/roads")
    commit(folder)
    return folder


def objects_are_what_their_names_say(folder):
    cached = [path for path in (folder / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    for path in cached:
        content = path.read_bytes()
        name = f"{path.parent.name}{path.name}".removesuffix(".dir")
        assert hashlib.md5(content).hexdigest() == name, content
    return len(cached)


def edit_and_go_back(folder, mask):
    mask.write_bytes(b"second version")
    warm.dvc(folder, "add", "-q", "data/own/roads")
    commit(folder)
    assert objects_are_what_their_names_say(folder) == 6  # four masks, two lists
    must(folder, "git", "checkout", "-q", "HEAD~1")
    warm.dvc(folder, "checkout", "-q")
    assert mask.read_bytes() == b"first version 0"
    assert objects_are_what_their_names_say(folder) == 6


def test_mask_edited_in_place_keeps_its_old_version(versioned):
    edit_and_go_back(versioned, versioned / "data/own/roads/SegmentationClass/0.png")


def test_mask_edited_after_a_checkout_keeps_its_old_version(versioned):
    """Where links are allowed, these are links after any checkout."""
    shutil.rmtree(versioned / "data/own/roads")
    warm.dvc(versioned, "checkout", "-q")
    mask = versioned / "data/own/roads/SegmentationClass/0.png"
    assert mask.stat().st_nlink == 1 and mask.stat().st_mode & 0o200
    edit_and_go_back(versioned, mask)


def test_links_can_be_set_as_the_guide_says_and_unprotect_makes_edits_safe(versioned):
    text = project_file("docs/guides/experiments.md")
    for name in ("dvc config --local cache.type", "dvc checkout --relink"):
        words = next(part for part in text.split("`") if part.startswith(name)).split()
        warm.dvc(versioned, *words[1:])
    mask = versioned / "data/own/roads/SegmentationClass/0.png"
    assert mask.stat().st_nlink == 2
    warm.dvc(versioned, "unprotect", "data/own/roads")
    edit_and_go_back(versioned, mask)


# --- folders and Pythons --------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path):
    """A pipeline whose only stage says which Python it is and who started it."""
    folder = tmp_path / "my project"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/python", folder / "tools/python")
    (folder / "tools/python").chmod(0o644)  # Git may not know which files are programs
    (folder / "said.py").write_text(
        "import os, sys\n"
        "words = open(f'/proc/{os.getppid()}/cmdline').read().split(chr(0))\n"
        "open('said.txt', 'w').write(f'{sys.executable} {any(\"dvc\" in w for w in words)}')\n"
    )
    stage = "  one:\n    cmd: exec sh tools/python said.py\n    params: [a]\n"
    outs = "    outs: [said.txt: {cache: false}]\n"
    (folder / "dvc.yaml").write_text(f"stages:\n{stage}{outs}")
    (folder / "params.yaml").write_text("a: 1\n")
    must(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    commit(folder)
    return folder


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", None])
def test_stage_runs_with_the_python_of_dvc_where_no_environment_is_active(toy, shell):
    changes = {"PATH": PLAIN_PATH, "SHELL": shell, "VIRTUAL_ENV": None, "CONDA_PREFIX": None}
    must(toy, str(BIN / "dvc"), "repro", **changes)
    assert (toy / "said.txt").read_text() == f"{sys.executable} True"


def test_stage_of_an_experiment_elsewhere_runs_with_the_same_python(toy):
    changes = {"PATH": PLAIN_PATH, "VIRTUAL_ENV": None, "CONDA_PREFIX": None}
    dvc(toy, "exp", "run", "-q", "--temp", "-n", "elsewhere", "-S", "a=2", **changes)
    refs = must(toy, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    ref = next(ref for ref in refs if ref.endswith("/elsewhere"))
    assert must(toy, "git", "show", f"{ref}:said.txt") == f"{sys.executable} True"


def make_python(prefix, *, torch):
    """A program that says its own path, and the folder of its packages."""
    program = prefix / "bin/python"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$0" "$@"\n')
    program.chmod(0o755)
    (prefix / "lib/python3.12/site-packages" / ("torch" if torch else "pip")).mkdir(parents=True)
    return str(program)


def chosen(project, **changes):
    """Which Python tools/python takes where its parent is a shell."""
    nothing = {"VIRTUAL_ENV": None, "CONDA_PREFIX": None, "DVC_ROOT": None, "PATH": PLAIN_PATH}
    output = must(project, "sh", "-c", "sh tools/python 'a  b'; exit $?", **nothing | changes)
    name, _, arguments = output.rstrip("\n").partition(" a")
    assert arguments == "  b"
    return name


@pytest.fixture
def pythons(tmp_path):
    """A project with a .venv, another environment, and one without PyTorch."""
    project = tmp_path / "日本 project"
    (project / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/python", project / "tools/python")
    venv = make_python(project / ".venv", torch=True)
    other = make_python(tmp_path / "other env", torch=True)
    return project, venv, other, make_python(tmp_path / "base", torch=False)


def test_activated_environment_comes_before_the_projects_own(pythons):
    project, venv, other, base = pythons
    prefix = str(Path(other).parents[1])
    path = f"{Path(other).parent}:{PLAIN_PATH}"
    assert chosen(project, PATH=path, VIRTUAL_ENV=prefix) == other
    assert chosen(project, PATH=path, CONDA_PREFIX=prefix) == other
    assert chosen(project, PATH=path) == venv  # another Python on the path is no environment
    path = f"{Path(base).parent}:{PLAIN_PATH}"
    assert chosen(project, PATH=path, CONDA_PREFIX="base") == venv  # conda's base, without PyTorch


def test_project_of_an_experiment_elsewhere_lends_its_environment(pythons):
    project, venv, _, base = pythons
    experiment = project / ".dvc/tmp/exps/standalone/tmp1234"
    shutil.copytree(project / "tools", experiment / "tools")
    assert chosen(experiment) == venv
    outside = project.parent / "outside"
    shutil.copytree(project / "tools", outside / "tools")
    assert chosen(outside, DVC_ROOT=str(project)) == venv
    shutil.rmtree(project / ".venv")
    path = f"{Path(base).parent}:{PLAIN_PATH}"
    assert chosen(project, PATH=path) == base  # which then says that it has no torch


def test_no_python_at_all_is_one_line(pythons):
    project, venv, *_ = pythons
    Path(venv).unlink()
    bare = {"PATH": "/nowhere", "VIRTUAL_ENV": None, "CONDA_PREFIX": None, "DVC_ROOT": None}
    command = "/bin/sh tools/python -m stages.check; exit $?"
    status, output = ran(project, "/bin/sh", "-c", command, **bare)
    assert status == 127
    assert "activate the environment (. .venv/bin/activate), or make setup" in one_line(output)


def test_every_stage_starts_with_the_script():
    commands = [line.strip() for line in project_file("dvc.yaml").splitlines() if " cmd:" in line]
    assert len(commands) == 11
    assert all(line.startswith("cmd: exec sh tools/python -m stages.") for line in commands)


PROGRAMS = ["stages.check", "stages.index", "segmodels.cli", "benchmarks.crf", "tools.background"]


@pytest.mark.parametrize("module", PROGRAMS)
def test_python_without_the_packages_is_one_line(module):
    status, output = ran(ROOT, sys.executable, "-S", "-m", module, PYTHONPATH=None)
    assert status == 1
    line = one_line(output)
    assert line.startswith(f"error: this Python ({sys.executable}) has no torch, ")
    assert line.endswith("activate the environment (. .venv/bin/activate), or make setup")


def test_repair_with_a_python_without_the_packages_is_one_line():
    status, output = ran(ROOT, sys.executable, "-S", "tools/repair.py", PYTHONPATH=None)
    assert status == 1 and "has no psutil" in one_line(output)


@pytest.mark.parametrize("started_as", ["-m", "/opt/bin/segmodels"])
@pytest.mark.parametrize("package", ["stages", "segmodels"])
def test_python_that_is_too_old_is_one_line(package, started_as):
    program = f"import sys; sys.version_info = (3, 9, 2); sys.argv = [{started_as!r}]"
    status, output = ran(ROOT, sys.executable, "-c", f"{program}; import {package}")
    assert status == 1 and "is 3.9, expected 3.11 or newer" in one_line(output)


def test_old_pythons_can_read_what_refuses_them():
    for name in ("segmodels/__init__.py", "stages/__init__.py"):
        ast.parse(project_file(name), feature_version=(3, 7))


def test_library_is_imported_without_a_word_in_any_python():
    assert ran(ROOT, sys.executable, "-S", "-c", "import segmodels", PYTHONPATH=None) == (0, "")


def test_needed_packages_are_those_of_the_project():
    modules = {"pillow": "PIL", "ruamel.yaml": "ruamel"}
    listed = tomllib.loads(project_file("pyproject.toml"))["project"]["dependencies"]
    names = [line.partition(">")[0] for line in listed]
    known = {modules.get(name, name) for name in names}
    assert set(segmodels.NEEDED) <= known
    assert known - set(segmodels.NEEDED) == {"dvc", "pyyaml", "urllib3"}  # nothing starts with them


def test_command_in_a_subfolder_says_where_to_run_it():
    status, output = ran(
        ROOT / "data", sys.executable, "-m", "segmodels.cli", "check", "x", PYTHONPATH=ROOT
    )
    assert status == 1
    assert one_line(output) == (
        f"error: params.yaml: not found in {ROOT / 'data'}: run it in {ROOT}"
    )


def test_params_that_are_not_there_are_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="run it in the project's folder") as error:
        params.load()
    assert f"not found in {tmp_path}: " in one_line(str(error.value))
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(ValueError, match="`git restore params.yaml` brings back") as error:
        params.load()
    one_line(str(error.value))
    (tmp_path / "params.yaml").touch()
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"not found in {tmp_path}/a/b: run it in {tmp_path}$"):
        params.load(tmp_path / "a/b/params.yaml")
