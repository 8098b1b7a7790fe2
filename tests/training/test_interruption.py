"""SIGKILL at random moments of one training, of the stage and of `dvc` alone."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import write_tree
from helpers.projects import ROOT, copy_project, dvc, hashes

KILLS = 20
MODEL = {"arch": "fcn_skip", "backbone": "resnet18", "stride": 32}
STAGE = ["-m", "stages.train", "small"]
DVC = ["-m", "dvc", "repro", "--force", "--single-item", "train@small"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A model that trains for some ten seconds and keeps a checkpoint nearly every step."""
    folder = tmp_path_factory.mktemp("work") / "project"
    copy_project(folder)
    write_tree(folder / "data/own/toy", train=40, val=6, num_classes=5)
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    recipe = {"epochs": 6, "batch_size": 4, "crop_size": 64, "warmup_epochs": 1, "threads": 1}
    values |= {"dataset": "toy", "model": "small", "models": {"small": MODEL}}
    values |= {"comparisons": {"one": ["small"]}, "checkpoint_minutes": 0.002}
    values["datasets"]["toy"] = {"classes": ["0", "1", "2", "3", "4"], "holdout": 4}
    values["train"]["toy"] = {**values["train"]["miniature"], **recipe}
    values["predict"]["toy"] = {**values["predict"]["miniature"], "threads": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    dvc(folder, "repro", "train@small")
    return folder


def start(folder, arguments):
    """A process group of its own, as a terminal starts it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DVC_ROOT": str(folder)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with open(folder.parent / "log", "w") as log:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def stages_alive(folder):
    """Processes that train in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            trains = b"stages.train" in (process / "cmdline").read_bytes()
            if trains and Path(os.readlink(process / "cwd")) == folder:
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def kill_after(folder, arguments, seconds):
    """Start, kill that process alone; True if it was still at work."""
    process = start(folder, arguments)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 5
    while stages_alive(folder):
        assert time.monotonic() < deadline, "the stage outlives the process that started it"
        time.sleep(0.05)
    return True


def snapshot(folder):
    return {
        p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and ".dvc" not in str(p)
    }


@pytest.mark.slow
def test_training_that_is_killed_again_and_again_ends_with_the_same_bits(project, capsys):
    expected = hashes(project)
    assert expected and not list((project / ".scratch").iterdir())
    outs, begin = project / "data/runs/toy/small", time.monotonic()
    shutil.rmtree(outs)
    start(project, STAGE).wait()
    whole = time.monotonic() - begin
    assert hashes(project) == expected

    rng, killed, resumed = random.Random(0), 0, 0
    while killed < KILLS:
        by_dvc = killed % 2 == 1
        shutil.rmtree(outs, ignore_errors=True)  # as DVC does before it starts a stage
        resumed += any((project / ".scratch").glob("*/last.pt"))
        # Half of the time of a run is its start; kills shall fall into the training.
        seconds = rng.uniform(0.3, 0.6) * whole + (by_dvc * 2)
        if kill_after(project, DVC if by_dvc else STAGE, seconds):
            killed += 1
            before = snapshot(project)
            time.sleep(0.3)
            assert snapshot(project) == before, "something still writes"
        else:
            log = (project.parent / "log").read_text(encoding="utf-8")
            assert hashes(project) == expected, log  # it came to its end before the kill
    assert resumed >= KILLS // 4  # or the kills came too early to mean something
    dvc(project, *DVC[2:])
    assert hashes(project) == expected
    assert not list((project / ".scratch").iterdir())
    with capsys.disabled():
        print(f"\n{killed} kills survived, {resumed} runs went on from a checkpoint")
