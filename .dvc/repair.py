"""Mend what a kill or a full disk leaves of DVC's own files, which it does not write atomically.

`make repro` runs it before DVC, which would ask for a hand. Nothing is lost: DVC's run cache has
the results of all stages that ended. While another DVC is at work here, its files are left alone.
What a stage that was killed had begun to write goes too, where DVC, which clears the folders that
are results, does not see it.
"""

import fcntl
import itertools
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import loads_yaml
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

LOCK, HELD, PATHS = Path("dvc.lock"), Path(".dvc/tmp/lock"), Path(".dvc/tmp/rwlock")
# segmodels.files.write, beside the results in dvc.yaml that are files: .<name>.<eight characters>
BEGUN = (
    *("data/.params.ok.????????", "data/*/.index.csv.????????", "data/*/.statistics.json.????????"),
    *("data/runs/*/*/.*.json.????????", "data/costs/*/.*.json.????????"),
)


def main() -> None:
    with alone(HELD) as mine:
        if mine and LOCK.exists() and not whole(LOCK.read_bytes()):
            print(f"{LOCK} was cut off: mended, its stages are checked again", file=sys.stderr)
            replace(LOCK, complete_stages(LOCK.read_text(encoding="utf-8", errors="ignore")))
    with alone(PATHS.with_name("rwlock.lock")) as mine:
        if mine:
            held = held_paths(PATHS.read_bytes()) if PATHS.exists() else "{}"
            if PATHS.exists():
                replace(PATHS, held)
            if not json.loads(held).get("write"):  # or a stage is at work
                for begun in itertools.chain.from_iterable(map(Path().glob, BEGUN)):
                    begun.unlink(missing_ok=True)


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


def whole(content: bytes) -> bool:
    """Whether DVC can read a dvc.lock, and its last number has all digits."""
    if not content.endswith(b"\n"):
        return False
    try:
        COMPILED_LOCKFILE_SCHEMA(loads_yaml(content.decode()))
    except (YAMLError, UnicodeDecodeError, Invalid):
        return False
    return True


def complete_stages(text: str) -> str:
    """A dvc.lock that was cut off, without the stage that the cut went through."""
    lines = text.splitlines(keepends=True)
    starts = [k for k, line in enumerate(lines) if re.match(r"  [^ ]", line)]
    return "".join(lines[: starts[-1]]) if len(starts) > 1 else "schema: '2.0'\nstages: {}\n"


def held_paths(content: bytes) -> str:
    """DVC's list of paths in use, without those of processes that are no DVC any more."""
    try:
        held = json.loads(content)
        writers = {path: by for path, by in held["write"].items() if is_dvc(by)}
        readers = {path: [by for by in all_ if is_dvc(by)] for path, all_ in held["read"].items()}
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
    main()
