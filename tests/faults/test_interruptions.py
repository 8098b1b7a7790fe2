"""SIGKILL, SIGTERM and SIGINT at random moments of every stage; the witness is an undisturbed run.

20 signals for each stage, aimed at the stage itself, at the process group of DVC and the stage
(Ctrl-C in a terminal), and at `dvc` alone. They are numbered: number k always has the same target,
signal and moments. `-m "not every"` runs a third of them, another third each day.
"""

import functools
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import write_tree

from faults import laboratory
from faults.conftest import DAY, THIRDS, attack, count, made_once, third_of, third_of_item
from faults.laboratory import NAMED, OUTS, STAGES, check, mend, repro, results, start, told

pytestmark = pytest.mark.slow
KILLS = {1: range(0, 7), 2: range(7, 14), 3: range(14, 20)}  # of each stage, by third
TRIES = 10  # of one signal, until it comes before the stage has ended
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
TARGETS = ["stage", "group", "dvc"]
ROTATION = list(itertools.product(TARGETS, SIGNALS))
GROWING = {"history.csv", "per_class_history.csv"}  # a row more with each epoch


@pytest.fixture(scope="package")  # each process of pytest-xdist comes back to this file
def laboratory_with_archive(tmp_path_factory):
    """The project computed once, its data set from an archive on a slow line; what came of it."""

    def make(work):
        write_tree(work / "VOCdevkit/VOC2012", train=6, val=3, num_classes=5)
        padding = tarfile.TarInfo("VOCdevkit/VOC2012/padding")
        padding.size = 3_000_000  # so that the download takes a second
        with tarfile.open(work / "voc.tar", mode="w") as tar:
            tar.add(work / "VOCdevkit", "VOCdevkit")
            tar.addfile(padding, io.BytesIO(random.Random(0).randbytes(padding.size)))
        content = (work / "voc.tar").read_bytes()
        with laboratory.serving(content) as server:
            source = {"urls": [server.address], "md5": [hashlib.md5(content).hexdigest()]}
            folder = laboratory.settle(work / "project", {"archive": source}, epochs=16)
            status, output = repro(folder)
        assert status == 0, output
        (work / "port").write_text(str(server.server_port))

    made = made_once(tmp_path_factory, "with_archive", make)
    folder = tmp_path_factory.mktemp("work") / "project"
    shutil.copytree(made / "project", folder, symlinks=True)
    expected = results(folder)
    assert len(expected) > 40
    content, port = (made / "voc.tar").read_bytes(), int((made / "port").read_text())
    with laboratory.serving(content, port):
        yield folder, expected


def command(name, target):
    if target == "stage":
        return ["-m", f"stages.{name}", *["small"] * (name in NAMED)]
    return ["-m", "dvc", "repro", "--force", "--single-item", STAGES[name]]


@functools.cache
def durations(folder, name):
    """Seconds of an undisturbed stage, and of the same by DVC."""
    seconds = {}
    for target in ("stage", "dvc"):
        begin = time.monotonic()
        assert start(folder, *command(name, target)).wait(laboratory.SECONDS) == 0, told(folder)
        seconds[target] = time.monotonic() - begin
    return {**seconds, "group": seconds["dvc"]}


def part_of_stage(name, third, k):
    """The part of the stage in which signal k comes: those of a third are spread over the whole."""
    numbers = list(KILLS[third])
    random.Random(f"{name} {third}").shuffle(numbers)
    place = numbers.index(k)
    return place / len(numbers), (place + 1) / len(numbers)


def strike(folder, name, target, number, seconds):
    """Start, send a signal after some seconds; True if the process was still at work."""
    process = start(folder, *command(name, target))
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number) if target == "group" else process.send_signal(number)
    # DVC lets the stage answer Ctrl-C, so that a signal to itself alone changes nothing.
    process.wait(laboratory.SECONDS)
    laboratory.wait_for_silence(folder)
    if target == "stage":  # in its first hundredths of a second Python itself may have a traceback
        quiet = "Traceback" not in told(folder) or str(folder) not in told(folder)
        assert quiet, (number, seconds, told(folder))
    return True


