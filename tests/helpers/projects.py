"""Copies of the project in which tests run DVC."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def variables(changes):
    """The environment of a command, with this Python first on its path."""
    found = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **changes}
    return found | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"}


def run(folder, *command, status=0, **changes):
    """Run a command; returns what it printed."""
    environment = variables(changes)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(folder, *arguments, **options):
    return run(folder, sys.executable, "-m", "dvc", *arguments, **options)


def commit(folder, message="step"):
    run(folder, "git", "add", "-A")
    who = (
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@example.org",
        "-c",
        "commit.gpgsign=false",
    )
    run(folder, "git", *who, "commit", "-qm", message)


def change_params(folder, **changes):
    """Replace values at dotted keys, written with __ for a dot."""
    path = folder / "params.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *parents, last = key.split("__")
        section = values
        for parent in parents:
            section = section[parent]
        section[last] = value
    path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")


def back_to_the_usual_models(folder):
    """As docs/guides/experiments.md says."""
    text = (ROOT / "docs/guides/experiments.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "# back to the usual models" in line)
    run(folder, "sh", "-c", line)


def started(output):
    """Stages that DVC ran, in order."""
    lines = (line for line in output.splitlines() if line.startswith("Running stage '"))
    return [line.split("'")[1] for line in lines]


def hashes(folder):
    """SHA-256 of every result that holds no time."""
    files = [
        p
        for part in ("data/runs", "data/predictions", "reports")
        for p in (folder / part).rglob("*")
    ]
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(files)
        if p.is_file() and p.name != "cost.json"
    }


LEFT_OUT = ("reports/", "studies/", "segmodels/weights/", "dvc.lock")


def copy_project(folder):
    """The project's files as they are, committed to a new repository; no results, no weights."""
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.split("\0"):
        if name and not name.startswith(LEFT_OUT) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / "reports").mkdir(exist_ok=True)
    run(folder, "git", "init", "-q")
