"""Mend what a kill, or a full disk, leaves of DVC's own files, which DVC does not write atomically.

`make repro` runs it before DVC, which would ask for a hand instead. Nothing is lost: DVC's run cache
has the results of all stages that ended. As long as another DVC is at work here, nothing is touched.
"""

import fcntl
import json
import subprocess
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


def main() -> None:
    with alone(HELD) as mine:
        if mine and LOCK.exists() and not whole(LOCK.read_bytes()):
            mend_lock()
    with alone(PATHS.with_name("rwlock.lock")) as mine:
        if mine and PATHS.exists():
            mend_paths()


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
    """Whether DVC can read a dvc.lock; stages that are cut off come back out of the run cache."""
    try:
        COMPILED_LOCKFILE_SCHEMA(loads_yaml(content.decode()))
    except (YAMLError, UnicodeDecodeError, Invalid):
        return False
    return True


def mend_lock() -> None:
    """Take the last committed dvc.lock instead, or none."""
    shown = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], capture_output=True, check=False)
    if shown.returncode == 0 and whole(shown.stdout):
        LOCK.write_bytes(shown.stdout)
    else:
        LOCK.unlink()
    print(f"{LOCK} was cut off: written anew from what is committed and cached", file=sys.stderr)


def mend_paths() -> None:
    """Forget which paths are in use by processes that are no DVC any more."""
    try:
        held = json.loads(PATHS.read_bytes())
        held["write"] = {p: by for p, by in held["write"].items() if is_dvc(by)}
        held["read"] = {p: [by for by in all_ if is_dvc(by)] for p, all_ in held["read"].items()}
        PATHS.write_text(json.dumps({**held, "read": {p: b for p, b in held["read"].items() if b}}))
    except (ValueError, TypeError, AttributeError, KeyError):
        PATHS.unlink()


def is_dvc(holder: dict[str, Any]) -> bool:
    """Whether a number still belongs to DVC, and not to another process after a restart."""
    try:
        return any("dvc" in word for word in psutil.Process(holder["pid"]).cmdline())
    except psutil.Error:
        return False


if __name__ == "__main__":
    main()
