"""Fix what a kill or a full disk leaves of DVC's own files, which it does not write atomically.

`make repro` runs it before DVC, which would ask for a hand. Nothing is lost: DVC's run cache has
the results of all stages that ended. While another DVC is at work here, its files are left alone.
Partial files of a killed stage are removed, where DVC, which clears the folders that are results,
does not see them.

Only a dvc.lock that was cut off is changed. Any other one that DVC cannot read, for instance after
a merge, is left as it is: one line says what is wrong and what to do, and the status is 1.
"""

import codecs
import fcntl
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import psutil
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import loads_yaml
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from voluptuous import Invalid
except ModuleNotFoundError as error:
    sys.exit(
        f"error: this Python ({sys.executable}) has no {error.name}: activate the environment "
        "(. .venv/bin/activate), or make setup"
    )

LOCK, HELD, PATHS = Path("dvc.lock"), Path(".dvc/tmp/lock"), Path(".dvc/tmp/rwlock")
KEPT = Path(".dvc/tmp/dvc.lock.cut-off")
HEAD = "schema: '2.0'\nstages:\n"
EMPTY = "schema: '2.0'\nstages: {}\n"
OF_STAGE = {"cmd", "deps", "params", "outs"}
CONFLICT = re.compile(r"(<{7}|\|{7}|>{7})( .*)?$", re.MULTILINE)  # Git's markers
PIPELINES = ("dvc.yaml", "studies/*/dvc.yaml")
VALUE = re.compile(r"\$\{.*?\}")  # what DVC fills in


def main() -> None:
    os.chdir(Path(__file__).absolute().parents[1])
    problem = ""
    with alone(HELD) as mine:
        if mine:
            found = (fix_lock(lock) for lock in locks())
            problem = next(filter(None, found), "")
    with alone(PATHS.with_name("rwlock.lock")) as mine:
        if mine:
            held = held_paths(PATHS.read_bytes()) if PATHS.exists() else "{}"
            if PATHS.exists():
                replace(PATHS, held)
            if not json.loads(held).get("write"):  # or a stage is at work
                for pipeline in pipelines():
                    clear(pipeline)
    if problem:
        sys.exit(f"error: {problem}")


def pipelines() -> list[Path]:
    """The dvc.yaml of the project's own study and of the others."""
    paths: list[Path] = []
    for pattern in PIPELINES:
        paths += sorted(Path().glob(pattern))
    return paths


def locks() -> list[Path]:
    """The dvc.lock of every study that has one."""
    studies = [LOCK, *(path.with_name("dvc.lock") for path in pipelines())]
    return [lock for lock in dict.fromkeys(studies) if lock.exists()]


def clear(pipeline: Path) -> None:
    """Remove partial files of a study, and links that lead nowhere, which stop DVC."""
    for pattern in partial_files(pipeline):
        for begun in pipeline.parent.glob(pattern):
            begun.unlink(missing_ok=True)
    for link in (pipeline.parent / "data/links").glob("*"):
        if not link.exists():
            link.unlink()


def partial_files(pipeline: Path) -> list[str]:
    """Patterns of what segmodels.core.files.write begins beside the outs that are files.

    Their names are .<name>.<eight characters>; the values that DVC fills in may be any.
    """
    try:
        stages = loads_yaml(pipeline.read_text(encoding="utf-8"))["stages"]
        outs: list[Any] = []
        for stage in stages.values():
            outs += stage.get("do", stage).get("outs", [])
    except (OSError, YAMLError, ValueError, LookupError, TypeError, AttributeError):
        return []  # DVC says what is wrong with it
    files = [Path(VALUE.sub("*", out.replace("${here}", ""))) for out in outs if type(out) is str]
    named = dict.fromkeys(file for file in files if file.suffix)
    return [f"{file.parent}/.{file.name}.????????" for file in named]


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Hold one of DVC's locks as DVC does; False: another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def fix_lock(lock: Path = LOCK) -> str:
    """Fix a dvc.lock that was cut off; what is wrong with any other one, "" if nothing."""
    try:
        content = lock.read_bytes()
    except OSError as error:
        return f"{lock} cannot be read: {error.strerror}"
    if whole(content):
        return ""
    if not cut_off(content):
        return problem_of(lock, content)
    kept = unused(KEPT)
    kept.write_bytes(content)
    replace(lock, complete_stages(beginning(content)))
    print(
        f"{lock} was cut off: fixed, the stages that it lacks are checked again; "
        f"what was there is kept in {kept}",
        file=sys.stderr,
    )
    return ""


def unused(path: Path) -> Path:
    """A path, or with a number behind it, where nothing is yet."""
    numbers = itertools.count(2)
    free = path
    while free.exists():
        free = path.with_name(f"{path.name}.{next(numbers)}")
    return free


def whole(content: bytes) -> bool:
    """Whether DVC can read a dvc.lock, and its last number has all digits."""
    if not content.endswith(b"\n"):
        return False
    try:
        COMPILED_LOCKFILE_SCHEMA(loads_yaml(content.decode()))
    except (YAMLError, ValueError, Invalid):  # ValueError: no UTF-8, or a value that is none
        return False
    return True


