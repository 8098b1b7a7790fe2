"""What a person sees of a stage: its errors, and bars on a terminal."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from segmodels.core import supervise

ROOT = Path(__file__).parents[2]
SHORT = "memory is short ("


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("params.yaml: lr"), "params.yaml: lr"),
        (OSError("the disk is full"), "the disk is full"),
        (FileNotFoundError(2, "No such file", "x.csv"), "x.csv: no such file"),
        (FileNotFoundError(2, "No such file", b"data/x"), "data/x: no such file; `dvc repro` "),
        (PermissionError(13, "Permission denied", "data/x"), "data/x: permission denied"),
        (MemoryError(), f"{SHORT}no more to be had)"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB\nmore"), f"{SHORT}CUDA out of "),
        (RuntimeError("[x] DefaultCPUAllocator: can't allocate memory"), f"{SHORT}DefaultCPUA"),
    ],
)
def test_what_is_expected_to_fail_is_one_line(error, line):
    said = supervise.one_line(error)
    assert said is not None and said.startswith(line) and "\n" not in said


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), LookupError("x"), TypeError()])
def test_a_defect_is_none(error):
    assert supervise.one_line(error) is None


@pytest.mark.parametrize(
    "too_much", [lambda: np.empty(1 << 60, np.uint8), lambda: torch.empty(1 << 60)]
)
def test_memory_that_cannot_be_had_is_recognised(too_much):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        too_much()
    assert supervise.out_of_memory(caught.value)


def test_one_bar_counts_over_several_series(monkeypatch, capsys):
    monkeypatch.setattr(supervise, "_on_terminal", lambda: True)
    bar = supervise.Bar("small")
    bar.expect(9)
    assert list(bar.progress("abc", 3, "epoch 1/2")) == ["a", "b", "c"]
    bar.reach(6)  # as after epochs that come out of a checkpoint
    bar.write("epoch 1 is done")
    assert list(bar.progress("def", 3, "epoch 2/2")) == ["d", "e", "f"]
    bar.close()
    out, err = capsys.readouterr()
    assert out == "epoch 1 is done\n"
    shown = [part for part in err.split("\r") if "small" in part]
    assert bar._bar.n == 9
    assert any("epoch 2/2" in part for part in shown)


def test_without_a_terminal_a_bar_prints_its_lines_and_nothing_else(monkeypatch, capsys):
    monkeypatch.setattr(supervise, "_on_terminal", lambda: False)
    bar = supervise.Bar("small")
    bar.expect(3)
    assert list(bar.progress("abc", 3, "epoch 1/1")) == ["a", "b", "c"]
    bar.reach(3)
    bar.write("epoch 1 is done")
    bar.close()
    assert capsys.readouterr() == ("epoch 1 is done\n", "")


def test_a_reader_that_leaves_is_no_error(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from segmodels.core import supervise\n"
        "supervise.run(lambda: [print(line) for line in range(100_000)])\n"
    )
    command = f"{sys.executable} {program} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n141\n", "")


def test_a_command_goes_on_when_its_shell_has_ended(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, time\n"
        "from segmodels.core import supervise\n"
        "def work():\n"
        "    parent = os.getppid()\n"
        "    while os.getppid() == parent: time.sleep(0.01)\n"
        "    open('done', 'w').close()\n"
        "supervise.run(work)\n"
    )
    command = f"PYTHONPATH={ROOT} {sys.executable} {program} & sleep 0.1"
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    for _ in range(500):
        if (tmp_path / "done").exists():
            return
        time.sleep(0.02)
    raise AssertionError("it died with its shell")
