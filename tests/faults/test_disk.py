"""A disk that is full in each stage, a folder that must not be written, memory that is short.

The project lies on a small file system of its own; where one cannot be mounted the tests say so.
"""

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from conftest import write_tree
from helpers.projects import change_params

from faults import laboratory
from faults.conftest import attack
from faults.laboratory import NAMED, OUTS, check, make, repro, results, stage

pytestmark = pytest.mark.slow
SIZE = 60  # MB of the whole file system
PLACES = {
    **{"download": "data/tiny", "index": "data/tiny", "train": "data/runs/tiny/small"},
    **{"predict": "data/predictions/tiny", "evaluate": "reports/models", "compare": "reports"},
}
ONE_LINE = re.compile(r"error: [^\n]*: make space and start the same command again\n")


@contextmanager
def mounted(place, *options):
    """A mount that goes when the body ends."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs root: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory, computed):
    """The project on a small disk, and what came of it."""
    place = tmp_path_factory.mktemp("work") / "disk"
    with mounted(place, "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs"):
        folder = place / "project"
        shutil.copytree(computed[0], folder, symlinks=True)
        check(folder, computed[1])
        yield folder, computed[1]
        check(folder, computed[1])


@contextmanager
def full(folder, left):
    """Fill the disk but for some bytes."""
    filler = folder.parent / "filler"
    try:
        with open(filler, "wb") as file:
            free = shutil.disk_usage(folder).free - left
            for _ in range(max(0, free) >> 12):
                file.write(bytes(1 << 12))
        yield
    finally:
        filler.unlink()


def arguments(name):
    return [name, *["small"] * (name in NAMED)]


@pytest.mark.rotates
@pytest.mark.parametrize("left", [0, 16 << 10])
@pytest.mark.parametrize("name", PLACES)
def test_full_disk_in_a_stage_is_one_line_and_nothing_is_lost(small_disk, name, left):
    folder, expected = small_disk
    laboratory.without(folder, *OUTS[name])
    with attack(), full(folder, left):
        status, error = stage(folder, *arguments(name))
        there = {k: v for k, v in results(folder).items() if ".part" not in k}
    with attack():
        if status or left == 0:  # what index writes may fit
            assert status == 1 and ONE_LINE.fullmatch(error), error
            assert re.search(r"[0-9.]+ MB needed, [0-9.]+ MB free|needs [0-9.]+ MB, [0-9.]+", error)
        growing = {k for k in there if k.endswith("history.csv")}
        assert all(there[k] == expected[k] for k in there.keys() - growing)
        assert not [p for p in (folder / "data").rglob(".*.csv.*")]
        check(folder, expected)


@pytest.mark.rotates
@pytest.mark.parametrize("name", ["index", "train", "predict"])
def test_full_disk_under_dvc_needs_no_hand(small_disk, name):
    """Found: DVC leaves dvc.lock and its list of paths empty, and refuses both ever after."""
    folder, expected = small_disk
    with attack(), full(folder, 0):
        status, output = repro(folder, "--force", "--single-item", laboratory.STAGES[name])
        if name == "predict":  # the masks before, which DVC removes first, took about as much
            assert status == 0 or "No space left" in output, output
        else:
            assert status != 0, output
            status, output = make(folder)
            said = ["No space left", "full", "cache-types"]  # the last: DVC can copy no result
            assert status != 0 and any(words in output for words in said), output
    with attack():
        check(folder, expected)


@pytest.mark.parametrize("kind", ["archive", "own"])
def test_no_space_for_a_data_set_is_told_before_it_is_copied(tmp_path, kind):
    """Found: it broke in the middle, for an own data set with a line for each of its files."""
    place = tmp_path / "disk"
    with mounted(place, "-t", "tmpfs", "-o", "size=8m", "tmpfs"):
        source = tmp_path / "VOCdevkit/VOC2012"
        write_tree(source, train=6, val=3, num_classes=5)
        for path in source.rglob("*.jpg"):
            with open(path, "ab") as file:  # what follows the picture does not matter
                file.write(bytes(1_000_000))
        variables = {}
        dataset = {"classes": [*"abcde"]}
        if kind == "archive":
            subprocess.run(["tar", "-cf", "voc.tar", "VOCdevkit"], cwd=tmp_path, check=True)
            tar = tmp_path / "voc.tar"
            md5 = subprocess.check_output(["md5sum", tar], text=True).split()[0]
            dataset["archive"] = {"urls": ["http://127.0.0.1:9/"], "md5": [md5]}
            variables["SEGMODELS_VOC_ARCHIVE"] = str(tar)
        folder = laboratory.settle(place / "project", dataset)
        if kind == "own":
            (folder / "data/own/tiny").symlink_to(source)
        with attack():
            status, error = stage(folder, "download", **variables)
            assert status == 1 and ONE_LINE.fullmatch(error), error
            assert re.search(r"needs 9\.\d MB, [0-8]\.\d MB are free", error), error
            assert not list((folder / "data/tiny").rglob("*.jpg"))
        subprocess.run(["mount", "-o", "remount,size=30m", str(place)], check=True)
        with attack():
            assert stage(folder, "download", **variables)[0] == 0
            assert len(list((folder / "data/tiny").rglob("*.jpg"))) == 9


@pytest.mark.rotates
@pytest.mark.parametrize("name", PLACES)
def test_folder_that_must_not_be_written_is_one_line(small_disk, name):
    folder, expected = small_disk
    place = folder / PLACES[name]
    with attack(), mounted(place, "--bind", str(place)):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        status, error = stage(folder, *arguments(name))
        assert status == 1 and "Read-only file system" in error, error
        assert error.startswith("error: ") and error.count("\n") == 1, error
    with attack():
        assert results(folder) == expected  # nothing was touched


@pytest.mark.parametrize("name, key", [("train", "crop_size"), ("predict", "long_side")])
def test_memory_that_is_short_in_a_stage_is_one_line(small_disk, name, key):
    """Found for predict: a traceback. Pictures of 3 TB are asked for."""
    folder, expected = small_disk
    before = (folder / "params.yaml").read_bytes()
    with attack():
        change_params(folder, **{f"{name}__tiny__{key}": 1_000_000})
        status, error = stage(folder, name, "small")
        (folder / "params.yaml").write_bytes(before)
        assert status == 1 and error.startswith("error: ") and error.count("\n") == 1, error
        assert "memory" in error and "batch_size" in error
        assert results(folder) == expected


@pytest.mark.parametrize("code", ["torch.empty(10**13)", "bytearray(10**15)"])
def test_memory_that_torch_or_python_lacks_is_one_line(code):
    program = f"import torch; from segmodels.core import supervise; supervise.run(lambda: {code})"
    with attack():
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=laboratory.ROOT, capture_output=True, text=True
        )
        assert done.returncode == 1 and done.stderr.startswith("error: memory is short (")
        assert done.stderr.count("\n") == 1, done.stderr


def test_small_machine_is_told_at_once(small_disk):
    """`check` runs first, under a limit like that of a container."""
    folder, _ = small_disk
    groups = folder.parent / "groups"
    for path, limit in {"memory": "max", "memory/a": 3_200_000_000, "memory/a/b": 9e18}.items():
        (groups / path).mkdir(parents=True)
        (groups / path / "memory.limit_in_bytes").write_text(f"{limit}\n", encoding="utf-8")
        unified = groups / path.replace("memory", "unified", 1)
        unified.mkdir()
        (unified / "memory.max").write_text(f"{limit}\n", encoding="utf-8")
    program = (
        "import pathlib; from stages import check\n"
        "check.GROUPS, check.OWN = map(pathlib.Path, {})\n"
        "check.expected = lambda *_: ''\n"  # takes seconds to measure
        "print(check.memory_bytes()); check.main()"
    )
    for line, root in (("4:cpu,memory:/a/b", groups), ("0::/a/b", groups / "unified")):
        (groups / "own").write_text(f"7:cpu:/x\n{line}\n", encoding="utf-8")
        command = [sys.executable, "-c", program.format([str(root), str(groups / "own")])]
        with attack():
            printed = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, check=True
            )
            assert printed.stdout.startswith("3200000000.0\n"), printed
            assert "this machine has 3.2 GB of memory, 4 are needed" in printed.stdout
    shutil.rmtree(groups)