def cut_off(content: bytes) -> bool:
    """Whether this is the beginning of a dvc.lock that DVC could read: of nothing else."""
    try:
        text = beginning(content)
    except UnicodeDecodeError:
        return False
    if HEAD.startswith(text) or EMPTY.startswith(text):
        return True
    rest = complete_stages(text)
    if not whole(rest.encode()):
        return False
    kept = HEAD if rest == EMPTY else rest
    if not text.startswith(kept):
        return False
    *lines, _ = text[len(kept) :].split("\n")  # of the last stage; the last line may be incomplete
    if not all(line.startswith("    ") for line in lines[1:]):
        return False
    return begins_stage("\n".join(lines))


def begins_stage(text: str) -> bool:
    """Whether complete lines can be the beginning of a stage in dvc.lock."""
    try:
        stages = loads_yaml(text) if text else None
    except YAMLError as error:
        return "end of stream" in str(error) or "stream end" in str(error)  # in a long string
    if stages is None:
        return True
    if not isinstance(stages, dict) or len(stages) != 1:
        return False
    value = next(iter(stages.values()))
    return value is None or (isinstance(value, dict) and set(value) <= OF_STAGE)


def beginning(content: bytes) -> str:
    """The text, up to a character whose bytes may be incomplete; "\\n" ends lines, no BOM."""
    text = codecs.getincrementaldecoder("utf-8")().decode(content)
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def complete_stages(text: str) -> str:
    """A dvc.lock that was cut off, without the stage that the cut went through."""
    lines = text.splitlines(keepends=True)
    starts = [k for k, line in enumerate(lines) if re.match(r"  [^ ]", line)]
    return "".join(lines[: starts[-1]]) if len(starts) > 1 else EMPTY


def problem_of(lock: Path, content: bytes) -> str:
    """One line: what is wrong with a dvc.lock, that it was left alone, and what to do."""
    text = content.decode(errors="replace")
    marker = CONFLICT.search(text)
    if marker:
        number = text.count("\n", 0, marker.start()) + 1
        return (
            f"{lock}: line {number} is {marker[0].strip()!r}, a conflict of a merge in Git, and "
            f"was left as it is: {sides(lock)}, then make repro"
        )
    return f"{lock}: {reason(content)}; it was left as it is: {earlier(lock)}"


def sides(lock: Path) -> str:
    """How to take one side of a merge; its commits keep both."""
    if not git("rev-parse", "--git-dir"):
        return earlier(lock)
    if CONFLICT.search(git("show", f":{lock}")):  # no longer two sides, but one with markers
        return f"take that of a commit before the merge, `git checkout COMMIT -- {lock}`"
    return f"take one side, `git checkout --ours {lock}` or `git checkout --theirs {lock}`"


def earlier(lock: Path) -> str:
    """How to go on without this dvc.lock, which stays under another name."""
    names = (f"{lock}.old{number or ''}" for number in itertools.count())
    free = next(name for name in names if not Path(name).exists())
    aside = f"mv {lock} {free}"
    if whole(git("show", f"HEAD:{lock}").encode()):
        return (
            f"take the committed one, `{aside} && git checkout HEAD -- {lock}`; DVC's run cache "
            "has what was computed since"
        )
    return f"go on without it, `{aside}`; DVC's run cache has what was computed"


def reason(content: bytes) -> str:
    """Why DVC cannot read a dvc.lock."""
    try:
        COMPILED_LOCKFILE_SCHEMA(loads_yaml(content.decode()))
    except UnicodeDecodeError as error:
        return f"byte {error.start} is no UTF-8"
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return f"line {line}: {' '.join(str(error.problem).split())}"
    except YAMLError as error:
        return " ".join(str(error).split())
    except ValueError as error:
        return " ".join(str(error).split())
    except Invalid as error:
        version = re.match(r"schema: (\S+)", content.decode())
        if version and version[1].strip("'\"") != "2.0":
            return f"its schema is {version[1]}, expected '2.0': a newer DVC may have written it"
        return " ".join(str(error).split())
    return "its last line is incomplete"


def git(*arguments: str) -> str:
    """What Git prints; "" where there is no Git or it refuses."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def held_paths(content: bytes) -> str:
    """DVC's list of paths in use, without those of processes that are no DVC any more."""
    try:
        held = json.loads(content)
        writers = {path: by for path, by in held["write"].items() if is_dvc(by)}
        readers = {path: list(filter(is_dvc, holders)) for path, holders in held["read"].items()}
    except (ValueError, TypeError, AttributeError, KeyError):
        return "{}"
    return json.dumps({"write": writers, "read": {p: by for p, by in readers.items() if by}})


def is_dvc(holder: dict[str, Any]) -> bool:
    """Whether a number still belongs to DVC, and not to another program, as after a restart."""
    try:
        return any("dvc" in word for word in psutil.Process(holder["pid"]).cmdline())
    except psutil.Error:
        return False


def replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"error: {error}")