def check_whole(folder, expected):
    """No file has its name before it is whole."""
    for name, content in results(folder).items():
        path = folder / name
        if path.name.startswith(".") or ".part" in name:
            continue
        if path.name in GROWING:
            assert name in expected and path.read_bytes().endswith(b"\n"), name
        else:
            assert content == expected.get(name), f"{name} is half-written"
    yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))


@pytest.mark.longest
@pytest.mark.parametrize("third", THIRDS, ids=lambda third: f"third {third}")
@pytest.mark.parametrize("name", STAGES)
def test_stage_that_is_interrupted_ends_with_the_same_bits(laboratory_with_archive, name, third):
    folder, expected = laboratory_with_archive
    seconds = durations(folder, name)
    numbers = KILLS[third]
    resumed = 0
    for k in numbers:
        target, number = ROTATION[k % len(ROTATION)]
        early, late = part_of_stage(name, third, k)
        rng = random.Random(f"{name} {k}")
        for _ in range(TRIES):
            if k % 2:  # as DVC does; every other time what is there stays
                laboratory.without(folder, *OUTS[name])
            moment = rng.uniform(early, late) * seconds[target]
            with attack("interruptions") as counted:
                counted.only_if(strike(folder, name, target, number, moment))
                check_whole(folder, expected)
                resumed += any((folder / ".scratch").glob("*/last.pt"))  # the next one goes on
                early = 0  # what goes on from a checkpoint ends earlier
                count("DVC's own files", mended_after_a_kill=mend(folder))
                if k % 4 == 3:
                    with laboratory.without_run_cache(folder):  # or DVC runs nothing
                        check(folder, expected)
            if counted.took_place:
                break
        assert counted.took_place, f"signal {k} came too late {TRIES} times"
    if name == "train":
        assert resumed >= len(numbers) // 5  # or the signals came too early to mean something
        count("trainings", gone_on_from_a_checkpoint=resumed)
    check(folder, expected)
    status, output = repro(folder, "--force", "--single-item", STAGES[name])
    assert status == 0 and results(folder) == expected, output
    assert not list((folder / ".scratch").iterdir())
    count(f"interruptions on {DAY}", **{f"stages with third {third} of {len(THIRDS)}": 1})


def test_three_days_try_every_signal_and_each_day_every_target():
    assert [k for third in THIRDS for k in KILLS[third]] == list(range(20))
    for third in THIRDS:
        struck = [ROTATION[k % len(ROTATION)] for k in KILLS[third]]
        assert {target for target, _ in struck} == {*TARGETS}
        assert {number for _, number in struck} == {*SIGNALS}
    for days in (["2026-02-27", "2026-02-28", "2026-03-01"], ["2026-12-31", "2027-01-01"]):
        assert len({third_of(day) for day in days}) == len(days)


def test_what_rotates_is_dealt_out():
    def third(*arguments, marked=True, params=(), **places):
        mark = SimpleNamespace(args=arguments) if marked else None
        callspec = SimpleNamespace(params=dict(params), indices=places)
        return third_of_item(SimpleNamespace(callspec=callspec, get_closest_marker=lambda _: mark))

    assert [third(name=k) for k in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    assert [third(name=k, left=1) for k in range(3)] == [2, 3, 1]
    assert (third(2), third(2, name=1)) == (3, 1)
    assert third(name=1, marked=False) is None
    assert third(name=1, third=2, marked=False, params={"third": 3}) == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_stage_dies_with_dvc_while_it_imports(laboratory_with_archive, number):
    """Found: it bound itself to DVC only after the seconds in which torch is imported."""
    folder, expected = laboratory_with_archive
    with attack("interruptions"):
        process = start(folder, *command("train", "dvc"))
        laboratory.importing(folder)
        process.send_signal(number)
        process.wait(laboratory.SECONDS)
        laboratory.wait_for_silence(folder, seconds=1)
        check(folder, expected)


def test_interrupt_while_a_stage_imports_is_quiet(laboratory_with_archive):
    """Found: Ctrl-C in the first seconds printed the traceback of an import."""
    folder, expected = laboratory_with_archive
    with attack("interruptions"):
        process = start(folder, *command("train", "stage"))
        laboratory.importing(folder)
        process.send_signal(signal.SIGINT)
        assert process.wait(laboratory.SECONDS) == -signal.SIGINT
        assert told(folder) == ""
        check(folder, expected)


@pytest.mark.rotates
@pytest.mark.parametrize("part", [0, 0.3, 0.5, 0.9, 0.999])
def test_dvc_lock_that_was_cut_off_needs_no_hand(laboratory_with_archive, part):
    """Found: DVC writes dvc.lock in place, for half a second, and refuses what a kill leaves."""
    folder, expected = laboratory_with_archive
    path = folder / "dvc.lock"
    content = path.read_bytes()
    with attack("interruptions"):
        path.write_bytes(content[: int(part * len(content))])
        output = check(folder, expected)
        assert "python -m stages.train" not in output  # it came out of the run cache
        found, before = (yaml.safe_load(text)["stages"] for text in (path.read_bytes(), content))
        for name in before:
            assert found[name] == before[name], name


@pytest.mark.rotates
@pytest.mark.parametrize("what", ["empty", "cut off", "of another program", "of none"])
def test_lock_of_paths_that_was_left_needs_no_hand(laboratory_with_archive, what):
    """Found: DVC asked to remove it by hand."""
    folder, expected = laboratory_with_archive
    number = os.getpid()
    if what == "of none":
        with subprocess.Popen(["true"]) as dead:
            number = dead.pid
    held = {"pid": number, "cmd": "repro"}
    paths = [str(folder / name) for name in OUTS["train"]]
    left = json.dumps({"write": dict.fromkeys(paths, held), "read": {str(folder): [held]}})
    with attack("interruptions"):
        text = {"empty": "", "cut off": left[:70]}.get(what, left)
        (folder / ".dvc/tmp/rwlock").write_text(text, encoding="utf-8")
        shutil.rmtree(folder / OUTS["train"][0])
        check(folder, expected)


def test_what_a_killed_stage_had_begun_to_write_goes(laboratory_with_archive):
    """Found: beside a result that is a file it stayed for good, where the run cache had the result.

    All results of dvc.yaml that are files are tried, so that a new one is not forgotten.
    """
    folder, expected = laboratory_with_archive
    stages = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    outs = [folder / out["path"] for name in stages for out in stages[name].get("outs", [])]
    files = [path for path in outs if path.is_file()]
    assert {"index.csv", "cost.json", "gflops.json"} <= {path.name for path in files}
    with attack("interruptions"):
        begun = []
        for path in files:  # as segmodels.core.files.write does
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            os.close(handle)
            begun.append(Path(name))
        check(folder, expected)
        assert not [path for path in begun if path.exists()]


def test_repair_leaves_alone_what_a_dvc_at_work_holds(laboratory_with_archive):
    folder, expected = laboratory_with_archive
    path = folder / ".dvc/tmp/rwlock"
    process = start(folder, *command("train", "dvc"))
    laboratory.importing(folder)
    held = path.read_text(encoding="utf-8")
    begun = folder / "data/tiny/.index.csv.at_work0"
    begun.touch()
    done = subprocess.run([sys.executable, "tools/repair.py"], cwd=folder, check=True)
    assert done.returncode == 0
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(held)
    assert json.loads(held)["write"] and begun.exists()
    begun.unlink()
    assert process.wait(laboratory.SECONDS) == 0, told(folder)
    check(folder, expected)
